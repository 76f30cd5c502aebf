"""A study's directory of results, for writing and for reading."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from biospike import files, load
from biospike.plots import save_figure
from biospike.recording import save, save_groups, write_atomically
from validation.study.command_line import writable
from validation.study.report import plain


class Missing(LookupError):  # noqa: N818 - a state of the results, not a fault
    """A table, or a row of it, is not there."""


class Options(Protocol):
    """What the results of a study need of its configuration."""

    @property
    def out(self) -> Path:
        """Directory of the results."""

    @property
    def quiet(self) -> bool:
        """Whether nothing is printed."""


class Results:
    """The files of one study.

    Parameters
    ----------
    directory : Path
        The directory. `Results.of` makes it and proves that it can be written to.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._shown: list[str] = []
        self._saved: dict[str, xr.Dataset] = {}

    @classmethod
    @contextmanager
    def of(cls, config: Options) -> Iterator[Self]:
        """Results that a run writes into ``config.out``; at the end what is to be shown, and the files, are printed.

        Raises
        ------
        InputError
            If the directory cannot be made or written to.
        """
        results = cls(writable(config.out))
        before = len(files.written)
        yield results
        if not config.quiet:
            ours = {path.name for path in files.written[before:] if path.parent == results.directory}
            print("\n".join([*results._shown, f"written to {results.directory}: {', '.join(sorted(ours))}"]))

    def tables(self, **tables: pd.DataFrame) -> None:
        """Write every table as ``NAME.csv``."""
        for name, table in tables.items():
            write_atomically(self.directory / f"{name}.csv", lambda path, table=table: table.to_csv(path, index=False))
            self._known.pop(name, None)

    def show(self, *tables: pd.DataFrame, digits: int = 4) -> None:
        """Print these tables at the end, numbers with this many significant digits."""
        self._shown += [plain(table, digits) for table in tables]

    def figures(self, **figures: Figure) -> None:
        """Write every figure as ``NAME.png`` and ``NAME.pdf``."""
        for name, figure in figures.items():
            save_figure(figure, self.directory, name)

    def report(self, text: str) -> None:
        """Write ``report.md``."""
        self.text("report.md", text)

    def text(self, name: str, text: str) -> None:
        """Write a text file."""
        write_atomically(self.directory / name, lambda path: path.write_text(text, encoding="utf-8"))

    def save(self, name: str, data: xr.Dataset | dict[str, xr.Dataset]) -> None:
        """Write ``NAME.nc``: one dataset, or several as groups of one file."""
        write: Callable[[Any, Path], None] = save if isinstance(data, xr.Dataset) else save_groups
        write(data, self.directory / f"{name}.nc")
        if isinstance(data, xr.Dataset):
            self._saved[name] = data

    @functools.cached_property
    def _known(self) -> dict[str, pd.DataFrame]:
        return {}

    def table(self, name: str = "summary", **where: object) -> pd.DataFrame:
        """Rows of ``NAME.csv`` in which every column of `where` has its value, or one of a list of values.

        Raises
        ------
        Missing
            If there is no such file, or no such row.
        """
        if name not in self._known:
            path = self.directory / f"{name}.csv"
            if not path.is_file():
                raise Missing(f"{self.directory.name} was not run")
            try:
                self._known[name] = pd.read_csv(path)
            except pd.errors.EmptyDataError:  # what was run fills no row of it, so it has no columns either
                raise Missing(f"{self.directory.name} has no such rows") from None
        found = self._known[name]
        for column, value in where.items():
            found = found[found[column].isin(value) if isinstance(value, list | tuple) else found[column] == value]
        if found.empty:
            raise Missing(f"{self.directory.name} has no such rows")
        return found

    def last(self, by: str, **where: object) -> pd.DataFrame:
        """Rows of ``summary.csv`` of the longest window of every group, indexed by it."""
        return self.table("summary", **where).groupby(by, sort=False).tail(1).set_index(by)

    def dataset(self, name: str) -> xr.Dataset:
        """Return ``NAME.nc``.

        Raises
        ------
        Missing
            If there is no such file.
        """
        if name not in self._saved:
            path = self.directory / f"{name}.nc"
            if not path.is_file():
                raise Missing(f"{self.directory.name} was not run")
            self._saved[name] = load(path)
        return self._saved[name]
