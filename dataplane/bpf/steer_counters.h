/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Places of the steering program's counters: one list for the program and for its reader. */
#pragma once

enum SteerCounter {
  kSteerSteered,  /* to a VIP, handed to the socket of its queue */
  kSteerPassed,   /* not to a VIP: to the kernel */
  kSteerNoSocket, /* to a VIP, but no socket serves the queue: to the kernel */
  kSteerCounters,
};
