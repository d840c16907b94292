"""Stored runs: small CSV files that scripts in ``benchmarks/`` wrote, with a note on how each row was made."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlhelpers import _paths, profile
from tlhelpers.book import _render

if TYPE_CHECKING:
    import pandas as pd

    from tlhelpers.stats import Interval


def results(name: str) -> pd.DataFrame:
    """Return a stored table; ``attrs["notes"]`` tells commit, machine, packages and more for each note of a row.

    Raises:
        FileNotFoundError: when it was never made.
        ValueError: when a row has no note.
    """
    import pandas as pd

    _, notes = read(_path(name))
    runs = pd.read_csv(_path(name)).drop(columns="note")
    runs.attrs["notes"] = notes
    return runs


def card(*names: str) -> None:
    """Show what is known of stored tables: rows, seeds, minutes and code in a line, the rest in a fold.

    Raises:
        FileNotFoundError, ValueError: as :func:`results`.
    """
    _render.show({"card": list(names)})


def check(live: Mapping[str, float], name: str, /, *, tolerance: float = 0.03, **cell: object) -> None:
    """Stop the run when live scores do not agree with a stored table; say so in one line when they do.

    Each score must lie where one more run is to be expected after all stored seeds, and, when ``cell`` names a
    seed, no farther than ``tolerance`` from the run of that seed. Runs of another profile are not compared.

    Args:
        live: score by column, such as ``{"auroc": 0.87}``.
        name: of the table.
        cell: values of columns that pick the runs, such as ``strategy="frozen", labels=500, seed=0``.

    Raises:
        KeyError: when a column is missing.
        ValueError: when no stored run fits the cell, or several fit it and its seed.
        AssertionError: naming scores that are apart.
    """
    here, there = profile.current().name, {note["profile"] for note in results(name).attrs["notes"].values()}
    if here not in there:
        print(f"the stored runs come from profile {', '.join(map(str, there))}: nothing to compare with")
        return
    apart = []
    for column, value, same, expected in _compared(live, name, cell):
        # Where all seeds agree the interval has no width. Not-a-number is at no distance, and must not pass.
        if not abs(value - expected.mean) <= max(expected.high - expected.mean, 0.005):
            apart.append(f"{column} {value:.4f} is outside of {expected}, where a new run should fall")
        elif same is not None and not abs(value - same) <= tolerance:
            apart.append(f"{column} {value:.4f} is farther than {tolerance} from the stored {same:.4f}")
    if apart:
        raise AssertionError(f"the live run does not fit table {name!r}, {cell}: {'; '.join(apart)}.")
    print("the live run agrees with the stored ones")


def beside(live: Mapping[str, float], name: str, /, **cell: object) -> pd.DataFrame:
    """Return live scores beside stored ones and where a new run should fall; arguments as for :func:`check`."""
    import pandas as pd

    columns, values, same, expected = zip(*_compared(live, name, cell), strict=True)
    table = pd.DataFrame({"live": values}, index=list(columns))
    if "seed" in cell:
        table[f"stored, seed {cell['seed']}"] = same
    return table.assign(**{"a new run should fall in": [str(interval) for interval in expected]})


def _compared(
    live: Mapping[str, float], name: str, cell: Mapping[str, object]
) -> Iterable[tuple[str, float, float | None, Interval]]:
    import numpy as np

    from tlhelpers.stats import prediction_interval

    runs, live = results(name), dict(live)
    if missing := [column for column in [*live, *cell] if column not in runs]:
        raise KeyError(f"column(s) {missing} missing in table {name!r}; there are {list(runs.columns)}.")
    for column, wanted in cell.items():
        if column != "seed":
            runs = runs[np.isclose(runs[column], wanted) if isinstance(wanted, float) else runs[column] == wanted]
    of_seed = runs[runs["seed"] == cell["seed"]] if "seed" in cell else runs
    if of_seed.empty or runs["seed"].duplicated().any():
        raise ValueError(f"{len(of_seed)} rows of table {name!r} fit {dict(cell)}; name what picks one a seed.")
    for column, value in live.items():
        same = float(of_seed[column].iloc[0]) if "seed" in cell else None
        yield column, float(value), same, prediction_interval(runs[column].dropna().to_numpy())


def read(path: Path) -> tuple[list[dict[str, str]], dict[str, dict[str, Any]]]:
    """Return the rows of a stored table as they are written, and the notes that their column ``note`` names.

    Raises:
        ValueError: naming table and row, when a row has no note, or a table none at all; when rows were made by
            two protocols.
    """
    source = path.with_suffix(".json")
    notes = json.loads(source.read_text(encoding="utf-8")).get("notes", {}) if source.is_file() else {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows, start=1):
        if row.get("note") not in notes:
            raise ValueError(
                f"table {path.name}, row {number}: its note {row.get('note')!r} is not in {source.name}; "
                "remove the row and make it again with 'make results'."
            )
    used = {row["note"] for row in rows}
    if len(planned := {notes[mark].get("protocol") for mark in used}) > 1:
        raise ValueError(
            f"table {path.name} mixes rows of {len(planned)} protocols ({', '.join(sorted(map(str, planned)))}), "
            "which cannot be compared; move it away with its notes, and make it again with 'make results'."
        )
    return rows, notes


def facts(name: str) -> dict[str, str]:
    """Return what is known of a stored table, by heading, for a card; errors as for :func:`results`."""
    rows, notes = read(_path(name))
    used = [notes[key] for key in dict.fromkeys(row["note"] for row in rows)]
    seconds = [float(row["seconds"]) for row in rows if row.get("seconds")]

    def told(field: str) -> str:
        values = dict.fromkeys(note.get(field) for note in used)
        return ", ".join("not noted" if value is None else str(value) for value in values)

    codes = dict.fromkeys(
        f"{note['commit'] or 'not noted'}{' and uncommitted changes' * bool(note['diff'])}" for note in used
    )
    packages = {
        f"{package} {version}": None for note in used for package, version in (note["versions"] or {}).items()
    }
    whole = all(note["known"] == "row" for note in used)
    return {
        "Rows": f"{len(rows):,}",
        "Seeds": _ranges({int(row["seed"]) for row in rows}) if "seed" in rows[0] else "those of other tables",
        "Computing": _minutes(seconds),
        "Code": ", ".join(codes),
        "Command": told("command"),
        "Machine": "; ".join(
            [told("machine"), *(f"{it}: {told(it)}" for it in ("threads", "device", "precision"))]
        ),
        "Packages": f"Python {told('python')}, {', '.join(packages)}; profile {told('profile')}",
        "Noted": "with each row" if whole else "by the last run that wrote to the table; earlier rows may differ",
    }


def _minutes(seconds: Sequence[float]) -> str:
    """Write a sum of times as people do: ``less than a minute``, ``1 minute``, ``1,240 minutes``."""
    if not seconds:
        return "time not noted"
    whole = round(sum(seconds) / 60)
    return f"{whole:,} minute{'s' * (whole != 1)}" if whole else "less than a minute"


def _ranges(numbers: Iterable[int]) -> str:
    """Write numbers as people do: ``0 to 4, 100``."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def _path(name: str) -> Path:
    path = _paths.book_folder() / "results" / f"{name}.csv"
    if not path.is_file():
        raise FileNotFoundError(f"no stored result {name!r} in {path.parent}; make it with 'make results'.")
    return path
