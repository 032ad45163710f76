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

// Write 32 values of a row into nibbles: byte 64p + 4r + j holds values 8p + j and 8p + 4 + j.
static inline void put_nibbles(uint8_t * to, int row, const uint8_t * values) {
    for (int p = 0; p < 4; p++) {
        const uint32_t low = four(values + 8 * p) & 0x0F0F0F0F, high = four(values + 8 * p + 4) & 0x0F0F0F0F;
        put_four(to + 64 * p + 4 * row, low | high << 4);
    }
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
        uint8_t v[BLOCK];
        for (int j = 0; j < 16; j++) { v[j] = from.qs[j] & 15; v[j + 16] = from.qs[j] >> 4; }
        to.d[row] = from.d;
        put_nibbles(to.qs, row, v);
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
        uint8_t v[BLOCK];
        for (int j = 0; j < 16; j++) { v[j] = from.qs[j] & 15; v[j + 16] = from.qs[j] >> 4; }
        to.d[row] = from.d;
        to.m[row] = from.m;
        put_nibbles(to.qs, row, v);
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
        uint8_t  v[BLOCK];
        uint32_t high;
        std::memcpy(&high, from.qh, 4);
        for (int j = 0; j < 16; j++) {
            v[j]      = (uint8_t) ((from.qs[j] & 15) | (high >> j & 1) << 4);
            v[j + 16] = (uint8_t) ((from.qs[j] >> 4) | (high >> (j + 16) & 1) << 4);
        }
        to.d[row] = from.d;
        put_nibbles(to.qs, row, v);
        uint32_t bits = 0;
        for (int g = 0; g < 8; g++) { bits |= (four(v + 4 * g) >> 4 & 0x01010101) << g; }
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
        for (int i = 0; i < 8; i++) {
            const uint8_t * s = from.scales;
            to.scale[i][row] = (uint8_t) (i < 4 ? s[i] & 63 : (s[i + 4] & 15) | ((s[i - 4] >> 6) << 4));
            to.min[i][row]   = (uint8_t) (i < 4 ? s[i + 4] & 63 : (s[i + 4] >> 4) | ((s[i] >> 6) << 4));
            uint8_t         v[BLOCK];
            const uint8_t * q = from.qs + 32 * (i / 2);
            for (int j = 0; j < BLOCK; j++) { v[j] = i % 2 ? q[j] >> 4 : q[j] & 15; }
            put_nibbles(to.qs[i], row, v);
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
        for (int i = 0; i < 8; i++) {
            const int       half = i / 4, part = i % 4;
            const uint8_t * ql = from.ql + 64 * half + 32 * (part % 2), * qh = from.qh + 32 * half;
            uint8_t         v[BLOCK];
            for (int j = 0; j < BLOCK; j++) {
                v[j] = (uint8_t) ((part < 2 ? ql[j] & 15 : ql[j] >> 4) | (((qh[j] >> (2 * part)) & 3) << 4));
            }
            to.scale[2 * i][row]     = from.scales[2 * i];
            to.scale[2 * i + 1][row] = from.scales[2 * i + 1];
            put_nibbles(to.qs[i], row, v);
            for (int h = 0; h < 2; h++) {
                uint32_t bits = 0;
                for (int g = 0; g < 4; g++) { bits |= (four(v + 16 * h + 4 * g) >> 4 & 0x03030303) << (2 * g); }
                put_four(to.qh[i] + 64 * h + 4 * row, bits);
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
