// The quantised formats: a block as the file has it, and 16 rows of it interleaved.
//
// Rules
// - A packed group holds 16 rows of one block; its bytes lie so that one load gives four
//   consecutive values of each of 16 rows (drawing: README.md).
// - A row can be read back from its group: the same floats as ggml makes of the block.
// - Scales keep the precision of the file: half floats stay half floats, whole numbers stay whole.
// - Values become unsigned (value + BIAS); the kernel starts its sums at -BIAS * (sum of inputs),
//   which is exact.
#pragma once

#include "simd.h"

#ifdef KERNELS_AVAILABLE

#include <cstdint>
#include <cstring>

namespace kernels {

constexpr int ROWS  = 16;  // rows of a group
constexpr int BLOCK = 32;  // values of a row that share the scale of the input

static inline uint32_t four(const uint8_t * p) {
    uint32_t x;
    std::memcpy(&x, p, 4);
    return x;
}

static inline void put_four(uint8_t * to, uint32_t x) { std::memcpy(to, &x, 4); }

static inline uint64_t eight(const uint8_t * p) {
    uint64_t x;
    std::memcpy(&x, p, 8);
    return x;
}

constexpr uint64_t NIBBLES = 0x0F0F0F0F0F0F0F0F, PAIRS = 0x0303030303030303;

// Four bytes whose upper bits are those of the next four.
static inline uint32_t folded(uint64_t x, int bits) { return (uint32_t) (x | x >> (32 - bits)); }

// Write 32 values of a row into nibbles: byte 64p + 4r + j holds values 8p + j and 8p + 4 + j. They
// come from the 16 bytes of a file's block, of which byte j holds values j and j + 16. In words of
// 64 bits, since compilers make something ten times slower of single bytes.
static inline void put_halves(uint8_t * to, int row, const uint8_t * bytes) {
    for (int p = 0; p < 2; p++) {
        const uint64_t x = eight(bytes + 8 * p);
        put_four(to + 64 * p + 4 * row, folded(x & NIBBLES, 4));
        put_four(to + 64 * (p + 2) + 4 * row, folded(x >> 4 & NIBBLES, 4));
    }
}

// Every fourth bit, from the lowest on.
static inline uint32_t every_fourth(uint32_t x) {
    x &= 0x11111111;
    x = (x | x >> 3) & 0x03030303;
    x = (x | x >> 6) & 0x000F000F;
    return (x | x >> 12) & 0xFF;
}

// Read them back.
static inline void get_nibbles(const uint8_t * from, int row, uint8_t * values) {
    for (int p = 0; p < 4; p++) {
        const uint32_t x = four(from + 64 * p + 4 * row);
        put_four(values + 8 * p, x & 0x0F0F0F0F);
        put_four(values + 8 * p + 4, x >> 4 & 0x0F0F0F0F);
    }
}

struct Q4_0 {
    static constexpr int  SIZE = 32, BIAS = 8, BITS = 4;
    static constexpr bool HAS_MIN = false;
    struct Row { uint16_t d; uint8_t qs[16]; };
    struct Group { uint16_t d[ROWS]; uint8_t qs[256]; };

    static void pack(Group & to, int row, const Row & from) {
        to.d[row] = from.d;
        put_halves(to.qs, row, from.qs);
    }

    static void unpack(const Group & from, int row, float * to) {
        uint8_t     v[BLOCK];
        const float d = single(from.d[row]);
        get_nibbles(from.qs, row, v);
        for (int j = 0; j < BLOCK; j++) { to[j] = d * (float) (v[j] - BIAS); }
    }
};

struct Q4_1 {
    static constexpr int  SIZE = 32, BIAS = 0, BITS = 4;
    static constexpr bool HAS_MIN = true;
    struct Row { uint16_t d, m; uint8_t qs[16]; };
    struct Group { uint16_t d[ROWS]; uint16_t m[ROWS]; uint8_t qs[256]; };

    static void pack(Group & to, int row, const Row & from) {
        to.d[row] = from.d;
        to.m[row] = from.m;
        put_halves(to.qs, row, from.qs);
    }

    static void unpack(const Group & from, int row, float * to) {
        uint8_t     v[BLOCK];
        const float d = single(from.d[row]), m = single(from.m[row]);
        get_nibbles(from.qs, row, v);
        for (int j = 0; j < BLOCK; j++) { to[j] = d * (float) v[j] + m; }
    }
};

struct Q5_0 {
    static constexpr int  SIZE = 32, BIAS = 16, BITS = 5;
    static constexpr bool HAS_MIN = false;
    struct Row { uint16_t d; uint8_t qh[4]; uint8_t qs[16]; };
    struct Group { uint16_t d[ROWS]; uint8_t qs[256]; uint8_t qh[64]; };  // bit g: values 4g to 4g + 3

    static void pack(Group & to, int row, const Row & from) {
        const uint32_t high = four(from.qh);
        to.d[row] = from.d;
        put_halves(to.qs, row, from.qs);
        uint32_t bits = 0;
        for (int j = 0; j < 4; j++) { bits |= every_fourth(high >> j) << (8 * j); }
        put_four(to.qh + 4 * row, bits);
    }

    static void unpack(const Group & from, int row, float * to) {
        uint8_t        v[BLOCK];
        const float    d = single(from.d[row]);
        const uint32_t bits = four(from.qh + 4 * row);
        get_nibbles(from.qs, row, v);
        for (int j = 0; j < BLOCK; j++) { to[j] = d * (float) ((int) (v[j] | (bits >> (8 * (j % 4) + j / 4) & 1) << 4) - BIAS); }
    }
};

struct Q8_0 {
    static constexpr int  SIZE = 32, BIAS = 128, BITS = 8;
    static constexpr bool HAS_MIN = false;
    struct Row { uint16_t d; int8_t qs[32]; };
    struct Group { uint16_t d[ROWS]; uint8_t qs[512]; };

    static void pack(Group & to, int row, const Row & from) {
        to.d[row] = from.d;
        const auto * q = (const uint8_t *) from.qs;
        for (int g = 0; g < 8; g++) { put_four(to.qs + 64 * g + 4 * row, four(q + 4 * g) ^ 0x80808080); }
    }

    static void unpack(const Group & from, int row, float * to) {
        const float d = single(from.d[row]);
        for (int j = 0; j < BLOCK; j++) { to[j] = d * (float) (from.qs[64 * (j / 4) + 4 * row + j % 4] - BIAS); }
    }
};

struct Q4_K {
    static constexpr int  SIZE = 256, BIAS = 0, BITS = 4;
    static constexpr bool HAS_MIN = true;
    struct Row { uint16_t d, dmin; uint8_t scales[12]; uint8_t qs[128]; };
    struct Group { uint16_t d[ROWS], dmin[ROWS]; uint8_t scale[8][ROWS], min[8][ROWS]; uint8_t qs[8][256]; };

    static void pack(Group & to, int row, const Row & from) {
        to.d[row]    = from.d;
        to.dmin[row] = from.dmin;
        const uint8_t * s = from.scales;
        for (int i = 0; i < 8; i++) {
            to.scale[i][row] = (uint8_t) (i < 4 ? s[i] & 63 : (s[i + 4] & 15) | ((s[i - 4] >> 6) << 4));
            to.min[i][row]   = (uint8_t) (i < 4 ? s[i + 4] & 63 : (s[i + 4] >> 4) | ((s[i] >> 6) << 4));
        }
        for (int i = 0; i < 8; i += 2) {
            for (int p = 0; p < 4; p++) {
                const uint64_t x = eight(from.qs + 16 * i + 8 * p);
                put_four(to.qs[i] + 64 * p + 4 * row, folded(x & NIBBLES, 4));
                put_four(to.qs[i + 1] + 64 * p + 4 * row, folded(x >> 4 & NIBBLES, 4));
            }
        }
    }

    static void unpack(const Group & from, int row, float * to) {
        for (int i = 0; i < 8; i++) {
            uint8_t     v[BLOCK];
            const float d = single(from.d[row]) * (float) from.scale[i][row], m = single(from.dmin[row]) * (float) from.min[i][row];
            get_nibbles(from.qs[i], row, v);
            for (int j = 0; j < BLOCK; j++) { to[BLOCK * i + j] = d * (float) v[j] - m; }
        }
    }
};

struct Q6_K {
    static constexpr int  SIZE = 256, BIAS = 32, BITS = 6;
    static constexpr bool HAS_MIN = false;
    struct Row { uint8_t ql[128]; uint8_t qh[64]; int8_t scales[16]; uint16_t d; };
    struct Group { uint16_t d[ROWS]; int8_t scale[16][ROWS]; uint8_t qs[8][256]; uint8_t qh[8][128]; };
    // qh: two bits of each value; of its two vectors the first is for values 0 to 15

    static void pack(Group & to, int row, const Row & from) {
        to.d[row] = from.d;
        for (int i = 0; i < 16; i++) { to.scale[i][row] = from.scales[i]; }
        for (int half = 0; half < 2; half++) {
            uint32_t bits[4][4];  // of each part: two bits of eight values in a word
            for (int p = 0; p < 4; p++) {
                const uint64_t a = eight(from.ql + 64 * half + 8 * p), b = eight(from.ql + 64 * half + 32 + 8 * p);
                const uint64_t high = eight(from.qh + 32 * half + 8 * p);
                const uint64_t low[4] = { a & NIBBLES, b & NIBBLES, a >> 4 & NIBBLES, b >> 4 & NIBBLES };
                for (int part = 0; part < 4; part++) {
                    put_four(to.qs[4 * half + part] + 64 * p + 4 * row, folded(low[part], 4));
                    bits[part][p] = folded(high >> (2 * part) & PAIRS, 2);
                }
            }
            for (int part = 0; part < 4; part++) {
                uint8_t * qh = to.qh[4 * half + part] + 4 * row;
                put_four(qh, bits[part][0] | bits[part][1] << 4);
                put_four(qh + 64, bits[part][2] | bits[part][3] << 4);
            }
        }
    }

    static void unpack(const Group & from, int row, float * to) {
        for (int i = 0; i < 8; i++) {
            uint8_t v[BLOCK];
            get_nibbles(from.qs[i], row, v);
            for (int j = 0; j < BLOCK; j++) {
                const int high = from.qh[i][64 * (j / 16) + 4 * row + j % 4] >> (2 * (j % 16 / 4)) & 3;
                to[BLOCK * i + j] = single(from.d[row]) * (float) from.scale[2 * i + j / 16][row] * (float) ((v[j] | high << 4) - BIAS);
            }
        }
    }
};

static_assert(sizeof(Q4_0::Row) == 18 && sizeof(Q4_0::Group) == 16 * 18, "Q4_0");
static_assert(sizeof(Q4_1::Row) == 20 && sizeof(Q4_1::Group) == 16 * 20, "Q4_1");
static_assert(sizeof(Q5_0::Row) == 22 && sizeof(Q5_0::Group) == 16 * 22, "Q5_0");
static_assert(sizeof(Q8_0::Row) == 34 && sizeof(Q8_0::Group) == 16 * 34, "Q8_0");
static_assert(sizeof(Q4_K::Row) == 144 && sizeof(Q4_K::Group) == 16 * 148, "Q4_K: 2.8 % more than the file");
static_assert(sizeof(Q6_K::Row) == 210 && sizeof(Q6_K::Group) == 16 * 210, "Q6_K");

}  // namespace kernels

#endif  // KERNELS_AVAILABLE
