"""Counter-based random numbers: every draw is a pure function of (seed, trial, index, step).

A stateful generator ties the numbers to the order in which neurons are visited, hence to batch size, target and
process. A counter-based one does not: Philox4x32-10 scrambles the counter (step, index, trial) under the key
(seed, draw), so any neuron of any trial can be simulated anywhere and still receives the same numbers. The integer
part is bit-identical in NumPy, Cython and C++ by construction; logarithm and normal quantile are evaluated from
basic IEEE operations in the same order on every target, because libm and NumPy differ in the last bit.

References
----------
Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC11 (2011), doi:10.1145/2063384.2063405.
Wichura, *Algorithm AS 241: the percentage points of the normal distribution*, Appl. Statist. 37 (1988) 477-484.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from brian2 import Function
from numpy.typing import ArrayLike, NDArray

SEEDS = 2**32
"""Seeds are integers in [0, SEEDS): one word of the Philox key; the other counts the draws within a step."""

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF_WORD = np.uint64(32)

_ATANH_TERMS = 12
"""Terms of the series log(m) = 2*atanh((m-1)/(m+1)), m in [sqrt(1/2), sqrt(2)]: the next is below 2**-54."""

# AS 241, routine PPND16: numerator and denominator, lowest power first, of the three rational approximations.
_CENTRE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)  # fmt: skip
_MIDDLE = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
_TAIL = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip


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
    index = np.asarray(index, dtype=np.int64)
    w0, w1, _, _ = philox((step, index, index >> 32, trial), (seed, draw))
    return (((w0 << _HALF_WORD) | w1) >> np.uint64(11)).astype(np.float64) * 2.0**-53


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


def _rational(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: NDArray[Any]) -> NDArray[Any]:
    above, below = (np.zeros_like(x), np.zeros_like(x))
    for a, b in zip(*(reversed(c) for c in coefficients), strict=True):
        above, below = above * x + a, below * x + b
    return above / below


def normal(seed: ArrayLike, trial: ArrayLike, index: ArrayLike, step: ArrayLike, draw: ArrayLike = 0) -> NDArray[Any]:
    """Standard normal variate by inversion (AS 241, relative error about 1e-16); arguments as `uniform`."""
    # Half a unit keeps the argument inside (0, 1) and the distribution symmetric.
    p = uniform(seed, trial, index, step, draw) + 2.0**-54
    q = p - 0.5
    r = np.sqrt(-_log(np.where(q < 0.0, p, 1.0 - p)))
    tail = np.where(r <= 5.0, _rational(_MIDDLE, r - 1.6), _rational(_TAIL, r - 5.0))
    return np.where(np.abs(q) <= 0.425, q * _rational(_CENTRE, 0.180625 - q * q), np.where(q < 0.0, -tail, tail))


def _cpp_rational(name: str, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> str:
    def horner(powers: tuple[float, ...]) -> str:
        text = f"(0.0*x + {powers[-1]!r})"
        for c in reversed(powers[:-1]):
            text = f"({text}*x + {c!r})"
        return text

    above, below = (horner(powers) for powers in coefficients)
    return f"static inline double _bs_{name}(double x) {{ return {above} / {below}; }}"


def _cpp_log_series() -> str:
    text = "0.0"
    for term in range(_ATANH_TERMS, 0, -1):
        text = f"(({text} + {1.0 / (2 * term + 1)!r})*s2)"
    return text


_CPP = f"""
static inline double _bs_uniform(int64_t seed, int64_t trial, int64_t index, int64_t step, int64_t draw) {{
    uint32_t c0 = (uint32_t)step, c1 = (uint32_t)index, c2 = (uint32_t)(index >> 32), c3 = (uint32_t)trial;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)draw;
    for (int round = 0; round < {_ROUNDS}; round++) {{
        const uint64_t p0 = (uint64_t){_MULTIPLIERS[0]}u * c0, p1 = (uint64_t){_MULTIPLIERS[1]}u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0; c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1; c3 = (uint32_t)p0;
        k0 += {_WEYL[0]}u; k1 += {_WEYL[1]}u;
    }}
    return (double)((((uint64_t)c0 << 32) | c1) >> 11) * {2.0**-53!r};
}}
static inline double _bs_bernoulli(double p, int64_t seed, int64_t trial, int64_t index, int64_t step) {{
    // Most neurons of a closed or masked row need no number.
    return p > 0.0 && _bs_uniform(seed, trial, index, step, 0) < p ? 1.0 : 0.0;
}}
static inline double _bs_log(double x) {{
    int exponent;
    double m = std::frexp(x, &exponent);
    if (m < {float(np.sqrt(0.5))!r}) {{ m *= 2.0; exponent -= 1; }}
    const double s = (m - 1.0)/(m + 1.0);
    const double s2 = s*s;
    return exponent*{float(np.log(2.0))!r} + (2.0*s)*({_cpp_log_series()} + 1.0);
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
{_cpp_rational("centre", _CENTRE)}
{_cpp_rational("middle", _MIDDLE)}
{_cpp_rational("tail", _TAIL)}
static inline double _bs_normal(int64_t seed, int64_t trial, int64_t index, int64_t step, int64_t draw) {{
    const double p = _bs_uniform(seed, trial, index, step, draw) + {2.0**-54!r};
    const double q = p - 0.5;
    if (std::fabs(q) <= 0.425) return q*_bs_centre(0.180625 - q*q);
    const double r = std::sqrt(-_bs_log(q < 0.0 ? p : 1.0 - p));
    const double x = r <= 5.0 ? _bs_middle(r - 1.6) : _bs_tail(r - 5.0);
    return q < 0.0 ? -x : x;
}}
"""


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
    includes = "#include <stdint.h>\n#include <cmath>\n"
    guarded = f"#ifndef _BIOSPIKE_RANDOM\n#define _BIOSPIKE_RANDOM\n{includes}{_CPP}\n#endif\n"
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
