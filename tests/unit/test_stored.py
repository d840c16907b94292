"""Every stored table holds the cells of its experiment, and (slow) a cell run again gives what the table says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tlhelpers as tl
from benchmarks.experiment import ROOT, Cell, Experiment, discover, holds, text

EXPERIMENTS = list(discover().values())
CHECKS = [
    pytest.param(experiment, cell, id=" ".join([experiment.name, *map(str, cell.values())]))
    for experiment in EXPERIMENTS
    for cell in experiment.check
]


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_a_stored_table_holds_every_cell_of_its_experiment_and_nothing_else(experiment: Experiment) -> None:
    cells = list(experiment.cells(tl.profile.current()))
    columns = list(cells[0])
    known = {tuple(text(cell[column]) for column in columns) for cell in cells}
    rows = [tuple(row[column] for column in columns) for row in experiment.stored()]
    assert len(known) == len(cells)
    if not experiment.path.is_file():  # written before it is run, and then no page may ask for it
        pages = (ROOT / "book").glob("*.md")
        assert not [page.name for page in pages if f'"{experiment.name}"' in page.read_text(encoding="utf-8")]
    elif experiment.plan is None:
        assert set(rows) == known and len({cell["seed"] for cell in cells}) >= 3
    else:  # it may still be filling; nothing is read from it until it is whole, see test_contrasts
        assert set(rows) <= known
    # A row is told from all others by what stands in it, whether a cell has one row or many.
    whole = [tuple(row.values()) for row in experiment.stored()]
    assert len(set(whole)) == len(whole)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_every_experiment_names_cells_to_run_again(experiment: Experiment) -> None:
    cells = list(experiment.cells(tl.profile.current()))
    assert experiment.check and all(cell in cells for cell in experiment.check)


@pytest.mark.slow
@pytest.mark.parametrize(("experiment", "cell"), CHECKS)
def test_a_stored_cell_run_again_gives_the_stored_scores(experiment: Experiment, cell: Cell) -> None:
    if not experiment.path.is_file():
        pytest.skip(f"{experiment.name} was not run yet")
    stored = [row for row in experiment.stored() if holds(row, cell)]
    notes = tl.book.results(experiment.name).attrs["notes"]
    # Sums in another order drift apart over many epochs, so compute on as many threads as the stored run.
    torch.set_num_threads(notes[stored[0]["note"]]["threads"])
    result = experiment.run(tl.profile.current(), **cell)
    again = [row[experiment.score] for row in ([result] if isinstance(result, dict) else result)]
    assert again == pytest.approx([float(row[experiment.score]) for row in stored], abs=experiment.within)
    if len(again) == 1:
        others = {column: value for column, value in cell.items() if column != "seed"}
        runs = np.array([float(row[experiment.score]) for row in experiment.stored() if holds(row, others)])
        assert again[0] in tl.stats.prediction_interval(runs)
