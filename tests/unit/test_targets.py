"""The small targets of chapter 04 as a benchmark: arms, scores and words."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import tlhelpers as tl
from benchmarks import targets as bench
from tlhelpers.data import TextSet


class TestBenchmark:
    def test_a_task_of_each_kind_has_all_arms_and_its_own_sources(self) -> None:
        arms = {(c["task"], c["arm"]) for c in bench.cells(tl.profile.current())}
        assert len(arms) == 9 * (4 + 7) + 4 * (4 + 5)
        assert ("digits", "from pixels") in arms and ("tweets", "from layer 4") in arms

    def test_probes_are_put_on_a_scale_from_chance_to_perfect(self) -> None:
        y = np.repeat([0, 1, 2], 10)
        found = bench.all_scores(np.eye(3)[y] * 9 + np.random.default_rng(0).normal(size=(30, 3)), y)
        assert found["probe"] == found["knn"] == 1.0 and np.isnan(found["leep"])

    def test_images_are_not_flipped(self) -> None:
        from benchmarks import recipes

        assert recipes.augmentation(bench.settings()) is None and bench.settings().image_size == tl.data.CROP_SIDE

    def test_words_are_learned_from_the_training_part_and_the_penalty_from_validation(self) -> None:
        texts = ["good day", "bad day", "good food", "bad food"] * 5
        part = TextSet(texts, np.array([1, 0] * 10), np.arange(20))
        splits = tl.data.TextSplits(
            part, part, TextSet(["good unseen", "bad unseen"], np.array([1, 0]), np.arange(2))
        )
        assert bench.text_scratch(splits, 0).scores["auroc"] == 1.0

    def test_batches_are_cut_to_their_longest_sentence(self) -> None:
        class Words:
            def __call__(self, texts: list[str], **_: object) -> dict[str, torch.Tensor]:
                mask = torch.tensor([[1] * len(t.split()) + [0] * (9 - len(t.split())) for t in texts])
                return {"input_ids": 7 * mask, "attention_mask": mask}

        part = TextSet(["a b c", "a", "a b c d e"], np.array([0, 1, 0]), np.arange(3))
        encoder = tl.models.Encoder(nn.Identity(), Words())
        shapes = [tuple(x.shape) for x, _ in bench.batches(part, encoder, 2)]
        assert shapes == [(2, 2, 3), (1, 2, 5)]
