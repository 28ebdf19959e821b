// The embedded BPF objects. bpftool writes these headers; our warnings do not hold for them.
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Woverlength-strings"
#pragma GCC diagnostic ignored "-Wunused-function"
#include "dataplane/bpf/decap.skel.h"
#include "dataplane/bpf/replies.skel.h"
#include "dataplane/bpf/steer.skel.h"
#pragma GCC diagnostic pop
