// One vector of LANES floats or 4 * LANES bytes, for the widest instruction set of this build.
//
// Rules
// - Every sum and product that must round in one way is an explicit fused multiply-add.
// - `bytes_times` is exact for all bytes: where the processor saturates 16-bit sums, operands are
//   grouped so that no sum can reach the limit (the bound stands beside each use).
#pragma once

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define KERNELS_AVX512 1
#endif
#if defined(__BMI2__) && (defined(KERNELS_AVX512) || (defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)))
#define KERNELS_AVAILABLE 1
#endif

#ifdef KERNELS_AVAILABLE

#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace kernels {

static inline float single(uint16_t half) { return _cvtsh_ss(half); }
static inline float single(float x) { return x; }

#if defined(KERNELS_AVX512) && !defined(KERNELS_NARROW)

constexpr int LANES = 16;
using Floats = __m512;
using Ints   = __m512i;

static inline Floats zero_f() { return _mm512_setzero_ps(); }
static inline Floats load_f(const float * p) { return _mm512_loadu_ps(p); }
static inline Floats every(float x) { return _mm512_set1_ps(x); }
static inline Floats load_half(const uint16_t * p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p)); }
static inline Floats load_s8(const int8_t * p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *) p))); }
static inline Floats load_u8(const uint8_t * p) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *) p))); }
static inline void   store_f(float * p, Floats x) { _mm512_storeu_ps(p, x); }
static inline Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
static inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
static inline Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
static inline Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
static inline Floats fnma(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }
static inline Floats max_f(Floats a, Floats b) { return _mm512_max_ps(a, b); }
static inline Floats min_f(Floats a, Floats b) { return _mm512_min_ps(a, b); }
static inline Floats abs_f(Floats a) { return _mm512_abs_ps(a); }
static inline Floats to_f(Ints a) { return _mm512_cvtepi32_ps(a); }
// 2 to the power that the lowest bits of 0x1.8p23 + n hold.
static inline Floats power_of_two(Floats z) {
    const Ints bits = _mm512_slli_epi32(_mm512_castps_si512(z), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_castps_si512(_mm512_set1_ps(1.0f))));
}
// `y` where x > limit, else 0.
static inline Floats above(Floats x, Floats limit, Floats y) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_GT_OQ), y); }
static inline float  largest(Floats a) { return _mm512_reduce_max_ps(a); }
static inline float  total(Floats a) { return _mm512_reduce_add_ps(a); }

static inline Ints zero_i() { return _mm512_setzero_si512(); }
static inline Ints load_i(const void * p) { return _mm512_loadu_si512(p); }
static inline void store_i(void * p, Ints x) { _mm512_storeu_si512(p, x); }
static inline Ints every_i(int32_t x) { return _mm512_set1_epi32(x); }
static inline Ints every_byte(int x) { return _mm512_set1_epi8((char) x); }
static inline Ints both(Ints a, Ints b) { return _mm512_and_si512(a, b); }
static inline Ints with(Ints a, Ints z, Ints mask) { return _mm512_ternarylogic_epi32(a, z, mask, 0xF8); }  // a | z & mask
static inline Ints add_i(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
template <int N> static inline Ints left(Ints a) { if constexpr (N == 0) { return a; } else { return _mm512_slli_epi16(a, N); } }
template <int N> static inline Ints right(Ints a) { if constexpr (N == 0) { return a; } else { return _mm512_srli_epi16(a, N); } }
template <int N> static inline Ints left32(Ints a) { return _mm512_slli_epi32(a, N); }
template <int N> static inline Floats byte_of(Ints a) { return to_f(both(_mm512_srli_epi32(a, 8 * N), _mm512_set1_epi32(255))); }  // of each lane
static inline Ints products16(Ints u, Ints s) { return _mm512_maddubs_epi16(u, s); }
static inline Ints add16(Ints a, Ints b) { return _mm512_add_epi16(a, b); }
static inline Ints pairs16(Ints a) { return _mm512_madd_epi16(a, _mm512_set1_epi16(1)); }
#if defined(__AVX512VNNI__) && !defined(KERNELS_NO_VNNI)
#define KERNELS_VNNI 1
static inline Ints bytes_times(Ints acc, Ints u, Ints s) { return _mm512_dpbusd_epi32(acc, u, s); }
#endif

#else

constexpr int LANES = 8;
using Floats = __m256;
using Ints   = __m256i;

static inline Floats zero_f() { return _mm256_setzero_ps(); }
static inline Floats load_f(const float * p) { return _mm256_loadu_ps(p); }
static inline Floats every(float x) { return _mm256_set1_ps(x); }
static inline Floats load_half(const uint16_t * p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) p)); }
static inline Floats load_s8(const int8_t * p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *) p))); }
static inline Floats load_u8(const uint8_t * p) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *) p))); }
static inline void   store_f(float * p, Floats x) { _mm256_storeu_ps(p, x); }
static inline Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
static inline Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
static inline Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
static inline Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
static inline Floats fnma(Floats a, Floats b, Floats c) { return _mm256_fnmadd_ps(a, b, c); }
static inline Floats max_f(Floats a, Floats b) { return _mm256_max_ps(a, b); }
static inline Floats min_f(Floats a, Floats b) { return _mm256_min_ps(a, b); }
static inline Floats abs_f(Floats a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline Floats to_f(Ints a) { return _mm256_cvtepi32_ps(a); }
static inline Floats power_of_two(Floats z) {
    const Ints bits = _mm256_slli_epi32(_mm256_castps_si256(z), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_castps_si256(_mm256_set1_ps(1.0f))));
}
static inline Floats above(Floats x, Floats limit, Floats y) { return _mm256_and_ps(_mm256_cmp_ps(x, limit, _CMP_GT_OQ), y); }
static inline float  largest(Floats a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
static inline float  total(Floats a) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

static inline Ints zero_i() { return _mm256_setzero_si256(); }
static inline Ints load_i(const void * p) { return _mm256_loadu_si256((const __m256i *) p); }
static inline void store_i(void * p, Ints x) { _mm256_storeu_si256((__m256i *) p, x); }
static inline Ints every_i(int32_t x) { return _mm256_set1_epi32(x); }
static inline Ints every_byte(int x) { return _mm256_set1_epi8((char) x); }
static inline Ints both(Ints a, Ints b) { return _mm256_and_si256(a, b); }
static inline Ints with(Ints a, Ints z, Ints mask) { return _mm256_or_si256(a, _mm256_and_si256(z, mask)); }
static inline Ints add_i(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
template <int N> static inline Ints left(Ints a) { if constexpr (N == 0) { return a; } else { return _mm256_slli_epi16(a, N); } }
template <int N> static inline Ints right(Ints a) { if constexpr (N == 0) { return a; } else { return _mm256_srli_epi16(a, N); } }
template <int N> static inline Ints left32(Ints a) { return _mm256_slli_epi32(a, N); }
template <int N> static inline Floats byte_of(Ints a) { return to_f(both(_mm256_srli_epi32(a, 8 * N), _mm256_set1_epi32(255))); }
static inline Ints products16(Ints u, Ints s) { return _mm256_maddubs_epi16(u, s); }
static inline Ints add16(Ints a, Ints b) { return _mm256_add_epi16(a, b); }
static inline Ints pairs16(Ints a) { return _mm256_madd_epi16(a, _mm256_set1_epi16(1)); }
#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && !defined(KERNELS_NO_VNNI)
#define KERNELS_VNNI 1
static inline Ints bytes_times(Ints acc, Ints u, Ints s) { return _mm256_dpbusd_epi32(acc, u, s); }
#elif defined(__AVXVNNI__) && !defined(KERNELS_NO_VNNI)
#define KERNELS_VNNI 1
static inline Ints bytes_times(Ints acc, Ints u, Ints s) { return _mm256_dpbusd_avx_epi32(acc, u, s); }
#endif

#endif

// The whole number n for which 2^n is nearest to e^x.
constexpr float LARGE_SCORE = 1e6f;  // larger numbers are all the same
static inline float nearest_power(float x) {
    const float z = x > LARGE_SCORE ? LARGE_SCORE : x > -LARGE_SCORE ? x : -LARGE_SCORE;
    return std::fma(z, 0x1.715476p+0f, 0x1.8p23f) - 0x1.8p23f;
}

// e^x / 2^n within 2 units of the last place, for x of which `nearest_power` is at most n; 0 where
// that is below 2^-125. Another n gives the same digits: only the exponent changes. The polynomial
// is that of Arm's optimised routines.
static inline Floats exponential(Floats x, float n) {
    const Floats large = every(0x1.8p23f), y = max_f(min_f(x, every(LARGE_SCORE)), every(-LARGE_SCORE));
    const Floats z = fma(y, every(0x1.715476p+0f), large), whole = sub(z, large);
    const Floats b = fnma(whole, every(0x1.7f7d1cp-20f), fnma(whole, every(0x1.62e4p-1f), y));
    const Floats k = power_of_two(sub(z, every(n))), u = mul(b, b);
    const Floats high = fma(every(0x1.0e4020p-7f), b, every(0x1.573e2ep-5f)), low = fma(every(0x1.555e66p-3f), b, every(0x1.fffdb6p-2f));
    const Floats j = fma(fma(high, u, low), u, mul(every(0x1.ffffecp-1f), b));
    return above(x, every(std::fmax((n - 125.0f) * 0x1.62e43p-1f, -LARGE_SCORE)), fma(k, j, k));
}

// `a`, computed here: compilers put all products of a block first and have no registers for them.
static inline Ints settled(Ints a) {
    asm("" : "+v"(a));
    return a;
}

// The same four bytes for every row.
static inline Ints four_bytes(const int8_t * p) {
    int32_t x;
    std::memcpy(&x, p, 4);
    return every_i(x);
}

}  // namespace kernels

#endif  // KERNELS_AVAILABLE
