// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Splits the traffic of a port: frames to a VIP go to the worker's AF_XDP socket, all else to the kernel, so
 * that ssh, ARP, BGP and routing on the interface go on as if Sluice were not there.
 *
 * The whole address of a VIP is steered, not only its port: ICMP echo to a VIP, ICMP errors about a VIP's
 * flows (routers address them to the VIP, as the source of the packet that failed) and fragments without
 * ports all carry the VIP as destination, and all belong to the worker.
 *
 * One exception: neighbour discovery. A router that checks its neighbour entry of an on-link IPv6 VIP sends a
 * unicast solicitation to the VIP itself; only the kernel can answer it.
 */
#include <linux/icmpv6.h>
#include <linux/in.h>

#include "dataplane/bpf/packet.bpf.h"
#include "dataplane/bpf/vip_maps.bpf.h"
#include "dataplane/bpf/steer_counters.h"

#define kMaxQueues 256
#define kNdFirst 133 /* router solicitation, RFC 4861 section 4.1 */
#define kNdLast 137  /* redirect, section 4.5 */

/* The name is part of the contract with DPDK's af_xdp driver: it puts its sockets into a map called so. */
struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, kMaxQueues);
  __type(key, __u32);
  __type(value, __u32);
} xsks_map SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, kSteerCounters);
  __type(key, __u32);
  __type(value, __u64);
} steer_counters SEC(".maps");

static __always_inline void count(__u32 which) {
  __u64* counter = bpf_map_lookup_elem(&steer_counters, &which);
  if (counter) {
    *counter += 1;
  }
}

static __always_inline int is_to_vip(const struct frame* frame) {
  __u32 offset = 0;
  __be16 protocol = network_header(frame, &offset);
  if (protocol == bpf_htons(ETH_P_IP)) {
    struct iphdr* ip = bytes_at(frame, offset, sizeof(*ip));
    return ip && find_ipv4(&vips_ipv4, ip->daddr);
  }
  if (protocol == bpf_htons(ETH_P_IPV6)) {
    struct ipv6hdr* ip = bytes_at(frame, offset, sizeof(*ip));
    if (!ip) {
      return 0;
    }
    if (ip->nexthdr == IPPROTO_ICMPV6) {
      __u8* type = bytes_at(frame, offset + sizeof(*ip), sizeof(*type));
      if (type && *type >= kNdFirst && *type <= kNdLast) {
        return 0;
      }
    }
    return find_ipv6(&vips_ipv6, &ip->daddr) != (void*)0;
  }
  return 0;
}

SEC("xdp")
int sluice_steer(struct xdp_md* context) {
  struct frame frame = {.start = (void*)(long)context->data, .end = (void*)(long)context->data_end};
  if (!is_to_vip(&frame)) {
    count(kSteerPassed);
    return XDP_PASS;
  }
  /* XDP_PASS in the flags: what becomes of a frame whose queue has no socket. */
  int verdict = (int)bpf_redirect_map(&xsks_map, context->rx_queue_index, XDP_PASS);
  count(verdict == XDP_REDIRECT ? kSteerSteered : kSteerNoSocket);
  return verdict;
}

char _license[] SEC("license") = "Dual BSD/GPL";
