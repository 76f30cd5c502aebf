// What a kernel is given and what it fills: rows of keys, one after another, as biospike.fused.compiled lays them out.
//
// All sizes are those of the run: one compiled library serves every study. Arithmetic is double, in the order of the
// circuits' equations as Brian2 generates them, and never contracted, so that every spike falls in the same step.

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define BIOSPIKE_AVX512
#endif
static_assert(FLT_EVAL_METHOD == 0 && sizeof(1.0) == 8, "arguments of $CXX change the arithmetic: leave them out");

#include "variates.h"

struct Job {
    int64_t rows, steps, marks, seed, regularity, closed;
    double dt, a, b;        // what a and b are is the kernel's: see its top
    const int64_t* first;   // rows + 1: first key of every row, and the end
    const int64_t* trial;   // of every row
    const int64_t* mark;    // windows in steps, increasing
    const int64_t* index;   // of every key: address of its random numbers within its trial
    const double* hub;      // of every row: state of its hub at the start
    const double* drive;    // of every key
    const double* v;        // of every key: membrane at the start
    const double* theta;    // of every key: threshold at the start
    int32_t* counts;        // keys x marks: spikes before every window's end
    int32_t* spike_count;   // of every key
    int64_t* row_spikes;    // of every row
    double* gap_sum;        // of every key: intervals between its spikes, in spikes of the row
    double* gap_square_sum;
    double* hub_end;        // of every row
    int64_t* repeated;      // of every row: 1 if its clock left a spike in doubt, and it was run again without
};

namespace {

enum { LANES = 4 };
constexpr double UNIT = 1.1102230246251565e-16;  // 2^-53: a rounded operation is wrong by at most this part

inline int64_t padded(int64_t keys) { return (keys + LANES - 1) / LANES * LANES; }

// What a key has counted; the statements of biospike.circuit.MEASURE_GAP.
struct Tally {
    double gap_sum, gap_square_sum;
    int64_t last_spike_at;
    int32_t spikes;

    void spike(int64_t row_spikes) {
        const double gap = 1.0 * (row_spikes - last_spike_at);
        gap_sum += (spikes > 0) * gap;
        gap_square_sum += (spikes > 0) * gap * gap;
        last_spike_at = row_spikes;
        spikes += 1;
    }
};

// Counts of one row, and where they go.
struct Record {
    std::vector<Tally> keys;
    int64_t spikes = 0;

    explicit Record(int64_t count) : keys(count, Tally{0.0, 0.0, 0, 0}) {}

    void keep_mark(const Job& job, int64_t row, int64_t mark) const {
        int32_t* to = job.counts + job.first[row] * job.marks + mark;
        for (size_t k = 0; k < keys.size(); k++) to[k * job.marks] = keys[k].spikes;
    }

    void keep_end(const Job& job, int64_t row) const {
        for (size_t k = 0; k < keys.size(); k++) {
            const int64_t key = job.first[row] + k;
            job.spike_count[key] = keys[k].spikes;
            job.gap_sum[key] = keys[k].gap_sum;
            job.gap_square_sum[key] = keys[k].gap_square_sum;
        }
        job.row_spikes[row] = spikes;
    }
};

// Denormal numbers are zero, as in the binaries of biospike.generate, until the end of the scope.
struct Flushed {
#if defined(__SSE2__)
    unsigned before = _mm_getcsr();
    Flushed() { _mm_setcsr(before | 0x8040); }
    ~Flushed() { _mm_setcsr(before); }
#endif
};

}  // namespace
