"""The small targets of chapter 14 as a benchmark: arms, scores and words."""

from __future__ import annotations

import numpy as np

import tlhelpers as tl
from benchmarks import recipes
from benchmarks import targets as bench
from tlhelpers.data import TextSet


class TestBenchmark:
    def test_a_task_of_each_kind_has_all_arms_and_its_own_sources(self) -> None:
        arms = {(c["task"], c["arm"]) for c in bench.cells(tl.profile.current())}
        assert len(arms) == 9 * (3 + 8) + 4 * (3 + 5)
        assert ("digits", "from pixels") in arms and ("tweets", "from layer 4") in arms

    def test_probes_are_put_on_a_scale_from_chance_to_perfect(self) -> None:
        y = np.repeat([0, 1, 2], 10)
        found = bench.all_scores(np.eye(3)[y] * 9 + np.random.default_rng(0).normal(size=(30, 3)), y)
        assert found["probe"] == found["knn"] == 1.0 and np.isnan(found["leep"])

    def test_images_are_not_flipped(self) -> None:
        p = bench.settings(tl.profile.current())
        assert recipes.augmentation(p) is None and p.image_size == bench.SIDE == 128

    def test_words_are_learned_from_the_training_part_and_the_penalty_from_validation(self) -> None:
        texts = ["good day", "bad day", "good food", "bad food"] * 5
        part = TextSet(texts, np.array([1, 0] * 10), np.arange(20))
        splits = tl.data.TextSplits(
            part, part, TextSet(["good unseen", "bad unseen"], np.array([1, 0]), np.arange(2))
        )
        assert bench.text_scratch(splits, tl.profile.current(), 0).scores["auroc"] == 1.0
