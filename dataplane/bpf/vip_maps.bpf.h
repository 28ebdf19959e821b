/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The VIPs that a program goes by, as prefixes; include once per program. */
#pragma once

#include "dataplane/bpf/packet.bpf.h"

#define kMaxVips 65536

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, kMaxVips);
  __type(key, struct prefix_key_ipv4);
  __type(value, __u32);
} vips_ipv4 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, kMaxVips);
  __type(key, struct prefix_key_ipv6);
  __type(value, __u32);
} vips_ipv6 SEC(".maps");
