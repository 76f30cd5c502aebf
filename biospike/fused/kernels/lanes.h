// Eight numbers at a time, as vectors of the compiler: each lane rounds as a number alone, on every processor.

namespace {

typedef double Reals8 __attribute__((vector_size(64)));
typedef int64_t Ints8 __attribute__((vector_size(64)));
typedef uint64_t Words8 __attribute__((vector_size(64)));
typedef int32_t Counts8 __attribute__((vector_size(32)));

template <class To, class From>
inline To load8(const From* from) {
    To lanes;
    std::memcpy(&lanes, from, sizeof(lanes));
    return lanes;
}

template <class Lanes, class To>
inline void store8(To* to, const Lanes& lanes) {
    std::memcpy(to, &lanes, sizeof(lanes));
}

inline Reals8 reals8(double value) { return value - Reals8{}; }
inline Words8 words8(uint64_t value) { return value - Words8{}; }
inline Words8 line8() { return Words8{0, 1, 2, 3, 4, 5, 6, 7}; }

// Bit k of the result is lane k of a comparison.
inline unsigned bits8(Ints8 mask) {
#if defined(BIOSPIKE_AVX512)
    return _mm512_movepi64_mask((__m512i)mask);
#elif defined(__AVX__)
    __m256d half[2];
    std::memcpy(half, &mask, sizeof(mask));
    return _mm256_movemask_pd(half[0]) | _mm256_movemask_pd(half[1]) << 4;
#else
    unsigned found = 0;
    for (int k = 0; k < 8; k++) found |= (unsigned)(mask[k] & 1) << k;
    return found;
#endif
}

// Products of the lower halves.
inline Words8 product8(Words8 a, Words8 b) {
#if defined(__AVX512F__)
    return (Words8)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    __m256i x[2], y[2];
    std::memcpy(x, &a, sizeof(a));
    std::memcpy(y, &b, sizeof(b));
    for (int half = 0; half < 2; half++) x[half] = _mm256_mul_epu32(x[half], y[half]);
    return load8<Words8>(x);
#else
    return (a & words8(0xFFFFFFFF)) * (b & words8(0xFFFFFFFF));
#endif
}

inline Words8 ones8(Words8 of) {
#if defined(__AVX512VPOPCNTDQ__)
    return (Words8)_mm512_popcnt_epi64((__m512i)of);
#else
    Words8 found;
    for (int k = 0; k < 8; k++) found[k] = __builtin_popcountll(of[k]);
    return found;
#endif
}

// exp(x) but for a part of 2^-50: x = k*log(2) + r, abs(r) <= log(2)/2 + 2^-50, and the series of exp(r) up to r^12, of
// which r^13/13! < 2^-52 is left. Rounding of r and of 1 + (r + r^2*(...)) adds less than 2^-51. The terms are summed in
// pairs, and pairs of those, so that few wait for one another. 0 below -700; nothing above 700.
inline Reals8 nearly_exp8(Reals8 x) {
    const double shift = 6755399441055744.0;  // 1.5*2^52: what is added to it is rounded to whole numbers
    const Reals8 shifted = x * 1.4426950408889634 + shift, k = shifted - shift;
    const Reals8 r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10, r2 = r * r, r4 = r2 * r2;
    const Reals8 low = (0.5 + r * (1.0 / 6)) + r2 * (1.0 / 24 + r * (1.0 / 120));
    const Reals8 middle = (1.0 / 720 + r * (1.0 / 5040)) + r2 * (1.0 / 40320 + r * (1.0 / 362880));
    const Reals8 high = (1.0 / 3628800 + r * (1.0 / 39916800)) + r2 * (1.0 / 479001600);
    const Reals8 sum = 1.0 + (r + r2 * (low + r4 * (middle + r4 * high)));
    const Reals8 power = (Reals8)(((Ints8)shifted + 1023) << 52);
    return x < -700.0 ? reals8(0.0) : sum * power;
}

// Draw 0 of `_bs_uniform` for indices with one upper half, as whole numbers below 2^53. What round 1 and 2 of Philox
// and half of round 3 make of the step, of the trial and of the upper half is common to them, see race.h.
struct Draws {
    enum : uint64_t { FIRST = 0xD2511F53, SECOND = 0xCD9E8D57 };
    int64_t seed;
    uint32_t key0[10], key1[10];
    uint64_t lanes[2][10][8];  // the same in every lane

    explicit Draws(int64_t given) : seed(given) {
        for (uint32_t round = 0; round < 10; round++) {
            key0[round] = (uint32_t)seed + round * 0x9E3779B9u;
            key1[round] = round * 0xBB67AE85u;
            store8(lanes[0][round], words8(key0[round]));
            store8(lanes[1][round], words8(key1[round]));
        }
    }

    struct Of {  // one step and trial
        int64_t step, trial;
        uint32_t upper, own, c2_of_2, c0_of_3, c2_of_3, c3_of_3;
    };

    Of of(int64_t step, int64_t trial, int64_t index) const {
        Of made{step, trial, (uint32_t)(index >> 32), 0, 0, 0, 0, 0};
        const uint64_t of_upper = SECOND * (uint64_t)made.upper, of_step = FIRST * (uint64_t)(uint32_t)step;
        made.own = (uint32_t)(of_upper >> 32) ^ key0[0];
        const uint64_t second = SECOND * (uint64_t)((uint32_t)(of_step >> 32) ^ (uint32_t)trial ^ key1[0]);
        const uint64_t third = FIRST * (uint64_t)((uint32_t)(second >> 32) ^ (uint32_t)of_upper ^ key0[1]);
        made.c2_of_2 = (uint32_t)of_step ^ key1[1];
        made.c0_of_3 = (uint32_t)second ^ key0[2];
        made.c2_of_3 = (uint32_t)(third >> 32) ^ key1[2];
        made.c3_of_3 = (uint32_t)third;
        return made;
    }

    // Upper halves of the lanes hold rubbish that no product of 32 bits reads.
    Words8 eight(const Of& of, int64_t index) const {
        if ((uint32_t)(index >> 32) != of.upper || (uint32_t)index > 0xFFFFFFF8u) return one_by_one(of, index);
        const Words8 first = words8(FIRST), second = words8(SECOND);
        const Words8 own = product8(first, (words8((uint32_t)index) + line8()) ^ of.own);
        Words8 p1 = product8(second, (own >> 32) ^ of.c2_of_2);
        Words8 c0 = (p1 >> 32) ^ of.c0_of_3, c1 = p1, c2 = own ^ of.c2_of_3, c3 = words8(of.c3_of_3);
        for (int round = 3; round < 9; round++) {
            const Words8 p0 = product8(first, c0);
            p1 = product8(second, c2);
            c0 = (p1 >> 32) ^ c1 ^ load8<Words8>(lanes[0][round]);
            c2 = (p0 >> 32) ^ c3 ^ load8<Words8>(lanes[1][round]);
            c1 = p1;
            c3 = p0;
        }
        p1 = product8(second, c2);
        c0 = (p1 >> 32) ^ c1 ^ load8<Words8>(lanes[0][9]);
        return (c0 << 32 | (p1 & words8(0xFFFFFFFF))) >> 11;
    }

    Words8 one_by_one(const Of& of, int64_t index) const {
        Words8 drawn;
        for (int k = 0; k < 8; k++)
            drawn[k] = (uint64_t)(_bs_uniform(seed, of.trial, index + k, of.step, 0) * 9007199254740992.0);
        return drawn;
    }
};

}  // namespace
