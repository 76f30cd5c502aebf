"""Counter-based random numbers: every draw is a pure function of (seed, trial, index, step).

A stateful generator ties the numbers to the order in which neurons are visited, hence to batch size, target and
process. A counter-based one does not: Philox4x32-10 scrambles the counter (step, index, trial) under the key
(seed, draw), so any neuron of any trial can be simulated anywhere and still receives the same numbers. The integer
part is bit-identical in NumPy, Cython and C++ by construction; logarithm and sine are evaluated from basic IEEE
operations in the same order on every target, because libm and NumPy differ in the last bit.

References
----------
Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC11 (2011), doi:10.1145/2063384.2063405.
Box, Muller, *A note on the generation of random normal deviates*, Ann. Math. Statist. 29 (1958) 610-611.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brian2 import Function

SEEDS = 2**32
"""Seeds are integers in [0, SEEDS): one word of the Philox key; the other counts the draws within a step."""
TRIALS = 2**31
"""Trials are numbered from 0 to below TRIALS: one word of the counter, and an integer of 32 bits in a neuron."""
MOST_STEPS = 2**31 - 1
"""Steps of a window. They are one word of the counter too, whose upper half is that of the negative steps."""
MOST_DRAWS = 2**31 - 1
"""Exponentials of which a Gamma variate is the mean, hence draws of a step."""

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF_WORD = np.uint64(32)

_ATANH_TERMS = 12
"""Terms of the series log(m) = 2*atanh((m-1)/(m+1)), m in [sqrt(1/2), sqrt(2)]: the next is below 2**-54."""

_SINE_TERMS = 11
"""Terms of the Taylor series of sin(x)/x - 1 for x in [-pi/2, pi/2]: the next is below 2**-60."""


def philox(counter: tuple[Any, Any, Any, Any], key: tuple[Any, Any]) -> tuple[NDArray[np.uint64], ...]:
    """Philox4x32-10: four 32-bit words of `counter` scrambled under two of `key`, each broadcast, as uint64 arrays."""
    c0, c1, c2, c3 = (np.asarray(word).astype(np.int64).view(np.uint64) & _LOW for word in counter)
    k0, k1 = (np.asarray(word).astype(np.int64).view(np.uint64) & _LOW for word in key)
    m0, m1 = (np.uint64(m) for m in _MULTIPLIERS)
    w0, w1 = (np.uint64(w) for w in _WEYL)
    for _ in range(_ROUNDS):
        p0, p1 = m0 * c0, m1 * c2
        c0, c1, c2, c3 = (p1 >> _HALF_WORD) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF_WORD) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + w0) & _LOW, (k1 + w1) & _LOW
    return c0, c1, c2, c3


def uniform(seed: ArrayLike, trial: ArrayLike, index: ArrayLike, step: ArrayLike, draw: ArrayLike = 0) -> NDArray[Any]:
    """Uniform number in [0, 1), a multiple of 2**-53.

    Parameters
    ----------
    seed
        Integer in [0, 2**32).
    trial
        Trial number.
    index
        Number of the unit within its trial, up to 2**63 (biospike: row * 2**20 + key).
    step
        Timestep; negative steps are free for initial conditions.
    draw
        Number of the draw within the step.

    Returns
    -------
    ndarray of float64
        Broadcast over all arguments.
    """
    return _two_uniforms(seed, trial, index, step, draw)[0]


def _two_uniforms(
    seed: ArrayLike, trial: ArrayLike, index: ArrayLike, step: ArrayLike, draw: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the 128 bits of one block as two numbers in [0, 1)."""
    index = np.asarray(index, dtype=np.int64)
    w0, w1, w2, w3 = philox((step, index, index >> 32, trial), (seed, draw))
    u, w = ((((high << _HALF_WORD) | low) >> np.uint64(11)).astype(np.float64) for high, low in ((w0, w1), (w2, w3)))
    return u * 2.0**-53, w * 2.0**-53


def _log(x: NDArray[Any]) -> NDArray[Any]:
    """Natural logarithm for normal x > 0, the same bits on every target (error below 2 units in the last place)."""
    mantissa, exponent = np.frexp(x)
    low = mantissa < np.sqrt(0.5)
    mantissa = np.where(low, mantissa * 2.0, mantissa)
    exponent = exponent - low
    s = (mantissa - 1.0) / (mantissa + 1.0)
    s2 = s * s
    series = np.zeros_like(s)
    for term in range(_ATANH_TERMS, 0, -1):
        series = (series + 1.0 / (2 * term + 1)) * s2
    return exponent * np.log(2.0) + (2.0 * s) * (series + 1.0)


def exponential(
    seed: ArrayLike, trial: ArrayLike, index: ArrayLike, step: ArrayLike, draw: ArrayLike = 0
) -> NDArray[Any]:
    """Exponential variate of mean 1 by inversion; arguments as `uniform`."""
    return -_log(1.0 - uniform(seed, trial, index, step, draw))


def gamma(seed: ArrayLike, trial: ArrayLike, index: ArrayLike, step: ArrayLike, shape: ArrayLike) -> NDArray[Any]:
    """Gamma variate of mean 1 and coefficient of variation shape**-0.5, for integer shape, as a mean of exponentials.

    `shape` 0 stands for the limit of perfect regularity and gives exactly 1. Other arguments as `uniform`.
    """
    order = int(np.max(shape))
    if order == 0:
        return np.ones(np.broadcast_shapes(*(np.shape(a) for a in (seed, trial, index, step))))
    total: Any = 0.0
    for draw in range(order):
        total = total + exponential(seed, trial, index, step, draw)
    return total / order


def bernoulli(p: ArrayLike, seed: ArrayLike, trial: ArrayLike, index: ArrayLike, step: ArrayLike) -> NDArray[Any]:
    """1 with probability p, else 0: draw 0 of `uniform` is below p; other arguments as `uniform`."""
    return (uniform(seed, trial, index, step) < p).astype(float)


def _sine(a: NDArray[Any]) -> NDArray[Any]:
    """sin(2*pi*a) for abs(a) <= 1/4, the same bits on every target."""
    x = 2.0 * np.pi * a
    x2 = x * x
    series = np.zeros_like(x)
    for term in range(_SINE_TERMS, 0, -1):
        series = (series + (-1.0) ** term / math.factorial(2 * term + 1)) * x2
    return x * (series + 1.0)


def normal(seed: ArrayLike, trial: ArrayLike, index: ArrayLike, step: ArrayLike, draw: ArrayLike = 0) -> NDArray[Any]:
    """Standard normal variate, sqrt(-2*log(1 - u))*cos(2*pi*w) (Box and Muller); arguments as `uniform`.

    u and w are the two numbers that one block of Philox holds; u is the one that `uniform` returns.
    """
    u, w = _two_uniforms(seed, trial, index, step, draw)
    # cos(2*pi*w) is the sine of the distance of w from 1/4 or 3/4, which lies within a quarter turn.
    return np.sqrt(-2.0 * _log(1.0 - u)) * _sine(np.abs(w - 0.5) - 0.25)


def _cpp_series(coefficients: list[float], square: str) -> str:
    """Horner's rule as the NumPy loops do it, last coefficient first."""
    text = "0.0"
    for c in reversed(coefficients):
        text = f"(({text} + {c!r})*{square})"
    return text


_CPP_LOG = _cpp_series([1.0 / (2 * term + 1) for term in range(1, _ATANH_TERMS + 1)], "s2")
_CPP_SINE = _cpp_series([(-1.0) ** term / math.factorial(2 * term + 1) for term in range(1, _SINE_TERMS + 1)], "x2")

# Straight-line code without branches, of which the compiler makes vector instructions.
_CPP_ROUNDS = "\n    ".join(
    f"p0 = (uint64_t){_MULTIPLIERS[0]}u*c0; p1 = (uint64_t){_MULTIPLIERS[1]}u*c2; "
    f"c0 = (uint32_t)(p1 >> 32) ^ c1 ^ (k0 + {number * _WEYL[0] % 2**32}u); c1 = (uint32_t)p1; "
    f"c2 = (uint32_t)(p0 >> 32) ^ c3 ^ (k1 + {number * _WEYL[1] % 2**32}u); c3 = (uint32_t)p0;"
    for number in range(_ROUNDS)
)
# Eight neurons at a time: in lanes of 64 bits a product of two 32-bit words is one instruction, which compilers do not
# find. The upper halves of the lanes hold rubbish that no product reads. Two such eights are drawn side by side, since
# each instruction waits for the one before; an eight of probability 0 is not drawn. `biospike.translation_unit` defines
# the macro, and calls the function where a statement draws for all neurons of a group.
_CPP_EIGHT = f"""
#ifdef BIOSPIKE_AVX512
static inline __m512i _bs_eight_words(const int32_t* from) {{
    return _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i*)from));
}}
static inline __m512i _bs_eight_words(const int64_t* from) {{ return _mm512_loadu_si512(from); }}
template <typename Trial, typename Index> static inline void _bs_bernoulli_eights(
    const double* p, int64_t seed, const Trial* trial, const Index* index, int64_t step, double* drawn, const int* first
) {{
    const __m512i m0 = _mm512_set1_epi64({_MULTIPLIERS[0]}), m1 = _mm512_set1_epi64({_MULTIPLIERS[1]});
    __m512i c0[2], c1[2], c2[2], c3[2];
    for (int side = 0; side < 2; side++) {{
        c0[side] = _mm512_set1_epi64(step);
        c1[side] = _bs_eight_words(index + first[side]);
        c2[side] = _mm512_srli_epi64(c1[side], 32);
        c3[side] = _bs_eight_words(trial + first[side]);
    }}
    uint32_t k0 = (uint32_t)seed, k1 = 0;
    for (int round = 0; round < {_ROUNDS}; round++) {{
        const __m512i key0 = _mm512_set1_epi64(k0), key1 = _mm512_set1_epi64(k1);
        for (int side = 0; side < 2; side++) {{
            const __m512i p0 = _mm512_mul_epu32(m0, c0[side]), p1 = _mm512_mul_epu32(m1, c2[side]);
            c0[side] = _mm512_xor_si512(_mm512_xor_si512(_mm512_srli_epi64(p1, 32), c1[side]), key0);
            c2[side] = _mm512_xor_si512(_mm512_xor_si512(_mm512_srli_epi64(p0, 32), c3[side]), key1);
            c1[side] = p1;
            c3[side] = p0;
        }}
        k0 += {_WEYL[0]}u;
        k1 += {_WEYL[1]}u;
    }}
    for (int side = 0; side < 2; side++) {{
        const __m512i low = _mm512_and_si512(c1[side], _mm512_set1_epi64(0xffffffff));
        const __m512i bits = _mm512_srli_epi64(_mm512_or_si512(_mm512_slli_epi64(c0[side], 32), low), 11);
        const __m512d u = _mm512_mul_pd(_mm512_cvtepu64_pd(bits), _mm512_set1_pd({2.0**-53!r}));
        const __mmask8 below = _mm512_cmp_pd_mask(u, _mm512_loadu_pd(p + first[side]), _CMP_LT_OQ);
        _mm512_storeu_pd(drawn + first[side], _mm512_maskz_mov_pd(below, _mm512_set1_pd(1.0)));
    }}
}}
#endif
"""
CPP = f"""
static inline void _bs_two_uniforms(
    int64_t seed, int64_t trial, int64_t index, int64_t step, int64_t draw, double& u, double& w
) {{
    uint32_t c0 = (uint32_t)step, c1 = (uint32_t)index, c2 = (uint32_t)(index >> 32), c3 = (uint32_t)trial;
    const uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)draw;
    uint64_t p0, p1;
    {_CPP_ROUNDS}
    u = (double)((((uint64_t)c0 << 32) | c1) >> 11)*{2.0**-53!r};
    w = (double)((((uint64_t)c2 << 32) | c3) >> 11)*{2.0**-53!r};
}}
static inline double _bs_uniform(int64_t seed, int64_t trial, int64_t index, int64_t step, int64_t draw) {{
    double u, w;
    _bs_two_uniforms(seed, trial, index, step, draw, u, w);
    return u;
}}
static inline double _bs_bernoulli(double p, int64_t seed, int64_t trial, int64_t index, int64_t step) {{
    return _bs_uniform(seed, trial, index, step, 0) < p ? 1.0 : 0.0;
}}
{_CPP_EIGHT}template <typename Trial, typename Index> static inline void _bs_bernoulli_all(
    const double* p, int64_t seed, const Trial* trial, const Index* index, int64_t step, double* drawn, int n
) {{
    int done = 0;
#ifdef BIOSPIKE_AVX512
    int first[2], waiting = 0;
    for (; done + 8 <= n; done += 8) {{
        if (_mm512_cmp_pd_mask(_mm512_loadu_pd(p + done), _mm512_setzero_pd(), _CMP_GT_OQ)) {{
            first[waiting++] = done;
            if (waiting == 2) {{
                _bs_bernoulli_eights(p, seed, trial, index, step, drawn, first);
                waiting = 0;
            }}
        }} else {{
            _mm512_storeu_pd(drawn + done, _mm512_setzero_pd());
        }}
    }}
    if (waiting) {{
        // The last eight twice: where the first draw stands in the place of p, as 1 or 0, the second repeats it.
        first[1] = first[0];
        _bs_bernoulli_eights(p, seed, trial, index, step, drawn, first);
    }}
#endif
    for (; done < n; done++) drawn[done] = _bs_bernoulli(p[done], seed, trial[done], index[done], step);
}}
static inline double _bs_log(double x) {{
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    const uint64_t mantissa_bits = (bits & 0xfffffffffffffULL) | 0x3fe0000000000000ULL;
    double m;
    memcpy(&m, &mantissa_bits, sizeof(m));
    const bool low = m < {float(np.sqrt(0.5))!r};
    const int32_t exponent = (int32_t)(bits >> 52) - (low ? 1023 : 1022);
    m = low ? 2.0*m : m;
    const double s = (m - 1.0)/(m + 1.0);
    const double s2 = s*s;
    return exponent*{float(np.log(2.0))!r} + (2.0*s)*({_CPP_LOG} + 1.0);
}}
static inline double _bs_exponential(int64_t seed, int64_t trial, int64_t index, int64_t step, int64_t draw) {{
    return -_bs_log(1.0 - _bs_uniform(seed, trial, index, step, draw));
}}
static inline double _bs_gamma(int64_t seed, int64_t trial, int64_t index, int64_t step, int64_t shape) {{
    if (shape == 0) return 1.0;
    double total = 0.0;
    for (int64_t draw = 0; draw < shape; draw++) total = total + _bs_exponential(seed, trial, index, step, draw);
    return total/shape;
}}
static inline double _bs_normal(int64_t seed, int64_t trial, int64_t index, int64_t step, int64_t draw) {{
    double u, w;
    _bs_two_uniforms(seed, trial, index, step, draw, u, w);
    const double x = {2.0 * math.pi!r}*(std::fabs(w - 0.5) - 0.25);
    const double x2 = x*x;
    return std::sqrt(-2.0*_bs_log(1.0 - u))*(x*({_CPP_SINE} + 1.0));
}}
"""

"""The variates in C++, for equations and for the kernels of `biospike.fused`."""


def _brian_function(name: str, vectorised: Any, *, first: str = "", last: str = "") -> Function:
    """One of the variates above as a Brian2 function for the numpy, Cython and C++ targets.

    Its arguments are the address of the number, four integers, with a real one before or an integer one after.
    """
    integers = ["seed", "trial", "index", "step", *([last] if last else [])]
    types = dict.fromkeys([first] if first else [], "float") | dict.fromkeys(integers, "integer")
    function = Function(
        vectorised,
        arg_names=list(types),
        arg_units=[1] * len(types),
        return_unit=1,
        arg_types=list(types.values()),
        return_type="float",
        stateless=True,
    )
    function.implementations.add_implementation("numpy", vectorised, name=name)
    typed = ", ".join(f"{'double' if kind == 'float' else 'int64_t'} {name}" for name, kind in types.items())
    call = f"static inline double {name}({typed}) {{ return _bs_{name}({', '.join(types)}); }}"
    includes = "#include <stdint.h>\n#include <string.h>\n#include <cmath>\n"
    guarded = f"#ifndef _BIOSPIKE_RANDOM\n#define _BIOSPIKE_RANDOM\n{includes}{CPP}\n#endif\n"
    function.implementations.add_implementation("cpp", guarded + call, name=name)
    verbatim = f'cdef extern from *:\n    """\n{guarded}{call}\n    """\n    double {name}({typed})\n'
    function.implementations.add_implementation("cython", verbatim, name=name)
    return function


BRIAN_FUNCTIONS: dict[str, Function] = {
    "uniform": _brian_function("uniform", uniform, last="draw"),
    "bernoulli": _brian_function("bernoulli", bernoulli, first="p"),
    "exponential": _brian_function("exponential", exponential, last="draw"),
    "normal": _brian_function("normal", normal, last="draw"),
    "gamma": _brian_function("gamma", gamma, last="shape"),
}
"""Namespace that makes the variates usable in equations: ``uniform(seed, trial, index, t_in_timesteps, 0)``."""
