"""Full fine-tuning at four learning rates: the stored sweep of chapter 09, on seeds that no comparison uses.

The rate of the comparison is the one with the best validation accuracy here. Columns as in
:mod:`benchmarks.texts`; the last training loss goes with them, for it shows a rate that does not learn.
"""

from __future__ import annotations

import tlhelpers as tl
from benchmarks import texts
from benchmarks.experiment import Cell, Experiment, Row
from tlhelpers.profile import Profile

RATES = (2e-5, 1e-4, 3e-4, 1e-3)
SEEDS = (100, 101, 102)


def cells(p: Profile) -> list[Cell]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    return [{"rate": rate, "seed": seed} for seed in SEEDS for rate in RATES]


def run(p: Profile, rate: float, seed: int) -> Row:
    """Run one cell."""
    tuned = texts.tuned(p, tl.data.text_splits(p, seed), seed, rate)
    return tuned.row | {"train_loss": float(tuned.history["train_loss"].iloc[-1])}


def in_bf16(cell: Cell) -> bool:
    """Every cell is trained by the Trainer."""
    return True


Experiment("text_rates", cells, run, check=[{"rate": 2e-5, "seed": 101}], bf16=in_bf16)
