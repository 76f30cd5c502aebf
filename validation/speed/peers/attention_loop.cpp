// The ceiling of the attention block: one fused loop over steps, written by hand, apart from every source of biospike.
//
// Bernoulli inputs, leakless ON and OFF neurons, rows of escape or integrate, streaming, no delays: the case that is
// timed, and nothing else. Numbers are those of biospike.random (Philox4x32-10 at seed, trial, index, step), sums have
// the order of the network. Exponentials are those of the vector library of glibc where there are eight at a time,
// which may be wrong in the last bits: a sample in which a membrane comes so close to its threshold that this could
// matter is run again with the scalar ones.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>
#if defined(__AVX512F__) && defined(__GLIBC__)
#include <immintrin.h>
extern "C" __m512d _ZGVeN8v_exp(__m512d);
#define VECTORS
#endif

struct Case {
    int64_t slots, tokens, features, copies, heads, width, marks, steps;
    int64_t seed, from_step, score_from, score_to, attend_from, first_spikes, regularity;
    double step_charge, keep, release, w, fall;
    const int64_t *mark, *trial, *input_index, *row_index;
    const double *x, *weights, *bias, *v, *charge, *unmasked, *key_v, *key_theta, *reference;
    int32_t *inputs, *streams, *keys, *outputs, *end_keys;
    double* scores;
    int64_t *row_spikes, *repeated;
};

namespace {

constexpr double ONE = 9007199254740992.0;
enum { WIDE = 32 };
typedef double Eight __attribute__((vector_size(64)));

inline uint64_t drawn(uint64_t seed, uint64_t draw, uint64_t trial, uint64_t index, uint64_t step) {
    uint64_t a = step, b = index & 0xFFFFFFFF, c = index >> 32, d = trial, low = seed & 0xFFFFFFFF, high = draw;
    for (int round = 0; round < 10; round++) {
        const uint64_t p = 0xD2511F53ull * a, q = 0xCD9E8D57ull * c;
        a = (q >> 32) ^ b ^ low;
        c = (p >> 32) ^ d ^ high;
        b = q & 0xFFFFFFFF;
        d = p & 0xFFFFFFFF;
        low = (low + 0x9E3779B9u) & 0xFFFFFFFF;
        high = (high + 0xBB67AE85u) & 0xFFFFFFFF;
    }
    return (a << 32 | b) >> 11;
}

double logarithm(double x) {
    int power;
    double m = std::frexp(x, &power);
    if (m < 0.7071067811865476) m *= 2.0, power--;
    const double s = (m - 1.0) / (m + 1.0), square = s * s;
    double series = 0.0;
    for (int k = 12; k; k--) series = (series + 1.0 / (2 * k + 1)) * square;
    return power * 0.6931471805599453 + (2.0 * s) * (series + 1.0);
}

double threshold(const Case& c, int64_t trial, int64_t index, int64_t step) {
    if (!c.regularity) return 1.0;
    double sum = 0.0;
    for (int64_t k = 0; k < c.regularity; k++)
        sum += -logarithm(1.0 - (double)drawn(c.seed, k, trial, index, step) * (1.0 / ONE));
    return sum / (double)c.regularity;
}

inline Eight at(const double* from) {
    Eight eight;
    std::memcpy(&eight, from, sizeof(eight));
    return eight;
}

// Bit k is lane k of a comparison.
template <class Lanes>
inline unsigned bits(Lanes mask) {
#ifdef VECTORS
    return _mm512_test_epi64_mask((__m512i)mask, (__m512i)mask);
#else
    unsigned found = 0;
    for (int k = 0; k < 8; k++) found |= (unsigned)(mask[k] & 1) << k;
    return found;
#endif
}

// Memory in whole lines of the cache: vectors that cross one are half as fast.
template <class T>
struct Aligned {
    typedef T value_type;
    T* allocate(size_t count) {
        void* place = nullptr;
        if (posix_memalign(&place, 64, count * sizeof(T)) != 0) throw std::bad_alloc();
        return (T*)place;
    }
    void deallocate(T* place, size_t) { std::free(place); }
    bool operator==(const Aligned&) const { return true; }
    bool operator!=(const Aligned&) const { return false; }
};
typedef std::vector<double, Aligned<double>> Reals;

// The matrix in blocks of columns whose rows lie together.
Reals in_blocks(const Case& c) {
    const int64_t wide = 3 * c.heads * c.width / c.copies, of_copy = (wide + WIDE - 1) / WIDE;
    Reals made(c.copies * of_copy * c.features * WIDE);
    for (int64_t copy = 0; copy < c.copies; copy++)
        for (int64_t f = 0; f < c.features; f++)
            for (int64_t k = 0; k < wide; k++)
                made[((copy * of_copy + k / WIDE) * c.features + f) * WIDE + k % WIDE] =
                    c.weights[(copy * c.features + f) * wide + k];
    return made;
}

struct Sample {
    const Case& c;
    const Reals& blocks;
    const int64_t s, n, F, H, d, D, groups, words, of_head, line;
    std::vector<uint64_t> limits, sent, fired, query, key, crossed;
    Reals v, u, z, theta, level, current, spiking;
    std::vector<int32_t> inputs, streams, keys, outputs, owed;
    std::vector<int64_t> rows, scores, arrived;
    std::vector<uint8_t> scratch;
    std::vector<std::pair<int64_t, int64_t>> spikes;

    Sample(const Case& given, const Reals& matrix, int64_t slot)
        : c(given), blocks(matrix), s(slot), n(c.tokens), F(c.features), H(c.heads), d(c.width), D(H * d), groups(n * c.copies),
          words((F + 63) / 64), of_head((2 * d + 63) / 64), line((n + 7) / 8 * 8), limits(groups * words * 64),
          sent(groups * words), fired(n * 3 * H * of_head), query(n * H * of_head), key(H * of_head * line),
          crossed(key.size()), v(n * 3 * D * 2), u(H * n * line), z(u.size()), theta(u.size(), HUGE_VAL), level(H * n),
          current(n * 3 * D), spiking(3 * D), inputs(groups * F), streams(v.size()), keys(u.size()), outputs(n * D * 2), owed(outputs.size()),
          rows(H * n), scores(u.size()), arrived(line), scratch(3 * D + 8) {
        for (int64_t g = 0; g < groups; g++)
            for (int64_t f = 0; f < F; f++)
                limits[g * words * 64 + f] = (uint64_t)std::min(std::ceil(c.x[(s * groups + g) * F + f] * ONE), ONE);
        for (int64_t token = 0; token < n; token++)
            for (int64_t k = 0; k < 6 * D; k++)
                v[(token * 2 + k % 2) * 3 * D + k / 2] = c.v[(s * n + token) * 6 * D + k];
        std::copy_n(c.reference + s * H * n, H * n, level.begin());
        for (int64_t r = 0; r < H * n; r++)
            for (int64_t k = 0; k < n; k++) {
                z[r * line + k] = c.key_v[(s * H * n + r) * n + k];
                if (c.unmasked[(s * H * n + r) * n + k] != 0.0)
                    theta[r * line + k] = c.key_theta[(s * H * n + r) * n + k];
            }
    }

    __attribute__((noinline)) void draw(int64_t step) {
        for (int64_t g = 0; g < groups; g++)
            for (int64_t word = 0; word < words; word++) {
                const int64_t some = std::min<int64_t>(64, F - 64 * word), at = c.input_index[s] + g * F + 64 * word;
                uint8_t below[64] = {};
                for (int64_t k = 0; k < some; k++)
                    below[k] = drawn(c.seed, 0, c.trial[s], at + k, step) < limits[(g * words + word) * 64 + k];
                uint64_t bits = 0;
                for (int64_t k = 0; k < some; k++) {
                    bits |= (uint64_t)below[k] << k;
                    inputs[g * F + 64 * word + k] += below[k];
                }
                sent[g * words + word] = bits;
            }
    }

    // Currents of all tokens, a block of columns after another: bias, and rows of the matrix in the order of the inputs.
    __attribute__((noinline)) void project(int64_t step) {
        const int64_t wide = 3 * D / c.copies;
        for (int64_t copy = 0, block = 0; copy < c.copies; copy++)
            for (int64_t from = 0; from < wide; from += WIDE, block++) {
                double bias[WIDE] = {};
                const int64_t some = std::min<int64_t>(WIDE, wide - from);
                if (step) std::copy_n(c.bias + copy * wide + from, some, bias);
                for (int64_t token = 0; token < n; token++) {
                    Eight a = at(bias), b = at(bias + 8), e = at(bias + 16), g = at(bias + 24);
                    for (int64_t word = 0; word < words; word++)
                        for (uint64_t left = sent[(token * c.copies + copy) * words + word]; left; left &= left - 1) {
                            const double* row = &blocks[(block * F + 64 * word + __builtin_ctzll(left)) * WIDE];
                            a += at(row), b += at(row + 8), e += at(row + 16), g += at(row + 24);
                        }
                    const Eight sum[WIDE / 8] = {a, b, e, g};
                    std::memcpy(&current[token * 3 * D + copy * wide + from], sum, some * sizeof(double));
                }
            }
        if (step < c.from_step) std::fill(current.begin(), current.end(), 0.0);
    }

    // Neurons of both signs of a token.
    __attribute__((noinline)) void fire(int64_t token) {
        const double* __restrict arrived = &current[token * 3 * D];
        uint64_t* of_token = &fired[token * 3 * H * of_head];
        std::fill_n(of_token, 3 * H * of_head, 0);
        for (int sign = 0; sign < 2; sign++) {
            double *__restrict own = &v[(token * 2 + sign) * 3 * D], *__restrict spike = spiking.data();
            int32_t* __restrict count = &streams[(token * 2 + sign) * 3 * D];
            uint8_t* __restrict over = scratch.data();
            const double direction = sign ? -1.0 : 1.0;
            for (int64_t k = 0; k < 3 * D; k++) {
                const double now = own[k] + direction * arrived[k];
                spike[k] = now >= 1.0 ? 1.0 : 0.0;
                own[k] = now - spike[k];
            }
            for (int64_t k = 0; k < 3 * D; k++) count[k] += (int32_t)spike[k];
            for (int64_t k = 0; k < 3 * D; k++) over[k] = (uint8_t)(int32_t)spike[k];
            for (int64_t head = 0; head < 3 * H; head++)
                for (int64_t k = 0; k < d;) {
                    const int64_t bit = sign * d + k;
                    uint64_t eight;
                    std::memcpy(&eight, over + head * d + k, 8);
                    const bool whole = k + 8 <= d && bit % 64 <= 56;
                    const uint64_t found = whole ? eight * 0x0102040810204080ull >> 56 : eight & 1;
                    of_token[head * of_head + bit / 64] |= found << bit % 64;
                    k += whole ? 8 : 1;
                }
        }
    }

    // Signed coincidences of spikes of the step before.
    __attribute__((noinline)) void listen() {
        for (int64_t token = 0; token < n; token++)
            for (int64_t head = 0; head < H; head++) {
                const uint64_t* q = &fired[(token * 3 * H + head) * of_head];
                const uint64_t* k = &fired[(token * 3 * H + H + head) * of_head];
                std::copy_n(q, of_head, &query[(head * n + token) * of_head]);
                for (int64_t word = 0; word < of_head; word++) {
                    key[(head * of_head + word) * line + token] = k[word];
                    uint64_t turned = 0;
                    for (int64_t bit = 64 * word; bit < std::min<int64_t>(64 * word + 64, 2 * d); bit++) {
                        const int64_t other = bit < d ? bit + d : bit - d;
                        turned |= (k[other / 64] >> other % 64 & 1) << bit % 64;
                    }
                    crossed[(head * of_head + word) * line + token] = turned;
                }
            }
    }

    template <bool EXACT>
    __attribute__((noinline)) bool attend(int64_t step) {
        const bool on = step >= c.attend_from, arriving = step >= c.score_from && step < c.score_to;
        bool sure = true;
        if (arriving) listen();
        spikes.clear();
        double most = 1.0;
        if (on && !EXACT)
            for (size_t k = 0; k < theta.size(); k++) most = theta[k] < HUGE_VAL ? std::max(most, theta[k]) : most;
        const double near = most * 7.2e-15 * (double)(step - c.attend_from + 1);
        for (int64_t r = 0; r < H * n; r++) {
            const double charge = c.charge[s * H * n + r];
            double *own_u = &u[r * line], *own_z = &z[r * line], *own_theta = &theta[r * line];
            int64_t *counted = &scores[r * line], *__restrict came = arrived.data();
            if (on) level[r] -= c.fall + c.release * (rows[r] < c.first_spikes);
            std::fill(arrived.begin(), arrived.end(), 0);
            for (int64_t word = 0; arriving && word < of_head; word++) {
                const uint64_t asked = query[r * of_head + word];
                const uint64_t *told = &key[(r / n * of_head + word) * line], *other = &crossed[told - key.data()];
                for (int64_t k = 0; k < line; k++)
                    came[k] += __builtin_popcountll(asked & told[k]) - __builtin_popcountll(asked & other[k]);
            }
            for (int64_t k = 0; k < line; k++) {
                counted[k] += came[k];
                own_u[k] = c.keep * own_u[k] + charge * (double)came[k];
            }
            if (!on) continue;
            const size_t before = spikes.size();
            for (int64_t k = 0; k < line; k += 8) {
                const Eight distance = at(own_u + k) - level[r];
                Eight gain;
#ifdef VECTORS
                if (!EXACT) gain = (Eight)_ZGVeN8v_exp((__m512d)distance);
                else
#endif
                    for (int lane = 0; lane < 8; lane++) gain[lane] = std::exp(distance[lane]);
                const Eight now = c.step_charge * gain + at(own_z + k), gap = now - at(own_theta + k);
                std::memcpy(own_z + k, &now, sizeof(now));
                unsigned over = bits(gap >= 0.0);
                if (!EXACT && bits((gap <= near) & (gap >= -near))) sure = false;
                for (; over; over &= over - 1) spikes.push_back({r, k + __builtin_ctz(over)});
            }
            for (size_t one = before; one < spikes.size(); one++) {
                const int64_t at = r * line + spikes[one].second;
                z[at] -= theta[at];
                theta[at] = threshold(c, c.trial[s], c.row_index[s * H * n + r] + spikes[one].second, step);
                level[r] += c.w;
                keys[at]++;
                rows[r]++;
            }
        }
        return sure;
    }

    __attribute__((noinline)) void emit() {
        for (size_t k = 0; k < owed.size(); k++) {
            const int32_t spike = owed[k] > 0;
            outputs[k] += spike;
            owed[k] -= spike;
        }
    }

    __attribute__((noinline)) void route() {
        for (const auto& one : spikes) {
            const int64_t head = one.first / n, token = one.first % n;
            const uint64_t* value = &fired[(one.second * 3 * H + 2 * H + head) * of_head];
            int32_t* to = &owed[(token * D + head * d) * 2];
            for (int64_t word = 0; word < of_head; word++)
                for (uint64_t left = value[word]; left; left &= left - 1) {
                    const int64_t bit = 64 * word + __builtin_ctzll(left);
                    to[bit < d ? 2 * bit : 2 * (bit - d) + 1]++;
                }
        }
    }

    void keep(int64_t step, bool end) {
        for (int64_t m = 0; m < c.marks; m++) {
            const auto due = [&](int64_t kind) { return end ? c.mark[kind * c.marks + m] >= step : c.mark[kind * c.marks + m] == step; };
            const int64_t at = m * c.slots + s;
            if (due(0)) std::copy(inputs.begin(), inputs.end(), c.inputs + at * inputs.size());
            for (int64_t token = 0; due(1) && token < n; token++)
                for (int64_t k = 0; k < 6 * D; k++)
                    c.streams[(at * n + token) * 6 * D + k] = streams[(token * 2 + k % 2) * 3 * D + k / 2];
            if (due(3)) std::copy(outputs.begin(), outputs.end(), c.outputs + at * outputs.size());
            for (int64_t r = 0; due(2) && r < H * n; r++)
                for (int64_t k = 0; k < n; k++) {
                    c.keys[(at * H * n + r) * n + k] = keys[r * line + k];
                    c.scores[(at * H * n + r) * n + k] = (double)scores[r * line + k];
                }
        }
    }

    template <bool EXACT>
    bool run() {
        for (int64_t step = 0; step < c.steps; step++) {
            keep(step, false);
            emit();
            if (!attend<EXACT>(step)) return false;
            project(step);
            for (int64_t token = 0; token < n; token++) fire(token);
            draw(step);
            route();
        }
        keep(c.steps, true);
        for (int64_t r = 0; r < H * n; r++) {
            c.row_spikes[s * H * n + r] = rows[r];
            for (int64_t k = 0; k < n; k++) c.end_keys[(s * H * n + r) * n + k] = keys[r * line + k];
        }
        return true;
    }
};

}  // namespace

extern "C" void attention_loop(const Case* given) {
    const Reals blocks = in_blocks(*given);
    for (int64_t slot = 0; slot < given->slots; slot++) {
        Sample fast(*given, blocks, slot);
        if (fast.run<false>()) continue;
        given->repeated[slot] = 1;
        Sample exact(*given, blocks, slot);
        exact.run<true>();
    }
}
