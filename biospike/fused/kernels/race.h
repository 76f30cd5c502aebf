// Exponential race: while a row is open, a key spikes if its random number is below dt*drive; a spike closes the row.
//
// Random numbers are addressed, not drawn in turn, so those of a closed row need not be made: a row goes on where it
// opens. Of those of an open row, most of the first rounds of Philox is common to the keys or to the steps. The words
// are (step, low and high word of the index, trial), and the keys of a row share the high one: see KEY_STRIDE of
// biospike.circuit. Round 1 then makes one word that is the key's and one that is the step's; what round 2 multiplies is
// the one or the other, and half of what round 3 does. Of round 10 a half is needed.

namespace {

constexpr uint64_t M0 = 0xD2511F53, M1 = 0xCD9E8D57;
constexpr double ONE = 9007199254740992.0;  // 2^53

struct Racing {  // hub: the step at which the row opens; job.closed: steps for which a spike closes it
    const Job& job;
    const int64_t row, start, keys, size;
    std::vector<int64_t> bound;     // a number of 53 bits below it is below dt*drive
    std::vector<uint64_t> high, low;  // the product of round 2 that is the key's
    std::vector<int64_t> fired;
    uint32_t key0[10], key1[10], common = 0;
    Record record;

    Racing(const Job& j, int64_t r)
        : job(j), row(r), start(j.first[r]), keys(j.first[r + 1] - start), size(padded(keys)), bound(size, 0),
          high(size, 0), low(size, 0), record(keys) {
        for (uint32_t round = 0; round < 10; round++) {
            key0[round] = (uint32_t)job.seed + round * 0x9E3779B9u;
            key1[round] = round * 0xBB67AE85u;
        }
        for (int64_t k = 0; k < keys; k++) {
            const uint64_t index = job.index[start + k], first = M1 * (index >> 32);
            const double p = job.dt * job.drive[start + k];
            bound[k] = (int64_t)std::min(std::ceil(p * ONE), ONE);
            const uint64_t own = M0 * (uint32_t)((uint32_t)(first >> 32) ^ (uint32_t)index ^ key0[0]);
            high[k] = own >> 32;
            low[k] = (uint32_t)own;
            common = (uint32_t)first;
        }
    }

    // Keys that spike in an open row; whether there are any.
    bool draw(int64_t step);

    double run() {
        int64_t step = 0, opens_at = (int64_t)job.hub[row];
        for (int64_t mark = 0; mark <= job.marks; mark++) {
            const int64_t end = mark < job.marks ? job.mark[mark] : job.steps;
            for (step = std::max(step, opens_at); step < end; step = std::max(step + 1, opens_at)) {
                if (!draw(step)) continue;
                record.spikes += fired.size();
                for (int64_t k : fired) record.keys[k].spike(record.spikes);
                fired.clear();
                opens_at = 1 + (step + job.closed);
            }
            if (mark < job.marks) record.keep_mark(job, row, mark);
        }
        record.keep_end(job, row);
        return (double)opens_at;
    }
};

#ifdef __AVX2__
inline __m256i words(uint64_t value) { return _mm256_set1_epi64x((int64_t)value); }

inline bool Racing::draw(int64_t step) {
    const uint64_t of_step = M0 * (uint32_t)step;
    const uint64_t second = M1 * (uint32_t)((uint32_t)(of_step >> 32) ^ (uint32_t)job.trial[row] ^ key1[0]);
    const uint64_t third = M0 * (uint32_t)((uint32_t)(second >> 32) ^ common ^ key0[1]);
    const __m256i m0 = words(M0), m1 = words(M1), from_step = words((uint32_t)of_step ^ key1[1]),
                  to_c0 = words((uint32_t)second ^ key0[2]), to_c2 = words((third >> 32) ^ key1[2]),
                  to_c3 = words((uint32_t)third), lower = words(0xFFFFFFFF);
    for (int64_t k = 0; k < size; k += LANES) {
        // Upper halves of the lanes hold rubbish that no product of 32 bits reads.
        __m256i c2 = _mm256_xor_si256(_mm256_loadu_si256((const __m256i*)&high[k]), from_step);
        __m256i p1 = _mm256_mul_epu32(m1, c2), c1 = p1, c3 = to_c3;
        __m256i c0 = _mm256_xor_si256(_mm256_srli_epi64(p1, 32), to_c0);
        c2 = _mm256_xor_si256(_mm256_loadu_si256((const __m256i*)&low[k]), to_c2);
        for (int round = 3; round < 9; round++) {
            const __m256i p0 = _mm256_mul_epu32(m0, c0);
            p1 = _mm256_mul_epu32(m1, c2);
            c0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), c1), words(key0[round]));
            c2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), c3), words(key1[round]));
            c1 = p1;
            c3 = p0;
        }
        p1 = _mm256_mul_epu32(m1, c2);
        c0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), c1), words(key0[9]));
        const __m256i whole = _mm256_or_si256(_mm256_slli_epi64(c0, 32), _mm256_and_si256(p1, lower));
        const __m256i below =
            _mm256_cmpgt_epi64(_mm256_loadu_si256((const __m256i*)&bound[k]), _mm256_srli_epi64(whole, 11));
        for (unsigned hits = _mm256_movemask_pd((__m256d)below); hits; hits &= hits - 1)
            fired.push_back(k + __builtin_ctz(hits));
    }
    return !fired.empty();
}
#else
inline bool Racing::draw(int64_t step) {
    for (int64_t k = 0; k < keys; k++) {
        const double u = _bs_uniform(job.seed, job.trial[row], job.index[start + k], step, 0);
        if ((int64_t)(u * ONE) < bound[k]) fired.push_back(k);
    }
    return !fired.empty();
}
#endif

int race(const Job& job) {
    for (int64_t row = 0; row < job.rows; row++) job.hub_end[row] = Racing(job, row).run();
    return 0;
}

}  // namespace
