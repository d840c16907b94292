"""Strategies x label counts x seeds, on the test set: the stored run of chapters 01 and 07."""

from __future__ import annotations

import tlhelpers as tl
from benchmarks import recipes
from benchmarks.experiment import Cell, Experiment, Row
from tlhelpers.profile import Profile


def cells(p: Profile) -> list[Cell]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    return [
        {"strategy": strategy, "labels": labels, "seed": seed}
        for seed in p.seeds
        for labels in sorted(p.label_counts, reverse=True)
        for strategy in recipes.STRATEGIES
        if strategy not in recipes.AT_MOST_LABELS_ONLY or labels == max(p.label_counts)
    ]


def run(p: Profile, strategy: str, labels: int, seed: int) -> Row:
    """Run one cell."""
    return recipes.STRATEGIES[strategy](tl.data.splits(p, seed, labels), p, seed).row


Experiment(
    "strategies",
    cells,
    run,
    check=(
        {"strategy": "two-stage", "labels": 100, "seed": 1},
        {"strategy": "scratch", "labels": 250, "seed": 2},
    ),
)
