// A buffer that was written is all zeroes at once, and what is written then stays, while pages are
// still taken in the background. Prints how many of its pages are there in the end.
#include "fresh.h"

#include <cstdio>
#include <vector>

static bool zeroes(const uint8_t * p, size_t size) {
    for (size_t i = 0; i < size; i++) { if (p[i]) { return false; } }
    return true;
}

int main() {
    const size_t size = ((size_t) 100 << 20) + 4321, odd = 777;  // neither end on a page
    std::vector<uint8_t> buffer(size + odd, 1);
    uint8_t * base = buffer.data() + odd;
    kernels::fresh_zeroes(base, size);
    for (size_t i = 0; i < size; i += 1 << 20) { base[i] = 7; }  // as the first steps do
    const long page = sysconf(_SC_PAGESIZE);
    uint8_t * first = (uint8_t *) (((uintptr_t) base + page - 1) / page * page);
    std::vector<unsigned char> there((size - page) / page);
    size_t count = 0;
    for (int wait = 0; wait < 3000 && count < there.size(); wait++) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        mincore(first, there.size() * page, there.data());
        count = 0;
        for (unsigned char c : there) { count += c & 1; }
    }
    for (size_t i = 0; i < size; i += 1 << 20) {
        if (base[i] != 7) { return 1; }
        base[i] = 0;
    }
    if (!zeroes(base, size) || buffer[odd - 1] != 1) { return 2; }
    std::vector<uint8_t> small(4096, 1);
    kernels::fresh_zeroes(small.data() + 1, 100);
    if (!zeroes(small.data() + 1, 100) || small[0] != 1 || small[101] != 1) { return 3; }
    std::printf("%zu of %zu\n", count, there.size());
    return 0;
}
