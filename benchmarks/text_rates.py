"""Full fine-tuning at four learning rates: the stored sweep of chapter 10, on seeds that no comparison uses.

The rate of the comparison is the one with the best validation accuracy here. Columns as in
:mod:`benchmarks.texts`. Resumable: a cell that stands in the CSV is not run again.
``python -m benchmarks.text_rates``
"""

from __future__ import annotations

from typing import Any

import tlhelpers as tl
from benchmarks import grid, recipes, texts

NAME, COMMAND = "text_rates", "python -m benchmarks.text_rates"
RATES = (2e-5, 1e-4, 3e-4, 1e-3)
SEEDS = (100, 101, 102)


def cells() -> list[dict[str, Any]]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    return [{"rate": rate, "seed": seed} for seed in SEEDS for rate in RATES]


def run(rate: float, seed: int) -> recipes.Run:
    """Run one cell; the last training loss goes with the scores, for it shows a rate that does not learn."""
    found = texts.tuned(tl.data.text_splits(seed), seed, rate)
    return found._replace(scores=found.scores | {"train_loss": float(found.history["train_loss"].iloc[-1])})


def main() -> None:
    """Run what is missing."""
    grid.fill(NAME, COMMAND, cells(), run)


if __name__ == "__main__":
    main()
