"""Synapses without a delay, served from the spikes themselves and not from a queue of synapses.

Brian2 copies the number of every synapse of every spike into a queue, out of it again, and looks up what each connects.
Where no synapse of a pathway has a delay, and those of a neuron follow one another, the spikes of the step say it all.
Whether that is so is found when the program starts; if not, the queue is used. Statements of a synapse are those that
Brian2 wrote, in the same order: spike after spike, and of each its synapses by their number.

If the targets of a neuron follow one another too, its synapses are one row of a matrix, which vector instructions add.
A weight that no statement changes is read from the first tokens if those of all others are the same, bit for bit: one
matrix that stays in the cache, and not a copy a token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SUPPORT = """
struct _Direct {
    bool usable = false, rows = true, asked = false;
    // Of every neuron: its first synapse, the target of that, and how far before it the same weight is found.
    std::vector<int32_t> first, target, shift;
    const int32_t* spikes = nullptr;
    int count = 0;

    bool found(const double* delay, size_t delays, const int32_t* pre, const int32_t* to, size_t n, int sources) {
        for (size_t k = 0; k < delays; k++) if (delay[k] != 0) return false;
        first.assign(sources + 1, 0);
        target.assign(sources, -1);
        for (size_t k = 0; k < n; k++) {
            if (pre[k] < 0 || pre[k] >= sources || (k && pre[k] < pre[k - 1])) return false;
            if (k && pre[k] == pre[k - 1] && to[k] != to[k - 1] + 1) rows = false;
            if (k == 0 || pre[k] != pre[k - 1]) target[pre[k]] = to[k];
            first[pre[k] + 1] = k + 1;
        }
        for (int k = 0; k < sources; k++) first[k + 1] = std::max(first[k + 1], first[k]);
        return usable = true;
    }
    // Weights are the same after some neurons, up to four times those that share their first target.
    void share(const double* w) {
        if (asked) return;
        asked = true;
        const int sources = first.size() - 1, n = first[sources];
        shift.assign(sources, 0);
        int alike = 0;
        while (alike < sources && target[alike] == target[0]) alike++;
        for (int some = alike; alike && some <= 4*alike && some < sources; some += alike) {
            const int period = first[some];
            if (period == 0 || memcmp(w + period, w, (n - period)*sizeof(double)) != 0) continue;
            for (int k = 0; k < sources; k++) shift[k] = first[k]/period*period;
            return;
        }
    }
};
"""

_PUSH = re.compile(
    r"\{\s*(?P<path>\w+)\.advance\(\);\s*(?P=path)\.push\((?P<space>\w+), (?P<count>\w+\[_num_spikespace-1\])\);\s*\}"
)
_PREPARE = re.compile(
    r"(?P<path>\w+)\.prepare\(_n_sources,\s*_n_targets,\s*(?P<delay>\w+), n_delays, sources,\s*n_synapses,"
)
_LOOP = re.compile(
    r"\{\s*std::vector<int> \*_spiking_synapses = (?P<path>\w+)\.peek\(\);\s*"
    r"const int _num_spiking_synapses = _spiking_synapses->size\(\);\s*\{\s*"
    r"for\(int _spiking_synapse_idx=0;\s*_spiking_synapse_idx<_num_spiking_synapses;\s*_spiking_synapse_idx\+\+\)\s*"
    r"\{\s*const size_t _idx = \(\*_spiking_synapses\)\[_spiking_synapse_idx\];\s*"
    r"const size_t _vectorisation_idx = _idx;(?P<body>[^{}]*)\}\s*\}\s*\}"
)
_TARGET = re.compile(r"const int32_t _postsynaptic_idx = \w+\[_idx\];")


def serve_directly(sources: Mapping[str, str], objects: str) -> tuple[dict[str, str], str]:
    """Code objects, by name, that serve a pathway without a queue where they can, and declarations they need.

    A pathway of a form that is not known, or whose statements write anything but the target's variables, stays.

    Parameters
    ----------
    sources
        Text of every code object.
    objects
        ``objects.cpp``, which makes the pathways.
    """
    made: dict[str, str] = {}
    names = []
    for name in sources:
        path = name.removesuffix("_push_spikes")
        if name.startswith("before_run_") or path == name:
            continue
        served = _served(path, sources, objects)
        made |= served
        names += [path] if served else []
    declared = "\n".join(f"static _Direct _direct_{path};" for path in names)
    return made, f"{SUPPORT}{declared}\n" if names else ""


def _served(path: str, sources: Mapping[str, str], objects: str) -> dict[str, str]:
    """The three code objects of a pathway, or nothing."""
    push, prepare, code = f"{path}_push_spikes", f"before_run_{path}_push_spikes", f"{path}_codeobject"
    if code not in sources or prepare not in sources:
        return {}
    pushed, prepared, loop = (
        pattern.search(sources[name]) for pattern, name in ((_PUSH, push), (_PREPARE, prepare), (_LOOP, code))
    )
    whole = re.search(rf"SynapticPathway {path}\(\s*(\w+)__synaptic_pre,\s*0,", objects)
    if not (pushed and prepared and loop and whole) or {one["path"] for one in (pushed, prepared, loop)} != {path}:
        return {}
    body = loop["body"]
    if set(re.findall(r"\w+\[(\w+)\] = ", body)) != {"_postsynaptic_idx"} or not _TARGET.search(body):
        return {}
    post, direct = f"{whole[1]}__synaptic_post", f"_direct_{path}"
    targets = f"{post}.empty() ? 0 : &{post}[0]"
    found = f"if ({direct}.found({prepared['delay']}, n_delays, sources, {targets}, n_synapses, _n_sources)) return;"
    handed = f"if ({direct}.usable) {{ {direct}.spikes = {pushed['space']}; {direct}.count = {pushed['count']}; }}"
    return {
        prepare: sources[prepare].replace(prepared[0], f"{found}\n    {prepared[0]}"),
        push: sources[push].replace(pushed[0], f"{handed}\n    else {pushed[0]}"),
        code: sources[code].replace(loop[0], _loops(direct, body, sources) + loop[0]),
    }


def _loops(direct: str, body: str, sources: Mapping[str, str]) -> str:
    """Loops over spikes and their synapses, one for rows of a matrix and one for others, before the one of Brian2."""
    row = _TARGET.sub("const int32_t _postsynaptic_idx = _target + _k;", body)
    shared = [
        array
        for array in re.findall(r"const double \w+ = (\w+)\[_idx\];", row)
        if not any(re.search(rf"\b{array}\[[^\]]*\] = ", text) for text in sources.values())
    ]
    ask = f"{direct}.share({shared[0]});" if len(shared) == 1 else ""
    if ask:
        row = row.replace(f"{shared[0]}[_idx]", f"{shared[0]}[_idx - _shift]")
    shift = f"const int _shift = {direct}.shift[_neuron];" if ask else ""
    return f"""
    if ({direct}.usable)
    {{
        {ask}
        for (int _spike=0; _spike<{direct}.count; _spike++)
        {{
            const int _neuron = {direct}.spikes[_spike];
            const int _first = {direct}.first[_neuron], _end = {direct}.first[_neuron + 1];
            if (_first == _end) continue;
            if ({direct}.rows)
            {{
                const int _target = {direct}.target[_neuron];
                {shift}
                #pragma GCC ivdep
                for (int _k=0; _k<_end - _first; _k++)
                {{
                    const size_t _idx = _first + _k;{row}
                }}
            }}
            else for (size_t _idx=_first; _idx<_end; _idx++)
            {{{body}
            }}
        }}
    }}
    else
    """
