"""Look-ups that tell labels without a pixel are found, and what is the class by construction is not told of."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tlhelpers as tl
from tlhelpers.data import ImageSet, Shortcut
from tlhelpers.data._shortcuts import found_in

CLASSES = ("cat", "dog")
PIXEL = np.zeros((1, 1), np.uint8)


def unseen(labels: np.ndarray, classes: tuple[str, ...] = CLASSES) -> ImageSet:
    """A set of which only the order can tell anything."""
    return ImageSet([PIXEL] * len(labels), labels, classes)


def named(paths: list[str], labels: list[int], classes: tuple[str, ...] = CLASSES) -> ImageSet:
    return ImageSet([Path(path) for path in paths], np.array(labels), classes)


def clustered(sources: int = 30, each: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of sources that differ in their share of dogs, and the source of each."""
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(sources), each)
    return (rng.random(sources * each) < rng.beta(0.5, 0.5, sources)[source]).astype(int), source


class TestOrder:
    def test_the_modules_of_the_solar_cells_are_found(self) -> None:
        (found,) = tl.data.shortcuts(tl.data.load("elpv"))
        assert found.by == "place in the list" and found.measure == "AUROC" and found.p <= 0.01
        assert 0.78 < found.score < 0.86
        assert str(found).startswith("a look-up by place in the list ranks held-out images with AUROC 0.8")

    def test_with_modules_kept_together_nothing_is_left(self) -> None:
        assert tl.data.shortcuts(tl.data.load("elpv"), tl.data.cell_modules()) == []

    def test_the_cells_in_random_order_tell_nothing(self) -> None:
        labels = tl.data.load("elpv").labels
        for seed in range(5):
            assert found_in(np.random.default_rng(seed).permutation(labels)) == []

    def test_random_labels_are_told_of_seldom(self) -> None:
        rng = np.random.default_rng(0)
        told = [bool(found_in((rng.random(80) < 0.4).astype(int), seed=seed)) for seed in range(100)]
        assert sum(told) <= 5

    @pytest.mark.parametrize("sizes", [(200, 100), (30, 70, 50)])
    def test_a_list_sorted_by_class_tells_nothing_and_two_put_together_neither(
        self, sizes: tuple[int, ...]
    ) -> None:
        labels, classes = np.repeat(np.arange(len(sizes)), sizes), ("a", "b", "c")[: len(sizes)]
        assert tl.data.shortcuts(unseen(labels, classes)) == []
        assert tl.data.shortcuts(unseen(np.tile(labels, 2), classes)) == []

    @pytest.mark.parametrize("labels", [np.arange(200) % 2, np.arange(400) % 10], ids=["two", "ten"])
    def test_classes_that_take_turns_tell_nothing(self, labels: np.ndarray) -> None:
        assert tl.data.shortcuts(unseen(labels, tuple("abcdefghij")[: labels.max() + 1])) == []

    def test_more_classes_are_told_by_balanced_accuracy(self) -> None:
        rng = np.random.default_rng(0)
        labels = np.where(rng.random(800) < 0.5, np.repeat(rng.integers(0, 4, 40), 20), rng.integers(0, 4, 800))
        (found,) = tl.data.shortcuts(unseen(labels, ("a", "b", "c", "d")))
        assert found.measure == "balanced accuracy" and 0.4 < found.score < 0.8
        assert "names held-out images with balanced accuracy 0." in str(found)

    @pytest.mark.parametrize("count", [0, 1, 59])
    def test_few_images_tell_nothing(self, count: int) -> None:
        assert tl.data.shortcuts(unseen(np.arange(count) // 10 % 2)) == []

    def test_one_class_tells_nothing(self) -> None:
        assert tl.data.shortcuts(unseen(np.zeros(300, int))) == []

    def test_few_groups_tell_nothing(self) -> None:
        labels, source = clustered()
        assert tl.data.shortcuts(unseen(labels), source // 5) == []
        assert tl.data.shortcuts(unseen(labels)) != []

    def test_groups_that_cut_a_source_to_pieces_do_not_help(self) -> None:
        labels, source = clustered(40, 24)
        assert tl.data.shortcuts(unseen(labels), source) == []
        assert tl.data.shortcuts(unseen(labels), np.arange(len(labels)) // 2) != []

    def test_the_same_seed_tells_the_same(self) -> None:
        labels, _ = clustered()
        assert tl.data.shortcuts(unseen(labels)) == tl.data.shortcuts(unseen(labels))

    def test_not_one_group_an_image_is_told(self) -> None:
        with pytest.raises(ValueError, match="there are 3 groups for 80 rows"):
            tl.data.shortcuts(unseen(np.arange(80) % 2), [1, 2, 3])


def shuffled(paths: list[str], labels: np.ndarray) -> ImageSet:
    order = np.random.default_rng(1).permutation(len(paths))
    return named([paths[row] for row in order], labels[order].tolist())


def by(found: list[Shortcut]) -> list[str]:
    return [one.by for one in found]


class TestNames:
    def test_a_date_in_the_names_is_found(self) -> None:
        labels, day = clustered()
        paths = [f"IMG_2024-03-{d + 1:02}_{n:04}.jpg" for n, d in enumerate(day)]
        assert by(tl.data.shortcuts(shuffled(paths, labels))) == ["the date in the file name"]
        plain = [path.replace("-", "") for path in paths]
        assert by(tl.data.shortcuts(shuffled(plain, labels))) == ["the date in the file name"]

    def test_a_folder_is_found_and_with_groups_is_not(self) -> None:
        labels, site = clustered()
        paths = [f"site {s}/{n:04}.jpg" for n, s in enumerate(site)]
        images = shuffled(paths, labels)
        assert by(tl.data.shortcuts(images)) == ["folder"]
        assert tl.data.shortcuts(images, [Path(path).parent.name for path in images.images]) == []

    def test_a_part_of_the_name_is_found_and_shown(self) -> None:
        labels, patient = clustered()
        paths = [f"scan_p{s:02}_{'left' if n % 2 else 'right'}_{n}.png" for n, s in enumerate(patient)]
        assert by(tl.data.shortcuts(shuffled(paths, labels))) == ["a part of the file name, such as 'p00',"]

    def test_a_patient_above_class_folders_is_found(self) -> None:
        labels, patient = clustered()
        paths = [f"{CLASSES[y]}/p{s:02}_{n}.png" for n, (s, y) in enumerate(zip(patient, labels, strict=True))]
        images = named(sorted(paths), [int(path.startswith("dog")) for path in sorted(paths)])
        assert by(tl.data.shortcuts(images)) == ["place in the list", "a part of the file name, such as 'p00',"]

    @pytest.mark.parametrize(
        "path",
        [
            lambda name, number: f"{name}/{number}.png",
            lambda name, number: f"{name}/{name}{number:04}.png",
            lambda name, number: f"data/train/{name.upper()}/{name}_{number}.png",
            lambda name, number: f"{name}/{'siamese' if name == 'cat' else 'poodle'}_{number}.png",
            lambda name, number: f"{name}/{name}-kind{number // 50}/{number}.png",
            lambda name, number: f"{name}/{name[0]}{number // 10:02}/{number}.png",
            lambda name, number: f"{name}/{number // 10 * 2 + (name == 'dog')}/{number}.png",
            lambda name, number: f"{('val', 'train')[number % 3 > 0]}/{name}/{number}.png",
            lambda name, number: f"all/{name}_{number}.png",
        ],
        ids=[
            "folders",
            "names too",
            "case",
            "other words",
            "below the class",
            "breeds",
            "numbered breeds",
            "parts",
            "names alone",
        ],
    )
    @pytest.mark.parametrize("counts", [(150, 150), (80, 220)])
    def test_the_class_itself_is_not_told_of(
        self, path: Callable[[str, int], str], counts: tuple[int, int]
    ) -> None:
        rows = [(path(name, number), k) for k, name in enumerate(CLASSES) for number in range(counts[k])]
        paths, labels = zip(*sorted(rows), strict=True)
        assert tl.data.shortcuts(named(list(paths), list(labels))) == []

    def test_many_class_folders_of_unequal_size_that_count_for_themselves_tell_nothing(self) -> None:
        names = tuple(f"kind {k}" for k in range(10))
        rows = [(f"{name}/img{number}.png", k) for k, name in enumerate(names) for number in range(10 * (k + 1))]
        paths, labels = zip(*rows, strict=True)
        assert tl.data.shortcuts(named(list(paths), list(labels), names)) == []

    def test_one_numbering_over_class_folders_keeps_the_order_of_collection(self) -> None:
        labels, _ = clustered()
        rows = sorted((f"{CLASSES[y]}/{number}.png", y) for number, y in enumerate(labels.tolist()))
        paths, sorted_labels = zip(*rows, strict=True)
        assert by(tl.data.shortcuts(named(list(paths), list(sorted_labels)))) == ["place in the list"]


class TestSurvey:
    def test_it_warns_and_with_groups_does_not(self) -> None:
        labels, source = clustered()
        rng = np.random.default_rng(0)
        images = ImageSet([rng.integers(0, 256, (8, 8), np.uint8) for _ in labels], labels, CLASSES)
        with pytest.warns(UserWarning, match=r"without a pixel: a look-up by place in the list .*Name the source"):
            tl.data.survey(images)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(tl.data.survey(images, groups=source)) == len(labels)
        with pytest.warns(UserWarning, match="the groups do not hold together all that belongs together"):
            tl.data.survey(images, groups=np.arange(len(labels)) // 2)
