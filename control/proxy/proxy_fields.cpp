#include "control/proxy/proxy_fields.h"

#include <deque>
#include <string>

#include "control/config_fields.h"
#include "lb/l7/endpoint.h"
#include "lb/l7/pick_settings.h"

namespace sluice {
namespace {

constexpr std::string_view kName =
    "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit";
constexpr std::string_view kRequired = ConfigField::kRequired;
constexpr std::string_view kTime = "a whole number with ms, s or m";
constexpr std::string_view kFile = "the path of a readable file";
constexpr std::string_view kText = "a text";
constexpr std::string_view kDnsName = "a DNS name; one that ends with a dot is never completed";
constexpr std::string_view kFlag = "true or false";
constexpr uint64_t kHour = 3'600'000;

constexpr std::string_view kEventLog = "the absolute path of a file, which is made if it is not there";

constexpr ConfigField kGlobal[] = {
    {"proxy", "a map", "all defaults", "This proxy."},
    {"proxy.name", kName, "the host's name", "What this proxy is called in reports."},
    {"proxy.run_dir", "an absolute path of at most 90 bytes", "/run/sluice-proxy",
     "Directory of the control socket, proxy.sock: each proxy of a host has its own. A change takes a "
     "restart."},
    {"proxy.workers", "", "1", "Threads that carry requests; each has its own connections.", 1, 256},
    {"proxy.cores", "a list of core numbers, one per worker", "none: workers are not pinned",
     "Cores on which the workers run; gives their number too.", 0, 1023},
    {"proxy.zone", kName, "none", "Where this proxy is: endpoints of the same zone are preferred."},
    {"proxy.drain_delay", kTime, "0ms",
     "At SIGTERM, how long clients are still accepted after health_path says 503: until those who check have "
     "seen it.",
     0, kHour},
    {"proxy.discovery_wait", kTime, "5s",
     "At the start, how long listening waits for clusters whose endpoints are discovered: until each has had "
     "its first answer, good or bad.",
     0, kHour},
    {"proxy.drain_time", kTime, "30s", "After that, how long requests under way may take to end.", 0, kHour},
    {"proxy.upgrade_socket", "an absolute path", "none: no upgrade without a gap",
     "Unix socket at which the next sluice-proxy takes over, see upgrade.md; a change takes a restart."},
    {"proxy.user", "the name of a user", "who starts it",
     "As whom it goes on once its ports are open and its keys are read; a change takes a restart."},
    {"proxy.group", "the name of a group", "the user's own", "The group, likewise."},

    {"proxy.memory_limit", "", "half of the memory that the process may have",
     "Bytes that clients and endpoints make the proxy hold; near it new ones are refused, above it the "
     "biggest are closed.",
     16u << 20, 1ull << 50},
    {"proxy.max_clients", "", "nine tenths of the file descriptors",
     "Client connections at once; more are refused.", 1, 1u << 30},

    {"log", "a map", "all defaults", "What sluice-proxy says while it runs."},
    {"log.to", "stderr or journal", "stderr",
     "Where lines go: standard error, or journald by its own protocol."},
    {"log.level", "debug, info, warning or error", "info", "The least level that is written."},

    {"metrics", "a map", "none: no metrics are served", "Metrics for Prometheus, read-only."},
    {"metrics.listen",
     "an IPv4 address with a port such as 127.0.0.1:9109, or an IPv6 one such as [::1]:9109", kRequired,
     "TCP address on which GET /metrics is answered; a change takes an upgrade or a restart."},
    {"metrics.per_route", kFlag, "true", "Whether each route is counted by itself; see proxy-metrics.md."},

    {"tracing", "a map", "none: requests are not traced",
     "Spans of requests, for a collector; see tracing.md."},
    {"tracing.endpoint", "http://HOST:PORT or http://HOST:PORT/PATH", kRequired,
     "Where spans are posted by OTLP/HTTP, as JSON; the path is /v1/traces if none is given."},
    {"tracing.service_name", "a text of 1 to 255 bytes", "sluice-proxy",
     "What the spans' service is called."},
    {"tracing.sample_percent", "0 to 100, with decimals if wanted", "100",
     "How many of the traces that begin at this proxy are recorded."},
    {"tracing.follow_clients", kFlag, "true",
     "Whether a request with a traceparent is a part of that trace, and recorded if it says so."},
    {"tracing.timeout", "a whole number with ms, s or m, from 100ms to 10m", "10s",
     "How long one request to the collector may take.", 100, 600'000},
    {"tracing.headers", "a list of maps", "none",
     "Header fields of requests to the collector, such as a key."},
    {"tracing.headers[].name", "the name of a header field", kRequired, "Its name."},
    {"tracing.headers[].value", "a text of visible characters", kRequired, "Its value."},

    {"access_log", "a map", "none: requests are not logged", "A line for each request, of all listeners."},
};

// Below access_log and listeners[].access_log.
constexpr ConfigField kAccessLog[] = {
    {"to", "the path of a file that begins with a slash, stdout, stderr or off", kRequired,
     "Where lines go. A file is made if it is not there; SIGHUP and SIGUSR1 open it anew."},
    {"format", "a text with %FIELDS%, or json", "a line of text",
     "What a line says, see access-log.md; json: an object with the members named there."},
    {"json", "a map of names to texts with %FIELDS%", "none",
     "In the place of format: the members of an object, in this order."},
    {"sample_percent", "a number from 0 to 100, such as 0.1", "100",
     "Share of requests that is written, drawn at random."},
    {"always_failed", kFlag, "true", "Whether requests that failed are written, drawn or not."},
    {"always_slower_than", kTime, "none", "Requests that took longer are written, drawn or not.", 1, kHour},
};

constexpr ConfigField kListeners[] = {
    {"listeners", "a list of maps, at least one", kRequired, "Where clients connect."},
    {"listeners[].name", kName, kRequired, "What the listener is called in reports."},
    {"listeners[].address", "an IPv4 or IPv6 address", kRequired,
     "Address to listen on; 0.0.0.0 or :: for all."},
    {"listeners[].port", "", kRequired, "TCP port to listen on.", 1, 65535},
    {"listeners[].protocols", "a list of http1 and http2", "both",
     "What clients may speak. In cleartext the first bytes tell, over TLS ALPN does."},
    {"listeners[].cluster", "the name of a cluster", "one of cluster and hosts",
     "Where all its requests go."},
    {"listeners[].forwarded_for", kFlag, "true",
     "Whether the client's address is appended to x-forwarded-for."},
    {"listeners[].normalize_path", kFlag, "true",
     "Whether . and .. segments and needless percent-encoding are taken out of paths, before routing and for "
     "the "
     "endpoint (RFC 3986 section 6.2.2)."},
    {"listeners[].merge_slashes", kFlag, "false",
     "With normalize_path: whether several slashes in a row become one."},
    {"listeners[].escaped_slashes", "keep or refuse", "keep",
     "With normalize_path: what %2F and %5C in a path are: a part of its segment, or a reason to answer "
     "400."},
    {"listeners[].trace_percent", "0 to 100, with decimals if wanted", "tracing.sample_percent",
     "How many of the traces that begin at this listener are recorded."},
    {"listeners[].max_concurrent_streams", "", "256",
     "Requests that one client connection may have open at once.", 1, 1u << 20},
    {"listeners[].max_header_bytes", "", "65536",
     "Size of a request's header fields, each with 32 bytes added, above which the request is refused.", 1024,
     1u << 20},
    {"listeners[].max_header_fields", "", "200",
     "Number of a request's header fields above which it is refused.", 10, 10'000},
    {"listeners[].stream_window", "", "262144",
     "Bytes of a request's body that are held for an endpoint that does not take them yet.", 65535, 1u << 30},
    {"listeners[].malformed_message", "stream or connection", "stream",
     "What a malformed request of an HTTP/2 client ends; see RFC 9113 section 8.1.1."},
    {"listeners[].max_clients", "", "0: as many as proxy.max_clients",
     "Client connections of this listener at once; more are refused.", 0, 1u << 30},
    {"listeners[].max_client_memory", "", "134217728, or an eighth of proxy.memory_limit if that is less",
     "Bytes that one client connection may make the proxy hold; above half of them it gets no new streams, "
     "above all of them it is closed.",
     1u << 20, 1ull << 50},
    {"listeners[].max_client_age", kTime, "0ms: any",
     "After this, a tenth more or less, a client is asked to go when its requests have ended.", 0,
     30 * 24 * kHour},
    {"listeners[].max_client_requests", "", "0: any",
     "After so many requests on one connection the client is asked to go.", 0, 1u << 30},
    {"listeners[].keepalive_timeout", kTime, "10m",
     "How long a client may stay connected without a request; 0ms: for ever.", 0, 30 * 24 * kHour},
    {"listeners[].header_timeout", kTime, "15s",
     "How long a request's head, or any frame, may take to be whole; 0ms: for ever.", 0, kHour},
    {"listeners[].stall_timeout", kTime, "2m",
     "How long a client may take nothing of an answer that waits for it; 0ms: for ever.", 0, 24 * kHour},
    {"listeners[].abuse_limit", "", "1000",
     "Frames without use that a connection may send ahead of useful ones; 100 a second are forgiven.", 10,
     1u << 30},
    {"listeners[].cancel_limit", "", "200",
     "Streams that a client may reset, or make the proxy reset, ahead of those that end; 10 a second are "
     "forgiven.",
     1, 1u << 30},
    {"listeners[].websocket", kFlag, "true",
     "Whether HTTP/1.1 clients may upgrade to WebSocket, and HTTP/2 clients "
     "may use extended CONNECT."},

    {"listeners[].health_path", "a path", "none",
     "Answered by the proxy itself: 200, or 503 while it drains."},

    {"listeners[].access_log", "a map", "the file's access_log", "The same for this listener alone."},

    {"listeners[].tls", "a map", "none: cleartext", "TLS towards clients."},
    {"listeners[].tls.certificates", "a list of maps, at least one", kRequired,
     "Chosen by the name that the client asks for; the first one if it names none."},
    {"listeners[].tls.certificates[].certificate", kFile, kRequired,
     "PEM file: the certificate and its chain."},
    {"listeners[].tls.certificates[].key", kFile, kRequired, "PEM file: the certificate's key."},
    {"listeners[].tls.certificates[].ocsp_staple", kFile, "none",
     "DER file: an OCSP response for clients that ask."},
    {"listeners[].tls.refuse_unknown_names", kFlag, "false",
     "Whether a client that asks for an unknown name is refused instead of shown the first certificate."},
    {"listeners[].tls.min_version", "1.2 or 1.3", "1.2", "The oldest TLS version that is spoken."},
    {"listeners[].tls.ciphers", "cipher names in OpenSSL's words", "forward secret AEAD only",
     "Ciphers of TLS 1.2."},
    {"listeners[].tls.ciphersuites", "cipher suite names in OpenSSL's words", "OpenSSL's",
     "Cipher suites of TLS 1.3."},
    {"listeners[].tls.client_certificates", "off, optional or required", "off",
     "Whether clients are asked for one."},
    {"listeners[].tls.client_ca", kFile, "none",
     "PEM file: authorities whose client certificates are accepted."},
    {"listeners[].tls.session_tickets", kFlag, "true", "Whether clients may resume sessions, on any worker."},
    {"listeners[].tls.handshake_timeout", kTime, "10s", "How long a handshake may take.", 100, 600'000},

    {"listeners[].hosts", "a list of maps, at least one", "one of cluster and hosts",
     "Virtual hosts and their routes."},
    {"listeners[].hosts[].name", kName, kRequired, "What the host is called in reports."},
    {"listeners[].hosts[].domains", "a list of names: exact, *.suffix, or * for all others", kRequired,
     "Authorities that it answers for; the longest match wins."},
    {"listeners[].hosts[].routes", "a list of maps, at least one", kRequired,
     "The first one that matches is taken."},
};

// Below listeners[].hosts[].routes[].
constexpr ConfigField kRoutes[] = {
    {"name", kName, "#n by its place", "What the route is called in reports."},
    {"prefix", "what a path begins with", "/ unless path, segments or regex is given",
     "Matches paths that begin so."},
    {"segments", "a path", "none", "Matches this path, and those that have a slash behind it."},
    {"path", "a path", "none", "Matches this path only."},
    {"regex", "a regular expression of RE2", "none", "Matches paths that it describes whole."},
    {"ignore_case", kFlag, "false", "Whether prefix, segments and path match letters of either case."},
    {"methods", "a list of methods", "any", "Matches requests with one of them."},
    {"grpc_service", "package.Service", "any", "Matches gRPC calls of this service."},
    {"grpc_method", "a method's name", "any", "Matches gRPC calls of this method."},
    {"headers", "a list of maps", "none", "All must match."},
    {"query", "a list of maps", "none", "Query parameters; all must match."},

    {"cluster", "the name of a cluster", "one of cluster, clusters, redirect, respond", "Where requests go."},
    {"clusters", "a list of maps", "one of cluster, clusters, redirect, respond",
     "Where requests go, by weight."},
    {"clusters[].cluster", "the name of a cluster", kRequired, "A cluster."},
    {"clusters[].weight", "", "1", "Its share.", 0, 1'000'000},
    {"redirect", "a map", "one of cluster, clusters, redirect, respond", "Sends the client elsewhere."},
    {"redirect.status", "301, 302, 303, 307 or 308", "301", "The status."},
    {"redirect.scheme", "http or https", "as it was", "The new scheme."},
    {"redirect.host", "a host name", "as it was", "The new host."},
    {"redirect.port", "", "as it was", "The new port.", 1, 65535},
    {"redirect.path", "a path", "as it was", "The new path, instead of all of the old one."},
    {"redirect.prefix", "a path", "as it was", "What replaces the part that the route matched."},
    {"redirect.strip_query", kFlag, "false", "Whether the query is left out."},
    {"respond", "a map", "one of cluster, clusters, redirect, respond", "Answers without an endpoint."},
    {"respond.status", "", "200", "The status.", 200, 599},
    {"respond.body", kText, "none", "The body."},
    {"respond.content_type", kText, "text/plain", "The body's type."},

    {"mirrors", "a list of maps", "none", "Clusters that get a copy of requests; their answers are dropped."},
    {"mirrors[].cluster", "the name of a cluster", kRequired, "A cluster."},
    {"mirrors[].percent", "0 to 100, with decimals if wanted", "100", "How many of the requests are copied."},

    {"rewrite", "a map", "none", "What the endpoint sees instead of the client's path and host."},
    {"rewrite.host", "a host name", "as it was", "The new host."},
    {"rewrite.path", "a path", "as it was", "The new path."},
    {"rewrite.prefix", "a path", "as it was", "What replaces the part that the route matched."},
    {"rewrite.regex", "a regular expression of RE2", "none", "What is replaced in the path."},
    {"rewrite.substitution", kText, "an empty text", "What replaces it; \\1 stands for the first group."},
    {"request_headers", "a list of maps", "none", "Changes of the request's header fields, in this order."},
    {"response_headers", "a list of maps", "none", "Changes of the response's header fields, in this order."},

    {"request_timeout", kTime, "15s",
     "From the end of the request to the end of the answer; 0ms: none. A response that "
     "goes on as a stream is not cut.",
     0, 24 * kHour},
    {"idle_timeout", kTime, "5m", "Without a byte either way; 0ms: none.", 0, 24 * kHour},
    {"body_timeout", kTime, "60s",
     "For a request's body to be whole, and a second more for each 250 bytes of it; 0ms: none. Not of gRPC "
     "calls and tunnels, and not once the answer has begun.",
     0, 24 * kHour},
    {"max_grpc_timeout", kTime, "0ms: any", "The longest grpc-timeout that is believed.", 0, 24 * kHour},
    {"max_request_bytes", "", "0", "The largest body of a request; 0: any.", 0, 1ull << 50},
    {"trace_percent", "0 to 100, with decimals if wanted", "the listener's",
     "How many of the traces that begin with a request of this route are recorded."},
    {"retry", "a map", "what no endpoint has begun to work on, twice", "When a request is sent again."},
    {"retry.on", "a list of connect-failure, refused-stream, reset, 5xx, gateway-error, try-timeout",
     "connect-failure, refused-stream", "After what."},
    {"retry.statuses", "a list of HTTP statuses", "none", "After these answers, too."},
    {"retry.grpc_statuses", "a list of gRPC status names such as UNAVAILABLE", "none",
     "After these gRPC answers, too, if they have no message."},
    {"retry.max_retries", "", "1", "How often at most.", 0, 10},
    {"retry.per_try_timeout", kTime, "0ms: none", "How long one try may take until its answer begins.", 0,
     kHour},
    {"retry.hedge_after", kTime, "0ms: off",
     "After how long without an answer a second endpoint is asked as well; the first answer of the two "
     "counts.",
     0, kHour},
    {"retry.backoff_base", kTime, "25ms", "The most that the first retry waits; doubles with each.", 0,
     kHour},
    {"retry.backoff_max", kTime, "250ms", "The most that any retry waits.", 0, kHour},
    {"retry.any_method", kFlag, "false", "Whether requests that are not idempotent are repeated, too."},
    {"rate_limit", "a map", "none", "How many requests are let through."},
    {"rate_limit.per_second", "", kRequired, "So many in the long run.", 1, 1'000'000},
    {"rate_limit.burst", "", "1", "So many at one moment.", 1, 1'000'000},
    {"rate_limit.by", "a list of maps", "all together", "One limit for each value of this."},
    {"hash", "a list of maps", "none", "What policies ring_hash and maglev go by."},
};

// Below each list of conditions on a header or query parameter.
constexpr ConfigField kMatches[] = {
    {"name", kText, kRequired, "Its name."},
    {"exact", kText, "it must be there", "Its value."},
    {"prefix", kText, "it must be there", "What its value begins with."},
    {"suffix", kText, "it must be there", "What its value ends with."},
    {"contains", kText, "it must be there", "What its value contains."},
    {"regex", "a regular expression of RE2", "it must be there", "What describes its value whole."},
    {"ignore_case", kFlag, "false", "Whether letters of either case match."},
    {"invert", kFlag, "false", "Whether it must not match."},
};

// Below each list of header changes.
constexpr ConfigField kEdits[] = {
    {"set", "a field name", "one of set, add, add_if_absent, remove", "Replaces all fields of that name."},
    {"add", "a field name", "one of set, add, add_if_absent, remove", "Adds one beside them."},
    {"add_if_absent", "a field name", "one of set, add, add_if_absent, remove", "Adds one if there is none."},
    {"remove", "a field name", "one of set, add, add_if_absent, remove", "Takes all of that name away."},
    {"value", kText, "an empty text", "The new value."},
};

// Below hash and rate_limit.by.
constexpr ConfigField kKeys[] = {
    {"header", "a field name", "one of header, cookie, query, path, source_address",
     "The value of this field."},
    {"cookie", "a cookie's name", "one of header, cookie, query, path, source_address",
     "The value of this cookie."},
    {"query", "a parameter's name", "one of header, cookie, query, path, source_address",
     "The value of this parameter."},
    {"path", "true", "one of header, cookie, query, path, source_address", "The path."},
    {"source_address", "true", "one of header, cookie, query, path, source_address", "The client's address."},
    {"terminal", kFlag, "false", "Whether what comes behind is not looked at if this is there."},
    {"cookie_ttl", "a whole number with s, m or h", "the cookie is not set",
     "A cookie that is not there is set for so long; 0s: for the session.", 0, 31'536'000},
    {"cookie_path", "a path", "/", "Where that cookie is for."},
};

constexpr ConfigField kClusters[] = {
    {"clusters", "a list of maps, at least one", kRequired,
     "Groups of servers that answer the same requests."},
    {"clusters[].name", kName, kRequired,
     "What the cluster is called in reports and by those who refer to it."},
    {"clusters[].protocol", "http2 or http1", "http2", "What the endpoints are spoken to in."},
    {"clusters[].policy",
     "round_robin, weighted_round_robin, least_request, peak_ewma, random, ring_hash or maglev",
     "least_request", "How a request's endpoint is picked; see l7-policies.md."},
    {"clusters[].choices", "", "2",
     "least_request and peak_ewma: of how many endpoints drawn at random the best is taken.", 2, kMaxChoices},
    {"clusters[].panic_percent", "", "50",
     "Share of available endpoints, in percent, below which all are used, healthy or not; 0: never.", 0, 100},
    {"clusters[].slow_start", kTime, "0ms: off",
     "How long an endpoint's share grows after it appears or comes back.", 0, kHour},
    {"clusters[].connect_timeout", kTime, "1s",
     "How long a connection to an endpoint may take, TLS included.", 1, 600'000},
    {"clusters[].tcp_timeout", kTime, "20s",
     "How long the endpoint's TCP may leave bytes, or probes of an idle connection, unacknowledged until the "
     "connection counts as lost; 0ms: as the kernel has it.",
     0, kHour},
    {"clusters[].ping_interval", kTime, "0ms: off",
     "http2: after so long without a byte from the endpoint the connection is asked by a PING. gRPC servers "
     "end connections that ask more often than every 5 minutes if they are not told to allow it.",
     0, kHour},
    {"clusters[].ping_timeout", kTime, "10s",
     "Without a byte for so long after the PING the connection counts as lost.", 1, kHour},
    {"clusters[].preconnect", "", "0",
     "Connections that each worker makes to an endpoint before there are requests: when the endpoint "
     "appears, is "
     "healthy again, or the file is read anew.",
     0, 64},
    {"clusters[].pending_timeout", kTime, "5s", "How long a request waits for a connection.", 1, 600'000},
    {"clusters[].endpoint_connections", "", "32; 1024 for http1",
     "Connections to one endpoint, by one worker.", 1, 65535},
    {"clusters[].max_connections", "", "16384",
     "Connections to all endpoints, over all workers; above it each worker still has one to each.", 1,
     1u << 30},
    {"clusters[].max_pending", "", "max_requests", "Requests that wait for a connection, over all workers.",
     0, 1u << 30},
    {"clusters[].max_requests", "", "16384", "Requests open at once, over all workers.", 1, 1u << 30},
    {"clusters[].retry_percent", "", "20", "Retries at once, in percent of the open requests.", 0, 100},
    {"clusters[].retry_min", "", "32", "Retries at once that are always allowed.", 0, 1u << 20},
    {"clusters[].stream_window", "", "262144",
     "Bytes of a response's body that are held for a client that does not take them yet.", 65535, 1u << 30},
    {"clusters[].malformed_message", "stream or connection", "stream",
     "What a malformed response of an HTTP/2 endpoint ends; see RFC 9113 section 8.1.1."},

    {"clusters[].endpoints", "a list of maps", "none", "The servers."},
    {"clusters[].endpoints[].address", "an IPv4 or IPv6 address", kRequired, "Address of the server."},
    {"clusters[].endpoints[].port", "", kRequired, "Port of the server.", 1, 65535},
    {"clusters[].endpoints[].weight", "", "1", "Its share of requests against the others; 0: none.", 0,
     kMaxEndpointWeight},
    {"clusters[].endpoints[].zone", kName, "none", "Where the server is."},
    {"clusters[].endpoints[].priority", "", "0",
     "Endpoints of a higher number are used when those of lower ones do not suffice.", 0,
     kMaxEndpointPriority},
    {"clusters[].endpoints[].health_port", "", "health.port, or port", "Port that is checked.", 1, 65535},

    {"clusters[].discovery", "a map", "none: endpoints are listed",
     "Where the endpoints come from, instead of endpoints; see discovery.md."},
    {"clusters[].discovery.kind", "dns or file", kRequired, "Who knows them."},
    {"clusters[].discovery.names", "a list of maps, at least one", "none; required for dns",
     "dns: the names; the cluster has the endpoints of all."},
    {"clusters[].discovery.names[].name", kDnsName, "one of name and srv",
     "A name whose addresses are servers."},
    {"clusters[].discovery.names[].srv", kDnsName, "one of name and srv",
     "A name with SRV records, which give servers, ports, weights and priorities."},
    {"clusters[].discovery.names[].port", "", "none; required with name", "Port of the servers.", 1, 65535},
    {"clusters[].discovery.names[].weight", "", "1", "With name: each server's share of requests.", 0,
     kMaxEndpointWeight},
    {"clusters[].discovery.names[].zone", kName, "none", "Where the servers are."},
    {"clusters[].discovery.names[].priority", "", "0", "As of endpoints; with srv, that of the first ones.",
     0, kMaxEndpointPriority},
    {"clusters[].discovery.family", "ipv4, ipv6 or both", "ipv4", "dns: which addresses are asked for."},
    {"clusters[].discovery.servers",
     "a list of addresses with a port such as 192.0.2.53:53 or [2001:db8::53]:53",
     "those of /etc/resolv.conf", "dns: the name servers."},
    {"clusters[].discovery.timeout", kTime, "5s",
     "dns: how long one question may take, repetitions and other servers included.", 10, 600'000},
    {"clusters[].discovery.min_refresh", kTime, "5s",
     "dns: how long an answer is good at least, whatever its time to live.", 100, 24 * kHour},
    {"clusters[].discovery.max_refresh", kTime, "5m", "dns: how long at most.", 100, 24 * kHour},
    {"clusters[].discovery.failure_base", kTime, "1s",
     "dns: the wait after a failure; doubles with each one in a row.", 10, 24 * kHour},
    {"clusters[].discovery.failure_max", kTime, "30s", "dns: the longest wait after failures.", 10,
     24 * kHour},
    {"clusters[].discovery.when_empty", "keep or remove", "keep",
     "dns: what becomes of the endpoints when a name is gone or has no addresses."},
    {"clusters[].discovery.path", "an absolute path", "none; required for file",
     "file: YAML or JSON with a list endpoints; read again when it changes."},

    {"clusters[].tls", "a map", "none: cleartext", "TLS towards endpoints."},
    {"clusters[].tls.verify", kFlag, "true", "Whether the endpoint's certificate is verified."},
    {"clusters[].tls.ca", kFile, "the system's authorities", "PEM file: authorities that are trusted."},
    {"clusters[].tls.server_name", "a host name", "the endpoint's address",
     "Name that is asked for, and that the certificate must be for."},
    {"clusters[].tls.min_version", "1.2 or 1.3", "1.2", "The oldest TLS version that is spoken."},
    {"clusters[].tls.certificate", kFile, "none", "PEM file: certificate shown to endpoints that ask."},
    {"clusters[].tls.key", kFile, "none", "PEM file: its key."},

    {"clusters[].outlier", "a map", "none: endpoints are not ejected",
     "Ejecting endpoints that answer worse."},
    {"clusters[].outlier.server_errors", "", "5",
     "Errors in a row (5xx, or gRPC codes like them) that eject; 0: off.", 0, 1'000'000},
    {"clusters[].outlier.gateway_errors", "", "0",
     "The same of 502, 503, 504 and broken streams alone; 0: off.", 0, 1'000'000},
    {"clusters[].outlier.connect_failures", "", "5", "Failures to connect in a row that eject; 0: off.", 0,
     1'000'000},
    {"clusters[].outlier.success_rate", kFlag, "true",
     "Whether endpoints whose success rate is far below the mean of all are ejected."},
    {"clusters[].outlier.success_rate_factor", "", "1900",
     "How far below, in thousandths of the rates' standard deviation.", 0, 1'000'000},
    {"clusters[].outlier.success_rate_min_gap", "", "5",
     "And at least so many percentage points below the mean.", 0, 100},
    {"clusters[].outlier.success_rate_endpoints", "", "5",
     "Fewer endpoints with enough requests are not judged so.", 1, 1'000'000},
    {"clusters[].outlier.success_rate_requests", "", "100", "What is enough, in one interval.", 1,
     1'000'000'000},
    {"clusters[].outlier.failure_percentage", "", "0", "Percent of failed requests that eject; 0: off.", 0,
     100},
    {"clusters[].outlier.failure_percentage_endpoints", "", "5",
     "Fewer endpoints with enough requests are not judged so.", 1, 1'000'000},
    {"clusters[].outlier.failure_percentage_requests", "", "50", "What is enough, in one interval.", 1,
     1'000'000'000},
    {"clusters[].outlier.interval", kTime, "10s", "How long requests are counted before rates are judged.",
     100, kHour},
    {"clusters[].outlier.base_ejection", kTime, "30s",
     "How long the first ejection lasts; the n-th in a row n times.", 10, kHour},
    {"clusters[].outlier.max_ejection", kTime, "5m", "The longest ejection.", 10, 24 * kHour},
    {"clusters[].outlier.max_ejection_percent", "", "10",
     "Percent of all endpoints that may be out; the first one may always.", 0, 100},
    {"clusters[].outlier.event_log", kEventLog, "none", "One line of JSON for each ejection and its end."},
};

// Behind the fields of clusters[].health that sluiced's pools have, too.
constexpr ConfigField kHealth[] = {
    {"answer_decides", kFlag, "false",
     "Whether an answer that is not good makes unhealthy at once, without fall; silence never does."},
    {"event_log", kEventLog, "none", "One line of JSON for each change of an endpoint's health."},
    {"log_every_failure", kFlag, "false", "Whether event_log has a line for each bad check."},
};

/// The table's rows, those that repeat under several paths included.
class Rows {
 public:
  Rows() {
    for (const ConfigField& field : kGlobal) append_with_access_log(field);
    for (const ConfigField& field : kListeners) append_with_access_log(field);
    const std::string route = "listeners[].hosts[].routes[]";
    for (const ConfigField& field : kRoutes) {
      append_below(route, field);
      const std::string path = route + "." + std::string(field.path) + "[]";
      if (field.path == "headers" || field.path == "query") append_below(path, kMatches);
      if (field.path == "request_headers" || field.path == "response_headers") append_below(path, kEdits);
      if (field.path == "rate_limit.by" || field.path == "hash") append_below(path, kKeys);
    }
    for (const ConfigField& field : kClusters) {
      if (field.path == "clusters[].outlier") append_health();
      rows_.push_back(field);
    }
  }
  std::span<const ConfigField> all() const { return rows_; }

 private:
  void append_with_access_log(const ConfigField& field) {
    rows_.push_back(field);
    if (config_field_key(field) == "access_log") append_below(std::string(field.path), kAccessLog);
  }
  void append_below(const std::string& parent, const ConfigField& field) {
    rows_.push_back(field);
    rows_.back().path = texts_.emplace_back(parent + "." + std::string(field.path));
  }
  void append_below(const std::string& parent, std::span<const ConfigField> fields) {
    for (const ConfigField& field : fields) append_below(parent, field);
  }
  // Endpoints are checked like the backends of sluiced, but for what is about its tunnel.
  void append_health() {
    constexpr std::string_view kFrom = "pools[].health";
    for (const ConfigField& field : config_fields()) {
      if (!field.path.starts_with(kFrom) || field.path.ends_with(".via") || field.path.ends_with(".passive"))
        continue;
      rows_.push_back(field);
      rows_.back().path =
          texts_.emplace_back("clusters[].health" + std::string(field.path.substr(kFrom.size())));
      if (field.path.ends_with(".port")) rows_.back().otherwise = "the endpoint's port";
    }
    append_below("clusters[].health", kHealth);
  }

  std::deque<std::string> texts_;
  std::vector<ConfigField> rows_;
};

}  // namespace

const ConfigTable& proxy_config_table() {
  static const Rows rows;
  static const ConfigTable table(rows.all());
  return table;
}

}  // namespace sluice
