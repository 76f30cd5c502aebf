"""Neurons in the place of a block's own: other conventions, the frameworks', membranes, and deliberate mutants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from biospike.errors import InputError
from biospike.ideal.attention import Fire, SpikingBertAttention, fire
from biospike.ideal.attention.layers import Reals, Spikes
from biospike.ideal.frameworks import (
    FRAMEWORKS,
    available,
    difference,
    framework_attention,
    framework_neuron,
    shipped_attention,
    versions,
)
from biospike.ideal.frameworks.snntorch import nearest
from biospike.ideal.lif import DiscreteLIF, Paper, SpikingJellyHard, SpikingJellySoft
from biospike.ideal.softmax import softmax
from circuits.transformers.block import TransformerCircuit
from circuits.transformers.membranes import Membranes
from circuits.transformers.tape import DT as STEP
from validation.frameworks.measures import Stages, spiking, stages
from validation.study.options import member

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

IDENTITY = "identity"
MUTANTS = ("strict >", "soft reset")
STEPS = (1.0, 0.1, 0.01)
"""Steps at which the membranes are integrated, ms."""


@attrs.frozen(kw_only=True, eq=False)
class Stand:
    """One way to run a block that is held against the reference.

    Attributes
    ----------
    framework, version, convention : str
        As in the table.
    dt_ms : float
        Step of the simulation.
    expected : str
        `IDENTITY` where no spike may differ, otherwise the reason why some do.
    run : callable
        (block, x) -> stages, and the membranes if it has any.
    """

    framework: str
    version: str
    convention: str
    dt_ms: float
    expected: str
    run: Callable[[Any, Any], tuple[Stages, Membranes | None]]


def replaced(change: Callable[[DiscreteLIF], tuple[DiscreteLIF, float]], run: Fire = fire) -> Fire:
    """Neurons of another convention: `change` gives the convention, and the factor of the current."""

    def neurons(kind: DiscreteLIF, currents: Reals) -> Spikes:
        other, factor = change(kind)
        return run(other, factor * currents)

    return neurons


def strict(kind: DiscreteLIF) -> tuple[DiscreteLIF, float]:
    """Mutant: a membrane exactly at the threshold is silent."""
    given: Any = kind
    return attrs.evolve(given, v_th=float(np.nextafter(given.v_th, np.inf))), 1.0


def soft(kind: DiscreteLIF) -> tuple[DiscreteLIF, float]:
    """Mutant: the threshold is subtracted where the published neuron is set to zero, and the other way round."""
    other = SpikingJellyHard if isinstance(kind, SpikingJellySoft) else SpikingJellySoft
    given: Any = kind
    return other(tau=given.tau, v_th=given.v_th, decay_input=given.decay_input), 1.0


def paper(kind: Any) -> tuple[DiscreteLIF, float]:
    """The paper's neuron with the same decay and threshold."""
    return Paper(beta=1 - 1 / kind.tau, v_th=kind.v_th), 1 / kind.tau if kind.decay_input else 1.0


def leaky(kind: DiscreteLIF, *, reset: str, inclusive: bool = False) -> tuple[DiscreteLIF, float]:
    """The Leaky of snnTorch that comes nearest; `inclusive` takes the float below its threshold: > is then >=."""
    other, factor = nearest(kind, reset)
    return (attrs.evolve(other, thr=float(np.nextafter(other.thr, 0))) if inclusive else other), factor


def neuron_of(framework: str) -> Fire:
    """The framework's own neuron in float64."""

    def neurons(kind: DiscreteLIF, currents: Reals) -> Spikes:
        rows = np.asarray(currents, dtype=float).reshape(len(currents), -1)
        return framework_neuron(framework, kind, rows, dtype="float64")[0].reshape(np.shape(currents))

    return neurons


def within(neurons: Fire) -> Callable[[Any, Any], tuple[Stages, None]]:
    """Run the reference block with other neurons."""
    return lambda block, x: (stages(block.run(x, neurons=neurons)), None)


def membranes(dt: float, refractory: Quantity) -> Callable[[Any, Any], tuple[Stages, Membranes]]:
    """Run the reference block with membranes integrated at `dt` ms."""

    def run(block: Any, x: Any) -> tuple[Stages, Membranes]:
        neurons = Membranes(dt=dt * b2.ms, refractory=refractory)
        return stages(block.run(x, neurons=neurons)), neurons

    return run


def layer_of(framework: str, dtype: str) -> Callable[[Any, Any], tuple[Stages, None]]:
    """Run the framework's own layer, or its neurons between torch's products."""
    return lambda block, x: (framework_attention(framework, block, x, dtype=dtype), None)


def averaged(block: SpikingBertAttention, x: Any) -> tuple[Stages, None]:
    """Run SpikingBERT, and replace its probabilities by the softmax of the scores' average over time."""
    found = stages(block.run(x))
    found["probabilities"] = np.broadcast_to(softmax(found["scores"].mean(axis=0)), found["scores"].shape)
    return found, None


def network(circuit: type[TransformerCircuit], target: str) -> Callable[[Any, Any], tuple[Stages, None]]:
    """Run the Brian2 network."""
    return lambda block, x: (spiking(circuit(block).run(x, target)), None)


def stands(block: Any, circuit: type[TransformerCircuit], target: str, frameworks: tuple[str, ...]) -> list[Stand]:
    """Every way to run a block, the deliberate mutants last."""
    step = float(STEP / b2.ms)
    brian = b2.__version__
    found = [
        Stand(framework="brian2", version=brian, convention=f"discrete network, {target}", dt_ms=step,
              expected=IDENTITY, run=network(circuit, target)),
        Stand(framework="formula", version="", convention="the paper's neuron", dt_ms=step,
              expected="the paper subtracts the threshold, after the next decay", run=within(replaced(paper))),
    ]  # fmt: skip
    if isinstance(block, SpikingBertAttention):
        found.append(
            Stand(framework="formula", version="", convention="softmax of the average scores", dt_ms=step,
                  expected="the exponential of a fluctuating score is convex", run=averaged)
        )  # fmt: skip
    if "spikingjelly" in frameworks:
        found += _spikingjelly(block, step)
    if "snntorch" in frameworks:
        found += _snntorch(step)
    for refractory in (STEP, 0 * b2.ms):
        hold = float(refractory / b2.ms)
        found += [
            Stand(
                framework="biophysical", version=brian, convention=f"membrane, refractory {hold:g} ms", dt_ms=dt,
                expected=IDENTITY if dt == step else "crosses the threshold inside a timestep",
                run=membranes(dt, refractory),
            )
            for dt in STEPS
        ]  # fmt: skip
    for convention, change in zip(MUTANTS, (strict, soft), strict=True):
        found.append(
            Stand(framework="mutant", version="", convention=convention, dt_ms=step, expected="deliberate mutant",
                  run=within(replaced(change)))
        )  # fmt: skip
    return found


def _spikingjelly(block: Any, step: float) -> list[Stand]:
    version = versions()["spikingjelly"]
    rounding = "a membrane within the rounding of float32 of the threshold"
    # Without a layer of its own the products are torch's, which add in another order.
    whole = IDENTITY if type(block).__name__ in shipped_attention("spikingjelly") else difference("spikingjelly", block)
    return [
        Stand(framework="spikingjelly", version=version, convention="its neurons, float64", dt_ms=step,
              expected=IDENTITY, run=within(neuron_of("spikingjelly"))),
        Stand(framework="spikingjelly", version=version, convention="its block, float64", dt_ms=step,
              expected=whole, run=layer_of("spikingjelly", "float64")),
        Stand(framework="spikingjelly", version=version, convention="its block, float32", dt_ms=step,
              expected=rounding, run=layer_of("spikingjelly", "float32")),
    ]  # fmt: skip


def _snntorch(step: float) -> list[Stand]:
    version, own = versions()["snntorch"], neuron_of("snntorch")

    def within_leaky(reset: str, inclusive: bool = False) -> Callable[[Any, Any], tuple[Stages, None]]:
        return within(replaced(lambda kind: leaky(kind, reset=reset, inclusive=inclusive), own))

    return [
        Stand(framework="snntorch", version=version, convention="Leaky, threshold one float below", dt_ms=step,
              expected=IDENTITY, run=within_leaky("zero", inclusive=True)),
        Stand(framework="snntorch", version=version, convention="Leaky, reset to zero", dt_ms=step,
              expected="strict > at the threshold", run=within_leaky("zero")),
        Stand(framework="snntorch", version=version, convention="Leaky, reset by subtraction", dt_ms=step,
              expected="strict >, and the threshold is subtracted after the next decay",
              run=within_leaky("subtract")),
    ]  # fmt: skip


def chosen_frameworks(names: tuple[str, ...] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Frameworks to run and those that are missing; all that are installed if `names` is None.

    Raises
    ------
    InputError
        If one that was asked for is unknown or not installed.
    """
    if names is None:
        here = tuple(name for name in FRAMEWORKS if available(name))
        return here, tuple(name for name in FRAMEWORKS if name not in here)
    for name in names:
        member("--frameworks", name, FRAMEWORKS)
        if not available(name):
            raise InputError(f"--frameworks {name}: it is not installed: pip install 'biospike[ml]'")
    return tuple(names), ()
