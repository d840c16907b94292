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
from benchmarks.experiment import Row, planned
from benchmarks.parts import Rows
from benchmarks.pictures import Pool
from tlhelpers.profile import Profile

KINDS = ("mono", "poly")
OTHER = "other kind "  # begins the names of the items of cells of the other crystal
CELLS, SHIFT = protocol.plan("cells"), protocol.plan("shift")


@lru_cache(maxsize=1)
def pool(p: Profile) -> Pool:
    """Return all cells, prepared."""
    images = tl.data.load(p.image_data)
    side = CELLS.rules["image_size"]
    x = engine.pixels(images, tl.models.load(p.backbone, 2, image_size=side).transform)
    return Pool(x, torch.from_numpy(images.labels), 2, p.backbone, p.device, True, CELLS.rules)


@lru_cache(maxsize=1)
def defective() -> np.ndarray:
    """Return the label of each cell ``[N]``."""
    return tl.data.load(tl.profile.current().image_data).labels


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


def few(labels: int, seed: int) -> np.ndarray:
    """Return the cells that a run of ``cells`` learns from."""
    return parts.few_of(defective(), rows_of(seed).train, labels, seed)


def few_of_shift(labels: int, seed: int, kind: str) -> np.ndarray:
    """Return the cells that a run of ``shift`` learns from."""
    return parts.few_of(defective(), rows_of_shift(seed, kind)[0].train, labels, seed)


def run(p: Profile, arm: str, labels: int, setting: float, seed: int) -> Row:
    """Run one cell of the table ``cells``."""
    rows = rows_of(seed)
    outcome = pictures.run(pool(p), rows, few(labels, seed), arm, setting, seed)
    return outcome.row(defective()[rows.test]) | items_of(outcome.chances, rows.test)


def items_of(chances: np.ndarray | None, test: np.ndarray, part: str = "") -> Row:
    """Return label, module, and log odds of a defect of each test item; half precision keeps their order."""
    if chances is None:
        return {}
    odds = np.log(np.clip(chances[:, 1], 1e-7, None)) - np.log(np.clip(chances[:, 0], 1e-7, None))
    found = {"label": defective()[test].astype(np.uint8), "group": modules()[0][test].astype(np.uint8)}
    found["score"] = odds.astype(np.float16)
    return {"items": {f"{part}{name}": values for name, values in found.items()}}


def run_shift(p: Profile, kind: str, arm: str, labels: int, setting: float, seed: int) -> Row:
    """Run one cell of the table ``shift``: train on one kind, test on it and, as ``other_...``, on the other."""
    rows, there = rows_of_shift(seed, kind)
    tested = rows._replace(test=np.concatenate([rows.test, there]))
    outcome = pictures.run(pool(p), tested, few_of_shift(labels, seed, kind), arm, setting, seed)
    chances = (None, None) if outcome.chances is None else np.split(outcome.chances, [len(rows.test)])
    same, other = (outcome._replace(chances=each) for each in chances)
    row = same.row(defective()[rows.test])
    away = other.row(defective()[there])
    row |= {f"other_{name}": away[name] for name in tl.stats.METRICS}
    items = [items_of(same.chances, rows.test), items_of(other.chances, there, OTHER)]
    return row | {"items": {name: values for each in items for name, values in each.get("items", {}).items()}}


EXPERIMENT = planned(
    "solar_cells",
    CELLS,
    run,
    bf16=pictures.in_bf16,
    check=[{"arm": "frozen", "labels": 250, "setting": 0.001, "seed": 701}],
)
SHIFTED = planned(
    "crystal_shift",
    SHIFT,
    run_shift,
    bf16=pictures.in_bf16,
    check=[{"kind": "mono", "arm": "frozen", "labels": 160, "setting": 0.001, "seed": 751}],
)
