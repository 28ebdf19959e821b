/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What the decapsulation programs and their loader agree on: places of counters and the layout of maps. */
#pragma once

#include <linux/types.h>

/* What became of a frame; one counter each, named and described in decap.cpp. */
enum DecapOutcome {
  kDecapDecapsulated, /* inner packet handed to the kernel */
  kDecapNotGre,       /* the rest are left to the kernel as they came ... */
  kDecapFragment,
  kDecapUnsupported,
  kDecapNotVip,
  kDecapOtherKey,
  kDecapMalformed,
  kDecapBadSource, /* ... and from here on they are dropped */
  kDecapBadEcn,
  kDecapFailed,
  kDecapOutcomes,
};

/* One 8-byte word, so that the programs see all of a change or nothing of it. */
struct decap_config {
  __u8 check_key;
  __u8 check_source;
  __u8 made_clsact; /* the loader's own note: the qdisc goes when the program goes */
  __u8 unused;
  __be32 key;
};

struct decap_vip_counters {
  __u64 packets;
  __u64 bytes; /* of inner packets, from their IP header on */
};

#define kDecapMaxVips 4096
#define kDecapMaxSources 4096
