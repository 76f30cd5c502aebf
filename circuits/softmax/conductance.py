"""Conductance-based keys in a fluctuating background, inhibited by a barrage of synaptic events or by GABA_A.

What it relaxes: synapses are conductances with reversal potentials, whose fluctuations make the keys noisy::

    C dv_i/dt = g_leak*(v_leak - v_i) + g_e*(v_e - v_i) + g_i*(v_inh - v_i) + current_i,   v_i > v_threshold: reset
    tau dg/dt = mean - g + deviation*sqrt(2*tau)*xi,    for g_e and g_i of every neuron
    mean and deviation^2 of g_i times (1 + X), those of g_e raised by X*(what holds the barrage's reversal potential)
    dX/dt     = w*(a/M - R),     tau_inh da/dt = -a,    a += 1/tau_inh, `delay` after every spike of the row

The barrage is inhibition with nearly balanced excitation, event by event private to a neuron. Its reversal potential
lies `distance` standard deviations of the membrane (in the background alone) under the threshold. Far under it the
barrage subtracts; near it, it adds noise; at about 4 standard deviations both curvatures cancel, and it nearly
multiplies the rates. ``distance=None`` is plain GABA_A in the fixed background, which subtracts. A share of the
events, `common`, may be the same for all keys of the row.

Code: ``calibrated``: key i has the current at which it fires in proportion to exp(z_i) where the largest key fires at
half of R. ``linear``: current = b + kappa*(z_i - max z), kappa the inverse slope of ln(rate) at e^-2*R.

Mean field, `limit`: the rates f(current_i; X) sum to R, f the stationary solution of `biospike.theory.barrage` on a
grid of currents and levels; of the default parameters a stored table, of others computed in half a minute and kept
in the cache. It neglects the fluctuation of X and what common events do. No error law.

Assumptions: events are many and small (diffusion); X is at least -1/2, for what can be withdrawn is the background.
Valid range: rate up to 45 Hz; dt at most a twentieth of each synaptic time constant; w below the stability limit. In a
step the conductances are constant, and the membrane is integrated exactly. Ties: keys that cross in one step all
spike and all inhibit. Masked keys never spike.

References: Destexhe, Rudolph, Fellous and Sejnowski (2001), doi:10.1016/S0306-4522(01)00344-X (neuron and background);
Chance, Abbott and Reyes (2002), doi:10.1016/S0896-6273(02)00820-6 (barrage); Holt and Koch (1997) (GABA_A).
"""

from __future__ import annotations

import functools
import hashlib
import math
from importlib.resources import files
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import MOST_KEYS, MOST_MEMBERS, Batch, Circuit, Shape, check_multiple
from biospike.directories import cache_directory
from biospike.errors import InputError
from biospike.ideal.softmax import check_logits
from biospike.parameters import choice, number, optional_number, quantity, whole
from biospike.parts import kept
from biospike.random import normal
from biospike.roots import row_roots
from biospike.theory.barrage import SCHEME, Barrage, Surface, tabulate
from biospike.theory.conductance_rate import Background, ConductanceCell, free_membrane
from biospike.wiring import rows_of_keys
from circuits.softmax.subtracted import KAPPA_SHARE

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

KEYS = """
v                    : volt
g_e                  : siemens
g_i                  : siemens
current              : amp (constant)
unmasked             : boolean (constant)
mean_e               : siemens (linked)
mean_i               : siemens (linked)
kick_e               : siemens (linked)
kick_i               : siemens (linked)
keep_e               : 1 (shared, constant)   # exp(-dt/tau_e)
keep_i               : 1 (shared, constant)
capacitance          : farad (shared, constant)
g_leak               : siemens (shared, constant)
v_leak               : volt (shared, constant)
v_e                  : volt (shared, constant)
v_inh                : volt (shared, constant)
v_threshold          : volt (shared, constant)
v_reset              : volt (shared, constant)
t_ref                : second (shared, constant)
"""
PRIVATE = """
noise_e = normal(seed, trial, index, t_in_timesteps, 0)
noise_i = normal(seed, trial, index, t_in_timesteps, 1)
"""
# What the keys of a row share is drawn at the place of a row that no key has.
SHARED = """
noise_e = own*normal(seed, trial, index, t_in_timesteps, 0) + shared*normal(seed, trial, row_place, t_in_timesteps, 2)
noise_i = own*normal(seed, trial, index, t_in_timesteps, 1) + shared*normal(seed, trial, row_place, t_in_timesteps, 3)
"""
SHARED_KEYS = f"""
own                  : 1 (shared, constant)   # sqrt(1 - common)
shared               : 1 (shared, constant)   # sqrt(common)
row_place = (index % 2**44)//2**20*2**20 + {MOST_KEYS} : integer
"""
# The solutions over a step: of the conductances exactly, and of the membrane for conductances constant in the step.
STEP = """
g_e = mean_e + (g_e - mean_e)*keep_e + kick_e*noise_e
g_i = mean_i + (g_i - mean_i)*keep_i + kick_i*noise_i
total = g_leak + g_e + g_i
steady = (g_leak*v_leak + g_e*v_e + g_i*v_inh + current)/total
v += (steady - v)*(1 - exp(-dt*total/capacitance))*int(not_refractory)
"""
HUB = """
dX/dt        = w*(activity - R0)                              : 1
dactivity/dt = -activity/tau_inh                              : Hz
w                                                             : 1 (shared, constant)
R0                                                            : Hz (shared, constant)
tau_inh                                                       : second (shared, constant)
least                                                         : 1 (shared, constant)
mean_e                                                        : siemens
mean_i                                                        : siemens
kick_e                                                        : siemens
kick_i                                                        : siemens
own_e                                                         : siemens (shared, constant)    # of the background
own_i                                                         : siemens (shared, constant)
added_e                                                       : siemens (shared, constant)    # by a level of 1
added_i                                                       : siemens (shared, constant)
own_kick_e                                                    : siemens**2 (shared, constant)
own_kick_i                                                    : siemens**2 (shared, constant)
added_kick_e                                                  : siemens**2 (shared, constant)
added_kick_i                                                  : siemens**2 (shared, constant)
"""
HUB_STEP = """
level = clip(X, least, 1e9)
mean_e = own_e + level*added_e
mean_i = own_i + level*added_i
kick_e = sqrt(own_kick_e + level*added_kick_e)
kick_i = sqrt(own_kick_i + level*added_kick_i)
"""

CALIBRATED_AT = 0.5
"""Share of the largest key at which the code is calibrated."""
LEAST_LEVEL = -0.5
"""Of the background's inhibitory events at most half can be withdrawn."""


@attrs.frozen(kw_only=True)
class Conductance(Circuit):
    """Conductance-based keys under a barrage, or under GABA_A.

    Parameters
    ----------
    members
        M, neurons of a key.
    rate
        R, the rate that a neuron would have alone in its row.
    distance
        Of the barrage's reversal potential under the threshold, in standard deviations of the membrane in the
        background; None for GABA_A.
    code
        ``calibrated`` or ``linear``; see the module.
    common
        Share of the fluctuations that all keys of a row have in common.
    w
        Level that one spike of every neuron of a key adds, in the end.
    tau_inh, delay
        Time constant of the inhibitory population, and the delay with which it hears of a spike.
    capacitance, g_leak, v_leak
        Membrane.
    v_e, v_inh, tau_e, tau_i
        Reversal potentials and time constants of the synapses.
    mean_e, deviation_e, mean_i, deviation_i
        Conductances of the background.
    v_threshold, v_reset, refractory
        Of a spike.
    dt
        Grid.
    """

    name: ClassVar[str] = "conductance"
    group: ClassVar[str] = "microcircuit"
    references: ClassVar[tuple[str, ...]] = ("guo2026", "destexhe2001", "chance2002", "holt1997")
    inhibition: ClassVar[str] = "X"
    threshold: ClassVar[float] = -50.0
    structural: ClassVar[tuple[str, ...]] = ("delay", "common")
    members: int = whole(16, minimum=1, maximum=MOST_MEMBERS)
    rate: Quantity = quantity(40 * b2.Hz, above=0 * b2.Hz)
    distance: float | None = optional_number(4.0, minimum=0.1)
    code: str = choice("calibrated", "calibrated", "linear")
    common: float = number(0.0, minimum=0.0, maximum=1.0)
    w: float = number(0.02, above=0.0)
    tau_inh: Quantity = quantity(10 * b2.ms, above=0 * b2.ms)
    delay: Quantity = quantity(1 * b2.ms, minimum=0 * b2.ms)
    capacitance: Quantity = quantity(346.36 * b2.pF, above=0 * b2.pF)
    g_leak: Quantity = quantity(15.586 * b2.nS, above=0 * b2.nS)
    v_leak: Quantity = quantity(-80 * b2.mV)
    v_e: Quantity = quantity(0 * b2.mV)
    v_inh: Quantity = quantity(-75 * b2.mV)
    tau_e: Quantity = quantity(2.728 * b2.ms, above=0 * b2.ms)
    tau_i: Quantity = quantity(10.49 * b2.ms, above=0 * b2.ms)
    mean_e: Quantity = quantity(12.1 * b2.nS, above=0 * b2.nS)
    deviation_e: Quantity = quantity(3 * b2.nS, above=0 * b2.nS)
    mean_i: Quantity = quantity(57.3 * b2.nS, above=0 * b2.nS)
    deviation_i: Quantity = quantity(6.6 * b2.nS, above=0 * b2.nS)
    v_threshold: Quantity = quantity(-50 * b2.mV)
    v_reset: Quantity = quantity(-60 * b2.mV)
    refractory: Quantity = quantity(2 * b2.ms, minimum=0 * b2.ms)

    def __attrs_post_init__(self) -> None:
        for name, bound in (("v_reset", self.v_reset), ("v_inh", self.v_inh)):
            if not self.v_e > self.v_threshold > bound:
                raise InputError(
                    f"Conductance: v_threshold must lie between {name} = {bound} and v_e = {self.v_e}, "
                    f"got {self.v_threshold}"
                )
        _ = self.barrage  # its reversal potential is checked

    @property
    def barrage(self) -> Barrage:
        """A neuron and what inhibits it. Brian2's refractory period on the grid lasts one step less."""
        names = ("capacitance", "g_leak", "v_leak", "v_e", "tau_e", "tau_i", "v_threshold", "v_reset")
        cell = ConductanceCell(
            v_i=float(self.v_inh),
            refractory=max(float(self.refractory - self.dt), 0.0),
            **{name: float(getattr(self, name)) for name in names},
        )
        background = Background(
            **{name: float(getattr(self, name)) for name in ("mean_e", "deviation_e", "mean_i", "deviation_i")}
        )
        deviation = free_membrane(cell, background, 0.0)[1]
        under = None if self.distance is None else cell.v_threshold - self.distance * deviation
        return Barrage(cell=cell, background=background, v_barrage=under)

    def surface(self) -> Surface:
        """Rate of a key over current and level: stored, or computed once and kept."""
        return _surface(self.barrage)

    def check(self, dt: Quantity) -> None:
        """Require times on the grid, a step that resolves the conductances, a rate in the table and a stable loop."""
        check_multiple(self.name, "refractory", self.refractory, dt)
        check_multiple(self.name, "delay", self.delay, dt)
        shortest = min(self.tau_e, self.tau_i)
        if dt > shortest / 20 * (1 + 1e-9):
            raise InputError(
                f"{self.name}: dt = {dt} is too coarse for a conductance: at most {(shortest / 20).in_best_unit()}, "
                "a twentieth of its time constant"
            )
        surface = self.surface()
        highest = math.exp(surface.log_rates[0, -1])
        if float(self.rate) > highest:
            raise InputError(
                f"{self.name}: rate must be at most {highest:.3g} Hz, where the table ends, got {self.rate}"
            )
        steepest = -surface.slope(0.0, float(surface.current_at(0.0, np.log(float(self.rate)))))
        limit = 1 / (steepest * float(self.rate * (self.tau_inh + self.capacitance / self.g_leak + self.delay)))
        if self.w > limit:
            raise InputError(
                f"{self.name}: w must be at most {limit:.3g} at rate = {self.rate} for inhibition not to overshoot, "
                f"got {self.w:g}"
            )

    def check_rows(self, logits: Array, dt: Quantity) -> None:
        """Require that the inhibition of every row is in the table."""
        self.mean_field(logits)

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        shared = self.common > 0
        return rows_of_keys(
            KEYS + (SHARED_KEYS if shared else ""),
            hub=HUB,
            on_spike="activity_post += 1/tau_inh_post",
            threshold="v > v_threshold and unmasked",
            reset="v = v_reset",
            linked=("mean_e", "mean_i", "kick_e", "kick_i"),
            each_step=(SHARED if shared else PRIVATE) + STEP,
            hub_each_step=HUB_STEP,
            hub_method="rk4",
            refractory="t_ref",
            delay=self.delay,
            shape=shape,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Inhibition starts in balance, conductances stationary, membranes as without threshold, held under it."""
        current, level, _ = self.mean_field(batch.logits)
        own, (added_e, variance_e, added_i, variance_i) = self.barrage.background, self.barrage.growth
        deviation_e = np.sqrt(own.deviation_e**2 + level * variance_e)[:, None, None]
        deviation_i = np.sqrt(own.deviation_i**2 + level * variance_i)[:, None, None]
        address = batch.member_address(self.members)
        g_e = (own.mean_e + level * added_e)[:, None, None] + deviation_e * normal(*address, -1)
        g_i = (own.mean_i + level * added_i)[:, None, None] + deviation_i * normal(*address, -2)
        leak, reset = float(self.g_leak), float(self.v_reset)
        rest = leak * float(self.v_leak) + g_e * float(self.v_e) + g_i * float(self.v_inh) + current[..., None]
        steady = rest / (leak + g_e + g_i)
        # Keys whose membrane would lie above the threshold have just spiked.
        v = np.where(steady < float(self.v_threshold), steady, reset)
        keep_e, keep_i = (math.exp(-float(dt / tau)) for tau in (self.tau_e, self.tau_i))
        names = ("capacitance", "g_leak", "v_leak", "v_e", "v_inh", "v_threshold", "v_reset")
        mixed = {"keys.own": math.sqrt(1 - self.common), "keys.shared": math.sqrt(self.common)}
        return {
            "keys.current": current,
            "keys.unmasked": ~np.isnan(batch.logits),
            "keys.v": v,
            "keys.g_e": g_e,
            "keys.g_i": g_i,
            "keys.keep_e": keep_e,
            "keys.keep_i": keep_i,
            "keys.t_ref": float(self.refractory),
            **{f"keys.{name}": float(getattr(self, name)) for name in names},
            **(mixed if self.common > 0 else {}),
            "hub.X": level,
            "hub.activity": self.members * float(self.rate),
            "hub.w": self.w / self.members,
            "hub.R0": self.members * float(self.rate),
            "hub.tau_inh": float(self.tau_inh),
            "hub.least": LEAST_LEVEL,
            "hub.own_e": own.mean_e,
            "hub.own_i": own.mean_i,
            "hub.added_e": added_e,
            "hub.added_i": added_i,
            "hub.own_kick_e": own.deviation_e**2 * (1 - keep_e**2),
            "hub.own_kick_i": own.deviation_i**2 * (1 - keep_i**2),
            "hub.added_kick_e": variance_e * (1 - keep_e**2),
            "hub.added_kick_i": variance_i * (1 - keep_i**2),
        }

    def mean_field(self, logits: Array) -> tuple[Array, Array, Array]:
        """Self-consistent state of rows (rows, keys).

        Returns
        -------
        current, level, rates
            Ampere (rows, keys); X (rows,); rates (rows, keys) of one neuron of each key, Hz.

        Raises
        ------
        InputError
            If a row needs more inhibition than the table reaches.
        """
        surface, rate = self.surface(), float(self.rate)
        current, level, rates = balance(surface, rate, self.code, logits)
        if np.any(too_strong := rates.sum(axis=1) > 1.01 * rate):
            raise InputError(
                f"{self.name}: row {int(np.flatnonzero(too_strong)[0])} has so many strong keys that it needs "
                f"more than the largest inhibition of the table, {surface.levels[-1]:.3g} times the background's"
            )
        return current, level, rates

    def limit(self, logits: Array) -> Array:
        """Shares of the mean field."""
        _, _, rates = self.mean_field(check_logits(logits))
        return np.asarray(rates / rates.sum(axis=1, keepdims=True))


def balance(surface: Surface, rate: float, code: str, logits: Array) -> tuple[Array, Array, Array]:
    """Current (rows, keys), level (rows,) and rates (rows, keys), Hz, at which every row fires at `rate`, Hz.

    The currents are those of the `code`; see the module. A row that the highest level does not hold gets that.
    """
    live = ~np.isnan(logits)
    top = np.where(live, logits, -np.inf).max(axis=1, keepdims=True)
    below = np.where(live, logits - np.where(np.isfinite(top), top, 0), 0)
    alone = float(surface.current_at(0.0, np.log(rate)))
    if code == "calibrated":
        reference = math.log(rate * CALIBRATED_AT)
        current = surface.current_at(surface.level_at(alone, reference), reference + below)
    else:
        near = surface.current_at(0.0, np.log(rate * KAPPA_SHARE) + np.array([-0.1, 0.1]))
        current = alone + (near[1] - near[0]) / 0.2 * below

    def rates(level: Array, row: Any) -> Array:
        return np.where(live[row], np.exp(surface.log_rate(level[:, None], current[row])), 0)

    zero = np.zeros(len(current))
    level = row_roots(lambda x, row: rates(x, row).sum(axis=1) - rate, zero, zero + surface.levels[-1])
    return current, level, rates(level, np.arange(len(current)))


@functools.lru_cache(maxsize=32)
def _surface(barrage: Barrage) -> Surface:
    stored = _stored()
    if stored is not None and stored[0] == barrage:
        return stored[1]
    name = hashlib.sha256(repr((attrs.asdict(barrage), SCHEME)).encode()).hexdigest()
    found = kept(cache_directory() / "surfaces", name, lambda: tabulate(barrage).arrays)
    return Surface(**found)


@functools.cache
def _stored() -> tuple[Barrage, Surface] | None:
    """The stored table, and what it belongs to; ``validation/data/measure_curves.py`` writes it."""
    path = files(__package__) / "curves" / "conductance.csv"
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    told = {key[2:]: float(value) for key, _, value in (one.partition(" = ") for one in lines if " = " in one)}
    cell = ConductanceCell(**{field.name: told[field.name] for field in attrs.fields(ConductanceCell)})
    background = Background(**{field.name: told[field.name] for field in attrs.fields(Background)})
    levels, currents, log_rates = np.array([one.split(",") for one in lines if one[0] in "-0123456789"], dtype=float).T
    axes = np.unique(levels), np.unique(currents)
    surface = Surface(*axes, log_rates.reshape(len(axes[0]), len(axes[1])))
    return Barrage(cell=cell, background=background, v_barrage=told["v_barrage"]), surface
