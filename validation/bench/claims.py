"""``biospike claims``: the claims and their verdicts, read off results."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from biospike.errors import InputError
from validation import data
from validation.study.options import member

COLUMNS = ["study", "claim", "measured", "verdict"]
SHIPPED = Path(data.__file__).with_name("claims_quick.csv")


def main(arguments: list[str]) -> int:
    """Print the claims that `all` has judged, or those of one study or verdict.

    Without results of your own those of the quick preset, which ship.
    """
    parser = argparse.ArgumentParser(prog="biospike claims", description=main.__doc__)
    parser.add_argument("--results", type=Path, metavar="DIR", help="--out of `all`; default the index that ships")
    parser.add_argument("--study", metavar="NAME", help="of this study alone")
    parser.add_argument("--verdict", metavar="WORDS", help="whose verdict begins with these words")
    options = parser.parse_args(arguments)
    path = SHIPPED if options.results is None else options.results / "claims.csv"
    if not path.is_file():
        raise InputError(f"--results {options.results}: there is no claims.csv; `biospike all` writes one")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise InputError(f"{path} has no column {missing[0]!r}: it is no index of claims")
    if options.study is not None:
        table = table[table["study"] == member("--study", options.study, table["study"].unique())]
    if options.verdict is not None:
        known = sorted(table["verdict"].unique())
        table = table[table["verdict"].str.startswith(options.verdict)]
        if table.empty:
            raise InputError(f"--verdict {options.verdict}: none begins so; there are {', '.join(known)}")
    made = [name for name in ("preset", "date", "revision") if name in table]
    for known in table[made].drop_duplicates().itertuples(index=False) if made else ():
        print(f"{path.name}: {', '.join(known)}")
    for row in table[COLUMNS].to_dict("records"):
        print("\n  ".join([f"[{row['study']}] {row['claim']}", row["measured"], row["verdict"]]))
    print(f"{len(table)} claims")
    return 0
