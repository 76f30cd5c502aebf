"""What a normalisation circuit is: structure, state, limit and error law.

A circuit turns the logits of a row into spikes of one neuron a key, coupled only through one hub a row. Its
*structure* (`Circuit.build`) depends on nothing but the number of rows and keys; every number that a user may vary
is *state* (`Circuit.state`), so one compiled network serves all logits, seeds, trials and parameter values.
"""

from __future__ import annotations

import abc
import copy
import importlib
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.parameters import quantity, to_plain

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

KEY_STRIDE = 2**20
"""Random numbers are indexed by row*KEY_STRIDE + key, so padding and batching never shift them."""
MOST_KEYS = KEY_STRIDE - 1
"""Keys of a row: the last place of every row is kept free."""
MOST_ROWS = 2**63 // KEY_STRIDE
"""Rows of a study: the index is an integer of 64 bits."""
MEMBER_STRIDE = 2**44
"""Member j of a population draws at its key's index plus j*MEMBER_STRIDE; interneurons have the last place of a row."""
MOST_MEMBERS = 2**63 // MEMBER_STRIDE
"""Neurons of a population."""
MOST_POPULATED_ROWS = MEMBER_STRIDE // KEY_STRIDE
"""Rows of a study whose keys or rows are populations: further ones would draw the numbers of other members."""
MOST_INDICES = 2**31 - 1
"""Neurons of a group and synapses of a projection: Brian2 numbers them with 32 bits."""


@attrs.frozen
class Source:
    """Where the drive of the keys comes from: what a circuit's equations are completed by.

    The default is logits given as numbers. In an attention block the drive is that of a membrane which coincidences
    charge, and these are the equations of that membrane and of its row.

    Attributes
    ----------
    keys, hub : str
        Equations added to those of the keys, where they define ``drive``, and of the hubs.
    on_spike : str
        What else a key's spike does to its hub.
    linked : tuple of str
        Variables of the hub that the equations of the keys read.
    """

    keys: str = "drive : Hz (constant)   # R0*exp(z_i - max z)"
    hub: str = ""
    on_spike: str = ""
    linked: tuple[str, ...] = ()


@attrs.frozen(eq=False)
class Shape:
    """Size of a network, and which row every key neuron belongs to.

    Attributes
    ----------
    rows, keys : int
        Hubs, and key neurons of all rows together.
    checkpoints : int
        How many cumulative counts are kept.
    hub_index : ndarray (keys,) of int, optional
        Row of each key. None: a compiled network reads it when it starts, so that one binary serves rows of any length.
    source : Source
        Where the drive of the keys comes from.
    prefix : str
        Put before the names of the groups.
    """

    rows: int
    keys: int
    checkpoints: int
    hub_index: NDArray[np.int64] | None = attrs.field(default=None, kw_only=True)
    source: Source = attrs.field(default=Source(), kw_only=True)
    prefix: str = attrs.field(default="", kw_only=True)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """What is compiled in."""
        return self.rows, self.keys, self.checkpoints


@attrs.frozen(eq=False)
class Batch:
    """Rows that are simulated side by side in one group.

    Attributes
    ----------
    logits : ndarray (rows, keys)
        Nats; NaN masks a key. A row without keys is padding: it must stay silent.
    trial, row : ndarray (rows,) of int
        Which trial and which row of the study each is; with the key they address the random numbers.
    seed : int
    shift : ndarray (rows,) or float
        Nats by which the logits of a row lie above the reference of its drive, which is else its largest logit.
    """

    logits: NDArray[np.float64]
    trial: NDArray[np.int64]
    row: NDArray[np.int64]
    seed: int
    shift: NDArray[np.float64] | float = 0.0

    @property
    def padding(self) -> NDArray[np.bool_]:
        """Rows without keys, shape (rows,)."""
        return np.asarray(np.isnan(self.logits).all(axis=1))

    @property
    def drive(self) -> NDArray[np.float64]:
        """e_i = exp(z_i - max z + shift), shape (rows, keys); exactly 0 for masked keys."""
        return relative_exponential(self.logits) * np.exp(np.reshape(self.shift, (-1, 1)))

    @property
    def index(self) -> NDArray[np.int64]:
        """Address of every key's random numbers within its trial, shape (rows, keys)."""
        return self.row[:, None] * KEY_STRIDE + np.arange(self.logits.shape[1])

    @property
    def address(self) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
        """Seed, trial and index, as the variates of `biospike.random` take them, broadcasting to (rows, keys)."""
        return self.seed, self.trial[:, None], self.index

    def member_address(self, members: int) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
        """As `address`, of so many neurons a key, broadcasting to (rows, keys, members)."""
        return self.seed, self.trial[:, None, None], self.index[..., None] + np.arange(members) * MEMBER_STRIDE

    def interneuron_address(self, members: int) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
        """As `address`, of so many interneurons a row, broadcasting to (rows, members): of a key that no row has."""
        slot = self.row[:, None] * KEY_STRIDE + MOST_KEYS
        return self.seed, self.trial[:, None], slot + np.arange(members) * MEMBER_STRIDE


def relative_exponential(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp(z_i - max z) along the last axis, exactly 0 where z is NaN; rows without keys give zeros."""
    finite = np.where(np.isnan(logits), -np.inf, logits)
    top = finite.max(axis=-1, keepdims=True)
    return np.exp(finite - np.where(np.isfinite(top), top, 0.0))


@attrs.frozen(kw_only=True)
class Circuit(abc.ABC):
    """Base of the normalisation circuits: a frozen set of parameters with units.

    Subclasses give `name`, `build` and `state`, the default of `dt`, their grid, and where they are known `limit` and
    `expected_tv`.
    """

    name: ClassVar[str]
    membrane: ClassVar[str] = "v"
    """Variable of the keys that a raster shows."""
    inhibition: ClassVar[str]
    """Variable of the hub that a raster shows."""
    threshold: ClassVar[float] = float("nan")
    """Level of the membrane at which a key spikes, as a raster draws it (mV if in volts); NaN if it varies."""
    structural: ClassVar[tuple[str, ...]] = ()
    """Parameters that `build` reads, hence part of the build's identity."""
    fused: ClassVar[str | None] = None
    """Kernel of `biospike.fused` that finds the spikes of `build`, of this very class and not of those derived from it:
    None for no kernel."""
    group: ClassVar[str] = "circuit"
    """Of the registry: ``circuit``, ``control`` or ``microcircuit``."""
    references: ClassVar[tuple[str, ...]] = ()
    """Keys of ``references.bib``: what to cite besides the project itself."""
    dt: Quantity = quantity(0.1 * b2.ms, above=0 * b2.ms)

    @property
    def members(self) -> int:
        """Neurons of a key; a circuit of populations has a field of this name."""
        return 1

    @property
    def interneurons(self) -> int:
        """Spiking interneurons of a row; a circuit that builds them has a field of this name."""
        return 0

    @property
    def structure(self) -> dict[str, Any]:
        """Values of the `structural` parameters."""
        values = to_plain(self)
        return {name: values[name] for name in self.structural}

    def check(self, dt: Quantity) -> None:  # noqa: B027  (not every circuit has something to check)
        """Raise `InputError` if the parameters do not fit together or the step `dt` is too coarse for them."""

    def check_rows(self, logits: NDArray[np.float64], dt: Quantity) -> None:  # noqa: B027
        """Raise `InputError`, naming the row, if the circuit does not do what it says for these logits.

        Parameters
        ----------
        logits : ndarray (rows, keys)
            Nats; NaN masks a key.
        dt
            Step.
        """

    def check_pinned(self, w: float, dt: Quantity) -> None:  # noqa: B027
        """Raise `InputError` if the circuit cannot normalise rows whose rate a reference potential holds at ``rate``.

        That is what `circuits.attention` does in the place of `check_rows`: its logits are not known beforehand.

        Parameters
        ----------
        w
            Nats by which a spike of the row raises the reference.
        dt
            Step.
        """

    @abc.abstractmethod
    def build(self, shape: Shape) -> b2.Network:
        """Network with groups named ``keys`` and ``hub``; runs nothing.

        Its objects have the default clock of the session that builds it: inside `biospike.runtime.preferences`, where
        all runs of ours are built, one that nobody else has.
        """

    @abc.abstractmethod
    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Values in SI base units of every variable ``group.name`` that the circuit starts from.

        Those of ``keys`` are numbers or have the shape (rows, keys) of the batch, or (rows, keys, members) if keys are
        populations; those of ``hub`` (rows,), and those of ``interneurons`` (rows,) or (rows, interneurons).
        """

    def limit(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shares (rows, keys) as the window grows, 0 for masked keys; each row sums to one.

        NaN throughout where no limit is known, as here: tables then leave `limit_tv` and the error law empty.
        """
        return np.full(np.shape(logits), np.nan)

    def expected_tv(
        self, p: NDArray[np.float64], spikes: NDArray[np.float64], target: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64] | None:
        """Error law: E[TV] of the shares of `spikes` spikes from `target`.

        Parameters
        ----------
        p : ndarray (..., keys)
            Limit of the shares, about which they scatter.
        spikes : ndarray (...)
            Output spikes of the row.
        target : ndarray (..., keys), optional
            What the shares are compared with; default their limit. It matters only to circuits whose limit is biased.

        Returns
        -------
        ndarray (...) or None
            None where no law is known.
        """
        return None

    def pinned_tv(self, p: NDArray[np.float64], spikes: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """As `expected_tv`, of rows whose rate a reference potential holds at ``rate``, whatever their logits."""
        return self.expected_tv(p, spikes)


def build_watched(circuit: Circuit, shape: Shape) -> tuple[b2.Network, set[str]]:
    """Network of a circuit, and the parameters that `Circuit.build` read but `Circuit.structural` does not name.

    A binary is known by the structural parameters: it would pass for that of every other value of the rest.
    """
    read: set[str] = set()

    def watch(self: Any, name: str) -> Any:
        read.add(name)
        return object.__getattribute__(self, name)

    kind = type(circuit)
    watched = copy.copy(circuit)
    # Without slots of its own a class has the layout of its base, so that an object may change over.
    object.__setattr__(watched, "__class__", type(kind.__name__, (kind,), {"__slots__": (), "__getattribute__": watch}))
    network = watched.build(shape)
    return network, {field.name for field in attrs.fields(kind)} & read - set(circuit.structural)


def check_rate(name: str, rate: Quantity, dt: Quantity, largest: float = 0.1) -> None:
    """Raise `InputError` if rate*dt exceeds `largest`: a key can spike only once a step."""
    if float(rate * dt) > largest * (1 + 1e-9):
        raise InputError(
            f"{name}: dt = {dt} is too coarse for rate = {rate}: rate*dt must be at most {largest}, "
            f"so dt at most {(largest / rate).in_best_unit()}"
        )


def check_rows(rows: int, keys: int, members: int = 1, interneurons: int = 0) -> None:
    """Raise `InputError` if there are more rows, keys or members than random numbers have addresses for."""
    if keys > MOST_KEYS:
        raise InputError(f"rows may have at most {MOST_KEYS} keys, got {keys}")
    if max(members, interneurons) > MOST_MEMBERS:
        raise InputError(
            f"a population may have at most {MOST_MEMBERS} neurons, got members = {members}, "
            f"interneurons = {interneurons}"
        )
    populated = members > 1 or interneurons > 0
    most = MOST_POPULATED_ROWS if populated else MOST_ROWS
    if rows > most:
        raise InputError(f"a study{' of populations' * populated} may have at most {most} rows, got {rows}")


def check_indices(count: int, what: str) -> None:
    """Raise `InputError` if Brian2 cannot number so many neurons or synapses."""
    if count > MOST_INDICES:
        raise InputError(f"{what}: at most {MOST_INDICES} can be numbered, got {count}")


def check_multiple(name: str, field: str, value: Quantity, dt: Quantity) -> None:
    """Raise `InputError` if a time is not a whole number of steps."""
    steps = float(value / dt)
    if abs(steps - round(steps)) > 1e-6:
        raise InputError(f"{name}: {field} = {value} must be a multiple of dt = {dt}")


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return what `biospike.wiring` has taken over, for circuits that import it from here."""
        wiring = importlib.import_module("biospike.wiring")
        if name.startswith("_") or not hasattr(wiring, name):
            raise AttributeError(f"module 'biospike.circuit' has no attribute {name!r}")
        return getattr(wiring, name)
