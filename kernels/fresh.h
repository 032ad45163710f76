// Zeroes for a large buffer in which nothing computes yet: pages of the system, taken in the background.
//
// A context clears its cache when it is made. Zeroes written into each page of hundreds of MB were a
// third of the time in which a small model is loaded (docs/performance.md).
//
// Rules
// - The buffer is memory that the process allocated for itself. Its pages are given back, and the
//   system puts pages of zeroes in their place when they are touched (madvise(2), MADV_DONTNEED).
// - A thread of low priority takes the pages without touching what they hold, for half of its time,
//   so that memory that is short is missed at the start and not in an answer.
// - Where the system cannot do that (Linux before 5.14, locked memory), the zeroes are written.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>

#ifdef __linux__
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

namespace kernels {

constexpr size_t FRESH_LEAST = (size_t) 64 << 20;  // smaller buffers are written
constexpr size_t FRESH_PART  = (size_t) 2 << 20;   // taken at once

#ifdef __linux__

constexpr int POPULATE_WRITE = 23;  // MADV_POPULATE_WRITE, for older headers
constexpr int LOW_PRIORITY   = 10;  // the one that a worker's filter allows

// Take the pages from `at` to `end`; false where the system cannot.
static inline bool fresh_take(uintptr_t at, uintptr_t end) {
    using clock = std::chrono::steady_clock;
    for (; at < end; at += FRESH_PART) {
        const clock::time_point begun = clock::now();
        if (madvise((void *) at, std::min<size_t>(FRESH_PART, end - at), POPULATE_WRITE) != 0) { return false; }
        std::this_thread::sleep_for(clock::now() - begun);
    }
    return true;
}

static inline bool fresh_pages(uintptr_t from, uintptr_t end) {
    if (end <= from || end - from < FRESH_LEAST) { return false; }
    if (madvise((void *) from, FRESH_PART, POPULATE_WRITE) != 0) { return false; }
    if (madvise((void *) from, end - from, MADV_DONTNEED) != 0) { return false; }
    try {
        std::thread([from, end] {
            (void) setpriority(PRIO_PROCESS, 0, LOW_PRIORITY);  // of this thread
            (void) fresh_take(from, end);
        }).detach();
    } catch (const std::system_error &) {}  // the pages come one by one
    return true;
}

#endif

// Make a buffer of our own all zeroes.
static inline void fresh_zeroes(void * base, size_t size) {
#ifdef __linux__
    const uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE), first = (uintptr_t) base, last = first + size;
    const uintptr_t from = (first + page - 1) / page * page, end = last / page * page;
    if (fresh_pages(from, end)) {
        std::memset(base, 0, from - first);
        std::memset((void *) end, 0, last - end);
        return;
    }
#endif
    std::memset(base, 0, size);
}

}  // namespace kernels
