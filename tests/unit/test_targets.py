"""The small targets of chapter 04: parts that share nothing, labels that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import tlhelpers as tl
from benchmarks import targets as bench
from tlhelpers.data import TextSet

QUICK = [
    name for name in tl.data.IMAGE_TASKS if name not in ("defects", "mono or poly")
]  # those decode 2,624 files


@pytest.mark.parametrize("name", QUICK)
class TestEveryTask:
    def test_it_has_a_hundred_training_images_of_every_class(self, name: str) -> None:
        splits = tl.data.IMAGE_TASKS[name](0)
        assert len(splits.train) == 100 and len(splits.val) in (40, 60) and len(splits.test) in (60, 400)
        assert len(splits.train.classes) == tl.data.TASK_CLASSES.get(name, 2)
        for part in splits:
            assert np.bincount(part.labels, minlength=len(part.classes)).min() >= 5
            assert part[0][0].mode == "RGB"

    def test_the_seed_decides(self, name: str) -> None:
        make = tl.data.IMAGE_TASKS[name]
        first, again, other = (b"".join(np.asarray(i).tobytes() for i in make(s).train.images) for s in (0, 0, 1))
        assert first == again != other


class TestStrips:
    def test_parts_share_no_pixel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        columns = np.tile(np.arange(640) // 4, (100, 1)).astype(np.uint8)  # a pixel tells where it was
        monkeypatch.setattr(targets, "picture", lambda name: columns)
        seen = [{v for image in part.images for v in np.unique(image)} for part in tl.data.origin(("a", "b"), 0)]
        assert all(not seen[a] & seen[b] for a, b in ((0, 1), (0, 2), (1, 2)))

    def test_a_crop_lies_where_it_says(self) -> None:
        whole = np.random.default_rng(0).integers(0, 255, (200, 300), dtype=np.uint8)
        found, y, x = tl.data.crop(whole, 0.4, 0.8, np.random.default_rng(1))
        assert (found == whole[y : y + 64, x : x + 64]).all() and 120 <= x <= 240 - 64


class TestQuestions:
    def test_odd_or_even_asks_about_the_same_digits(self) -> None:
        value = {
            image.tobytes(): label
            for part in tl.data.digits("value", 0)
            for image, label in zip(part.images, part.labels, strict=True)
        }
        parity = tl.data.digits("parity", 0).train
        known = [(image.tobytes(), odd) for image, odd in zip(parity.images, parity.labels, strict=True)]
        pairs = [(value[key], odd) for key, odd in known if key in value]
        assert len(pairs) > 10 and all(v % 2 == p for v, p in pairs)

    def test_turns_are_quarter_turns_to_the_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(targets, "picture", lambda name: np.arange(400 * 400).reshape(400, 400) // 400 // 2)
        monkeypatch.setattr(targets, "ImageSet", lambda images, labels, classes: (images, labels, classes))
        images, labels, classes = tl.data.turned(0).train
        for image, label in zip(images, labels, strict=True):
            upright = np.rot90(image, -label)
            assert upright[0, 0] < upright[-1, 0] and classes[0] == "upright"

    def test_near_and_far_are_even_in_every_part(self) -> None:
        assert all(np.bincount(part.labels).tolist() == [len(part) / 2] * 2 for part in tl.data.depth(0))

    def test_pixels_are_shares_of_white(self) -> None:
        images = tl.data.faces(0).val
        found = tl.data.pixels(images, side=4)
        assert found.shape == (40, 48) and 0 <= found.min() < found.max() <= 1


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
