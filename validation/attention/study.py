"""Order of work of ``compare_attention``: options, checks, run, and what is written."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Any

import attrs
import numpy as np
import pandas as pd
import tyro
import xarray as xr

from biospike import execution
from biospike.encoding import ENCODERS
from biospike.errors import InputError
from biospike.plots import save_figure
from biospike.recording import load_groups
from circuits.attention import GAIN, ROW_CIRCUITS, SpikingAttention, softmax_circuit
from circuits.presentation import Presentation, plan_presentation, present
from circuits.softmax import THRESHOLD_LINEAR, ThresholdLinear
from circuits.spike_record import record_spikes
from validation.attention.claims import CLAIMS, TOY_CLAIMS
from validation.attention.decay import curves
from validation.attention.decay import tabulate as tabulate_decay
from validation.attention.decay_figure import decay_figure
from validation.attention.energy import energy_table
from validation.attention.figures import plot
from validation.attention.fixed_point import fixed_point, steps_table
from validation.attention.report import report
from validation.attention.tables import converge, decompose, summarise
from validation.inputs import tokens as tokens_file
from validation.inputs.tokens import TokenInput
from validation.study import command_line
from validation.study.options import member
from validation.study.record import NOT_TIMED, StudyRecord
from validation.study.results import Results

import brian2 as b2

MODES = ("staged", "streaming")
TOY_GAIN = 0.5
"""Default of ``--gain`` for two keys: half a spike a timestep leaves 0.7 nats for scores above the largest logit."""
RASTER_WINDOW = 100 * b2.ms
RECORDED_STAGE = 4 * b2.second
SHOWN = ["mode", "window_ms", "score_rmse", "attention_tv", "tv_low", "tv_high", "output_rmse", "rmse_low", "rmse_high"]


@attrs.frozen
class Config:
    """Options of ``compare_attention``."""

    tokens: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Tokens in [0, 1]: .npy with X (tokens, features), or .npz with X and, optionally, weights W_q, W_k, W_v
    (features, heads*width) or integer seeds for them, key_mask, heads, and names of the tokens; also under PyTorch's
    and Hugging Face's names. Default: 11 tokens and 4 heads of width 32 of a trained transformer, shipped with
    biospike."""
    orientation: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """in-out or out-in: how weights of the file lie whose name does not say it, as W_q (in-out) and q_proj.weight
    (out-in) do."""
    toy: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The toy input of a digest of the paper, X = [[0.8, 0.2], [0.3, 0.7]], with identity weights, one head and a score
    scale of 3."""
    mode: Annotated[str, tyro.conf.arg(metavar="NAME")] = "both"
    """staged, streaming or both."""
    softmax: Annotated[str, tyro.conf.arg(metavar="NAME")] = "escape"
    """Circuit of the rows: race, escape, integrate or divisive, under a common gate that holds 0.1 spikes a row and
    timestep; or subtractive (the paper's lateral inhibition), none or self_inhibition, driven at a fixed level."""
    gain: Annotated[float | None, tyro.conf.arg(metavar="X")] = None
    """Drive of the largest logit of a row, thresholds a step, of the latter three. Default: 0.1; 0.5 for --toy."""
    heads: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Number of heads. Default: what the input has."""
    weight_seeds: Annotated[tuple[int, int, int] | None, tyro.conf.arg(metavar="Q K V")] = None
    """Seeds of normal weights of queries, keys and values, for a file that has none. Default: 1 2 3."""
    width: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Units of a head, for weights drawn from seeds. Default: 4."""
    score_scale: Annotated[float | None, tyro.conf.arg(metavar="X")] = None
    """Factor of the scores, in nats per query times key. Default: width**-0.5, and 3 for the toy."""
    encoder: Annotated[str, tyro.conf.arg(metavar="NAME")] = "bernoulli"
    """How values become spikes: bernoulli, poisson or regular."""
    encoders: Annotated[str, tyro.conf.arg(metavar="NAME")] = "separate"
    """separate: queries, keys and values have input spikes of their own; shared: one spike drives all three."""
    delay: Annotated[str, tyro.conf.arg(metavar="TIME")] = "0 ms"
    """Axonal delay of the keys, whole timesteps of 1 ms."""
    tau_s: Annotated[str, tyro.conf.arg(metavar="TIME")] = "1 s"
    """Time constant of the score membrane, in the streaming mode."""
    tau_m: Annotated[str | None, tyro.conf.arg(metavar="TIME")] = None
    """Membrane time constant of queries, keys and values. Default: no leak."""
    causal: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Tokens attend only to themselves and those before them."""
    duration: Annotated[str, tyro.conf.arg(metavar="TIME")] = "4 s"
    """Longest window, with its unit; 1 ms is a timestep."""
    windows: Annotated[int, tyro.conf.arg(metavar="N")] = 12
    """How many windows are read, the shortest a 64th of the longest. In the staged mode each is a run of its own."""
    trials: int = 8
    """Independent presentations of the tokens."""
    seed: int = 1
    """Same seed, same spikes, on every target."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython, numpy, or fused (a kernel that finds Brian2's spikes)."""
    no_check: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Do not replay a small batch on Brian2's numpy target if target fused runs."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_attention")
    """Directory for tables, counts, figures and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor tables."""


@attrs.frozen(eq=False)
class Study:
    """A checked configuration: what `run` needs."""

    config: Config
    tokens: TokenInput
    blocks: dict[str, SpikingAttention]
    """Of every mode, its scales fitted to the tokens."""
    plans: dict[str, Presentation]

    @property
    def driven(self) -> bool:
        """Whether the rows have the inhibition of the sources' circuit, or none, at a fixed level of the logits."""
        return self.config.softmax in THRESHOLD_LINEAR


def prepare(config: Config) -> Study:
    """Check the whole configuration and read its input.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    member("--mode", config.mode, (*MODES, "both"))
    member(
        "--softmax",
        config.softmax,
        ROW_CIRCUITS,
        otherwise="unknown, or not a circuit that scores can drive in either mode",
    )
    member("--encoder", config.encoder, ENCODERS)
    if config.score_scale is not None and not math.isfinite(config.score_scale):
        raise InputError(f"--score-scale must be a finite number, got {config.score_scale}")
    if config.gain is not None and config.softmax not in THRESHOLD_LINEAR:
        raise InputError(f"--gain is for {', '.join(THRESHOLD_LINEAR)}; the rate of --softmax {config.softmax} is held")
    tokens = _read(config)
    gain = (TOY_GAIN if config.toy else GAIN) if config.gain is None else config.gain
    block = SpikingAttention(
        W_q=tokens.W_q,
        W_k=tokens.W_k,
        W_v=tokens.W_v,
        heads=tokens.heads if config.heads is None else config.heads,
        softmax=softmax_circuit(config.softmax, gain),
        encoder=ENCODERS[config.encoder](),
        encoders=config.encoders,
        delay=config.delay,
        tau_s=config.tau_s,
        tau_m=config.tau_m,
        causal=config.causal or tokens.causal,
        score_scale=tokens.score_scale if config.score_scale is None else config.score_scale,
        **tokens.biases,
    ).fitted(tokens.X)
    modes = MODES if config.mode == "both" else (config.mode,)
    blocks = {mode: attrs.evolve(block, mode=mode) for mode in modes}
    plan = plan_presentation(
        block,
        tokens.X,
        duration=config.duration,
        trials=config.trials,
        seed=config.seed,
        windows=config.windows,
        key_mask=tokens.key_mask,
    )
    if plan.marks[-1] < 3:
        raise InputError(f"--duration {config.duration} must be at least three timesteps of {block.dt}")
    if plan.unmasked.sum(axis=-1).max() < 2:
        raise InputError("no query may attend to more than one token, so there is no attention to compare")
    # The checks, which are slow for neurons with a leak, do not depend on the mode.
    plans = {mode: attrs.evolve(plan, circuit=of_mode) for mode, of_mode in blocks.items()}
    for of_mode in plans.values():
        execution.choose_target(of_mode, config.target)
    return Study(config, tokens, blocks, plans)


def _read(config: Config) -> TokenInput:
    if config.toy and config.tokens is not None:
        raise InputError(f"--toy is an input of its own: leave out --tokens {config.tokens}")
    if config.tokens is not None:
        return tokens_file.read_tokens(
            config.tokens,
            heads=config.heads,
            width=config.width,
            seeds=config.weight_seeds,
            orientation=config.orientation,
        )
    of_file = {"weight-seeds": config.weight_seeds, "width": config.width, "orientation": config.orientation}
    for option, value in of_file.items():
        if value is not None:
            raise InputError(f"--{option} is for a file given by --tokens; this input has its own weights")
    return tokens_file.toy() if config.toy else tokens_file.shipped()


def run(study: Study) -> xr.Dataset:
    """Present the tokens in every mode.

    Returns
    -------
    xarray.Dataset
        As of `circuits.presentation.present`, along a new dimension `mode`, whose coordinates hold the parameters and
        the target of each run; with the limit of the block and ordinary attention, ``limit_logits``,
        ``limit_attention``, ``ordinary_output`` and so on, ``value_rates``, the spikes a step of the value neurons
        (sample, key, head, unit, sign), and the names of the tokens, ``label``.
    """
    config, quiet = study.config, study.config.quiet
    # One binary serves both modes.
    execution.build_plans([next(iter(study.plans.values()))], config.target, progress=not quiet)
    collected = []
    for mode, block in study.blocks.items():
        data = present(
            block,
            study.tokens.X,
            duration=config.duration,
            trials=config.trials,
            seed=config.seed,
            target=config.target,
            windows=config.windows,
            key_mask=study.tokens.key_mask,
            progress=not quiet,
            check=not config.no_check,
        )
        steps = [block.timing(int(T), block.dt).onset + int(T) for T in data["timesteps"].values]
        data = data.assign(steps=("checkpoint", steps, {"long_name": "steps from the start to the end of a window"}))
        own = {name: data.attrs.pop(name) for name in ("parameters", "target", "target_reason")}
        counts = [name for name in data.data_vars if "checkpoint" in data[name].dims]
        data = data.assign_coords({name: ("mode", [value]) for name, value in own.items()} | {"mode": [mode]})
        collected.append(data.assign({name: data[name].expand_dims("mode") for name in counts}))
        if not quiet:
            total = sum(
                int(data[f"spikes_{name}"][..., -1].sum()) for name in ("encoder", "qkv", "attention", "output")
            )
            print(f"{mode}: {total} spikes ({own['target']}: {own['target_reason']})", file=sys.stderr)
    joined = xr.concat(collected, dim="mode", data_vars="minimal", coords="minimal", compat="override", join="exact")
    return joined.assign(_references(study)).assign_attrs(_attributes(study))


def _references(study: Study) -> dict[str, Any]:
    block = next(iter(study.blocks.values()))
    x, mask = study.tokens.X, study.tokens.key_mask
    limits = block.limit(x, mask)
    if study.driven:  # fluctuations of the scores raise the mean drive, in the streaming mode alone
        limits = xr.concat([one.limit(x, mask) for one in study.blocks.values()], dim="mode")
    references = {"limit": limits, "ordinary": block.ordinary(x, mask)}
    found: dict[str, Any] = {
        f"{name}_{variable}": values
        for name, reference in references.items()
        for variable, values in reference.data_vars.items()
    }
    if study.driven:
        rates = np.stack([one.row_rates(x, mask) for one in study.blocks.values()])
        found["limit_rate"] = (("mode", *limits["logits"].dims[1:]), rates, {"units": "spikes per step"})
    rates = block.rates(study.tokens.X)[:, :, 2]
    found["value_rates"] = (("sample", "key", "head", "unit", "sign"), rates, {"units": "spikes per step"})
    found["label"] = ("key", study.tokens.labels)
    return found


def _attributes(study: Study) -> dict[str, Any]:
    block = next(iter(study.blocks.values()))
    scale = block.score_scale
    return {
        "source": study.tokens.source,
        "softmax": block.softmax.name,
        "score_scale": block.width**-0.5 if scale is None else scale,
        "encoder": block.encoder.name,
        "encoders": block.encoders,
        "delay_ms": float(block.delay / b2.ms),
        "tau_s_ms": float(block.tau_s / b2.ms),
        "tau_m_ms": "none" if block.tau_m is None else float(block.tau_m / b2.ms),
        "causal": int(block.causal),
    } | ({"gain": block.softmax.gain} if isinstance(block.softmax, ThresholdLinear) else {})


def trace(study: Study) -> dict[str, xr.Dataset]:
    """Record what a raster shows of every mode: the first spikes of trial 0 in its longest window, first sample.

    A staged window longer than `RECORDED_STAGE` is replaced by one of that length, a run of its own.
    """
    mask = study.tokens.key_mask
    mask = mask[0] if mask is not None and mask.ndim == 2 else mask
    traces = {}
    for mode, plan in study.plans.items():
        window = int(plan.marks[-1]) * plan.dt * b2.second
        window = min(window, RECORDED_STAGE) if mode == "staged" else window
        data = record_spikes(
            study.blocks[mode], plan.x[0], duration=window, shown=min(window, RASTER_WINDOW), seed=study.config.seed,
            key_mask=mask, like=plan,
        )  # fmt: skip
        for variable in data.data_vars.values():
            variable.encoding = {"zlib": True, "complevel": 4}
        traces[mode] = data.assign(label=("token", study.tokens.labels))
    return traces


OWN_FILES = ("fixed_point.csv", "decay.csv", "decay_fit.csv", "steps.csv", "decay.png", "decay.pdf")
"""Of rows whose inhibition is subtracted: a later run of others in the same directory has none."""


def tabulate(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Every table that is written, by the name of its file."""
    return {"summary": summarise(data), "convergence": converge(data), "decomposition": decompose(data)}


def own_inhibition(study: Study, data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Further tables of rows whose inhibition is subtracted; simulates their decay, and for the toy its steps."""
    config, found = study.config, list(curves(study))
    decay, fits = tabulate_decay(found)
    tables = {"fixed_point": fixed_point(data), "decay": decay, "decay_fit": fits}
    if config.toy:
        tables["steps"] = steps_table(
            study.blocks,
            study.tokens.X,
            trials=config.trials,
            seed=config.seed,
            target=config.target,
            progress=not config.quiet,
        )
    return tables


def main(config: Config) -> None:
    """Check, run, summarise, plot and write."""
    study = prepare(config)
    with Results.of(config) as out:
        data = run(study)
        tables = tabulate(data)
        traces = trace(study)
        command_line.remove(out.directory, OWN_FILES)
        out.save("counts", data)
        out.save("spikes", traces)
        out.tables(**tables, energy=energy_table(data, tables["summary"]))
        extra = own_inhibition(study, data) if study.driven else {}
        out.tables(**extra)
        out.show(tables["summary"].groupby("mode", sort=False).tail(1)[SHOWN], tables["convergence"])
        out.figures(**plot(data, tables, traces))
        if extra:
            out.figures(decay=decay_figure(extra["decay"], extra["decay_fit"]))
        findings = [*CLAIMS.findings(out), *(TOY_CLAIMS.findings(out) if extra else ())]
        out.report(report(data, **tables, findings=findings, extra=extra))


def redraw(results: Results, out: Path) -> None:
    """Draw ``attention_convergence``, ``attention_maps`` and ``attention_raster`` again."""
    tables = {name: results.table(name) for name in ("summary", "convergence", "decomposition")}
    traces = load_groups(results.directory / "spikes.nc")
    for name, figure in plot(results.dataset("counts"), tables, traces).items():
        save_figure(figure, out, f"attention_{'maps' if name == 'attention' else name}")


def redraw_toy(results: Results, out: Path) -> None:
    """Draw ``attention_decay`` again: the rest of this run looks like that of the defaults."""
    save_figure(decay_figure(results.table("decay"), results.table("decay_fit")), out, "attention_decay")


STUDY = StudyRecord(
    "compare_attention",
    Config,
    main,
    CLAIMS,
    redraw,
    quick=("--trials", "8", "--duration", "1 s"),
    paper=("--trials", "32", "--duration", "16 s"),
    minutes=(0.7, NOT_TIMED),
)
SUBTRACTED = ("--toy", "--softmax", "subtractive")
TOY = StudyRecord(
    "compare_attention_toy",
    Config,
    main,
    TOY_CLAIMS,
    redraw_toy,
    quick=(*SUBTRACTED, "--trials", "8", "--duration", "2 s"),
    paper=(*SUBTRACTED, "--trials", "64", "--duration", "20 s"),
    minutes=(0.5, NOT_TIMED),
    script="compare_attention",
)
