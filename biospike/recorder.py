"""Spikes and variables of a run, step by step, kept by the network that runs anyway.

Every binary can record any variable of any neuron: a function that is added to its step only when a run asks for it, so
recording compiles nothing and not recording costs nothing. The targets inside this process do the same by a function of
theirs. Both look between the thresholds and what spikes do, where the crossing is seen and nothing is reset yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError, RunError

import brian2 as b2
from brian2.core.functions import DEFAULT_FUNCTIONS
from brian2.core.variables import ArrayVariable, DynamicArrayVariable, Subexpression
from brian2.groups.group import VariableOwner
from brian2.units.fundamentalunits import get_dimensions
from brian2.utils.stringtools import get_identifiers

FILE = "record.txt"
"""What a run is asked to record, in its directory; ``record_0``, ``record_1``, ... are what it recorded."""
SPIKES = "_spikespace"
"""Variable in which Brian2 keeps the neurons that spike in a step, and their number at its end."""
SPIKE_BYTES = 16
"""Of a recorded spike: its step and its neuron."""
LOOKS = "after_thresholds"
SHOWN_UNITS = {"mV": b2.mV, "Hz": b2.Hz, "ms": b2.ms, "nS": b2.nS, "nA": b2.nA}
"""Units in which variables are shown; anything else is in SI base units."""


@attrs.frozen(eq=False)
class Request:
    """What a run records.

    Attributes
    ----------
    values : mapping
        Variable ``group.name`` -> numbers of the neurons whose values are kept.
    spikes : tuple of str
        Groups of which every spike is kept.
    first, last, every : int
        Steps first <= step < last; of the variables one step of so many.
    """

    values: Mapping[str, NDArray[np.int64]]
    spikes: tuple[str, ...]
    first: int
    last: int
    every: int = 1

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps of which variables are kept."""
        return np.arange(self.first, self.last, self.every)

    @property
    def memory(self) -> int:
        """Bytes of the variables, at most."""
        return 8 * len(self.steps) * sum(map(len, self.values.values()))

    def text(self) -> str:
        """The request as a binary reads it."""
        lines = [f"{self.first} {self.last} {self.every}"]
        for name, index in self.values.items():
            lines.append(f"values {_array(name)} {len(index)} {' '.join(map(str, index))}")
        return "\n".join([*lines, *(f"spikes {_array(f'{group}.{SPIKES}')} 0" for group in self.spikes)]) + "\n"

    def read(self, directory: Path, kinds: Mapping[str, str]) -> Tape:
        """What a binary wrote.

        Raises
        ------
        RunError
            If a file is not as long as it must be.
        """
        values = {}
        for number, (name, index) in enumerate(self.values.items()):
            found = np.fromfile(directory / f"record_{number}", dtype=kinds[name])
            if found.size != len(self.steps) * len(index):
                raise RunError(
                    f"{name}: {found.size} of {len(self.steps) * len(index)} values recorded; is the disk full?"
                )
            values[name] = found.reshape(len(self.steps), len(index))
        spikes = {}
        for number, group in enumerate(self.spikes, start=len(self.values)):
            found = np.fromfile(directory / f"record_{number}", dtype=np.int64)
            spikes[group] = _sorted(*found[: found.size // 2 * 2].reshape(-1, 2).T)
        return Tape(self.steps, values, spikes)


@attrs.frozen(eq=False)
class Tape:
    """What was recorded.

    Attributes
    ----------
    steps : ndarray (times,)
        At which variables were read.
    values : dict
        Variable ``group.name`` -> (times, neurons), SI base units.
    spikes : dict
        Group -> steps and neurons of its spikes, by step and neuron.
    units : dict
        Unit of each variable, if it is another.
    """

    steps: NDArray[np.int64]
    values: dict[str, NDArray[Any]]
    spikes: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]
    units: dict[str, str] = attrs.field(factory=dict)


def _array(name: str) -> str:
    """Name that Brian2 gives the array of a variable ``group.name``."""
    return f"_array_{name.replace('.', '_', 1)}"


def _sorted(step: NDArray[np.int64], neuron: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.lexsort((neuron, step))
    return step[order], neuron[order]


@attrs.frozen(eq=False)
class Stored:
    """What the variables ``group.name`` of a network are.

    Attributes
    ----------
    lengths : mapping
        Neurons of each that is kept in memory.
    expressions : mapping
        Of what is computed from such variables of the same group when it is read: the expression, and their names.
    units : mapping
        Unit of each in which it is shown, ``""`` if it has none.
    """

    lengths: Mapping[str, int]
    expressions: Mapping[str, tuple[str, tuple[str, ...]]]
    units: Mapping[str, str]

    def resolved(self, circuit: str, request: Request) -> Request:
        """What must be kept in memory for a request.

        Raises
        ------
        InputError
            If a variable, neuron or group does not exist, naming what there is.
        """
        needed: dict[str, list[NDArray[np.int64]]] = {}
        for name, index in request.values.items():
            for source in self.expressions[name][1] if name in self.expressions else (name,):
                needed.setdefault(source, []).append(index)
            self._check(circuit, name, index)
        for group in request.spikes:
            if f"{group}.{SPIKES}" not in self.lengths:
                raise InputError(f"{circuit}: there is no group '{group}' that spikes")
        return attrs.evolve(request, values={name: np.unique(np.concatenate(some)) for name, some in needed.items()})

    def _check(self, circuit: str, name: str, index: NDArray[np.int64]) -> None:
        known = [*self.lengths, *self.expressions]
        if name not in known:
            group = name.partition(".")[0]
            mine = [full.partition(".")[2] for full in known if full.startswith(f"{group}.")]
            what = f"{group} has {', '.join(_shown(mine))}" if mine else f"groups are {', '.join(_groups(known))}"
            raise InputError(f"{circuit}: there is no variable '{name}': {what}")
        length = self.lengths[self.expressions[name][1][0] if name in self.expressions else name]
        if len(index) and not 0 <= index.min() <= index.max() < length:
            raise InputError(f"{circuit}: {name} has {length} neurons, got numbers {index.min()} to {index.max()}")

    def answered(self, request: Request, tape: Tape) -> Tape:
        """What a request asked for, from what was kept for it, in the units that are shown."""
        kept = {name: index for name, index in self.resolved("", request).values.items()}
        values = {}
        for name, index in request.values.items():
            expression, sources = self.expressions.get(name, (name.partition(".")[2], (name,)))
            found = {
                full.partition(".")[2]: tape.values[full][:, np.searchsorted(kept[full], index)] for full in sources
            }
            value = next(iter(found.values())) if name not in self.expressions else evaluated(expression, found)
            factor = float(SHOWN_UNITS.get(self.units[name], 1.0))
            values[name] = value if factor == 1.0 else value / factor
        return Tape(tape.steps, values, tape.spikes, {name: self.units[name] for name in values})


def evaluated(expression: str, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Value of an expression of the equations, from values in SI base units."""
    functions = {name: function.pyfunc for name, function in DEFAULT_FUNCTIONS.items()}
    return np.asarray(eval(expression, {"__builtins__": {}, **functions}, dict(values)))


def stored(network: b2.Network) -> Stored:
    """What the variables of a network are."""
    lengths, expressions, units = {}, {}, {}
    for group in network.objects:
        if not isinstance(group, VariableOwner):
            continue
        own = {
            name: variable
            for name, variable in group.variables.items()
            if isinstance(variable, ArrayVariable)
            and not isinstance(variable, DynamicArrayVariable)
            and variable.owner.name == group.name
        }
        for name, variable in group.variables.items():
            full = f"{group.name}.{name}"
            if name in own:
                lengths[full] = int(variable.size)
            elif isinstance(variable, Subexpression) and variable.owner.name == group.name:
                names = get_identifiers(variable.expr) - set(DEFAULT_FUNCTIONS)
                if not names or not names <= own.keys():
                    continue
                expressions[full] = (variable.expr, tuple(f"{group.name}.{one}" for one in sorted(names)))
            else:
                continue
            units[full] = _unit(variable.dim)
    return Stored(lengths, expressions, units)


def _unit(dimension: Any) -> str:
    if dimension.is_dimensionless:
        return ""
    return next((name for name, unit in SHOWN_UNITS.items() if get_dimensions(unit) is dimension), str(dimension))


def _shown(names: list[str]) -> list[str]:
    """Names without those of the bookkeeping."""
    return sorted(
        name for name in names if not re.fullmatch(r"_.*|(count|checkpoint)_\d+|N|i|dt|t|t_in_timesteps", name)
    )


def _groups(names: list[str]) -> list[str]:
    return sorted({name.partition(".")[0] for name in names})


@contextmanager
def recording(network: b2.Network, request: Request) -> Iterator[list[Tape]]:
    """Let a network of this process record while the body runs it; the list then has the tape.

    Its objects are those of the network and one more, which the network keeps.
    """
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in request.values}
    spikes: dict[str, list[NDArray[np.int64]]] = {group: [] for group in request.spikes}
    arrays = {name: network[name.split(".")[0]].variables[name.split(".")[1]] for name in request.values}
    step = -1

    def look() -> None:
        nonlocal step
        step += 1
        if not request.first <= step < request.last:
            return
        for group, kept in spikes.items():
            fired = network[group].spikes
            if len(fired):
                kept.append(np.stack([np.full(len(fired), step), fired], axis=1))
        if (step - request.first) % request.every == 0:
            for name, index in request.values.items():
                found[name].append(np.atleast_1d(arrays[name].get_value())[index])

    network.add(b2.NetworkOperation(look, when=LOOKS, order=-1, name="recorder"))
    tapes: list[Tape] = []
    yield tapes
    none = np.zeros((0, 2), dtype=np.int64)
    tapes.append(
        Tape(
            request.steps,
            {name: np.stack(rows) for name, rows in found.items()},
            {group: _sorted(*np.concatenate([none, *kept]).T) for group, kept in spikes.items()},
        )
    )


CODE = """
namespace biospike {
struct Array { const char* name; const void* const* at; size_t size; int count; };
const Array arrays[] = {
@ARRAYS@
    {"", 0, 0, 0}
};
struct Column {
    const Array* array;
    bool spikes;
    std::vector<int32_t> index;
    FILE* file;
};
static std::vector<Column> columns;
static int64_t first, last, every;

static void stop(const std::string& what) {
    std::cerr << "record: " << what << std::endl;
    std::_Exit(1);
}

static void put(const Column& column, const void* from, size_t size, size_t count) {
    if (fwrite(from, size, count, column.file) != count) stop("a file cannot be written; is the disk full?");
}

static void look() {
    const int64_t now = brian::_array_defaultclock_timestep[0];
    if (now < first || now >= last) return;
    for (const Column& column : columns) {
        const size_t size = column.array->size;
        const char* from = (const char*)*column.array->at;
        if (column.spikes) {
            const int32_t* fired = (const int32_t*)from;
            for (int32_t k = 0; k < fired[column.index[0]]; k++) {
                const int64_t spike[2] = {now, fired[k]};
                put(column, spike, sizeof(spike), 1);
            }
        } else if ((now - first) % every == 0) {
            for (int32_t neuron : column.index) put(column, from + size*neuron, size, 1);
        }
    }
}

static void finish() {
    for (const Column& column : columns)
        if (fclose(column.file) != 0) stop("a file cannot be closed; is the disk full?");
    columns.clear();
}

// What to record, where a file says it.
static bool asked() {
    std::ifstream request("@FILE@");
    std::string kind, name;
    size_t count;
    if (!(request >> first >> last >> every)) return false;
    while (request >> kind >> name >> count) {
        Column column{arrays, kind == "spikes", std::vector<int32_t>(count), 0};
        for (int32_t& neuron : column.index) request >> neuron;
        while (column.array->at && name != column.array->name) column.array++;
        if (!column.array->at) stop("no array " + name);
        if (column.spikes) column.index.assign(1, column.array->count - 1);
        column.file = fopen(("record_" + std::to_string(columns.size())).c_str(), "wb");
        if (!column.file) stop("a file cannot be made");
        columns.push_back(column);
    }
    std::atexit(finish);
    return true;
}
}
"""

_ARRAY = re.compile(r"^extern \w[\w ]*\*\s?(_array_\w+);", re.MULTILINE)
_THRESHOLD = re.compile(r"^\s*(network\w*)\.add\((&\w+), \w+_thresholder_codeobject\);", re.MULTILINE)


def with_recorder(main: str, objects: str) -> str:
    """``main.cpp`` of a network that records what it is asked for, after the last of its thresholds.

    Parameters
    ----------
    main, objects
        Text of ``main.cpp`` and of ``objects.h``. A network without thresholds is left as it is.
    """
    places = list(_THRESHOLD.finditer(main))
    if not places:
        return main
    network, clock = places[-1].groups()
    names = _ARRAY.findall(objects)
    table = [f'    {{"{n}", (const void* const*)&brian::{n}, sizeof(*brian::{n}), brian::_num_{n}}},' for n in names]
    end = places[-1].end()
    main = f"{main[:end]}\n        if (biospike::asked()) {network}.add({clock}, biospike::look);{main[end:]}"
    code = CODE.replace("@ARRAYS@", "\n".join(table)).replace("@FILE@", FILE)
    return re.sub(r"^int main\(", lambda found: f"{code}\n{found[0]}", main, count=1, flags=re.MULTILINE)
