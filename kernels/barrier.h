// How a thread waits for the others at a barrier: it spins for some microseconds, then it sleeps.
//
// Rules
// - While all threads run, none sleeps and no system call is made.
// - Beside a busy neighbour the waiting thread leaves its core, so that the late one can have it.
//   It sleeps rather than yields: a thread that yields to a neighbour waits for the neighbour's
//   time slice to end (measured: docs/performance.md).
// - A wake-up is never lost: the sleeper counts itself before the kernel compares the value, and
//   the last thread changes the value before it looks at the count.
#pragma once

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KERNELS_SPINS = 500 };  // about 10 microseconds

static inline void kernels_wait(atomic_int * value, int old, atomic_int * asleep) {
    for (int i = 0; i < KERNELS_SPINS; i++) {
        if (atomic_load_explicit(value, memory_order_relaxed) != old) { return; }
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    atomic_fetch_add_explicit(asleep, 1, memory_order_seq_cst);
    while (atomic_load_explicit(value, memory_order_seq_cst) == old) {
        syscall(SYS_futex, value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    }
    atomic_fetch_sub_explicit(asleep, 1, memory_order_seq_cst);
}

static inline void kernels_wake(atomic_int * value, atomic_int * asleep) {
    if (atomic_load_explicit(asleep, memory_order_seq_cst) > 0) {
        syscall(SYS_futex, value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    }
}
