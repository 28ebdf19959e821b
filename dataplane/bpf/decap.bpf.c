// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Takes the GRE header off packets to our VIPs and lets the kernel receive what was inside: IPv4 or IPv6 in
 * IPv4 or IPv6. One decision, two hooks: XDP (native or generic) and tc ingress.
 *
 * A frame is ours only if the packet inside is to a configured VIP. Everything else goes to the kernel as it
 * came, so that a GRE tunnel of the kernel on the same host goes on. So do GRE packets with a checksum or a
 * sequence number (sluiced sends neither; the kernel's GRE device understands both), GRE version 1, and outer
 * fragments (their first part cannot be told from a whole packet until reassembled, which is the kernel's).
 *
 * ECN: RFC 6040 section 4.2. Congestion that a switch marked on the outer header reaches the client's
 * connection instead of being lost with that header.
 */
#include <linux/in.h>
#include <linux/pkt_cls.h>

#include "dataplane/bpf/decap_layout.h"
#include "dataplane/bpf/packet.bpf.h"

#define kGreKey 0x2000
/* RFC 2784 section 2.3 and RFC 2890: bits 0-5 other than the key say checksum, routing, sequence or RFC 1701;
 * the last three are the version. Bits 6-12 are reserved and ignored. */
#define kGreUnsupported 0xdc07
#define kMoreFragmentsAndOffset 0x3fff
#define kTcHeaderBytes 192 /* Ethernet 14, IPv4 with options 60 or IPv6 40, GRE 8, inner IPv4 60: 142 */

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct decap_config);
} decap_config SEC(".maps");

/* The value of a VIP is its place in decap_vip_count. */
struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, kDecapMaxVips);
  __type(key, struct prefix_key_ipv4);
  __type(value, __u32);
} decap_vips4 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, kDecapMaxVips);
  __type(key, struct prefix_key_ipv6);
  __type(value, __u32);
} decap_vips6 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, kDecapMaxSources);
  __type(key, struct prefix_key_ipv4);
  __type(value, __u32);
} decap_sources4 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, kDecapMaxSources);
  __type(key, struct prefix_key_ipv6);
  __type(value, __u32);
} decap_sources6 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, kDecapMaxVips);
  __type(key, __u32);
  __type(value, struct decap_vip_counters);
} decap_vip_count SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, kDecapOutcomes);
  __type(key, __u32);
  __type(value, __u64);
} decap_outcomes SEC(".maps");

struct gre_header {
  __be16 flags;
  __be16 protocol;
};

/* What examine() learned of a packet that it calls kDecapDecapsulated. Offsets are from the frame's start. */
struct tunnelled {
  __be16 outer_protocol;
  __be16 inner_protocol;
  __u32 outer_offset;
  __u32 inner_offset;
  __u32 inner_length;
  __u32 vip;
};

static __always_inline void count_outcome(__u32 outcome) {
  __u64* counter = bpf_map_lookup_elem(&decap_outcomes, &outcome);
  if (counter) {
    *counter += 1;
  }
}

static __always_inline void count_vip(const struct tunnelled* packet) {
  struct decap_vip_counters* counters = bpf_map_lookup_elem(&decap_vip_count, &packet->vip);
  if (counters) {
    counters->packets += 1;
    counters->bytes += packet->inner_length;
  }
}

/* RFC 6040 figure 4. Returns the ECN field that the inner header leaves with, or -1: drop the packet, because
 * its sender would never learn of the congestion. */
static __always_inline int merged_ecn(__u8 inner, __u8 outer) {
  enum { kNotEct = 0, kEct1 = 1, kEct0 = 2, kCe = 3 };
  if (inner == kNotEct) {
    return outer == kCe ? -1 : kNotEct;
  }
  if (outer == kCe) {
    return kCe;
  }
  return inner == kEct0 && outer == kEct1 ? kEct1 : inner;
}

/* Sets the ECN field and mends the header checksum by the difference, RFC 1624 equation 3. */
static __always_inline void set_ipv4_ecn(struct iphdr* ip, __u8 ecn) {
  __u16* first_word = (__u16*)ip;
  __u32 sum = (__u16)~ip->check + (__u32)(__u16) ~*first_word;
  ip->tos = (ip->tos & 0xfc) | ecn;
  sum += *first_word;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  ip->check = (__u16)~sum;
}

/* The traffic class lies across two bytes: version(4) class(8) flow label(20). */
static __always_inline __u8 ipv6_ecn(const struct ipv6hdr* ip) {
  return (((const __u8*)ip)[1] >> 4) & 3;
}

static __always_inline void set_ipv6_ecn(struct ipv6hdr* ip, __u8 ecn) {
  __u8* second = (__u8*)ip + 1;
  *second = (*second & 0xcf) | (__u8)(ecn << 4);
}

/* Decides about a frame of `length` bytes, of which at least the headers lie between frame->start and
 * frame->end. For kDecapDecapsulated it has filled *packet and merged the ECN fields into the inner header.
 */
static __always_inline int examine(const struct frame* frame, __u32 length, struct tunnelled* packet) {
  /* Outer header. */
  __u32 offset = 0;
  packet->outer_protocol = network_header(frame, &offset);
  packet->outer_offset = offset;
  __u32 outer_end;
  __u8 outer_ecn;
  int source_allowed;
  if (packet->outer_protocol == bpf_htons(ETH_P_IP)) {
    struct iphdr* ip = bytes_at(frame, offset, sizeof(*ip));
    if (!ip || ip->protocol != IPPROTO_GRE) {
      return kDecapNotGre;
    }
    if (ip->frag_off & bpf_htons(kMoreFragmentsAndOffset)) {
      return kDecapFragment;
    }
    if (ip->version != 4 || ip->ihl < 5) {
      return kDecapMalformed;
    }
    outer_end = offset + bpf_ntohs(ip->tot_len);
    outer_ecn = ip->tos & 3;
    source_allowed = find_ipv4(&decap_sources4, ip->saddr) != (void*)0;
    offset += ip->ihl * 4u;
  } else if (packet->outer_protocol == bpf_htons(ETH_P_IPV6)) {
    struct ipv6hdr* ip = bytes_at(frame, offset, sizeof(*ip));
    if (!ip || ip->nexthdr != IPPROTO_GRE) {
      /* Extension headers before GRE, a fragment header among them, are nothing that sluiced sends. */
      return kDecapNotGre;
    }
    if (ip->version != 6) {
      return kDecapMalformed;
    }
    outer_end = offset + sizeof(*ip) + bpf_ntohs(ip->payload_len);
    outer_ecn = ipv6_ecn(ip);
    source_allowed = find_ipv6(&decap_sources6, &ip->saddr) != (void*)0;
    offset += sizeof(*ip);
  } else {
    return kDecapNotGre;
  }
  if (outer_end > length) {
    return kDecapMalformed;
  }

  /* GRE. */
  struct gre_header* gre = bytes_at(frame, offset, sizeof(*gre));
  if (!gre) {
    return kDecapMalformed;
  }
  if (gre->flags & bpf_htons(kGreUnsupported)) {
    return kDecapUnsupported;
  }
  packet->inner_protocol = gre->protocol;
  offset += sizeof(*gre);
  __be32* key = (void*)0;
  if (gre->flags & bpf_htons(kGreKey)) {
    key = bytes_at(frame, offset, sizeof(*key));
    if (!key) {
      return kDecapMalformed;
    }
    offset += sizeof(*key);
  }
  packet->inner_offset = offset;

  /* Inner header. */
  struct iphdr* inner4 = (void*)0;
  struct ipv6hdr* inner6 = (void*)0;
  __u8 inner_ecn;
  __u32* vip;
  if (packet->inner_protocol == bpf_htons(ETH_P_IP)) {
    inner4 = bytes_at(frame, offset, sizeof(*inner4));
    if (!inner4 || inner4->version != 4 || inner4->ihl < 5) {
      return kDecapMalformed;
    }
    packet->inner_length = bpf_ntohs(inner4->tot_len);
    if (packet->inner_length < inner4->ihl * 4u) {
      return kDecapMalformed;
    }
    inner_ecn = inner4->tos & 3;
    vip = find_ipv4(&decap_vips4, inner4->daddr);
  } else if (packet->inner_protocol == bpf_htons(ETH_P_IPV6)) {
    inner6 = bytes_at(frame, offset, sizeof(*inner6));
    if (!inner6 || inner6->version != 6) {
      return kDecapMalformed;
    }
    packet->inner_length = sizeof(*inner6) + bpf_ntohs(inner6->payload_len);
    inner_ecn = ipv6_ecn(inner6);
    vip = find_ipv6(&decap_vips6, &inner6->daddr);
  } else {
    return kDecapNotVip;
  }
  if (offset + packet->inner_length > outer_end) {
    return kDecapMalformed;
  }
  if (!vip) {
    return kDecapNotVip;
  }
  packet->vip = *vip;

  /* Permission. */
  __u32 zero = 0;
  struct decap_config* config = bpf_map_lookup_elem(&decap_config, &zero);
  if (!config) {
    return kDecapFailed;
  }
  if (config->check_key && (!key || *key != config->key)) {
    return kDecapOtherKey;
  }
  if (config->check_source && !source_allowed) {
    return kDecapBadSource;
  }

  int ecn = merged_ecn(inner_ecn, outer_ecn);
  if (ecn < 0) {
    return kDecapBadEcn;
  }
  if (ecn != inner_ecn) {
    if (inner4) {
      set_ipv4_ecn(inner4, (__u8)ecn);
    } else if (inner6) {
      set_ipv6_ecn(inner6, (__u8)ecn);
    }
  }
  return kDecapDecapsulated;
}

/* Moves the link header, `link_size` bytes of it with its last two the EtherType, up to the inner packet. */
static __always_inline int strip_xdp(struct xdp_md* context, const struct tunnelled* packet,
                                     const __u32 link_size) {
  __u8 link[14 + kMaxVlanTags * sizeof(struct vlan_tag)];
  struct frame frame = {.start = (void*)(long)context->data, .end = (void*)(long)context->data_end};
  void* old = bytes_at(&frame, 0, link_size);
  if (!old) {
    return -1;
  }
  __builtin_memcpy(link, old, link_size);
  __builtin_memcpy(link + link_size - 2, &packet->inner_protocol, 2);
  if (bpf_xdp_adjust_head(context, (int)(packet->inner_offset - link_size))) {
    return -1;
  }
  frame.start = (void*)(long)context->data;
  frame.end = (void*)(long)context->data_end;
  void* new = bytes_at(&frame, 0, link_size);
  if (!new) {
    return -1;
  }
  __builtin_memcpy(new, link, link_size);
  return 0;
}

SEC("xdp")
int sluice_decap(struct xdp_md* context) {
  struct frame frame = {.start = (void*)(long)context->data, .end = (void*)(long)context->data_end};
  struct tunnelled packet = {};
  int outcome = examine(&frame, (__u32)(frame.end - frame.start), &packet);
  if (outcome == kDecapDecapsulated) {
    int failed;
    if (packet.outer_offset == 14) {
      failed = strip_xdp(context, &packet, 14);
    } else if (packet.outer_offset == 18) {
      failed = strip_xdp(context, &packet, 18);
    } else {
      failed = strip_xdp(context, &packet, 22);
    }
    if (failed) {
      outcome = kDecapFailed;
    } else {
      count_vip(&packet);
    }
  }
  count_outcome((__u32)outcome);
  return outcome >= kDecapBadSource ? XDP_DROP : XDP_PASS;
}

/* The kernel keeps the EtherType beside an skb and checks lengths by it, so a change of family goes first:
 * bpf_skb_change_proto makes the header 20 bytes longer or shorter, the rest is removed in the new family. */
static __always_inline int strip_skb(struct __sk_buff* skb, const struct tunnelled* packet) {
  const int kFamilyDifference = sizeof(struct ipv6hdr) - sizeof(struct iphdr);
  int surplus = (int)(packet->inner_offset - packet->outer_offset);
  if (packet->inner_protocol != packet->outer_protocol) {
    if (bpf_skb_change_proto(skb, packet->inner_protocol, 0) ||
        bpf_skb_store_bytes(skb, 12, &packet->inner_protocol, 2, 0)) {
      return -1;
    }
    surplus += packet->inner_protocol == bpf_htons(ETH_P_IPV6) ? kFamilyDifference : -kFamilyDifference;
  }
  /* FIXED_GSO: segments that GRO joined keep the size they came with. */
  return (int)bpf_skb_adjust_room(skb, -surplus, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
}

SEC("tc")
int sluice_decap_tc(struct __sk_buff* skb) {
  __u32 headers = skb->len < kTcHeaderBytes ? skb->len : kTcHeaderBytes;
  if ((long)skb->data + headers > (long)skb->data_end && bpf_skb_pull_data(skb, headers)) {
    count_outcome(kDecapFailed);
    return TC_ACT_SHOT;
  }
  struct frame frame = {.start = (void*)(long)skb->data, .end = (void*)(long)skb->data_end};
  struct tunnelled packet = {};
  int outcome = examine(&frame, skb->len, &packet);
  if (outcome == kDecapDecapsulated && packet.outer_offset != sizeof(struct ethhdr)) {
    /* The first VLAN tag is beside the skb; a second one in the frame hides the family from the helpers. */
    outcome = kDecapUnsupported;
  }
  if (outcome == kDecapDecapsulated) {
    if (strip_skb(skb, &packet)) {
      outcome = kDecapFailed;
    } else {
      count_vip(&packet);
    }
  }
  count_outcome((__u32)outcome);
  return outcome >= kDecapBadSource ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Dual BSD/GPL";
