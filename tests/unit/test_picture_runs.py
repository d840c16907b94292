"""Each arm that tables on pictures compare, run whole on a few small pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tlhelpers as tl
from benchmarks import engine, pictures
from benchmarks.parts import Rows
from benchmarks.pictures import Pool

SIDE = 64
ARMS = {
    "statistics": 0.1,
    "pixels": 0.001,
    "scratch": 1e-3,
    "random": 1e-3,
    "frozen": 1e-3,
    "last stages": 3e-4,
    "two-stage": 1e-4,
    "moving": 1e-4,
    "full": 1e-4,
}
RULES = {
    "measure": "auroc",
    "batch": 8,
    "head": {"rate": 0.001, "rounds": 2, "steps": 8},
    "tuned": {"rounds": 1, "steps": 2},
    "scratch": {"rounds": 1, "steps": 4},
}
ROWS = Rows(np.arange(16), np.arange(16, 28), np.arange(28, 44))


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Pieces of two photographs, 44 in all, the classes in turn."""
    photos = {name: tl.data.photographs()[name] for name in ("cat", "temple")}
    cut = tl.data.pieces(photos, 22, 0, seed=0)
    cut = cut.take(np.stack([np.flatnonzero(cut.labels == label) for label in (0, 1)], axis=1).ravel())
    x = engine.pixels(cut, tl.models.load("efficientnet_lite0", 2, image_size=SIDE).transform)
    return Pool(x, torch.from_numpy(cut.labels), 2, "efficientnet_lite0", "cpu", True, RULES)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_gives_chances_for_the_test_part_and_the_same_again(pool: Pool, arm: str) -> None:
    first, again = (pictures.run(pool, ROWS, ROWS.train, arm, ARMS[arm], seed=5) for _ in range(2))
    assert first.chances is not None and again.chances is not None
    assert first.chances.shape == (16, 2) and np.allclose(first.chances.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(first.chances, again.chances) and 0 <= first.validation <= 1
    row = first.row(pool.y[ROWS.test].numpy())
    assert row["tested"] == 16 and row["validation"] == first.validation and 0 <= row["auroc"] <= 1


@pytest.mark.parametrize("arm", ["pixels", "frozen"])
def test_without_a_test_part_nothing_is_tested(pool: Pool, arm: str) -> None:
    tuning = ROWS._replace(test=np.empty(0, np.int64))
    found = pictures.run(pool, tuning, ROWS.train, arm, ARMS[arm], seed=5)
    row = found.row(np.empty(0, np.int64))
    assert found.chances is None and all(np.isnan(row[name]) for name in tl.stats.METRICS)


def test_frozen_features_tell_a_cat_from_a_temple(pool: Pool) -> None:
    found = pictures.run(pool, ROWS, ROWS.train, "frozen", 3e-3, seed=5)
    assert found.row(pool.y[ROWS.test].numpy())["auroc"] > 0.9


def test_frozen_features_are_left_as_they_are_by_what_is_tuned(pool: Pool) -> None:
    before = pool.features().clone()
    pictures.run(pool, ROWS, ROWS.train, "two-stage", 1e-2, seed=5)
    pool.made.clear()
    assert torch.equal(before, pool.features())
