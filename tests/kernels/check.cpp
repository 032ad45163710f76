// The kernels against sums in double precision, in a program of their own: it is built for each
// instruction set of this machine, with the sanitizers (test_kernels_native.py).
//
// usage: check [control | tiles]   with either, one scale has the wrong sign, for tiles alone or for
// all, and the check must fail
#include "adapter.h"
#include "attention.h"
#include "order.h"
#include "product.h"
#include "tiles.h"
#include "walk.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <set>
#include <vector>

using namespace kernels;

static std::mt19937 dice(1);
static bool         control = false, other_tiles = false;
static int          failures = 0;

static double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(dice); }
static int    whole(int low, int high) { return std::uniform_int_distribution<int>(low, high)(dice); }

static uint16_t half(float x) { return _cvtss_sh(x, 0); }
static double   value(uint16_t h) { return _cvtsh_ss(h); }

// What a block stands for, written down from the description of the format.
static void read(const Q4_0::Row & b, double * v) {
    for (int j = 0; j < 16; j++) { v[j] = value(b.d) * ((b.qs[j] & 15) - 8); v[j + 16] = value(b.d) * ((b.qs[j] >> 4) - 8); }
}
static void read(const Q4_1::Row & b, double * v) {
    for (int j = 0; j < 16; j++) { v[j] = value(b.d) * (b.qs[j] & 15) + value(b.m); v[j + 16] = value(b.d) * (b.qs[j] >> 4) + value(b.m); }
}
static void read(const Q5_0::Row & b, double * v) {
    for (int j = 0; j < 32; j++) {
        const int low = j < 16 ? b.qs[j] & 15 : b.qs[j - 16] >> 4, high = b.qh[j / 8] >> (j % 8) & 1;
        v[j] = value(b.d) * (low + 16 * high - 16);
    }
}
static void read(const Q8_0::Row & b, double * v) {
    for (int j = 0; j < 32; j++) { v[j] = value(b.d) * b.qs[j]; }
}
static void read(const Q4_K::Row & b, double * v) {
    for (int i = 0; i < 8; i++) {
        const uint8_t * s = b.scales;
        const int scale = i < 4 ? s[i] & 63 : (s[i + 4] & 15) + 16 * (s[i - 4] >> 6);
        const int min   = i < 4 ? s[i + 4] & 63 : (s[i + 4] >> 4) + 16 * (s[i] >> 6);
        for (int j = 0; j < 32; j++) {
            const int q = i % 2 ? b.qs[16 * (i - 1) + j] >> 4 : b.qs[16 * i + j] & 15;
            v[32 * i + j] = value(b.d) * scale * q - value(b.dmin) * min;
        }
    }
}
static void read(const Q6_K::Row & b, double * v) {
    for (int n = 0; n < 256; n++) {
        const int h = n / 128, part = n % 128 / 32, j = n % 32;
        const int low = (part < 2 ? b.ql[64 * h + 32 * part + j] & 15 : b.ql[64 * h + 32 * (part - 2) + j] >> 4);
        const int high = b.qh[32 * h + j] >> (2 * part) & 3;
        v[n] = value(b.d) * b.scales[n / 16] * (low + 16 * high - 32);
    }
}

static void scales(Q4_0::Row & b, uint16_t d, uint16_t) { b.d = d; }
static void scales(Q4_1::Row & b, uint16_t d, uint16_t m) { b.d = d; b.m = m; }
static void scales(Q5_0::Row & b, uint16_t d, uint16_t) { b.d = d; }
static void scales(Q8_0::Row & b, uint16_t d, uint16_t) { b.d = d; }
static void scales(Q4_K::Row & b, uint16_t d, uint16_t m) { b.d = d; b.dmin = m; }
static void scales(Q6_K::Row & b, uint16_t d, uint16_t) { b.d = d; }

// Any bits for the values; `kind` chooses the scales and the extremes.
template <class F> static typename F::Row block(int kind) {
    typename F::Row b;
    auto * bytes = (uint8_t *) &b;
    for (size_t i = 0; i < sizeof(b); i++) { bytes[i] = (uint8_t) (kind == 1 ? 255 : kind == 2 ? 0 : whole(0, 255)); }
    if (kind == 1) { scales(b, 0x7BFF, 0xFBFF); }                             // the largest of both signs
    else if (kind == 2) { scales(b, 0, half(1.0f)); }                         // nothing but the minimum
    else if (kind == 3) { scales(b, 0x0001, 0x8001); }                        // the smallest there is
    else { scales(b, half((float) uniform(-0.1, 0.1)), half((float) uniform(-1, 1))); }
    return b;
}

static void inputs(std::vector<float> & x, int kind) {
    for (size_t i = 0; i < x.size(); i++) {
        switch (kind) {
            case 1: x[i] = 127.0f; break;                      // every 16-bit sum as large as it gets
            case 2: x[i] = -1e25f; break;
            case 3: x[i] = 1e-42f; break;                      // too small for a scale: nothing
            case 4: x[i] = i % 32 ? 0.0f : 3.0f; break;
            case 5: x[i] = 0.0f; break;
            default: x[i] = (float) (uniform(-1, 1) * std::exp2(uniform(-4, 4))); break;
        }
    }
}

// Products on tiles of inputs `first` to before `end`.
template <class Tiles, class F>
static std::vector<float> on_tiles(const std::vector<typename F::Group> & w, const std::vector<float> & x, int64_t width, int rows, int first, int end) {
    const int64_t      blocks = width / BLOCK, n = end - first;
    std::vector<Tile>  inputs((size_t) ((n + SIDE - 1) / SIDE * blocks));
    std::vector<float> out((size_t) (n * rows), NAN);
    std::memset((void *) inputs.data(), 0xFF, inputs.size() * sizeof(Tile));  // of inputs that are not there, nothing counts
    for (int64_t c = 0; c < n; c++) {
        for (int64_t l = 0; l < blocks; l++) { round_inputs(&x[(size_t) ((first + c) * width + BLOCK * l)], inputs[(size_t) (c / SIDE * blocks + l)], (int) (c % SIDE)); }
    }
    const auto tiles = std::make_unique<TiledProduct<Tiles, F>>();
    for (int64_t g = 0; g * ROWS < rows; g += 3) {
        tiles->multiply(w.data(), rows, blocks, g, std::min<int64_t>(g + 3, (rows + ROWS - 1) / ROWS), inputs.data(), n, out.data(), rows);
    }
    return out;
}

// They are right, in any company, and the processor's own are those of the emulation.
template <class F>
static void tiles_agree(const char * name, const std::vector<typename F::Group> & w, const std::vector<double> & exact, const std::vector<float> & x, int64_t width, int rows, int n) {
    const std::vector<float> found = on_tiles<Emulated, F>(w, x, width, rows, 0, n);
    for (int r = 0; r < rows; r++) {
        for (int c = 0; c < n; c++) {
            double sum = 0, size = 0;
            for (int64_t i = 0; i < width; i++) {
                const double product = (double) of_bits((uint32_t) rounded((float) exact[(size_t) (r * width + i)]) << 16) * of_bits((uint32_t) rounded(x[(size_t) (c * width + i)]) << 16);
                sum += product;
                size += std::fabs(product);
            }
            if (!(std::fabs(found[(size_t) (c * rows + r)] - sum) <= 2e-6 * size + 1e-35)) {
                if (failures++ < 10) { std::printf("%s %d x %d of %d on tiles: %g, not %g\n", name, r, c, (int) width, found[(size_t) (c * rows + r)], sum); }
            }
        }
    }
    const auto same = [&](const std::vector<float> & other, int first, const char * how) {
        if (std::memcmp(other.data(), &found[(size_t) (first * rows)], other.size() * sizeof(float))) {
            if (failures++ < 10) { std::printf("%s: row %d %s has other bits on tiles\n", name, first, how); }
        }
    };
    for (int c = 0; c < std::min(n, 20); c++) { same(on_tiles<Emulated, F>(w, x, width, rows, c, c + 1), c, "alone"); }
    if (tiles_permitted()) { same(on_tiles<Real, F>(w, x, width, rows, 0, n), 0, "of the processor"); }
}

template <class F> static void product_of(const char * name, int64_t width, int rows, int n, int blocks_kind, int inputs_kind) {
    const int64_t blocks = width / F::SIZE, short_blocks = width / BLOCK;
    const int     groups = (rows + ROWS - 1) / ROWS, panels = (n + COLUMNS - 1) / COLUMNS;
    std::vector<typename F::Row>   from((size_t) (rows * blocks));
    std::vector<typename F::Group> packed((size_t) (groups * blocks));
    std::memset((void *) packed.data(), 0, packed.size() * sizeof(packed[0]));
    for (int r = 0; r < rows; r++) {
        for (int64_t l = 0; l < blocks; l++) {
            from[(size_t) (r * blocks + l)] = block<F>(blocks_kind);
            F::pack(packed[(size_t) (r / ROWS * blocks + l)], r % ROWS, from[(size_t) (r * blocks + l)]);
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int64_t l = 0; l < blocks; l++) {
            double wanted[F::SIZE];
            float  found[F::SIZE];
            read(from[(size_t) (r * blocks + l)], wanted);
            F::unpack(packed[(size_t) (r / ROWS * blocks + l)], r % ROWS, found);
            for (int i = 0; i < F::SIZE; i++) { failures += found[i] != (float) wanted[i]; }
        }
    }
    if (control) { packed[0].d[0] ^= 0x8000; }
    std::vector<float> x((size_t) (n * width)), out((size_t) (n * rows), NAN);
    inputs(x, inputs_kind);
    std::vector<Panel> y((size_t) (panels * short_blocks));
    for (int c = 0; c < n; c++) {
        for (int64_t l = 0; l < short_blocks; l++) {
            quantise<F>(&x[(size_t) (c * width + BLOCK * l)], y[(size_t) (c / COLUMNS * short_blocks + l)], c % COLUMNS);
        }
    }
    for (int g = 0; g < groups; g++) {
        for (int p = 0; p < panels; p++) {
            const int count = std::min(COLUMNS, n - COLUMNS * p);
            float *   to[COLUMNS];
            for (int c = 0; c < count; c++) { to[c] = &out[(size_t) ((COLUMNS * p + c) * rows + ROWS * g)]; }
            panel_times<F>(&packed[(size_t) (g * blocks)], short_blocks, &y[(size_t) (p * short_blocks)], count, std::min(ROWS, rows - ROWS * g), to);
        }
    }
    std::vector<double> exact((size_t) (rows * width));
    for (int r = 0; r < rows; r++) {
        double * w = &exact[(size_t) (r * width)];
        for (int64_t l = 0; l < blocks; l++) { read(from[(size_t) (r * blocks + l)], w + F::SIZE * l); }
        for (int c = 0; c < n; c++) {
            double sum = 0, size = 0;
            for (int64_t i = 0; i < width; i++) {
                const Panel & p = y[(size_t) (c / COLUMNS * short_blocks + i / BLOCK)];
                const double  in = (double) p.d[c % COLUMNS] * p.q[c % COLUMNS][i % BLOCK];
                sum  += w[i] * in;
                size += std::fabs(w[i] * in);
                // The input is kept within half a step of its block's scale.
                if (std::fabs(in - x[(size_t) (c * width + i)]) > 0.5001 * p.d[c % COLUMNS] + 1e-37) { failures++; }
            }
            const float found = out[(size_t) (c * rows + r)];
            if (!(std::fabs(found - sum) <= 2e-6 * size + 1e-37)) {
                if (failures++ < 10) { std::printf("%s %d x %d of %d: %g, not %g (blocks %d, inputs %d)\n", name, r, c, (int) width, found, sum, blocks_kind, inputs_kind); }
            }
        }
    }
    std::vector<typename F::Group> others = packed;
    if (other_tiles) { others[0].d[0] ^= 0x8000; }
    tiles_agree<F>(name, others, exact, x, width, rows, n);
    // The same row of inputs alone gives the same bits.
    for (int c = 0; c < n; c++) {
        std::vector<Panel> alone((size_t) short_blocks);
        std::vector<float> again((size_t) rows);
        for (int64_t l = 0; l < short_blocks; l++) { quantise<F>(&x[(size_t) (c * width + BLOCK * l)], alone[(size_t) l], 0); }
        for (int g = 0; g < groups; g++) {
            float * to[1] = { &again[(size_t) (ROWS * g)] };
            panel_times<F>(&packed[(size_t) (g * blocks)], short_blocks, alone.data(), 1, std::min(ROWS, rows - ROWS * g), to);
        }
        if (std::memcmp(again.data(), &out[(size_t) (c * rows)], (size_t) rows * sizeof(float))) {
            if (failures++ < 10) { std::printf("%s: row %d alone gives other bits\n", name, c); }
        }
    }
}

template <class F> static void products(const char * name) {
    for (int n = 1; n <= 19; n++) { product_of<F>(name, 256, whole(1, 40), n, 0, 0); }
    product_of<F>(name, 1024, 48, 8, 0, 0);
    product_of<F>(name, 512, 5, 512, 0, 0);
    product_of<F>(name, 2048 + 256, 18, 50, 0, 0);  // more than one piece of blocks
    for (int b = 0; b < 4; b++) {
        for (int i = 0; i < 6; i++) { product_of<F>(name, 512, 18, 17, b, i); }
    }
}

using Halves = std::vector<uint16_t>;

// Take in all cells of a cache.
template <int WIDTH> static void take(Task<WIDTH> & task, Walk & walk, const Halves & k, const Halves & v, const std::vector<float> & slope) {
    const size_t row = WIDTH * sizeof(uint16_t);
    for (int64_t c = walk.first(); c < walk.count(); c += TILE) {
        const size_t base = (size_t) walk.base(c) * row;
        task.tile((const char *) k.data() + base, row, (const char *) v.data() + base, row, walk.at(c), walk.size(c), walk.seen_by_each(c), slope.data());
    }
}

template <int WIDTH> static void attention(int positions, int group, int cells, int kind) {
    std::vector<float>    q((size_t) (positions * group * WIDTH));
    std::vector<uint16_t> k((size_t) (cells * WIDTH)), v((size_t) (cells * WIDTH)), mask((size_t) (positions * cells));
    for (float & x : q) { x = (float) uniform(-3, 3); }
    for (uint16_t & x : k) { x = half((float) uniform(-2, 2)); }
    for (uint16_t & x : v) { x = half((float) uniform(-2, 2)); }
    for (int p = 0; p < positions; p++) {
        for (int c = 0; c < cells; c++) {
            const bool sees = kind == 0 || (kind == 1 && c <= p + cells - positions) || (kind == 2 && c % positions == p) || (kind == 3 && whole(0, 1));
            mask[(size_t) (p * cells + c)] = sees ? (kind == 3 ? half((float) uniform(-2, 0)) : 0) : 0xFC00;
        }
    }
    const float scale = 1.0f / std::sqrt((float) WIDTH);
    std::vector<float> work(task_floats(WIDTH)), slope((size_t) group), found(WIDTH);
    for (float & s : slope) { s = kind == 3 ? (float) uniform(0.1, 1) : 1.0f; }
    Task<WIDTH> task(work.data(), positions, group);
    for (int r = 0; r < positions * group; r++) { task.query(r, &q[(size_t) (r * WIDTH)], scale); }
    Walk walk(nullptr, cells, positions);
    for (int p = 0; p < positions; p++) { walk.masks[p] = &mask[(size_t) (p * cells)]; }
    take(task, walk, k, v, slope);
    for (int r = 0; r < positions * group; r++) {
        std::vector<double> score, result(WIDTH, 0.0);
        std::vector<int>    seen_cells;
        double              most = -INFINITY, sum = 0;
        for (int c = 0; c < cells; c++) {
            const uint16_t m = mask[(size_t) (r / group * cells + c)];
            if (m == 0xFC00) { continue; }
            double s = 0;
            for (int i = 0; i < WIDTH; i++) { s += (double) q[(size_t) (r * WIDTH + i)] * value(k[(size_t) (c * WIDTH + i)]); }
            score.push_back(s * scale + value(m) * slope[(size_t) (r % group)]);
            seen_cells.push_back(c);
            most = std::max(most, score.back());
        }
        for (size_t s = 0; s < score.size(); s++) {
            const double p = std::exp(score[s] - most);
            sum += p;
            for (int i = 0; i < WIDTH; i++) { result[(size_t) i] += p * value(v[(size_t) (seen_cells[s] * WIDTH + i)]); }
        }
        task.finish(r, found.data());
        for (int i = 0; i < WIDTH; i++) {
            const double wanted = sum == 0 ? 0 : (control ? -1 : 1) * result[(size_t) i] / sum;
            if (!(std::fabs(found[(size_t) i] - wanted) <= 1e-5)) {
                if (failures++ < 10) { std::printf("attention %d, query %d of %d x %d, kind %d: %g, not %g\n", WIDTH, r, positions, group, kind, found[(size_t) i], wanted); }
            }
        }
    }
}

template <int WIDTH> static void differs(const float * one, const float * other, const char * how) {
    if (std::memcmp(one, other, WIDTH * sizeof(float)) && failures++ < 10) { std::printf("attention %d: not the bits that it gives %s\n", WIDTH, how); }
}

// What a position sees in the company of others, in whatever tiles and cells, gives the bits that it
// gives alone, whether one task computes its segments or several do.
template <int WIDTH> static void company(int positions, int group, int cells, int kind) {
    std::vector<float> q((size_t) (positions * group * WIDTH)), work(task_floats(WIDTH)), slope((size_t) group, 1.0f);
    std::vector<float> found((size_t) (positions * group * WIDTH)), single_result(WIDTH);
    Halves             k((size_t) (cells * WIDTH)), v((size_t) (cells * WIDTH)), mask((size_t) (positions * cells), 0xFC00);
    for (float & x : q) { x = (float) uniform(-3, 3); }
    for (uint16_t & x : k) { x = half((float) uniform(-2, 2)); }
    for (uint16_t & x : v) { x = half((float) uniform(-2, 2)); }
    std::vector<uint32_t> place((size_t) cells);  // of the tokens in the order of their positions
    for (int c = 0; c < cells; c++) { place[(size_t) c] = (uint32_t) c; }
    if (kind >= 2) { std::shuffle(place.begin(), place.end(), dice); }
    using Owned = std::set<std::pair<int, uint32_t>>;
    std::vector<Owned>         owned((size_t) positions);
    std::vector<const Owned *> sequences;
    for (int p = 0; p < positions; p++) {
        for (int c = 0; c < cells; c++) {
            const bool sees = kind % 2 == 0 ? c < cells / 2 || c % positions == p : whole(0, 9) < p % 10;
            if (!sees) { continue; }
            mask[(size_t) (p * cells) + place[(size_t) c]] = kind == 3 ? half((float) uniform(-2, 0)) : 0;
            owned[(size_t) p].insert({ c, place[(size_t) c] });
        }
        sequences.push_back(&owned[(size_t) p]);
    }
    const auto order = order_for(sequences, (size_t) cells);
    failures += !order != (kind < 2);
    Task<WIDTH> task(work.data(), positions, group);
    Walk        walk(order.get(), cells, positions);
    for (int r = 0; r < positions * group; r++) { task.query(r, &q[(size_t) (r * WIDTH)], 0.125f); }
    for (int p = 0; p < positions; p++) { walk.masks[p] = &mask[(size_t) (p * cells)]; }
    take(task, walk, k, v, slope);
    for (int r = 0; r < positions * group; r++) { task.finish(r, &found[(size_t) (r * WIDTH)]); }
    for (int p = 0; p < positions; p++) {
        Halves own_k, own_v, own_mask;
        for (const auto & [position, cell] : owned[(size_t) p]) {
            own_k.insert(own_k.end(), &k[(size_t) (cell * WIDTH)], &k[(size_t) (cell * WIDTH)] + WIDTH);
            own_v.insert(own_v.end(), &v[(size_t) (cell * WIDTH)], &v[(size_t) (cell * WIDTH)] + WIDTH);
            own_mask.push_back(mask[(size_t) (p * cells) + cell]);
        }
        const int64_t n = (int64_t) own_mask.size(), segments = (n + SEGMENT - 1) / SEGMENT;
        std::vector<float> kept((size_t) (group * segments) * part_floats(WIDTH));
        for (int64_t pieces = 1; pieces <= 3; pieces++) {
            for (int64_t piece = 0; piece < pieces; piece++) {
                const int64_t from = segments * piece / pieces, end = segments * (piece + 1) / pieces;
                Task<WIDTH>   alone(work.data(), 1, group);
                Walk          own(nullptr, n, 1);
                float *       apart[QUERIES];
                own.masks[0] = own_mask.data();
                for (int h = 0; h < group; h++) {
                    alone.query(h, &q[(size_t) ((p * group + h) * WIDTH)], 0.125f);
                    apart[h] = kept.data() + (size_t) (h * segments + from) * part_floats(WIDTH);
                }
                if (pieces > 1) { alone.apart(apart, from * SEGMENT, (end - from) * SEGMENT); }
                take(alone, own, own_k, own_v, slope);
                if (pieces > 1) { alone.finish_apart(); continue; }
                for (int h = 0; h < group; h++) {
                    alone.finish(h, single_result.data());
                    differs<WIDTH>(single_result.data(), &found[(size_t) ((p * group + h) * WIDTH)], "alone");
                }
            }
            for (int h = 0; pieces > 1 && segments && h < group; h++) {
                float * part = kept.data() + (size_t) (h * segments) * part_floats(WIDTH);
                for (int64_t i = 1; i < segments; i++) {
                    const float * next = part + (size_t) i * part_floats(WIDTH);
                    add_part<WIDTH>(part, next[WIDTH], next[WIDTH + 1], next);
                }
                finish_part<WIDTH>(part[WIDTH + 1], part, single_result.data());
                differs<WIDTH>(single_result.data(), &found[(size_t) ((p * group + h) * WIDTH)], "joined");
            }
        }
    }
}

template <int WIDTH> static void attentions() {
    for (int kind = 0; kind < 4; kind++) {
        company<WIDTH>(8, 3, 1200, kind);
        company<WIDTH>(3, 6, 333, kind);
        company<WIDTH>(33, 1, 1030, kind);
    }
    for (int kind = 0; kind < 4; kind++) {
        attention<WIDTH>(1, 1, 64, kind);
        attention<WIDTH>(1, 3, 200, kind);
        attention<WIDTH>(7, 3, 130, kind);
        attention<WIDTH>(21, 3, 333, kind);
        attention<WIDTH>(8, 6, 65, kind);
        attention<WIDTH>(64, 1, 129, kind);
        attention<WIDTH>(5, 3, 700, kind);
    }
}

static float as_part(float x, float *) { return x; }
static uint16_t as_part(float x, uint16_t *) { return half(x); }

// `n` columns at once and each alone; the sum lies where its first part lay.
template <class T> static void adapter(int width, int rank, int rows, int n) {
    std::vector<T>     a((size_t) (rank * width)), b((size_t) (rows * rank));
    std::vector<float> x((size_t) (n * width)), t((size_t) (n * rank)), to((size_t) (n * rows)), turned((size_t) (rank * LANES));
    for (T & v : a) { v = as_part((float) uniform(-1, 1), (T *) nullptr); }
    for (T & v : b) { v = as_part((float) uniform(-1, 1), (T *) nullptr); }
    for (float & v : x) { v = (float) (uniform(-1, 1) * std::exp2(uniform(-4, 4))); }
    for (float & v : to) { v = (float) uniform(-9, 9); }
    const std::vector<float> before = to;
    for (int i = 0; i < n; i += A_COLUMNS) {
        const int     count = std::min(A_COLUMNS, n - i);
        const float * from[A_COLUMNS];
        float *       into[A_COLUMNS];
        for (int c = 0; c < count; c++) { from[c] = &x[(size_t) ((i + c) * width)]; into[c] = &t[(size_t) ((i + c) * rank)]; }
        to_rank(a.data(), width, width, rank, from, into, count);
    }
    for (int i = 0; i < n; i++) {
        std::vector<float> alone((size_t) rank);
        const float *      from[] = { &x[(size_t) (i * width)] };
        float *            into[] = { alone.data() };
        to_rank(a.data(), width, width, rank, from, into, 1);
        failures += std::memcmp(alone.data(), &t[(size_t) (i * rank)], (size_t) rank * sizeof(float)) != 0;
    }
    for (int row = 0; row + LANES <= rows; row += LANES) {
        turn(&b[(size_t) (row * rank)], rank, rank, LANES, turned.data());
        for (int i = 0; i < n;) {
            const int     count = n - i >= B_COLUMNS ? B_COLUMNS : 1;
            const float * columns[B_COLUMNS], * parts[B_COLUMNS];
            float *       sums[B_COLUMNS];
            for (int c = 0; c < count; c++) { columns[c] = &t[(size_t) ((i + c) * rank)]; parts[c] = sums[c] = &to[(size_t) ((i + c) * rows + row)]; }
            if (count > 1) { from_rank<B_COLUMNS>(turned.data(), rank, 2.0f, columns, parts, sums); } else { from_rank<1>(turned.data(), rank, 2.0f, columns, parts, sums); }
            i += count;
        }
    }
    for (int i = 0; i < n; i++) {
        for (int row = 0; row < rows / LANES * LANES; row++) {
            double sum = before[(size_t) (i * rows + row)], size = std::fabs(sum);
            for (int k = 0; k < rank; k++) {
                for (int j = 0; j < width; j++) {
                    const double part = (control ? -2.0 : 2.0) * single(b[(size_t) (row * rank + k)]) * single(a[(size_t) (k * width + j)]) * x[(size_t) (i * width + j)];
                    sum += part;
                    size += std::fabs(part);
                }
            }
            const float found = to[(size_t) (i * rows + row)];
            if (!(std::fabs(found - sum) <= 2e-6 * size)) {
                if (failures++ < 10) { std::printf("adapter %d x %d x %d, column %d of %d: %g, not %g\n", width, rank, rows, i, n, found, sum); }
            }
        }
    }
}

template <class T> static void adapters() {
    for (int n = 1; n <= 19; n++) { adapter<T>(64, whole(1, 40), 48, n); }
    adapter<T>(576, 16, 192, 33);
    adapter<T>(96, 256, 32, 9);
    std::vector<float> turned((size_t) (16 * LANES));  // fewer rows than lanes
    std::vector<T>     b((size_t) (16 * 3), as_part(1.0f, (T *) nullptr));
    turn(b.data(), 16, 16, 3, turned.data());
    for (int k = 0; k < 16; k++) {
        for (int l = 0; l < LANES; l++) { failures += turned[(size_t) (k * LANES + l)] != (l < 3 ? 1.0f : 0.0f); }
    }
}

// On the heap: with the address sanitizer, gcc 12 puts such an array of a loop at a wrong place.
static void exponentials() {
    std::vector<float> found(LANES), other(LANES);
    for (float base = -300.0f; base <= 300.0f; base += 75.0f) {
        const float n = nearest_power(base);
        for (float x = base; x > base - 90.0f; x -= 0.0137f) {
            store_f(found.data(), exponential(every(x), n));
            const double wanted = std::exp(x - n * std::log(2.0));
            if (std::fabs(found[0] - (x > base - 86.0f ? wanted : found[0] == 0.0f ? 0.0 : wanted)) > 3e-7 * wanted) { failures++; }
            store_f(other.data(), exponential(every(x), n + 20.0f));  // the same digits
            failures += x > base - 70.0f && other[0] != found[0] * 0x1p-20f;
        }
    }
    for (const float n : { 0.0f, 1e4f, -1e4f, 1.4e6f, -1.4e6f }) {
        store_f(found.data(), exponential(every(-INFINITY), n));
        failures += found[0] != 0.0f;
    }
}

int main(int argc, char ** argv) {
    control     = argc > 1 && !std::strcmp(argv[1], "control");
    other_tiles = argc > 1 && !std::strcmp(argv[1], "tiles");
    products<Q4_0>("Q4_0");
    products<Q4_1>("Q4_1");
    products<Q4_K>("Q4_K");
    products<Q5_0>("Q5_0");
    products<Q6_K>("Q6_K");
    products<Q8_0>("Q8_0");
    attentions<32>();
    attentions<64>();
    attentions<80>();
    attentions<96>();
    attentions<128>();
    attentions<256>();
    adapters<float>();
    adapters<uint16_t>();
    exponentials();
    std::printf("%d lanes, %d failures\n", LANES, failures);
    return failures ? 1 : 0;
}
