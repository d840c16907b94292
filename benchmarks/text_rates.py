"""Full fine-tuning at four learning rates: the stored sweep of chapter 10.

The splits are final ones of the protocol's table ``sentences`` that :mod:`benchmarks.texts` does not use; no rate
is chosen here. Columns as in that table; the last training loss goes with them, for it shows a rate that does not
learn. ``text_rates`` is the sweep that came before, on splits drawn at random; the chapter reads it until the
other has been run.
"""

from __future__ import annotations

import tlhelpers as tl
from benchmarks import sentences, texts
from benchmarks.experiment import Cell, Experiment, Row
from tlhelpers.profile import Profile

RATES = (2e-5, 1e-4, 3e-4, 1e-3)
SEEDS = [seed for seed in sentences.PLAN.final_seeds if seed not in texts.SEEDS]


def cells(p: Profile) -> list[Cell]:
    """Return the cells split by split, so that an unfinished run holds whole splits."""
    return [{"rate": rate, "seed": seed} for seed in SEEDS for rate in RATES]


def run(p: Profile, rate: float, seed: int) -> Row:
    """Run one cell."""
    tuned = texts.tuned(p, texts.cut(p, seed), seed, rate)
    return tuned.row | {"train_loss": float(tuned.history["train_loss"].iloc[-1])}


def run_before(p: Profile, rate: float, seed: int) -> Row:
    """Run one cell of the sweep that came before."""
    tuned = texts.tuned(p, tl.data.text_splits(p, seed), seed, rate)
    return tuned.row | {"train_loss": float(tuned.history["train_loss"].iloc[-1])}


def cells_before(p: Profile) -> list[Cell]:
    """Return the cells of the sweep that came before."""
    return [{"rate": rate, "seed": seed} for seed in (100, 101, 102) for rate in RATES]


def in_bf16(cell: Cell) -> bool:
    """Every cell is trained by the Trainer."""
    return True


Experiment("rates_with_text", cells, run, check=[{"rate": 2e-5, "seed": SEEDS[1]}], bf16=in_bf16)
Experiment("text_rates", cells_before, run_before, check=[{"rate": 2e-5, "seed": 101}], bf16=in_bf16)
