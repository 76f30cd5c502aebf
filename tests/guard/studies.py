"""Every study at the smallest settings that still fill its tables, and how it is run in this process.

What no option can make small is made small in the module that defines the study's `main`, wherever that lies.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import joblib
import numpy as np
import pytest
from matplotlib.figure import Figure
from stand_ins import made_up_processes, without_nest

import brian2 as b2

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NEURONS = "validation.frameworks.neurons"
"""The module that has the steps of the membranes."""

FITTED = ("rate", "low", "high", "amplitude", "floor", "r_squared", "better", "better_low", "better_high")
"""Columns of a fit by iterations, which end elsewhere on another machine."""


class Case(NamedTuple):
    """One run of a study.

    Attributes
    ----------
    study : str
        Of ``validation/STUDY.py``.
    options : dict
        Of its `Config`, besides those that every run has.
    smaller : callable
        (patch, module of the study's `main`) -> None: makes small what no option does.
    left_out : tuple of str
        Columns that are not the same everywhere: versions, hashes of the source; of one table as ``table.column``.
    variant : str
        Tells several runs of one study apart.
    """

    study: str
    options: dict[str, Any]
    smaller: Callable[[pytest.MonkeyPatch, ModuleType], None] = lambda patch, module: None
    left_out: tuple[str, ...] = ()
    variant: str = ""

    @property
    def name(self) -> str:
        """Of its directory of pinned tables."""
        return "_".join(filter(None, (self.study, self.variant)))


def small_bounds(patch: pytest.MonkeyPatch, module: Any) -> None:
    """One circuit of the seven, one code of the blocks, and a preset of seconds."""
    sizes = module.Sizes(
        values=16, full=64, rows=2, uniform_rows=2, duration="0.12 s", windows=20, blocks=("toy",),
        block_duration="30 ms", block_windows=2, tau_s="5 ms", flips=2**7, repeats=32, trials=2, compile_rows=False,
    )  # fmt: skip
    patch.setitem(module.PRESETS, "quick", sizes)
    patch.setattr(module, "TOY_TRIALS", 1)
    patch.setattr(module.measured, "CODES", (("bernoulli", "escape"),))
    patch.setattr(module, "SOFTMAX_CIRCUITS", {"integrate": module.SOFTMAX_CIRCUITS["integrate"]})


def small_frameworks(patch: pytest.MonkeyPatch, module: Any) -> None:
    """Narrow blocks, and two steps of the membranes instead of three."""
    patch.setitem(module.SIZES, "small", 32)
    patch.setattr(f"{NEURONS}.STEPS", (1.0, 0.1))


def small_rule(patch: pytest.MonkeyPatch, module: Any) -> None:
    """Inputs of chosen rank only, the fewest for a fit, and short windows."""
    preset = module.Preset(
        patches=(), low_rank=((2, 2, 2), (2, 3, 5), (3, 3, 4), (2, 4, 7)), samples=3, trials=1, regular_with=(),
        encoding=(1, 2, 4, 11, 23, 47), attention=(11, 23),
    )  # fmt: skip
    patch.setitem(module.PRESETS, "quick", preset)
    patch.setattr("validation.rule.constant_curve.RATES", ())  # each is the attention of all sets again
    make = module.low_rank_set
    patch.setattr(module, "input_sets", lambda preset, seed: [make(*size, seed) for size in preset.low_rank])


def small_approximation(patch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """Two windows, each of which is a network, instead of six."""
    patch.setattr(module, "WINDOWS", 2)


def small_rank(patch: pytest.MonkeyPatch, module: Any) -> None:
    """Few tokens, one short window, and weights of a small model in the place of BERT's."""
    sizes = module.collapse.Sizes(tokens=3, features=3, depth=3, trials=2, windows=(100,))
    patch.setitem(module.PRESETS, "quick", module.Preset(sizes, (1, 4), 24, 30))
    patch.setattr(module.kernel, "BERT", (8, 3, 4, 12))
    patch.setattr(module.collapse, "STACKS", ("exact", "shares", "values"))
    patch.setattr("validation.rank.tables.ROUNDING", 1e-9)  # below, digits are those of the machine


def small_ageing(patch: pytest.MonkeyPatch, module: Any) -> None:
    """Two decays, three tokens of 50 ms, and narrow blocks."""
    patch.setitem(module.PRESETS, "quick", module.Preset((0.3, 3.0), 3, 2, 0.05, 24, 3, 2, 8))
    patch.setattr("validation.ageing.measure.CONTEXT", 16)


def small_model(patch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """One short window of blocks with trains, few spikes of layers and about limits."""
    for name, value in {"TRAINED_AT": (3,), "LAYERS_AT": 4, "BIASED_AT": 4, "FEW": 2, "FEW_TRAINS": 2}.items():
        patch.setattr(f"validation.model.plan.{name}", value)
    patch.setattr("validation.model.gather.LAYERS_AT", 4)
    patch.setattr("validation.model.tables.RESAMPLES", 20)
    patch.setattr("validation.model.tables.FEWEST", 2)


def small_microcircuits(patch: pytest.MonkeyPatch, module: Any) -> None:
    """One rung of few neurons, on one row of each kind, without the onset and without other rates."""
    patch.setitem(module.PRESETS, "quick", module.Preset(2, 3, 0.05, 3, (), 0.0, ()))
    patch.setitem(sys.modules["validation.microcircuits.rungs"].SIZES, "interneurons", (6,))
    patch.setattr("validation.microcircuits.operating.RATES", (10.0,))
    patch.setattr(module, "RASTER_SECONDS", 0.01)


def small_sort(patch: pytest.MonkeyPatch, module: Any) -> None:
    """Few sets of everything, and small trees only."""
    patch.setitem(module.PRESETS, "quick", module.Sizes(2, 0, 50, 2, 2, 10, 2, 1000, 2, 6))
    patch.setattr("validation.sort.tables.SIZES", ((20, (100,)),))


def small_verdicts(patch: pytest.MonkeyPatch, module: Any) -> None:
    """The first cells of the list, and few studies of each."""
    patch.setitem(sys.modules["validation.verdicts.cells"].SIZES, "quick", 8)
    patch.setitem(module.REPETITIONS, "quick", 3)


def small_softmax(patch: pytest.MonkeyPatch, module: Any) -> None:
    """Every sixth row, two members of the family, two weights of Lemma 3, and peaked rows only."""
    rows = module.attention_rows()[::6]
    patch.setattr(module, "attention_rows", lambda: rows)
    patch.setattr("validation.softmax.controls.WEIGHTS", (0.1, 1.0))
    patch.delitem(sys.modules["validation.softmax.row_sets"].FACTORS, "flat")
    patch.setattr("validation.softmax.regularity.REGULARITIES", (2, np.inf))
    patch.setattr("validation.softmax.regularity.TRIALS", 2)


def small_assumptions(patch: pytest.MonkeyPatch, module: Any) -> None:
    """Windows of a twentieth, and the crossings of one closed form, whose assumption is not simulated here."""
    patch.setitem(module.PRESETS, "quick", {"trials": 8, "stretch": 0.05})
    crossings = sys.modules["validation.assumptions.crossings"]
    patch.setattr(crossings, "RESAMPLES", 20)
    table = module.crossing_table
    patch.setattr(module, "crossing_table", lambda _: table({"refractory period"}))


def small_own_rows(patch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """Few and short windows of the steps of the toy."""
    patch.setattr("validation.attention.fixed_point.ACCURACIES", (0.5, 0.4))
    patch.setattr("validation.attention.fixed_point.WINDOWS", 2)


CASES = (
    Case(
        "compare_softmax",
        {"circuits": ("subtractive", "integrate", "escape"), "duration": "0.1 s", "trials": 2, "curves": True},
        small_softmax,
    ),
    Case(
        "compare_softmax",
        {"sweep": HERE / "sweep.toml", "jobs": 1},
        left_out=("key",),  # of a point: a hash of the source
        variant="sweep",
    ),
    Case(
        "compare_attention",
        {"toy": True, "mode": "streaming", "duration": "1 s", "windows": 12, "trials": 2, "tau_s": "20 ms"},
        variant="streaming",
    ),
    Case(
        "compare_attention",
        {"toy": True, "mode": "staged", "duration": "40 ms", "windows": 2, "trials": 2},
        variant="staged",
    ),
    Case(
        "compare_attention",
        {"toy": True, "mode": "staged", "softmax": "subtractive", "duration": "40 ms", "windows": 2, "trials": 2},
        small_own_rows,
        left_out=tuple(f"decay_fit.{column}" for column in FITTED),
        variant="subtractive",
    ),
    Case(
        "compare_frameworks",
        {"blocks": ("spikformer", "spike_softmax"), "inputs": ("digits",), "size": "small"}
        | {"frameworks": (), "trains": 3},
        small_frameworks,
        left_out=("version",),  # of Brian2
    ),
    Case("compare_conventions", {"join": (ROOT / "validation/conventions",)}),
    Case(
        "compare_simulators",
        {"rows": 2, "circuits": ("escape",), "trials": 3, "duration": "60 ms", "neurons": 6},
        without_nest,
    ),
    Case("spike_bounds", {}, small_bounds),
    Case(
        "calibrate_assumptions",
        {"assumptions": ("threshold_convention", "saturation")},
        small_assumptions,
    ),
    Case("calibrate_verdicts", {"jobs": 1}, small_verdicts),
    # The condition, and ends of intervals of slopes of rates near rounding.
    Case("rank_collapse", {}, small_rank, left_out=("condition", "collapse.low", "collapse.high")),
    Case("compare_ageing", {}, small_ageing),
    Case(
        "compare_model",
        {"model": ("vit_digits",), "samples": 4, "trials": 2, "circuits": ("escape", "integrate", "subtractive")}
        | {"spikes": (2, 4), "duration": "10 ms", "jobs": 1},
        small_model,
    ),
    Case("compare_microcircuits", {"circuits": ("interneurons",)}, small_microcircuits),
    Case("sort_circuits", {}, small_sort, left_out=("theorems.value",)),  # differences of 1e-14
    Case("audit_model", {"max_rows": 6, "check_rows": 0}),
    Case("calibrate_design_rule", {"circuits": ("integrate",)}, small_rule),
    Case("effective_dimension", {"sets": ("tokens", "patches-4"), "patches": 30, "trials": 2}),
    Case(
        "approximate_function",
        {"targets": ("deepsets_polynomial",), "heads": 2, "tokens": 2, "features": 1, "samples": 12}
        | {"duration": "10 ms"},
        small_approximation,
    ),
    Case(
        "benchmark",
        {"preset": "smoke", "circuits": ("race", "escape"), "peers": ("loop", "numpy")},
        made_up_processes,
    ),
    Case("compare_exponential", {"ranges": (1.0,), "steps": 50, "trials": 4}),
    Case("compare_transfer", {"rows": 2, "spikes": 100, "trials": 2}),
)
COMMANDS = (*dict.fromkeys(case.study for case in CASES), "all")


def run(case: Case, out: Path) -> None:
    """Run a study on the numpy target, in this process; its figures are made, but not drawn.

    Every call starts its network anew, so nothing is left to the next study but what was imported.
    """
    entry = importlib.import_module(f"validation.{case.study}")
    options = case.options | {"out": out, "quiet": True}
    # A sweep has its target in its file, and the benchmark none.
    if "sweep" not in options and "target" in {field.name for field in entry.Config.__attrs_attrs__}:
        options["target"] = "numpy"
    # Processes would not have what is patched.
    with pytest.MonkeyPatch.context() as patch, joblib.parallel_config(backend="sequential"):
        patch.setitem(b2.prefs, "codegen.target", "numpy")
        patch.setattr(Figure, "savefig", lambda figure, path, **_: Path(path).touch())
        case.smaller(patch, sys.modules[entry.main.__module__])
        entry.main(entry.Config(**options))


def help_of(command: str) -> str:
    """What ``python validation/COMMAND.py --help`` prints on a terminal of 120 columns."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("COLUMNS", "120")
        patch.setenv("TERM", "dumb")
        patch.delenv("FORCE_COLOR", raising=False)
        patch.setattr(sys, "argv", ["", "--help"])
        patch.setattr(sys, "excepthook", sys.excepthook)  # which a command line resets
        patch.chdir(ROOT)  # the usage line has the path as it was given
        with contextlib.suppress(SystemExit):
            runpy.run_path(f"validation/{command}.py", run_name="__main__")
    return printed.getvalue()
