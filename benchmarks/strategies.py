"""Strategies x label counts x seeds, on the test set: the stored run of chapters 01 and 07.

Resumable: a cell that stands in the CSV is not run again. ``python -m benchmarks.strategies``
"""

from __future__ import annotations

from typing import Any

import tlhelpers as tl
from benchmarks import grid, recipes
from tlhelpers.profile import Profile

NAME, COMMAND = "strategies", "python -m benchmarks.strategies"


def cells(p: Profile) -> list[dict[str, Any]]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    return [
        {"strategy": strategy, "labels": labels, "seed": seed}
        for seed in p.seeds
        for labels in sorted(p.label_counts, reverse=True)
        for strategy in recipes.STRATEGIES
        if strategy not in recipes.AT_MOST_LABELS_ONLY or labels == max(p.label_counts)
    ]


def run(strategy: str, labels: int, seed: int) -> recipes.Run:
    """Run one cell."""
    p = tl.profile.current()
    return recipes.STRATEGIES[strategy](recipes.cut(p, labels, seed), p, seed)


def main() -> None:
    """Run what is missing."""
    grid.fill(NAME, COMMAND, cells(tl.profile.current()), run)


if __name__ == "__main__":
    main()
