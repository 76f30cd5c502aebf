"""How each exporter writes its neurons as nodes of the Neuromorphic Intermediate Representation, and what they were.

A node of NIR has physical parameters: tau dv/dt = v_leak - v + r*I. What a step of it is, it does not say, and each
exporter means its own. With dt the timestep that the exporter was given:

========================== ================================================= =======================================
source                     writes                                            as
========================== ================================================= =======================================
snntorch                   Leaky: tau = dt/(1 - beta), r = tau/dt            `SnnTorch`; its dt is always 1e-4
spikingjelly               LIFNode: tau*dt, r = 1, or tau without            `SpikingJellyHard`; dt is 1e-4 by default
                           decay_input; IFNode: r = 1/dt
norse                      LIFBoxCell: dt/tau_mem_inv; LIFCell the same as   `NorseBox`, `Norse`; dt is the timestep of
                           CubaLIF, dt/tau_syn_inv                           the cells too
norse dt=1                 as above, exported with dt=1: seconds             the same
sinabs norm_input=True     LIF: tau in steps, nothing of norm_input; IF      `Sinabs`; dt must be 1
sinabs norm_input=False    the same
========================== ================================================= =======================================

Parameters come back as the shortest decimal that the exporter writes as the number in the file.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.ideal.framework_lif import Norse, NorseBox, Sinabs
from biospike.ideal.lif import DiscreteLIF, SnnTorch, SpikingJellyHard

Array = NDArray[Any]
Node = Mapping[str, Array]
Kinds = list[DiscreteLIF]

CLOSE = 1e-5
"""Relative difference of two parameters that an exporter makes of one another, rounded to float32."""


def shortest(stored: Any, guess: float, *written: Callable[[Any], Any]) -> float:
    """Shortest decimal near `guess` that one of the formulas of an exporter turns into the stored number.

    Formulas compute in the precision of the file. The guess itself if there is no such decimal.
    """
    kind = stored.dtype.type
    with np.errstate(all="ignore"):
        for digits in range(1, 18):
            value = float(f"{guess:.{digits}g}")
            if any(kind(formula(kind(value))) == stored for formula in written):
                return value
    return guess


def plain(stored: Any) -> float:
    """A number of a file as the shortest decimal that has its value in the file's precision."""
    return float(str(stored))


def _refuse_unless(right: Array | bool, what: str) -> None:
    if not np.all(right):
        raise InputError(what)


def _reset(given: str, *accepted: str) -> None:
    if given not in accepted:
        wanted = " or ".join(f"reset={one!r}" for one in accepted)
        raise InputError(f"its neurons cannot have reset={given!r}; pass {wanted}")


def _at_zero(node: Node, *names: str) -> None:
    for name in names:
        if name in node:
            _refuse_unless(node[name] == 0, f"{name} is {np.max(node[name]):g} and must be 0")


def _near(found: Array, expected: Array | float, what: str) -> None:
    wrong = ~np.isclose(found, expected, rtol=CLOSE, atol=0)
    if wrong.any():
        of = np.broadcast_to(np.asarray(expected, float), found.shape)[wrong][0]
        raise InputError(f"{what.format(found=found[wrong][0], expected=of)}")


def snntorch(kind: str, node: Node, dt: float, reset: str) -> Kinds:
    """Leaky."""
    _reset(reset, "subtract", "zero")
    if kind != "LIF":
        raise InputError(f"a {kind} of snntorch is none of the neurons that are known here; accepted is LIF, of Leaky")
    _at_zero(node, "v_leak", "v_reset")
    tau = node["tau"]
    _near(node["r"], tau / dt, "r is {found:g}, and tau/dt {expected:g}: pass the dt of the export, which is 1e-4")
    _refuse_unless(tau >= dt, f"tau is {tau.min():g}, below dt = {dt:g}")
    number = tau.dtype.type
    beta = [shortest(one, 1 - dt / float(one), lambda b: number(dt) / (number(1) - b)) for one in tau]
    return [SnnTorch(beta=b, thr=plain(thr), reset=reset) for b, thr in zip(beta, node["v_threshold"], strict=True)]


def spikingjelly(kind: str, node: Node, dt: float, reset: str) -> Kinds:
    """LIFNode and IFNode; the reset by subtraction is not exported."""
    _reset(reset, "zero")
    _refuse_unless("v_reset" in node, "it has no v_reset, so nir below 1.0.7 wrote it, which spikingjelly does not use")
    thresholds, resets = ([plain(one) for one in node[name]] for name in ("v_threshold", "v_reset"))
    if kind == "IF":
        _near(node["r"], 1 / dt, "r is {found:g}, and 1/dt {expected:g}: pass the dt of the export, 1e-4 by default")
        return [
            SpikingJellyHard(tau=math.inf, v_th=v_th, v_reset=v_reset, decay_input=False)
            for v_th, v_reset in zip(thresholds, resets, strict=True)
        ]
    if kind != "LIF":
        raise InputError(
            f"a {kind} of spikingjelly is none of the neurons that are known here; accepted are LIF and IF"
        )
    _near(node["v_leak"], node["v_reset"], "v_leak is {found:g}, v_reset {expected:g}, and they must be one")
    steps = node["tau"] / dt
    whole = np.isclose(node["r"], steps, rtol=CLOSE)
    _near(np.where(whole, 1, node["r"]), 1, "r is {found:g}, neither 1 nor tau/dt: pass the dt of the export")
    _refuse_unless(steps > 1, f"tau/dt is {steps.min():g} and must be above 1: pass the dt of the export")
    tau = [shortest(one, float(one) / dt, lambda t: t * dt) for one in node["tau"]]
    return [
        SpikingJellyHard(tau=t, v_th=v_th, v_reset=v_reset, decay_input=not w)
        for t, v_th, v_reset, w in zip(tau, thresholds, resets, whole.tolist(), strict=True)
    ]


def _norse(kind: str, node: Node, dt: float, reset: str, export_dt: float) -> Kinds:
    _reset(reset, *(("zero", "subtract") if kind == "LIF" else ("zero",)))
    if kind not in ("LIF", "CubaLIF"):
        raise InputError(f"a {kind} of norse is none of the neurons that are known here; accepted are LIF and CubaLIF")
    _near(node["r"], 1.0, "r is {found:g} and must be {expected:g}")
    if "w_in" in node:
        _near(node["w_in"], 1.0, "w_in is {found:g} and must be {expected:g}")

    def rates(name: str) -> list[float]:
        number = node[name].dtype.type
        # Torch divides a number by a tensor as the number times the reciprocal.
        formulas = (lambda rate: number(1) / rate * number(export_dt), lambda rate: number(export_dt) / rate)
        found = [shortest(one, export_dt / float(one), *formulas) for one in node[name]]
        _refuse_unless(
            np.array(found) * dt <= 1,
            f"{name} is {float(node[name].min()):g}, which makes a step {max(found) * dt:.3g} time constants: pass the "
            "timestep of the cells as dt, and source='norse' or 'norse dt=1' as it was exported",
        )
        return found

    membrane = rates("tau" if kind == "LIF" else "tau_mem")
    values = {name: [plain(one) for one in node[name]] for name in ("v_leak", "v_threshold")}
    values["v_reset"] = [plain(one) for one in node.get("v_reset", np.zeros(len(membrane)))]
    common = [
        {"tau_mem_inv": rate, "v_leak": leak, "v_th": v_th, "v_reset": back, "step": dt}
        for rate, leak, v_th, back in zip(
            membrane, *(values[k] for k in ("v_leak", "v_threshold", "v_reset")), strict=True
        )
    ]
    if kind == "LIF":
        return [NorseBox(**one, reset="value" if reset == "zero" else "subtract") for one in common]
    return [Norse(**one, tau_syn_inv=syn) for one, syn in zip(common, rates("tau_syn"), strict=True)]


def norse(kind: str, node: Node, dt: float, reset: str) -> Kinds:
    """LIFBoxCell and LIFCell, exported with the dt of the cells, as by default."""
    return _norse(kind, node, dt, reset, dt)


def norse_seconds(kind: str, node: Node, dt: float, reset: str) -> Kinds:
    """The same, exported with dt=1."""
    return _norse(kind, node, dt, reset, 1.0)


def sinabs(kind: str, node: Node, dt: float, reset: str, norm_input: bool | None = None) -> Kinds:
    """LIF and IAF."""
    _reset(reset, "subtract")
    _refuse_unless(dt == 1, f"sinabs writes time constants in steps: pass dt=1, got {dt:g}")
    _at_zero(node, "v_leak", "v_reset")
    _near(node["r"], 1.0, "r is {found:g} and must be {expected:g}")
    thresholds = [plain(one) for one in node["v_threshold"]]
    if kind == "IF":
        return [Sinabs(alpha=1.0, v_th=v_th, norm_input=False) for v_th in thresholds]
    if kind != "LIF":
        raise InputError(f"a {kind} of sinabs is none of the neurons that are known here; accepted are LIF and IF")
    if norm_input is None:
        raise InputError(
            "sinabs does not write norm_input: pass source='sinabs norm_input=True', its default, or "
            "'sinabs norm_input=False'"
        )
    alphas = [float(np.exp(one.dtype.type(-1) / one)) for one in node["tau"]]
    return [
        Sinabs(alpha=alpha, v_th=v_th, norm_input=norm_input) for alpha, v_th in zip(alphas, thresholds, strict=True)
    ]


SOURCES: dict[str, Callable[[str, Node, float, str], Kinds]] = {
    "snntorch": snntorch,
    "spikingjelly": spikingjelly,
    "norse": norse,
    "norse dt=1": norse_seconds,
    "sinabs": sinabs,
    "sinabs norm_input=True": functools.partial(sinabs, norm_input=True),
    "sinabs norm_input=False": functools.partial(sinabs, norm_input=False),
}
"""Exporter -> function (type, parameters of a neuron each, dt, reset) -> the convention of every neuron."""
