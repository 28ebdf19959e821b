#include "dataplane/l7/kernel_tls.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace sluice::l7 {

const char* kernel_tls_state() {
#ifdef OPENSSL_NO_KTLS
  return "off: OpenSSL is built without it";
#else
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return "off: no socket to ask with";
  const int result = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls"));
  const int error = errno;
  close(fd);
  // A socket without a connection is refused, but only by a kernel that knows what it is asked for.
  if (result == 0 || error == ENOTCONN) return "on";
  return error == ENOENT ? "off: the kernel has no TLS (module tls, CONFIG_TLS)" : "off: the kernel refuses";
#endif
}

}  // namespace sluice::l7
