"""What a generated project becomes before it is compiled: one translation unit, with its loops made fast.

Brian2 writes one source file a code object, each of which parses the standard library again. They are compiled here
as one translation unit, each in a namespace of its own: the same code, in a quarter of the time.

Loops are written anew where the form in which Brian2 writes them hides from the compiler what it could do, or where
work is done of which nothing is seen. Each rewriting leaves the same bits in every variable that a key can see, and
the loops that every network has are refused if their text is not the form that is known.
"""

from __future__ import annotations

import platform
import re
import warnings
from collections.abc import Collection
from pathlib import Path

from biospike.direct_synapses import serve_directly
from biospike.errors import BuildError
from biospike.recorder import with_recorder

import brian2 as b2

# Without contraction to fused multiply-add and without fast-math, C++ rounds as NumPy does. Nobody reads errno or traps
# floating-point exceptions, and giving them up lets the compiler use vector instructions.
FLAGS: tuple[str, ...] = (
    # The first overrides what $CXX may ask for.
    *(
        "-fno-fast-math",
        "-std=c++14",
        "-O3",
        "-march=native",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-w",
    ),
    *(("-mprefer-vector-width=512",) if platform.machine() == "x86_64" else ()),
)

# Brian2 gets the memory of every array from new[]. Arrays of one size would lie a multiple of a page apart, and a load
# then waits for the store before it that has the same place in another page. So each starts at another place in its
# page, and at the start of a line of the cache, which no vector crosses then.
#
# A variable of the row is read by its keys one by one, which is slow, and slower still by the gather instructions of
# many processors. The keys of a row lie together, so it is written out for all of them with whole vectors instead: up
# to seven too many, which the next row overwrites. It is done a block of keys at a time, which stays in the cache, and
# rows are cut into pieces where blocks end.
SUPPORT = """
#include <algorithm>
#include <cfloat>
#include <cstdlib>
#include <new>
#include <vector>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define BIOSPIKE_AVX512
#endif
static_assert(FLT_EVAL_METHOD == 0 && sizeof(1.0) == 8, "arguments of $CXX change the arithmetic: leave them out");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the scan for crossings counts bytes from the low end");
void* operator new[](std::size_t size) {
    static std::size_t number = 0;
    const std::size_t place = 64*(9*number++ % 64);
    void* page = nullptr;
    if (posix_memalign(&page, 4096, size + place) != 0) throw std::bad_alloc();
    return (char*)page + place;
}
void operator delete[](void* array) noexcept { std::free((void*)((uintptr_t)array & ~(uintptr_t)4095)); }
void operator delete[](void* array, std::size_t) noexcept { operator delete[](array); }
enum { _BLOCK = 512 };
struct _Pieces {
    std::vector<int> ends, of_block;
    _Pieces(const int32_t* row, int n) {
        for (int i = 1; i <= n; i++) {
            if ((i - 1) % _BLOCK == 0) of_block.push_back(ends.size());
            if (i == n || i % _BLOCK == 0 || row[i] != row[i - 1]) ends.push_back(i);
        }
    }
};
template <typename T>
static inline void _spread(const _Pieces& pieces, int first, int end, const int32_t* row, const T* from, T* to) {
    for (int piece = pieces.of_block[first/_BLOCK], i = first; i < end; i = pieces.ends[piece++]) {
        const T value = from[row[i]];
        for (int k = i - first; k < pieces.ends[piece] - first; k += 8)
            for (int lane = 0; lane < 8; lane++) to[k + lane] = value;
    }
}
"""


class UnknownFormError(BuildError):
    """Brian2 writes another form of code than the one that is known."""


def unite(project: Path, independent: Collection[str] = ()) -> str:
    """One translation unit of the project's sources.

    The includes of every code object stay at the top; its functions go into a namespace of its own, so that equal
    names of support code do not clash, and are called through forwarders of the declared names. Macros end with it.

    Parameters
    ----------
    project
        What Brian2 wrote.
    independent
        Code objects whose iterations each write only their own neuron: the compiler cannot prove it of the arrays that
        Brian2 links between groups, and without being told makes no vector instructions.

    Raises
    ------
    UnknownFormError
        If Brian2 writes another form of code than the one of which a program can be made. Loops of another form are
        left as they are, which is slower, and a line of warning says so.
    """
    left: list[str] = []
    includes: dict[str, None] = {}
    bodies: list[str] = []
    objects = (project / "objects.h").read_text(encoding="utf-8")
    arrays = set(re.findall(r"\b_array_\w+\b", objects))
    files = sorted((project / "code_objects").glob("*.cpp"))
    written = {source.stem: source.read_text(encoding="utf-8") for source in files}
    direct, declared = serve_directly(written, (project / "objects.cpp").read_text(encoding="utf-8"))
    for number, source in enumerate(files):
        lines = (written | direct)[source.stem].splitlines()
        length = next(k for k, line in enumerate(lines) if line.strip() and not line.startswith("#include"))
        includes |= dict.fromkeys(line for line in lines[:length] if line)
        body = "\n".join(lines[length:])
        try:
            body = _fast_loops(source.stem, body, arrays, source.stem in independent)
        except UnknownFormError:
            left.append(source.stem)
        functions = re.findall(r"^void (\w+)\(\)\s*$", body, flags=re.MULTILINE)
        if not functions:
            raise _unknown_form(source.name, "function")
        bodies += [f"namespace unit_{number} {{", body, "}"]
        bodies += [f"void {name}() {{ unit_{number}::{name}(); }}" for name in functions]
        bodies += [f"#undef {macro}" for macro in re.findall(r"^\s*#define (\w+)", body, flags=re.MULTILINE)]
    if left:
        warnings.warn(
            f"Brian2 {b2.__version__} writes another form of loops than the one that is made fast: they are left as "
            f"they are in {', '.join(left)}",
            RuntimeWarning,
            stacklevel=2,
        )
    rest = [_without_clock((project / "network.cpp").read_text(encoding="utf-8"))]
    rest += [(project / name).read_text(encoding="utf-8") for name in ("run.cpp", "synapses_classes.cpp")]
    # Newer versions keep the spike queue in a source file of its own.
    rest += [source.read_text(encoding="utf-8") for source in sorted((project / "brianlib").glob("*.cpp"))]
    main = with_recorder(_configurable_main((project / "main.cpp").read_text(encoding="utf-8")), objects)
    return "\n".join([SUPPORT, declared, *includes, *bodies, *rest, main])


def _unknown_form(where: str, what: str) -> UnknownFormError:
    return UnknownFormError(f"{where} has no {what} that is known: Brian2 {b2.__version__} writes another form of code")


def _fast_loops(name: str, body: str, arrays: set[str], independent: bool) -> str:
    """Body of a code object with its loop over neurons or spikes rewritten, according to what it is."""
    if name.startswith(("before_run_", "after_run_")):
        return body
    if independent:
        return _in_use(name, _spread_rows(_draw_together(_independent(name, body))), arrays)
    if name.endswith("_thresholder_codeobject"):
        return _in_use(name, _scan_for_crossings(name, body), arrays)
    if "_resetter_codeobject" in name:
        return _skip_finished_counts(body)
    return body


def _independent(name: str, body: str) -> str:
    body, count = re.subn(r"^(\s*)(for\s*\(int _idx=0;)", r"\1#pragma GCC ivdep\n\1\2", body, flags=re.MULTILINE)
    if count == 0:
        raise _unknown_form(name, "loop over neurons")
    return body


_COUNT = "const int _N = N;"

_DRAW = re.compile(
    r"(?P<v>\w+) = bernoulli\((?P<p>[^;]*), seed, trial, index, t_in_timesteps\);\s*"
    r"(?P<store>(?P<array>\w+)\[_idx\] = (?P=v);)\s*\}"
)


def _draw_together(body: str) -> str:
    """Draw the numbers of all neurons in a loop of their own, where drawing one ends the loop over neurons.

    The loop stores the probabilities, and `_bs_bernoulli_all` of `biospike.random` puts the draws in their place.
    """
    draw = _DRAW.search(body)
    trial, index = (re.search(rf"const int\w+ {name} = (\w+)\[_idx\];", body) for name in ("trial", "index"))
    if not (draw and trial and index):
        return body
    together = f"_bs_bernoulli_all({draw['array']}, seed, {trial[1]}, {index[1]}, t_in_timesteps, {draw['array']}, _N);"
    return body.replace(draw[0], f"{draw['v']} = {draw['p']};\n        {draw['store']}\n    }}\n    {together}")


_LOOP = re.compile(r"^    #pragma GCC ivdep\s+for\(int _idx=0; _idx<_N; _idx\+\+\)\s+\{.*?^    \}$", re.M | re.S)


def _spread_rows(body: str) -> str:
    """Variables of the hub from a copy that holds them for every key of a block (see `SUPPORT`).

    Which row a key belongs to is constant, so where rows end is found once.
    """
    index = re.search(r"const int32_t hub_index = (\w+)\[_idx\];", body)
    linked = re.findall(r"const (\w+) (\w+) = (\w+)\[hub_index\];", body)
    loop = _LOOP.search(body)
    if index is None or loop is None or len(re.findall(r"\bhub_index\b", body)) != 1 + len(linked):
        return body
    inner = loop[0].replace(index[0], "").replace("int _idx=0; _idx<_N;", "int _idx=_first; _idx<_end;")
    blocks = [f"    static const _Pieces _pieces({index[1]}, _N);"]
    spread = []
    for kind, name, array in linked:
        inner = inner.replace(f" = {array}[hub_index];", f" = _of_keys_{name}[_idx - _first];")
        blocks.append(f"    alignas(64) {kind} _of_keys_{name}[_BLOCK + 8];")
        spread.append(f"    _spread(_pieces, _first, _end, {index[1]}, {array}, _of_keys_{name});")
    blocks += ["    for(int _first=0; _first<_N; _first+=_BLOCK)", "    {"]
    blocks += ["    const int _end = std::min<int>(_first + _BLOCK, _N);", *spread, inner, "    }"]
    return body.replace(loop[0], "\n".join(blocks))


def _in_use(name: str, body: str, arrays: set[str]) -> str:
    """Loop over what is in use of a group: a batch need not fill its network, and nobody reads the rest.

    Neurons are in use up to the number ``occupied`` (see `biospike.wiring`), hubs up to the last one that has keys.
    """
    keys = re.match(r"_*(\w*(?:keys|interneurons))_(each_step|stateupdater|spike_thresholder)", name)
    hub = re.match(r"_*(\w*)hub_(each_step|stateupdater)", name)
    if keys and f"_array_{keys[1]}_occupied" in arrays:
        occupied = f"brian::_array_{keys[1]}_occupied[0]"
        return body.replace(_COUNT, f"const int _N = {occupied} > 0 ? {occupied} : N;")
    if hub and f"_array_{hub[1]}keys_hub_index" in arrays:
        index = f"brian::_array_{hub[1]}keys_hub_index"
        last = f"*std::max_element({index}, {index} + brian::_num_{index.removeprefix('brian::')})"
        return body.replace(_COUNT, f"static const int _N = 1 + {last};")
    return body


_THRESHOLD_LOOP = re.compile(
    r"for\(size_t _idx=0; _idx<N; _idx\+\+\)\s*\{(?P<condition>[^{}]*)if\(_cond\) \{(?P<spike>[^{}]*)\}\s*\}"
)
_TWO_PASSES = rf"""{_COUNT}
    alignas(64) static char _crossed[N + 64];
    #pragma GCC ivdep
    for(size_t _idx=0; _idx<_N; _idx++)
    {{\g<condition>_crossed[_idx] = (_cond != 0);
    }}
    for(size_t _line=0; _line<_N; _line+=64)
    {{
        uint64_t _eight[8], _any = 0, _bits = 0;
        memcpy(_eight, _crossed + _line, 64);
        for(int _k=0; _k<8; _k++) _any |= _eight[_k];
        if(_any == 0) continue;
        for(int _k=0; _k<8; _k++) _bits |= (_eight[_k]*0x0102040810204080ULL >> 56) << 8*_k;
        for(; _bits; _bits &= _bits - 1)
        {{
            const size_t _idx = _line + __builtin_ctzll(_bits);\g<spike>
        }}
    }}"""


def _scan_for_crossings(name: str, body: str) -> str:
    """Thresholder in two passes: the condition of every neuron, then the few that met it, in order.

    As Brian2 writes it, the loop appends to a list, which no compiler turns into vector instructions. Without the
    append, the condition becomes a byte a neuron, 0 or 1, and 64 of them are looked at at once; where one is set,
    a product gathers each eight bytes into eight bits.
    """
    body, count = _THRESHOLD_LOOP.subn(_TWO_PASSES, body)
    if count != 1:
        raise _unknown_form(name, "loop over thresholds")
    return body


def _skip_finished_counts(body: str) -> str:
    """Resetter that leaves the counts alone to which a spike of this step adds nothing.

    A statement ``count += int(t_in_timesteps < checkpoint)`` adds the same number, 1 or 0, for every spike of a step,
    which Brian2 computes once. When it is 0, reading and writing the count is all that is left of it, and that is most
    of the cost of a spike: every count is an array of its own, in another line of the cache.
    """
    for count, added in re.findall(r"^\s*(\w+) \+= (_lio_\d+);$", body, flags=re.MULTILINE):
        load = re.compile(rf"\bint32_t {count} = (\w+\[_idx\]);")
        store = re.compile(rf"^(\s*)(\w+\[_idx\] = {count};)$", flags=re.MULTILINE)
        # Only a count of which nothing else is computed: it is read, added to and written.
        if len(re.findall(rf"\b{count}\b", body)) == 3 and load.search(body) and store.search(body):
            body = load.sub(rf"int32_t {count} = {added} ? \1 : 0;", body)
            body = store.sub(rf"\1if({added}) \2", body)
    return body


def _without_clock(text: str) -> str:
    """``network.cpp`` that asks for the processor time once, not every step.

    Up to version 2.9 a system call that costs as much as the whole step of a small network keeps a time that is
    reported at the end.
    """
    if "std::clock()" not in text:
        return text
    asked = re.compile(r"\n\s*current = std::clock\(\);\n\s*elapsed_realtime = [^;]+;")
    reported = "    _last_run_time = elapsed_realtime;"
    found = asked.findall(text)
    if len(found) != 1 or text.count(reported) != 1:
        raise _unknown_form("network.cpp", "place for the processor time")
    return asked.sub("", text).replace(reported, f"{found[0]}\n{reported}")


def _configurable_main(text: str) -> str:
    """``main.cpp`` with the step and the duration taken from the environment instead of the source."""
    for pattern, variable in (
        (r"(_array_defaultclock_dt\[0\] = )[^;]+(;)", "BIOSPIKE_DT"),
        (r"(\bnetwork\w*\.run\()[^,]+(,)", "BIOSPIKE_DURATION"),
    ):
        text, count = re.subn(pattern, rf'\g<1>std::atof(std::getenv("{variable}"))\g<2>', text)
        if count == 0:
            raise _unknown_form("main.cpp", f"place for {variable}")
    return text
