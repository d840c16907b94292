"""Intervals over the images of one test set: what other images of the same kind might have given."""

from __future__ import annotations

import numpy as np

import tlhelpers as tl


def test_the_interval_holds_the_score_and_narrows_with_more_images() -> None:
    def width(count: int) -> float:
        rng, labels = np.random.default_rng(0), np.tile([0, 1], count // 2)
        chance = np.clip(labels * 0.3 + 0.35 + rng.normal(0, 0.2, count), 0, 1)
        found = tl.stats.bootstrap(np.stack([1 - chance, chance], 1), labels, draws=40)["accuracy"]
        assert found.low < found.mean < found.high and found.n == count
        return found.high - found.low

    assert width(400) < 0.6 * width(40)


def test_images_that_repeat_each_other_widen_it() -> None:
    rng = np.random.default_rng(1)
    few = np.clip(np.tile([0.35, 0.65], 10) + rng.normal(0, 0.2, 20), 0, 1)
    chance, labels, ties = np.repeat(few, 8), np.repeat(np.tile([0, 1], 10), 8), np.repeat(np.arange(20), 8)
    both = np.stack([1 - chance, chance], 1)
    apart, tied = (tl.stats.bootstrap(both, labels, t, draws=60)["accuracy"] for t in (None, ties))
    assert tied.high - tied.low > 1.5 * (apart.high - apart.low)


def test_every_draw_holds_every_class_though_each_stands_in_one_group() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    found = tl.stats.bootstrap(np.eye(3)[[0, 1, 1, 1, 2, 2]], labels, labels * 7, draws=5)
    assert found["accuracy"].low == found["accuracy"].mean == found["accuracy"].high == 5 / 6
