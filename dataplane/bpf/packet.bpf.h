/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What the BPF programs share about frames: bounds-checked reads and the way to the IP header. */
#pragma once

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/types.h>

#define kMaxVlanTags 2

struct vlan_tag {
  __be16 control;
  __be16 protocol;
};

/* The frame as the verifier wants it: two pointers, every read checked against the end. */
struct frame {
  void* start;
  void* end;
};

/* The `size` bytes at `offset`, or NULL if the frame ends before them. */
static __always_inline void* bytes_at(const struct frame* frame, __u32 offset, __u32 size) {
  void* at = frame->start + offset;
  return at + size > frame->end ? (void*)0 : at;
}

/* Walks the Ethernet header and up to kMaxVlanTags tags. Returns the EtherType behind them in network order
 * and sets *offset to the first byte of the network header; 0 for a frame that is too short. A frame with
 * more tags returns the EtherType of the next tag, which no caller knows: it goes to the kernel. */
static __always_inline __be16 network_header(const struct frame* frame, __u32* offset) {
  struct ethhdr* ethernet = bytes_at(frame, 0, sizeof(*ethernet));
  if (!ethernet) {
    return 0;
  }
  __be16 protocol = ethernet->h_proto;
  *offset = sizeof(*ethernet);
#pragma unroll
  for (int i = 0; i < kMaxVlanTags; i++) {
    if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD)) {
      break;
    }
    struct vlan_tag* tag = bytes_at(frame, *offset, sizeof(*tag));
    if (!tag) {
      return 0;
    }
    protocol = tag->protocol;
    *offset += sizeof(*tag);
  }
  return protocol;
}

/* Keys of LPM tries: prefix length in bits, then the address in network order. */
struct prefix_key_ipv4 {
  __u32 length;
  __be32 address;
};

struct prefix_key_ipv6 {
  __u32 length;
  __u8 address[16];
};

static __always_inline void* find_ipv4(void* trie, __be32 address) {
  struct prefix_key_ipv4 key = {.length = 32, .address = address};
  return bpf_map_lookup_elem(trie, &key);
}

static __always_inline void* find_ipv6(void* trie, const struct in6_addr* address) {
  struct prefix_key_ipv6 key = {.length = 128};
  __builtin_memcpy(key.address, address, sizeof(key.address));
  return bpf_map_lookup_elem(trie, &key);
}
