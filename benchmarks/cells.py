"""Solar cells, module by module: labels x arms, and training on one kind of cell and testing on the other.

The tables ``cells`` and ``shift`` of the protocol. Modules stay together: a test part holds whole modules that no
network has seen a cell of, and those of the tuning part are never tested.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

import tlhelpers as tl
from benchmarks import engine, parts, pictures, protocol
from benchmarks.experiment import Cell, Experiment, Row
from benchmarks.pictures import Pool, Rows
from tlhelpers.profile import Profile

KINDS = ("mono", "poly")
CELLS, SHIFT = protocol.plan("cells"), protocol.plan("shift")


@lru_cache(maxsize=1)
def pool(p: Profile) -> Pool:
    """Return all cells, prepared."""
    images = tl.data.load(p.image_data)
    side = CELLS.rules["image_size"]
    x = engine.pixels(images, tl.models.load(p.backbone, 2, image_size=side).transform)
    return Pool(x, torch.from_numpy(images.labels), 2, p.backbone, p.device, True, CELLS.rules)


@lru_cache(maxsize=1)
def modules() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the module of each cell ``[N]``, the 44 modules, and the kind of each of them."""
    of_cell, kinds = tl.data.cell_modules(), tl.data.cell_kinds()
    every, first = np.unique(of_cell, return_index=True)
    return of_cell, every, kinds[first]


def tuning_modules() -> np.ndarray:
    """Return the modules that are for the search alone."""
    rules = CELLS.rules["tuning"]
    return protocol.some(*modules()[1:], counts=rules["modules"], seed=rules["seed"])


def _rows(*chosen: np.ndarray) -> Rows:
    of_cell = modules()[0]
    return Rows(*(np.flatnonzero(np.isin(of_cell, part)) for part in chosen))


def rows_of(seed: int) -> Rows:
    """Return the cells of each part, for a seed of the table ``cells``."""
    _, every, kinds = modules()
    tuning, none = tuning_modules(), np.empty(0, np.int64)
    if seed in CELLS.tuning_seeds:
        order = np.random.default_rng(seed).permutation(tuning)
        count = CELLS.rules["tuning"]["train_modules"]
        return _rows(order[:count], order[count:], none)
    rules = CELLS.rules["final"]
    left = ~np.isin(every, tuning)
    test = protocol.folds(every[left], kinds[left], rules["folds"], seed // 10)[seed % 10]
    left &= ~np.isin(every, test)
    val = protocol.some(every[left], kinds[left], rules["val_modules"], seed)
    return _rows(every[left & ~np.isin(every, val)], val, test)


def rows_of_shift(seed: int, kind: str) -> tuple[Rows, np.ndarray]:
    """Return the cells of each part, all of one kind, and those of the other kind; for a seed of ``shift``."""
    of_cell, every, kinds = modules()
    tuning, none = tuning_modules(), np.empty(0, np.int64)
    if seed in SHIFT.tuning_seeds:
        own = tuning[kinds[tuning] == kind]
        order = np.random.default_rng(seed).permutation(own)
        return _rows(order[:-2], order[-2:], none), none
    rules = SHIFT.rules["final"]
    left = ~np.isin(every, tuning)
    there = np.flatnonzero(np.isin(of_cell, every[left & (kinds != kind)]))
    left &= kinds == kind
    test = protocol.folds(every[left], kinds[left], rules["folds"], seed // 10)[seed % 10]
    left &= ~np.isin(every, test)
    val = protocol.some(every[left], kinds[left], {kind: rules["val_modules"]}, seed)
    return _rows(every[left & ~np.isin(every, val)], val, test), there


def few_of(y: torch.Tensor, rows: np.ndarray, labels: int, seed: int) -> np.ndarray:
    """Return so many of the rows, the classes in proportion; for one seed fewer lie among more."""
    numbered = parts.numbered(y[rows].numpy(), ("functional", "defective"))
    return rows[parts.numbers(tl.data.subset(numbered, labels, seed))]


def run(p: Profile, arm: str, labels: int, setting: float, seed: int) -> Row:
    """Run one cell of the table ``cells``."""
    cells, rows = pool(p), rows_of(seed)
    few = few_of(cells.y, rows.train, labels, seed)
    return row_of(pictures.run(cells, rows, few, arm, setting, seed), cells.y, rows.test)


def row_of(outcome: pictures.Outcome, y: torch.Tensor, test: np.ndarray) -> Row:
    """Return a row and the scores of its items: the chance of a defect."""
    row: Row = {protocol.SEARCHED: outcome.validation, "kept": outcome.kept, "tested": len(test)}
    if outcome.chances is None:
        return row | dict.fromkeys(tl.stats.METRICS, float("nan"))
    return row | tl.stats.scores(outcome.chances, y[test].numpy()) | {"items": items_of(outcome.chances, test)}


def items_of(chances: np.ndarray, test: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rows of test items and the log odds of a defect, whose order half precision keeps."""
    odds = np.log(np.clip(chances[:, 1], 1e-7, None)) - np.log(np.clip(chances[:, 0], 1e-7, None))
    return {"at": test.astype(np.uint16), "score": odds.astype(np.float16)}


def run_shift(p: Profile, kind: str, arm: str, labels: int, setting: float, seed: int) -> Row:
    """Run one cell of the table ``shift``: train on one kind, test on it and, as ``other_...``, on the other."""
    cells = pool(p)
    rows, there = rows_of_shift(seed, kind)
    few = few_of(cells.y, rows.train, labels, seed)
    both = Rows(rows.train, rows.val, np.concatenate([rows.test, there]))
    outcome = pictures.run(cells, both, few, arm, setting, seed)
    here = len(rows.test)
    if outcome.chances is None:
        return row_of(outcome, cells.y, rows.test) | {f"other_{name}": float("nan") for name in tl.stats.METRICS}
    same, other = outcome.chances[:here], outcome.chances[here:]
    row = row_of(outcome._replace(chances=same), cells.y, rows.test)
    away = {f"other_{k}": v for k, v in tl.stats.scores(other, cells.y[there].numpy()).items()}
    row["items"] |= {f"other {name}": values for name, values in items_of(other, there).items()}
    return row | away


def in_bf16(cell: Cell) -> bool:
    """Tell whether a cell computes frozen passes in bfloat16, where that is faster."""
    return cell["arm"] not in ("statistics", "pixels", "scratch", "random") and (
        engine.precision(tl.profile.current().device) == torch.bfloat16
    )


def cells_of(p: Profile) -> list[Cell]:
    """Return the cells of the table ``cells``, as far as its search has come."""
    return CELLS.cells(EXPERIMENT.stored())


def cells_of_shift(p: Profile) -> list[Cell]:
    """Return the cells of the table ``shift``, as far as its search has come."""
    return SHIFT.cells(SHIFTED.stored())


EXPERIMENT: Experiment = Experiment(
    "cells",
    cells_of,
    run,
    plan=CELLS,
    bf16=in_bf16,
    check=[{"arm": "frozen", "labels": 250, "setting": 0.001, "seed": 701}],
    score=protocol.SEARCHED,
)
SHIFTED: Experiment = Experiment(
    "shift",
    cells_of_shift,
    run_shift,
    plan=SHIFT,
    bf16=in_bf16,
    check=[{"kind": "mono", "arm": "frozen", "labels": 160, "setting": 0.001, "seed": 751}],
    score=protocol.SEARCHED,
)
