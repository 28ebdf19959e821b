#include "control/config_fields.h"

#include "dataplane/l4/settings.h"
#include "lb/flow_table.h"
#include "lb/maglev.h"
#include "lb/model.h"

namespace sluice {

namespace {

constexpr std::string_view kName =
    "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit";
constexpr std::string_view kRequired = ConfigField::kRequired;

constexpr ConfigField kFields[] = {
    {"node", "a map", kRequired, "This node."},
    {"node.name", kName, "the host's name", "What this node is called in reports."},
    {"node.run_dir", "an absolute path of at most 90 bytes", "/run/sluice",
     "Directory of the control socket, control.sock."},
    {"node.cluster_seed", "a text of 1 to 1024 bytes", kRequired,
     "Keys the flow hash: the same on all nodes, so that they agree, and not known to strangers.", 0, 0,
     true},
    {"node.state_dir", "an absolute path of at most 1024 bytes", "/var/lib/sluice",
     "Directory in which changes made by API and CLI survive a restart, services.yaml."},

    {"announce", "a map", "none: nothing is announced", "Announcing VIPs to the routers, by BIRD or FRR."},
    {"announce.device", "the name of a Linux interface that does not exist yet", "sluice-vips",
     "TUN device that carries the announced addresses while sluiced runs."},
    {"announce.drain_device", "the name of a Linux interface that does not exist yet", "sluice-drain",
     "TUN device that carries the addresses of a node that drains, until they are withdrawn."},
    {"announce.drain_delay", "a whole number with s, m or h, from 0s to 3600s", "5s",
     "From the start of a drain, when routers are asked to prefer other nodes, to the withdrawal.", 0, 3600},
    {"announce.stop_delay", "a whole number with s, m or h, from 0s to 300s", "1s",
     "At SIGTERM, how long packets are still forwarded after the VIPs are withdrawn.", 0, 300},

    {"metrics", "a map", "none: no metrics are served", "Metrics for Prometheus, read-only."},
    {"metrics.listen",
     "an IPv4 address with a port such as 127.0.0.1:9108, or an IPv6 one such as [::1]:9108", kRequired,
     "TCP address on which GET /metrics is answered."},

    {"log", "a map", "all defaults", "What sluiced says while it runs."},
    {"log.to", "stderr or journal", "stderr",
     "stderr: one line each, also for systemd; journal: to journald by its own protocol, each key as a "
     "field."},
    {"log.level", "debug, info, warning or error", "info",
     "The least level that is written. sluicectl node log-level changes it until the restart."},

    {"dpdk", "a map", "all defaults", "Start-up of DPDK."},
    {"dpdk.huge_pages", "true or false", "true", "Packet buffers and flow tables in huge pages."},
    {"dpdk.memory_mb", "", "256", "MiB for packet buffers and flow tables.", 16, 1u << 20},
    {"dpdk.eal_args", "a list of texts", "none", "Arguments added to those that Sluice gives to DPDK's EAL."},

    {"ports", "a list of maps, at least one", kRequired, "Where packets come in and go out."},
    {"ports[].name", kName, kRequired, "What the port is called in this file and in reports."},
    {"ports[].af_xdp", "the name of a Linux interface, such as eth1", "one of af_xdp, pci, vdev",
     "A Linux interface, by AF_XDP; the kernel keeps all that is not VIP traffic."},
    {"ports[].pci", "a PCI address such as 0000:81:00.0", "one of af_xdp, pci, vdev",
     "A NIC bound to vfio-pci."},
    {"ports[].vdev", "a DPDK virtual device such as net_pcap0,rx_pcap=in.pcap,tx_pcap=out.pcap",
     "one of af_xdp, pci, vdev", "A virtual device of DPDK, for tests and offline runs."},
    {"ports[].queues", "",
     "for af_xdp all that the interface has; else one per worker, where the port offers so many",
     "Receive queues.", 1, 64},
    {"ports[].mtu", "576 to 9600; at most 3400 for af_xdp", "1500", "Largest IP packet in bytes, both ways.",
     576, 9600},
    {"ports[].descriptors", "a power of two from 64 to 32768", "1024", "Ring size of each queue.", 64, 32768},

    {"workers", "a map", "all defaults", "The threads that forward packets."},
    {"workers.cores", "a list of different CPU numbers from 0 to 1023, at least one and at most 127", "none",
     "One worker pinned to each of these CPUs. Not together with count.", 0, 1023},
    {"workers.count", "", "1", "Workers that float over all CPUs. Not together with cores.", 1, 127},
    {"workers.idle", "poll or adaptive", "adaptive",
     "What a worker without packets does: poll spins, adaptive sleeps until a packet arrives."},
    {"workers.flow_table_flows", "", "1048576", "Flows that each worker remembers, at 16 bytes a flow.", 1024,
     uint64_t{FlowTable::kMaxBuckets} * FlowTable::kWays / 2},

    {"tunnel", "a map", "all defaults", "How packets are carried to backends: GRE over IPv4 or IPv6."},
    {"tunnel.source_ipv4",
     "an IPv4 address, or a prefix of length 8 or more whose free bits are filled per flow",
     "none; required if a backend has an IPv4 address", "Outer source address towards IPv4 backends."},
    {"tunnel.source_ipv6",
     "an IPv6 address, or a prefix of length 64 or more whose free bits are filled per flow",
     "none; required if a backend has an IPv6 address", "Outer source address towards IPv6 backends."},
    {"tunnel.gre_key", "", "none: no key is sent", "GRE key (RFC 2890).", 0, UINT32_MAX},
    {"tunnel.ttl", "", "64", "Outer TTL or hop limit.", 1, 255},
    {"tunnel.dont_fragment", "true or false", "true", "Outer IPv4 DF flag."},
    {"tunnel.dscp", "copy, or a whole number from 0 to 63", "copy",
     "Outer DSCP: that of the inner packet, or this one. ECN is always copied (RFC 6040).", 0, 63},

    {"vips", "a list of maps", "none", "The services: which packets go to which pool."},
    {"vips[].name", kName, kRequired, "What the VIP is called in reports."},
    {"vips[].address",
     "a unicast IPv4 or IPv6 address, or a prefix such as 203.0.113.0/28 without bits behind its length",
     kRequired, "Destination of the packets."},
    {"vips[].protocol", "tcp or udp", kRequired, "Transport protocol of the packets."},
    {"vips[].port", "a port from 1 to 65535, a range such as 8000-8100, or any", kRequired,
     "Destination port of the packets."},
    {"vips[].pool", "the name of a pool", kRequired, "Where the packets go."},
    {"vips[].idle_timeout", "a whole number with s, m or h, from 1s to 7200s", "900s",
     "A flow without packets for so long is forgotten.", 1, kMaxIdleTimeoutSeconds},

    {"vips[].announce", "true or false", "true", "Whether routers may learn the address from this node."},

    {"pools", "a list of maps", "none", "The groups of backends."},
    {"pools[].name", kName, kRequired, "What VIPs call the pool."},
    {"pools[].maglev_size", "a prime from 251 to 5000011, not below the number of backends", "65537",
     "Slots of the Maglev table: 100 per backend or more keep shares even.", kMinMaglevSize, kMaxMaglevSize},
    {"pools[].min_healthy", "", "1", "Fewer healthy backends than this are too few.", 0, 65535},
    {"pools[].too_few", "withdraw or fail_open", "withdraw",
     "With too few healthy backends: withdraw the VIPs, or send to all backends."},
    {"pools[].panic_percent", "", "0: never",
     "With a smaller share of healthy backends the check is not believed and all are used.", 0, 100},
    {"pools[].flap_limit", "", "0: off",
     "A backend that turned unhealthy so often within flap_window is held down for flap_hold.", 0, 1000},
    {"pools[].flap_window", "a whole number with s, m or h, from 1s to 3600s", "60s", "See flap_limit.", 1,
     3600},
    {"pools[].flap_hold", "a whole number with s, m or h, from 1s to 3600s", "30s", "See flap_limit.", 1,
     3600},
    {"pools[].health", "a map", "none: backends are taken for healthy", "How the backends are checked."},
    {"pools[].health.kind", "tcp, http, https, http2, grpc, udp, icmp or external", kRequired,
     "What a check does; see docs/health-checks.md."},
    {"pools[].health.via", "direct or tunnel; not tunnel for icmp, external, or udp without udp_expected",
     "direct", "direct: to the backend's own address; tunnel: to the VIP, through the tunnel."},
    {"pools[].health.port", "", "the port of the pool's first VIP", "Port that is checked.", 1, 65535},
    {"pools[].health.interval", "a whole number with ms, s or m, from 100ms to 60m", "2s",
     "Between two checks.", 100, 3'600'000},
    {"pools[].health.fast_interval", "a whole number with ms, s or m, from 50ms to 60m", "500ms",
     "Between two checks while the state is about to change.", 50, 3'600'000},
    {"pools[].health.timeout", "a whole number with ms, s or m, from 10ms to 60s", "1s", "For one check.", 10,
     60'000},
    {"pools[].health.rise", "", "2", "Good checks in a row that make a backend healthy.", 1, 100},
    {"pools[].health.fall", "", "3", "Bad checks in a row that make a backend unhealthy.", 1, 100},
    {"pools[].health.path", "an absolute path", "/", "http, https, http2: what is asked for."},
    {"pools[].health.host", "a host name", "the backend's address",
     "http, https, http2, grpc: Host header and TLS name."},
    {"pools[].health.status", "a list of HTTP statuses or ranges such as 200-299", "200-299",
     "http, https, http2: the statuses that are good."},
    {"pools[].health.leaving_status", "a list of HTTP statuses or ranges such as 200-299", "none",
     "http, https, http2: the statuses of a backend that leaves: no new flows, but it keeps those it has."},
    {"pools[].health.body", "a text", "any body", "http, https, http2: the body must contain this."},
    {"pools[].health.verify_certificate", "true or false", "false",
     "https: check the certificate against the system's authorities."},
    {"pools[].health.grpc_service", "a text", "the server as a whole", "grpc: the service asked about."},
    {"pools[].health.udp_payload", "a text", "an empty datagram", "udp: what is sent."},
    {"pools[].health.udp_expected", "a text", "silence is good too", "udp: what the answer must begin with."},
    {"pools[].health.command", "a list of texts: a program by its absolute path, and its arguments",
     "none; required for external", "external: exit status 0 is good."},
    {"pools[].health.passive", "on or off", "off",
     "on: what traffic shows counts too: SYNs that clients repeat, ICMP errors."},
    {"pools[].backends", "a list of maps", "none", "The servers of the pool."},
    {"pools[].backends[].name", kName, "its address", "What the backend is called in reports."},
    {"pools[].backends[].address", "a unicast IPv4 or IPv6 address", kRequired,
     "Where the tunnel to the backend ends. It is the backend's identity inside the pool."},
    {"pools[].backends[].weight", "", "100", "Share of new flows in proportion; 0: none.", 0, kMaxWeight},
    {"pools[].backends[].state", "active, drain or down", "active",
     "active: all flows; drain: only flows already known; down: none."},
    {"pools[].backends[].health_port", "", "the pool's", "Port that is checked.", 1, 65535},
    {"pools[].backends[].next_hop", "a map of port and mac", "from the kernel's routes and neighbours",
     "How frames leave for the backend. Required if a port is not af_xdp."},
    {"pools[].backends[].next_hop.port", "the name of a port", kRequired, "The port they leave by."},
    {"pools[].backends[].next_hop.mac", "a unicast MAC address such as 02:00:00:aa:bb:cc", kRequired,
     "The Ethernet address they are sent to."},
};
static_assert(kMinMaglevSize == 251 && kMaxMaglevSize == 5'000'011, "in the words above");
static_assert(l4::kMaxAfXdpMtu == 3400, "in the words above");
static_assert(kMaxIdleTimeoutSeconds == 7200, "in the words above");

}  // namespace

const ConfigTable& config_table() {
  static const ConfigTable table(kFields);
  return table;
}

std::span<const ConfigField> config_fields() {
  return kFields;
}

const ConfigField* find_config_field(std::string_view path) {
  return config_table().find(path);
}

const std::vector<const ConfigField*>& config_fields_of(std::string_view parent) {
  return config_table().of(parent);
}

}  // namespace sluice
