"""What the comparison of spiking and exact attention means, in plain words made from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from biospike.tables import CONVERGENCE_MEANINGS, FEW_TRIALS
from biospike.verdicts import FLOOR, NO_ERROR, UNDECIDED
from validation.attention.bias import Fluctuations, diagonal, fluctuations
from validation.attention.energy import energy_table, energy_text
from validation.attention.laws import INDEPENDENT, remembered
from validation.attention.measures import measure
from validation.attention.own_report import OWN_PARTS, own_inhibition
from validation.attention.tables import FITTED_SPIKES, POPULATIONS
from validation.study.claims import Finding, findings_text
from validation.study.report import described, made, markdown, origin, spikes_by_target
from validation.study.thresholds import CLOSE, LATER

WIDE_FRACTION = 4.0
"""An interval of the fraction of the Jensen shift that is wider says nothing of a fraction near 1."""
NO_DISTANCE = 1e-9
"""Distances below this are rounding."""
NAMES = {"attention_tv": "the attention", "output_rmse": "the output"}
LAWS = {"attention_tv": "tv_expected", "output_rmse": "output_expected"}


def report(
    data: xr.Dataset,
    summary: pd.DataFrame,
    convergence: pd.DataFrame,
    decomposition: pd.DataFrame,
    findings: Sequence[Finding] = (),
    extra: Mapping[str, pd.DataFrame] | None = None,
) -> str:
    """Return the report as Markdown; `extra` are the tables of rows whose inhibition is subtracted."""
    last = summary.groupby("mode", sort=False).tail(1).set_index("mode")
    parts = decomposition.groupby("mode", sort=False).tail(1).set_index("mode")
    met = diagonal(data)
    sections = [
        "# Spiking self-attention against exact attention",
        _what_was_run(data, last),
        spikes_by_target({mode: data["target"].sel(mode=mode).item() for mode in map(str, data["mode"].values)}),
        "![convergence](convergence.png)",
        "## The longest window",
        markdown(last.reset_index().drop(columns=["softmax", "trials"])),
        "Distances are from the limit of the block, the attention to which its spikes converge. `score_rmse` is the "
        "root mean square error of the scores, in nats; `attention_tv` the mean total variation over rows; "
        "`output_rmse` the root mean square error of the outputs, in units of the values; the latter two with 95 % "
        "intervals of their expectation over trials for these rows (Student's t). Spikes are those of one "
        "presentation, from the start of the run, with score stage or warm-up, to the end of the window.",
        "## Order of convergence",
        "Errors against the timesteps T, as T^order, in windows of at least 30 attention spikes a row. `limit` is the "
        "distance of the limit from ordinary softmax attention. The laws of `order_of_law` are known of staged blocks "
        "without a leak. " + described(CONVERGENCE_MEANINGS),
        markdown(convergence),
        *_orders(convergence, decomposition),
        "## What holds",
        *(own_inhibition(data, extra) if extra else [_distances(data, last, convergence)]),
        *_modes(last),
        "## Where the error comes from",
        markdown(parts.reset_index()),
        "`score_tv` is the TV of softmax(measured scores) from the limit, `sampling_tv` that of the attention from "
        "softmax(measured scores), with the 95 % interval of its expectation over trials and "
        "what theory expects of it. `tv_sampling` is what "
        "sampling alone would leave if the scores were exact, `tv_expected` the same with their measured error; "
        "`output_score`, `output_sampling` and `output_expected` likewise for the output. `bias_tv` is the TV of the "
        "shares pooled over trials, `bias_floor` what their scatter leaves of it.",
        OWN_PARTS if extra else "",
        *([] if extra else [_split(data, mode, parts.loc[mode], last.loc[mode]) for mode in parts.index]),
        *([] if extra else _fluctuations(data)),
        "**A token that meets itself.** " + _diagonal(data, met),
        markdown(met),
        "`bias` is the mean error of the scores, in nats, with its 95 % interval over trials; `abs_bias` the mean "
        "absolute error of the scores averaged over trials, and `abs_floor` what sampling leaves of it.",
        "## Spikes",
        *[_spikes(mode, last.loc[mode]) for mode in last.index],
        "## Energy",
        energy_text(energy_table(data, summary)),
        "![attention](attention.png)",
        "![raster](raster.png)",
        "![decay](decay.png)" if extra else "",
        "Spikes of the first presentation from the onset of its window, a staged one of at most 4 s. Inputs are those "
        "of the queries if encoders are separate. In the staged mode the scores are complete before this window "
        "begins, while queries and keys go on.",
        "## Claims",
        findings_text(findings),
        _made(data),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _with_interval(value: float, low: float, high: float, digits: int = 4) -> str:
    """Value, and its interval if there is one; in words if there is no value."""
    if np.isnan(value):
        return "unknown, for lack of spikes"
    interval = "" if np.isnan(low) else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{value:.{digits}f}{interval}"


def _what_was_run(data: xr.Dataset, last: pd.DataFrame) -> str:
    size, attributes = data.sizes, data.attrs
    z = data["limit_logits"].values
    span = np.nanmax(z, axis=-1) - np.nanmin(z, axis=-1)
    leak = "no leak" if attributes["tau_m_ms"] == "none" else f"a leak of {attributes['tau_m_ms']:g} ms"
    heads = f"{size['head']} heads" if size["head"] > 1 else "1 head"
    rows = size["sample"] * size["head"] * size["query"]
    streaming = f" (score membrane tau_s {attributes['tau_s_ms']:g} ms)" if "streaming" in last.index else ""
    return (
        f"Input: {attributes['source']}. {size['query']} tokens of {size['feature']} features, {heads} of width "
        f"{size['unit']}{', causal' if attributes['causal'] else ''}; {rows} rows of attention, whose logits span "
        f"{span.min():.1f} to {span.max():.1f} nats (median {np.median(span):.1f}) at a score scale of "
        f"{attributes['score_scale']:.3g}.\n\n"
        f"Circuit: {attributes['encoder']} input, {attributes['encoders']} encoders, neurons with {leak}, key delay "
        f"{attributes['delay_ms']:g} ms, rows normalised by `{attributes['softmax']}`; {' and '.join(last.index)}"
        f"{streaming}. {size['trial']} trials, windows up to {last['window_ms'].iloc[0]:g} ms, timestep "
        f"{attributes['dt_ms']:g} ms, seed {attributes['seed']}."
    )


def _orders(convergence: pd.DataFrame, decomposition: pd.DataFrame) -> list[str]:
    lines = []  # the slopes are local ones: what law they are of is the verdict's to say
    for mode, mine in convergence.groupby("mode", sort=False):
        found = []
        part = decomposition[(decomposition["mode"] == mode) & (decomposition["spikes_per_row"] >= FITTED_SPIKES)]
        for fit in mine.itertuples():
            if pd.isna(fit.order):
                found.append(f"{NAMES[fit.metric]} is undecided ({fit.reason})")
                continue
            positive = part[part[LAWS[fit.metric]] > NO_ERROR]
            expected = "no expected one"
            if len(positive) > 1:
                law = np.polyfit(np.log(positive["timesteps"]), np.log(positive[LAWS[fit.metric]]), 1)[0]
                expected = f"the expected one as T^{law:.3f}"
            floor = (
                f", towards a floor of {fit.floor:.4f}" if fit.verdict == FLOOR
                else f", undecided ({fit.reason})" if fit.verdict == UNDECIDED
                else f", which is {fit.verdict}"
            )  # fmt: skip
            found.append(
                f"the error of {NAMES[fit.metric]} falls as T^{fit.order:.3f} ({fit.order_low:.3f} to "
                f"{fit.order_high:.3f}), {expected}{floor}"
            )
        lines.append(f"{str(mode).capitalize()}: {'; '.join(found)}.")
    return lines


def _distances(data: xr.Dataset, last: pd.DataFrame, convergence: pd.DataFrame) -> str:
    limits = convergence.groupby("metric")["limit"].first()
    scale = float(np.sqrt((data["limit_output"] ** 2).mean()))
    spiking = "; ".join(
        f"{mode}: attention TV {_with_interval(row.attention_tv, row.tv_low, row.tv_high)}, output "
        f"{_with_interval(row.output_rmse, row.rmse_low, row.rmse_high)}{_relative(row.output_rmse, scale)}"
        for mode, row in zip(last.index, last.itertuples(), strict=True)
    )
    if limits["attention_tv"] < NO_DISTANCE and limits["output_rmse"] < NO_DISTANCE * scale:
        limit = "The limit is ordinary softmax attention itself, to rounding: the rates of these neurons are linear."
    else:
        limit = (
            f"The limit in turn is TV {limits['attention_tv']:.4f} from ordinary softmax attention, and its output "
            f"{limits['output_rmse']:.4f} from the ordinary one: rates of leaky neurons are not linear in their input, "
            "and no number of spikes removes that."
        )
    return f"**Distance from the limit**, after T = {data['timesteps'].values[-1]} timesteps. {spiking}. {limit}"


def _relative(error: float, scale: float) -> str:
    return f", {error / scale:.1%} of the root mean square output" if error >= 0 and scale > 0 else ""


def _modes(last: pd.DataFrame) -> list[str]:
    if len(last) < 2 or last["tv_low"].isna().any():
        return []
    a, b = (last.iloc[number] for number in (0, 1))
    apart = {
        name: a[low] > b[high] or b[low] > a[high]
        for name, low, high in (("attention", "tv_low", "tv_high"), ("output", "rmse_low", "rmse_high"))
    }
    differ = [name for name, holds in apart.items() if holds]
    return [
        f"**Staged and streaming** differ in the longest window in {' and '.join(differ)}: their intervals are apart."
        if differ
        else "**Staged and streaming** do not differ in the longest window: the intervals of both errors overlap."
    ]


def _agreement(value: float, low: float, high: float, expected: float) -> str:
    """Measured value with its interval, and whether the expected one fits it."""
    measured = _with_interval(value, low, high)
    if not (value >= 0 and expected > 0):
        return f"{measured} measured"
    if low <= expected <= high:
        return f"{measured} measured, which agrees"
    off = value / expected - 1
    return f"{measured} measured, {off:+.1%}{', close to it' if abs(off) <= CLOSE else ''}"


def _split(data: xr.Dataset, mode: str, part: pd.Series, last: pd.Series) -> str:
    law = "multinomial law" if data.attrs["softmax"] in INDEPENDENT else "law of regular keys at random phases"
    larger = "sampling" if part["tv_sampling"] > part["score_tv"] else "the error of the scores"
    attention = _agreement(last["attention_tv"], last["tv_low"], last["tv_high"], part["tv_expected"])
    scatter = _agreement(part["sampling_tv"], part["sampling_low"], part["sampling_high"], part["sampling_expected"])
    output = _agreement(last["output_rmse"], last["rmse_low"], last["rmse_high"], part["output_expected"])
    memory = ""
    if mode == "streaming":
        kept = 1 - remembered(data, mode, measure(data, mode))[-1]
        memory = (
            f" The membranes remember what came before the window: their mean has {kept:.0%} of the squared error of "
            "the window's scores, which is allowed for."
        )
    text = (
        f"**{mode.capitalize()}.** If the scores were exact, sampling by {part['spikes_per_row']:.0f} attention spikes "
        f"a row would leave TV {part['tv_sampling']:.4f} ({law}); the error of the scores alone makes TV "
        f"{part['score_tv']:.4f}: {larger} is the larger part.{memory} Together TV {part['tv_expected']:.4f} is "
        f"expected, and {attention}. About softmax(measured scores) the attention scatters by "
        f"{part['sampling_expected']:.4f} in theory, {scatter}. The output errs by {part['output_sampling']:.4f} "
        f"through sampling and {part['output_score']:.4f} through the scores, {part['output_expected']:.4f} in all in "
        f"theory, {output}. The shares pooled over trials stray from the limit by TV {part['bias_tv']:.4f}"
    )
    if np.isnan(part["tv_expected"] + part["bias_tv"] + part["output_expected"] + part["sampling_expected"]):
        return f"**{mode.capitalize()}.** Too few attention spikes to tell where the error comes from."
    if np.isnan(part["bias_floor"]):
        return f"{text}; a single trial does not tell how much of it is sampling."
    return f"{text}, of which sampling alone would leave {part['bias_floor']:.4f}."


def _fluctuations(data: xr.Dataset) -> list[str]:
    if "streaming" not in data["mode"].values:
        return []
    found = fluctuations(data)
    if not np.isfinite(found.sd + found.fast_tv + found.slow_tv):
        return []
    text = (
        "**Fluctuations of the score membranes (Jensen).** By the measured noise of the scores their standard "
        f"deviation is {found.sd:.3f} nats. That shifts the expected attention by TV {found.fast_tv:.5f} if inhibition "
        f"follows every moment, E[softmax(u)], and by {found.slow_tv:.5f} if it follows only the mean, E[exp(u)]."
    )
    if np.isnan(found.low) or np.isnan(found.found):
        return [text]
    return [
        f"{text} Of the first shift the deviation from the softmax of the mean scores contains the fraction "
        f"{_with_interval(found.found, found.low, found.high, 2)}: {jensen_verdict(found, data.sizes['trial'])}."
    ]


def jensen_verdict(found: Fluctuations, trials: int) -> str:
    """What the interval of the fraction allows to say of the shift, whose fraction is 1 if it is all there is."""
    if trials < FEW_TRIALS:
        return "too few trials to tell"
    if found.high - found.low > WIDE_FRACTION:
        return "the shift is too small beside the scatter of these trials to tell"
    if found.low > 1:
        return "the deviation is more than the shift, so that the shift alone does not make it"
    if found.high < 0:
        return "the deviation is opposite to it"
    if found.low > 0:
        return "some of it is there" if found.high < 1 else "as large as the shift, as far as these trials tell"
    return "it is absent or smaller" if found.high < 1 else "these trials do not tell whether it is there"


def _diagonal(data: xr.Dataset, met: pd.DataFrame) -> str:
    shared = data.attrs["encoders"] == "shared"
    text = ["Query and key of a token " + ("share its input spikes." if shared else "have input spikes of their own.")]
    for row in met.itertuples():
        resolved = (
            "the bias of single scores is " + ("" if row.abs_bias > LATER * row.abs_floor else "not ") + "resolved"
        )
        if np.isnan(row.abs_floor):
            resolved = "a single trial does not tell how much of it is sampling"
        known = shared and row.scores == "i = j" and np.isfinite(row.expected)
        closed = f", closed form {row.expected:.3f}" if known else ""
        text.append(
            f"{str(row.mode).capitalize()}, {row.scores}: {_with_interval(row.bias, row.low, row.high, 3)} nats"
            f"{closed}; {resolved}."
        )
    return " ".join(text)


def _spikes(mode: str, last: pd.Series) -> str:
    if not last["spikes_total"] > 0:
        return f"{mode.capitalize()}: no spikes."
    shares = ", ".join(f"{name} {last[f'spikes_{name}'] / last['spikes_total']:.2%}" for name in POPULATIONS)
    return (
        f"{mode.capitalize()}: {last['spikes_total']:.3g} spikes a presentation in the longest window; {shares}. The "
        f"attention itself is {last['spikes_attention'] / last['spikes_total']:.2%} of them; each of its spikes costs "
        f"{last['spikes_total'] / max(last['spikes_attention'], 1):.0f} spikes in all."
    )


def _made(data: xr.Dataset) -> str:
    lines = [
        f"{mode}: {data['target'].sel(mode=mode).item()} ({data['target_reason'].sel(mode=mode).item()}), parameters "
        f"in SI base units {data['parameters'].sel(mode=mode).item()}"
        for mode in map(str, data["mode"].values)
    ]
    return made(*lines, **origin(data))
