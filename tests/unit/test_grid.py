"""Stored grids: only what is missing is run, and every run is stored at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import tlhelpers as tl
from benchmarks import grid, recipes, repairs, strategies

CELLS = [{"kind": kind, "seed": seed} for seed in (0, 1) for kind in ("a", "b")]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder where results are stored."""
    monkeypatch.setattr(tl.results, "folder", lambda: tmp_path)
    return tmp_path


class Runner:
    """A run that counts its calls and can be cut off."""

    def __init__(self, until: int | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self.until = until

    def __call__(self, **cell: Any) -> recipes.Run:
        if len(self.calls) == self.until:
            raise KeyboardInterrupt
        self.calls.append(cell)
        history = pd.DataFrame({"val_accuracy": [0.5, 0.9, 0.7]})
        scores = {"accuracy": 0.8, "balanced_accuracy": 0.7, "auroc": 0.6 + cell["seed"] / 10}
        return recipes.Run(torch.nn.Identity(), history, scores)


def test_every_cell_becomes_a_row_with_its_scores(results: Path) -> None:
    grid.fill("tried", "python -m tried", CELLS, Runner())
    rows = tl.book.results("tried")
    assert rows[["kind", "seed"]].to_dict("records") == CELLS
    assert rows["auroc"].tolist() == [0.6, 0.6, 0.7, 0.7]
    assert rows["watched_accuracy"].eq(0.9).all() and rows["seconds"].ge(0).all()


def test_an_interrupted_grid_goes_on_where_it_stopped(results: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        grid.fill("tried", "python -m tried", CELLS, Runner(until=3))
    assert len(tl.book.results("tried")) == 3
    again = Runner()
    grid.fill("tried", "python -m tried", CELLS, again)
    assert again.calls == CELLS[3:] and len(tl.book.results("tried")) == 4


def test_the_stored_tables_hold_every_cell_of_their_grids_once() -> None:
    p = tl.profile.current()
    for script in (strategies, repairs):
        stored = tl.book.results(script.NAME)
        cells = script.cells(p)
        assert len({cell["seed"] for cell in cells}) >= 5
        keys = list(cells[0])
        assert sorted(map(str, stored[keys].to_dict("records"))) == sorted(map(str, cells))
        assert stored.attrs["provenance"]["command"] == script.COMMAND


def test_few_labels_get_more_passes_so_that_no_run_has_only_a_few_steps() -> None:
    p = tl.profile.current()
    steps = {labels: recipes.passes(p, labels) * -(-labels // p.batch_size) for labels in p.label_counts}
    assert min(steps.values()) >= recipes.MIN_STEPS
    assert recipes.passes(p, max(p.label_counts)) == p.epochs
