"""Claims about published models and frameworks, as read off the tables of the study.

Everything here is deterministic: the blocks run on fixed inputs, and a claim is decided by all of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import pandas as pd

from biospike.theory import paper
from validation.frameworks.blocks import INPUT_RATE
from validation.study.claims import IMPLIED, OURS, PAPER, REPORTED, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.thresholds import SMALL
from validation.study.verdict import FAILS, HOLDS, Case, named
from validation.study.words import between

CLAIMS = Claims()
SILENT = 0.01
"""A population that fires less a step is dead."""
SAME = 0.01
"""Fraction of spikes or bits up to which two conventions are called the same."""
HALVED = 0.5
"""A step is a matter of accuracy if the spikes that differ fall below this fraction from a step to the next finer."""
MASK = {"mask": 0.348, "masked": 0.083}
"""Published firing rates of QKFormer's first stage."""
MATCHED = f"random weights matched to the published rates, inputs of {INPUT_RATE:g} spikes a step, chosen here"
MASK_MARGIN = 0.2
"""What random weights instead of the trained ones may change of a firing rate: a fifth."""


def _every(values: Mapping[str, float], **bounds: float) -> list[Case]:
    return [Case.exact(str(name), value, **bounds) for name, value in values.items()]


@CLAIMS.add("the LIF neurons of papers and frameworks are one model", IMPLIED, kind="implied",
            place="one LIF equation stands for all models")  # fmt: skip
def conventions(results: Results) -> Finding:
    """Fraction of spikes that the digest's reset changes."""
    found = results.table("summary", framework="formula").dropna(subset=["mismatch_fraction"])
    values = found.set_index("block")["mismatch_fraction"]
    return judged(
        f"{values.median():.1%} of the spikes of a block differ with the LIF equation of the theory (median of "
        f"{len(values)})",
        _every(values, most=SAME),
        on="the block",
        decision="every case",
        interval=f"{values.min():.1%} to {values.max():.1%} over blocks",
        threshold_from=f"{SAME:.0%} of the spikes",
        conditions=MATCHED,
    )


@CLAIMS.add(">= and > at the threshold are the same", OURS, place="snnTorch and SpikingJelly differ in it")
def strictness(results: Results) -> Finding:
    """Bits of QKFormer's masks that a strict threshold flips."""
    found = results.table("stages", framework="mutant", convention="strict >", stage="mask")
    flipped = found[found["block"].str.startswith("QK")].set_index("block")
    if flipped.empty:
        raise Missing("QKFormer was not run")
    bits = flipped["spikes"] / flipped["rate_reference"]
    values = flipped["mismatches"] / bits
    return judged(
        f"a strict threshold flips {flipped['mismatches'].sum() / bits.sum():.1%} of the mask bits of QKFormer",
        _every(values, most=SAME),
        on="the block",
        decision="every case",
        interval="; ".join(f"{block} {value:.1%}" for block, value in values.items()),
        threshold_from=f"{SAME:.0%} of the bits",
        conditions=MATCHED,
    )


@CLAIMS.add("a discrete LIF is a membrane seen coarsely", IMPLIED, kind="implied",
            place="the LIF equation, beta in (0, 1), as a membrane")  # fmt: skip
def coarse(results: Results) -> Finding:
    """Spikes that differ from the discrete neuron as the step falls."""
    found = results.table("summary", framework="biophysical", convention="membrane, refractory 1 ms")
    by_step = found.pivot_table(index="block", columns="dt_ms", values="mismatch_fraction").dropna()
    if by_step.shape[1] < 2 or by_step.empty:
        raise Missing("one step does not tell")
    finest, finer = by_step.iloc[:, 0], by_step.iloc[:, 1]
    # Where nothing differs at the finer of two steps it is a matter of accuracy, whatever the coarser one gives.
    ratio = finest.where(finest == 0, finest / finer)
    medians = by_step.median()
    return judged(
        "of the spikes differ "
        + ", ".join(f"{value:.1%} at a step of {step:g} ms" for step, value in medians.items()) + " (median)",
        _every(ratio, most=HALVED),
        on="the block",
        decision="every case",
        interval=f"{finest.min():.1%} to {finest.max():.1%} over blocks at the finest step",
        threshold_from=f"{HALVED:g} of those at the step before the finest",
        conditions=MATCHED,
    )  # fmt: skip


@CLAIMS.add("the frameworks run the published blocks alike", OURS, place="comparisons between frameworks need it")
def frameworks(results: Results) -> Finding:
    """Blocks without a mismatch, by framework and convention."""
    found = results.table("summary", framework=["spikingjelly", "snntorch"])
    forms = found.assign(same=found["mismatches"] == 0).groupby(["framework", "convention"], sort=False)["same"]
    same, of = forms.sum(), forms.size()
    return judged(
        "blocks without a mismatch: "
        + "; ".join(f"{name[0]}, {name[1]}: {same[name]} of {of[name]}" for name in same.index),
        _every({", ".join(name): of[name] - same[name] for name in same.index}, most=0),
        on="the convention: precision, threshold and reset",
        decision="identity",
        interval="exact",
        conditions=MATCHED,
    )


@CLAIMS.add("Brian2 networks equal the published blocks spike for spike", OURS)
def networks(results: Results) -> Finding:
    """Mismatches of the discrete networks."""
    found = results.table("summary", framework="brian2")
    wrong = int(found["mismatches"].sum())
    return judged(
        f"{wrong} mismatches in {int(found['spikes'].sum())} spikes of {len(found)} blocks",
        [Case.exact("", wrong, most=0)],
        decision="identity",
        interval="exact",
        conditions=f"{MATCHED}; the spike softmax on the shipped rows, peaked and flat",
    )


@CLAIMS.add("Spikformer's SSA is dead at rates near 5 %", OURS)
def dead(results: Results) -> Finding:
    """Firing rate of the attention by input."""
    found = results.table("stages", framework="brian2", stage="attention")
    found = found[found["model"].str.startswith("Spikformer")].set_index("block")
    if found.empty:
        raise Missing("Spikformer was not run")
    rates = found["rate_reference"]
    return judged(
        "attention spikes a step: "
        + "; ".join(f"{block} {rate:.4f}" for block, rate in rates.items()) + ", with Q, K and V at 0.08 to 0.14",
        _every(rates, most=SILENT),
        on="the number of tokens in which keys and values coincide",
        decision="every case",
        threshold_from=f"{SILENT:g} spikes a step",
        conditions=MATCHED,
    )  # fmt: skip


@CLAIMS.add("QKFormer's mask fires at 0.348, masked keys at 0.083 (stage 1)", "arXiv:2403.16552", kind="stated",
            place="published firing rates")  # fmt: skip
def mask_rates(results: Results) -> Finding:
    """Rates that follow from the published ones of queries and keys."""
    found = results.table("stages", framework="brian2", stage=list(MASK))
    found = found[found["block"].str.startswith("QKTA")]
    if found.empty:
        raise Missing("QKFormer was not run")
    return judged(
        "with random weights at the published rates of Q and K: "
        + "; ".join(f"{row.block}, {row.stage} {row.rate_reference:.3f}" for row in found.itertuples()),
        [
            Case.exact(f"{row.block}, {row.stage}", row.rate_reference / MASK[row.stage],
                       least=1 - MASK_MARGIN, most=1 + MASK_MARGIN)
            for row in found.itertuples()
        ],
        on="the input and the stage",
        decision="every case",
        threshold_from=f"within {MASK_MARGIN:.0%} of the published rates",
        conditions=MATCHED,
    )  # fmt: skip


@CLAIMS.add("the time average of softmax is the softmax of the average", OURS,
            place="SpikingBERT's equilibrium rates need it")  # fmt: skip
def averages(results: Results) -> Finding:
    """TV between the two orders of averaging."""
    found = results.table("summary", convention="softmax of the average scores")
    values = found.set_index("block")["attention_error"]
    return judged(
        "; ".join(f"TV {value:.3f} apart in {block}" for block, value in values.items()),
        _every(values, most=SMALL),
        on="the block",
        decision="every case",
        threshold_from=f"TV {SMALL:g}",
        conditions=MATCHED,
    )


@CLAIMS.add("SpikedAttention's one-spike softmax errs by no more than rounding logits to ln B may, tanh(ln(B)/4)", OURS)
def one_spike(results: Results) -> Finding:
    """TV to softmax on three sets of rows: shifts of at most ln(B)/2 move a share by at most tanh(ln(B)/4)."""
    found = results.table("summary", model="SpikedAttention").set_index("block")
    limits = {block: math.tanh(math.log(_base(str(block))) / 4) for block in found.index}
    errors = found["attention_error"]
    return judged(
        "; ".join(f"{block}: TV {errors[block]:.4f} of {limit:.4f}" for block, limit in limits.items()),
        _every({block: errors[block] / limit for block, limit in limits.items()}, most=1.0),
        on="B and the rows",
        decision="every case",
        threshold_from="tanh(ln(B)/4)",
        conditions="the shipped attention rows, with their logits doubled and with a quarter of them",
    )


def _base(block: str) -> float:
    found = re.search(r"B = ([\d.]+)", block)
    if found is None:
        raise Missing(f"the tables have no B of {block!r}")
    return float(found[1])


@CLAIMS.add(
    f"{paper.ENERGY_RATIO[0]:g} to {paper.ENERGY_RATIO[1]:g} times less energy than a conventional transformer", PAPER,
    kind="stated", place="abstract",
)  # fmt: skip
def energy(results: Results) -> Finding:
    """Ratios over input rates, attention rates and devices; without that table, of the blocks that were run."""
    need = paper.ENERGY_RATIO[0]
    facts = {"decision": "every case", "threshold_from": "the lower end of the stated range"}
    if (results.directory / "energy_curve.csv").is_file():
        curve = results.table("energy_curve")
        cases = [
            Case(name=f"{row['device']}, input rate {row['input_rate']:g}", estimate=row["ratio"], low=row["low"],
                 high=row["high"], least=need)
            for row in curve.to_dict("records")
        ]  # fmt: skip
        words = curve.assign(word=[case.verdict for case in cases])
        reach = words[words["word"] == HOLDS].groupby("device", sort=False)["input_rate"].max()
        return judged(
            f"{need:g} times is reached "
            + ("; ".join(f"on {device} from an input rate of {rate:g} spikes a step down" for device, rate
                         in reach.items()) or "nowhere"),
            cases,
            on=_axes(words),
            interval=f"{between(curve['ratio'].min(), curve['ratio'].max())} times",
            conditions=f"{words['model'].nunique()} blocks, input rates {_range(curve['input_rate'])}, attention rates "
            f"{_range(curve['attention_rate'])}; additions alone; a device is held against 45 nm multiply-accumulates",
            **facts,
        )  # fmt: skip
    found = results.table("energy")
    first = found[found["device"] == found["device"].iloc[0]]
    cases = [Case.exact(f"{row.block}, additions alone", row.canonical_ratio, least=need) for row in first.itertuples()]
    cases += [
        Case.exact(f"{row.block}, events on {row.device}", row.event_ratio, least=need) for row in found.itertuples()
    ]
    return judged(
        f"{first['canonical_ratio'].median():.2g} times as papers count, {first['event_ratio'].median():.2g} by events "
        f"with neuron updates (median of {len(first)} attention blocks); {need:g} times needs "
        f"{first['spikes_per_synapse_for_38'].iloc[0]:.2f} spikes a synapse, found "
        f"{first['spikes_per_synapse'].median():.2f}",
        cases,
        on="the comparator and the block",
        interval=f"{between(first['canonical_ratio'].min(), first['canonical_ratio'].max())} and "
        f"{between(first['event_ratio'].min(), first['event_ratio'].max())} over blocks",
        conditions=MATCHED,
        **facts,
    )  # fmt: skip


def _range(values: pd.Series) -> str:
    return f"{values.min():g} to {values.max():g}"


def _axes(words: pd.DataFrame) -> str:
    """Axes of the surface along which the verdict changes while the others stay."""
    axes = {"input_rate": "the input rate", "attention_rate": "the attention rate", "device": "the comparator",
            "model": "the model"}  # fmt: skip
    turns = [
        said for axis, said in axes.items()
        if (words.groupby([one for one in axes if one != axis])["word"].agg(lambda w: {HOLDS, FAILS} <= set(w))).any()
    ]  # fmt: skip
    return named(turns) if turns else "the case"


CLAIMS.unread(
    "spiking transformers keep their accuracy on SST-2", REPORTED, "its data are not at hand; of language tasks STS-B "
    "is, in a package, and may stand in", kind="reported", place="experiments: SpikingBERT, SST-2", decidable=False,
)  # fmt: skip
