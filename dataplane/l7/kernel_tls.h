// Whether the kernel can encrypt and decrypt TLS records by itself (kTLS).
#pragma once

namespace sluice::l7 {

/// "on", or why not. Asks the kernel, by way of a socket that is then closed.
const char* kernel_tls_state();

}  // namespace sluice::l7
