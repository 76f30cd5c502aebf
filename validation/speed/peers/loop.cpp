// The ceiling of the benchmark: race, escape and integrate as one fused loop, written by hand.
//
// The same numbers as biospike: Philox4x32-10 addressed by (seed, trial, index, step), double arithmetic in the same
// order, hence the same spikes. Nothing general: no objects, no queues, no synapses. Rows are worked off in blocks that
// stay in the first-level cache for the whole run, every row padded to whole vectors, and a spike costs something only
// when it happens. Only cumulative counts at the checkpoints are kept.
//
//   benchmark_loop INPUT OUTPUT
//
// INPUT:  int64  circuit (0 race, 1 escape, 2 integrate), skip, slots, neurons, steps, marks, seed, closed, regularity
//         double dt, w, R0
//         int64  marks[marks]; keys, trial of every slot; index of every neuron
//         double drive, v, theta of every neuron
// OUTPUT: int32  counts[neuron][mark]
// It prints the seconds that the loop alone took, on the wall and of the processor. Random numbers of closed rows are
// drawn like all others, as a simulator of neurons does that knows nothing of rows; with skip = 1 they are left out.

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace {

constexpr double ONE = 9007199254740992.0;  // 2^53
constexpr int64_t LANES = 8;
constexpr int64_t BLOCK = 1024;  // neurons that are simulated together: their state fits the first-level cache

struct Problem {
    int64_t circuit, skip, slots, neurons, steps, marks, seed, closed, regularity;
    double dt, w, R0;
    std::vector<int64_t> mark, keys, trial, index;
    std::vector<double> drive, v, theta;
    std::vector<int32_t> counts;
};

// Two of the four words of Philox, as the 53 bits of which uniform numbers are made. The key schedule is constant, and
// the compiler takes out of the loop over a row what does not depend on the neuron.
inline uint64_t bits(uint32_t seed, uint32_t draw, uint32_t trial, int64_t index, uint32_t step) {
    uint32_t c0 = step, c1 = (uint32_t)index, c2 = (uint32_t)(index >> 32), c3 = trial;
    for (uint32_t round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ (seed + round * 0x9E3779B9u);
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ (draw + round * 0xBB67AE85u);
        c3 = (uint32_t)p0;
    }
    return (((uint64_t)c0 << 32) | c1) >> 11;
}

inline double uniform(int64_t seed, int64_t trial, int64_t index, int64_t step, int64_t draw) {
    return (double)bits((uint32_t)seed, (uint32_t)draw, (uint32_t)trial, index, (uint32_t)step) * (1.0 / ONE);
}

// The logarithm of biospike.random: basic operations in a fixed order.
inline double logarithm(double x) {
    int exponent;
    double m = std::frexp(x, &exponent);
    if (m < 0.7071067811865476) {
        m *= 2.0;
        exponent -= 1;
    }
    const double s = (m - 1.0) / (m + 1.0), s2 = s * s;
    double series = 0.0;
    for (int term = 12; term > 0; term--) series = (series + 1.0 / (2 * term + 1)) * s2;
    return exponent * 0.6931471805599453 + (2.0 * s) * (series + 1.0);
}

inline double gamma_variate(int64_t seed, int64_t trial, int64_t index, int64_t step, int64_t shape) {
    if (shape == 0) return 1.0;
    double total = 0.0;
    for (int64_t draw = 0; draw < shape; draw++) total += -logarithm(1.0 - uniform(seed, trial, index, step, draw));
    return total / (double)shape;
}

// Smallest integer k such that k*2^-53 is not below p: u < p becomes a comparison of integers.
inline uint64_t integer_bound(double p) { return (uint64_t)std::ceil(p * ONE); }

#ifdef __AVX512F__
// Eight neurons at once: in lanes of 64 bits a product of two 32-bit words is one instruction, which the compiler does
// not find by itself. `index` is below 2^32 in its low word and `high` above it.
inline __mmask8 below(__m512i index, __m512i bound, uint32_t seed, uint32_t trial, uint32_t high, uint32_t step) {
    const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
    // The upper halves of the lanes hold rubbish that no multiplication reads.
    __m512i c0 = _mm512_set1_epi64(step), c1 = index, c2 = _mm512_set1_epi64(high), c3 = _mm512_set1_epi64(trial);
#pragma GCC unroll 10
    for (uint32_t round = 0; round < 10; round++) {
        const __m512i p0 = _mm512_mul_epu32(m0, c0), p1 = _mm512_mul_epu32(m1, c2);
        const __m512i k0 = _mm512_set1_epi64((uint32_t)(seed + round * 0x9E3779B9u));
        const __m512i k1 = _mm512_set1_epi64((uint32_t)(round * 0xBB67AE85u));
        c0 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), c1, k0, 0x96);
        c2 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), c3, k1, 0x96);
        c1 = p1;
        c3 = p0;
    }
    const __m512i word = _mm512_or_si512(_mm512_slli_epi64(c0, 32), _mm512_and_si512(c1, _mm512_set1_epi64(0xFFFFFFFF)));
    return _mm512_cmplt_epu64_mask(_mm512_srli_epi64(word, 11), bound);
}
#endif

struct Row {
    int64_t first, padded, keys, neuron, trial;  // within the block; number of its first neuron in the study
    int64_t opens_at;
    double I;
};

struct Block {
    std::vector<Row> rows;
    std::vector<double> drive, v, theta;
    std::vector<int64_t> index;
    std::vector<uint64_t> bound;
    std::vector<int32_t> count;
};

// Whole rows from slot `first` on, about BLOCK neurons; padding has no drive and an unreachable threshold.
Block take(const Problem& problem, int64_t& slot, int64_t& neuron) {
    Block block;
    int64_t size = 0;
    while (slot < problem.slots && (size == 0 || size + problem.keys[slot] <= BLOCK)) {
        const int64_t keys = problem.keys[slot], padded = (keys + LANES - 1) / LANES * LANES;
        block.rows.push_back({size, padded, keys, neuron, problem.trial[slot], 0, 0.0});
        size += padded;
        block.drive.resize(size, 0.0);
        block.v.resize(size, 0.0);
        block.theta.resize(size, HUGE_VAL);
        block.index.resize(size, keys ? problem.index[neuron] : 0);
        block.bound.resize(size, 0);
        for (int64_t k = 0; k < keys; k++) {
            const int64_t here = size - padded + k;
            block.drive[here] = problem.drive[neuron + k];
            block.v[here] = problem.v[neuron + k];
            block.theta[here] = problem.theta[neuron + k];
            block.index[here] = problem.index[neuron + k];
            block.bound[here] = integer_bound(problem.drive[neuron + k] * problem.dt);
        }
        neuron += keys;
        slot++;
    }
    block.count.assign(size, 0);
    return block;
}

void keep(Problem& problem, const Block& block, int64_t mark) {
    for (const Row& row : block.rows)
        for (int64_t k = 0; k < row.keys; k++)
            problem.counts[(row.neuron + k) * problem.marks + mark] = block.count[row.first + k];
}

// Input spikes of one row in one step: a key whose number is below its probability spikes, if the row is open.
inline bool race_row(Block& block, const Row& row, uint32_t seed, int64_t step, bool open) {
    bool any = false;
#ifdef __AVX512F__
    const uint32_t high = (uint32_t)(block.index[row.first] >> 32);
    for (int64_t k = row.first; k < row.first + row.padded; k += LANES) {
        const __m512i index = _mm512_loadu_si512(&block.index[k]), bound = _mm512_loadu_si512(&block.bound[k]);
        __mmask8 hits = below(index, bound, seed, (uint32_t)row.trial, high, (uint32_t)step);
        if (hits && open) {
            any = true;
            for (; hits; hits &= hits - 1) block.count[k + __builtin_ctz(hits)]++;
        }
    }
#else
    uint64_t word[LANES];
    for (int64_t k = row.first; k < row.first + row.padded; k += LANES) {
        for (int64_t lane = 0; lane < LANES; lane++)
            word[lane] = bits(seed, 0, (uint32_t)row.trial, block.index[k + lane], (uint32_t)step);
        for (int64_t lane = 0; lane < LANES; lane++) {
            const bool hit = open && word[lane] < block.bound[k + lane];
            block.count[k + lane] += hit;
            any |= hit;
        }
    }
#endif
    return any;
}

void race(Problem& problem, Block& block) {
    const uint32_t seed = (uint32_t)problem.seed;
    int64_t mark = 0;
    for (int64_t step = 0; step < problem.steps; step++) {
        for (Row& row : block.rows) {
            const bool open = step >= row.opens_at;
            if (!open && problem.skip) continue;
            if (race_row(block, row, seed, step, open)) row.opens_at = step + 1 + problem.closed;
        }
        while (mark < problem.marks && step + 1 == problem.mark[mark]) keep(problem, block, mark++);
    }
}

// One step of the charge of a row; returns whether a key reached its threshold.
inline bool charge_row(double* __restrict v, const double* __restrict drive, const double* __restrict theta,
                       int64_t padded, double gate, double dt) {
#ifdef __AVX512F__
    unsigned any = 0;
    const __m512d gates = _mm512_set1_pd(gate), dts = _mm512_set1_pd(dt);
    for (int64_t k = 0; k < padded; k += LANES) {
        const __m512d charge = _mm512_mul_pd(dts, _mm512_mul_pd(_mm512_loadu_pd(drive + k), gates));
        const __m512d now = _mm512_add_pd(charge, _mm512_loadu_pd(v + k));
        _mm512_storeu_pd(v + k, now);
        any |= _mm512_cmp_pd_mask(now, _mm512_loadu_pd(theta + k), _CMP_GE_OQ);
    }
    return any != 0;
#else
    int64_t any = 0;
    for (int64_t k = 0; k < padded; k++) {
        v[k] = dt * (drive[k] * gate) + v[k];
        any |= v[k] >= theta[k];
    }
    return any != 0;
#endif
}

void escape(Problem& problem, Block& block) {
    const double fall = 0.0 - (problem.R0 * problem.dt) * problem.w;
    std::vector<double> gate(block.rows.size());
    int64_t mark = 0;
    for (int64_t step = 0; step < problem.steps; step++) {
        for (size_t r = 0; r < block.rows.size(); r++) gate[r] = std::exp(-block.rows[r].I);
        for (size_t r = 0; r < block.rows.size(); r++) {
            Row& row = block.rows[r];
            row.I = fall + row.I;
            double* v = &block.v[row.first];
            if (!charge_row(v, &block.drive[row.first], &block.theta[row.first], row.padded, gate[r], problem.dt))
                continue;
            double* theta = &block.theta[row.first];
            for (int64_t k = 0; k < row.keys; k++) {
                if (v[k] < theta[k]) continue;
                v[k] -= theta[k];
                theta[k] = gamma_variate(problem.seed, row.trial, block.index[row.first + k], step, problem.regularity);
                block.count[row.first + k]++;
                row.I += problem.w;
            }
        }
        while (mark < problem.marks && step + 1 == problem.mark[mark]) keep(problem, block, mark++);
    }
}

template <typename T>
void read(std::FILE* file, T* where, size_t count) {
    if (std::fread(where, sizeof(T), count, file) != count) {
        std::fprintf(stderr, "benchmark_loop: the input is too short\n");
        std::exit(2);
    }
}

template <typename T>
std::vector<T> read_array(std::FILE* file, int64_t size) {
    std::vector<T> array(size);
    read(file, array.data(), array.size());
    return array;
}

Problem load(const char* path) {
    std::FILE* file = std::fopen(path, "rb");
    if (!file) {
        std::fprintf(stderr, "benchmark_loop: cannot read %s\n", path);
        std::exit(2);
    }
    Problem problem;
    for (int64_t* number : {&problem.circuit, &problem.skip, &problem.slots, &problem.neurons, &problem.steps,
                            &problem.marks, &problem.seed, &problem.closed, &problem.regularity})
        read(file, number, 1);
    for (double* number : {&problem.dt, &problem.w, &problem.R0}) read(file, number, 1);
    problem.mark = read_array<int64_t>(file, problem.marks);
    problem.keys = read_array<int64_t>(file, problem.slots);
    problem.trial = read_array<int64_t>(file, problem.slots);
    problem.index = read_array<int64_t>(file, problem.neurons);
    problem.drive = read_array<double>(file, problem.neurons);
    problem.v = read_array<double>(file, problem.neurons);
    problem.theta = read_array<double>(file, problem.neurons);
    std::fclose(file);
    problem.counts.assign(problem.neurons * problem.marks, 0);
    return problem;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 3) {
        std::fprintf(stderr, "usage: benchmark_loop INPUT OUTPUT\n");
        return 2;
    }
    Problem problem = load(arguments[1]);
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t cpu = std::clock();
    for (int64_t slot = 0, neuron = 0; slot < problem.slots;) {
        Block block = take(problem, slot, neuron);
        if (problem.circuit == 0)
            race(problem, block);
        else
            escape(problem, block);
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("%.9f %.9f\n", seconds, (double)(std::clock() - cpu) / CLOCKS_PER_SEC);
    std::FILE* file = std::fopen(arguments[2], "wb");
    if (!file || std::fwrite(problem.counts.data(), sizeof(int32_t), problem.counts.size(), file) != problem.counts.size()
        || std::fclose(file)) {
        std::fprintf(stderr, "benchmark_loop: cannot write %s\n", arguments[2]);
        return 2;
    }
    return 0;
}
