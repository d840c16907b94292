"""Strategies x label counts x seeds, on the test set: the stored run of chapters 01 and 07.

Resumable: a cell that stands in the CSV is not run again. ``python -m benchmarks.strategies``
"""

from __future__ import annotations

import time

import pandas as pd
from tqdm import tqdm

import tlhelpers as tl
from benchmarks import recipes

NAME, COMMAND = "strategies", "python -m benchmarks.strategies"


def cells(p: tl.profile.Profile) -> list[tuple[int, int, str]]:
    """Return (seed, labels, strategy), seed by seed, so that an unfinished run holds whole seeds."""
    return [
        (seed, labels, strategy)
        for seed in p.seeds
        for labels in sorted(p.label_counts, reverse=True)
        for strategy in recipes.STRATEGIES
        if strategy != "full" or labels == max(p.label_counts)
    ]


def main() -> None:
    p = tl.profile.current()
    path = tl.results.folder() / f"{NAME}.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    done = {(row["seed"], row["labels"], row["strategy"]) for row in rows}
    for seed, labels, strategy in tqdm([cell for cell in cells(p) if cell not in done], unit="run"):
        start = time.perf_counter()
        run = recipes.STRATEGIES[strategy](recipes.cut(p, labels, seed), p, seed)
        seconds = time.perf_counter() - start
        rows.append({"strategy": strategy, "labels": labels, "seed": seed, **run.scores, "seconds": seconds})
        tl.results.save(NAME, pd.DataFrame(rows), COMMAND)


if __name__ == "__main__":
    main()
