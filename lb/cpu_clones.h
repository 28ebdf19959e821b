// One binary for all: a function marked SLUICE_CPU_CLONES is compiled for x86-64-v2, AVX2 and AVX-512, and
// the loader picks the widest that the CPU has. What it calls must be inlined into it to profit.
#pragma once

// Sanitizers: the loader's choice runs before their runtime is up. clang: no such attribute in Debian 12's.
#if defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define SLUICE_CPU_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SLUICE_CPU_CLONES
#endif

namespace sluice {

/// Which clone runs here, for people: "avx512", "avx2" or "x86-64-v2".
inline const char* cpu_clone_name() {
#if defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
    return "avx512";
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) return "avx2";
#endif
  return "x86-64-v2";
}

}  // namespace sluice
