// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Of all packets that the kernel receives, a packet socket takes those that come from a VIP: the answers to
 * health checks that went through the tunnel. Without the filter the control thread would be handed a copy of
 * everything.
 */
#include <linux/bpf.h>

#include "dataplane/bpf/packet.bpf.h"
#include "dataplane/bpf/vip_maps.bpf.h"

#define kTakeAll 0xffffffff
#define kTakeNone 0

SEC("socket")
int sluice_replies(struct __sk_buff* packet) {
  if (packet->protocol == bpf_htons(ETH_P_IP)) {
    __be32 source = 0;
    if (bpf_skb_load_bytes_relative(packet, 12, &source, sizeof(source), BPF_HDR_START_NET)) {
      return kTakeNone;
    }
    return find_ipv4(&vips_ipv4, source) ? kTakeAll : kTakeNone;
  }
  if (packet->protocol == bpf_htons(ETH_P_IPV6)) {
    struct in6_addr source = {};
    if (bpf_skb_load_bytes_relative(packet, 8, &source, sizeof(source), BPF_HDR_START_NET)) {
      return kTakeNone;
    }
    return find_ipv6(&vips_ipv6, &source) ? kTakeAll : kTakeNone;
  }
  return kTakeNone;
}

char _license[] SEC("license") = "Dual BSD/GPL";
