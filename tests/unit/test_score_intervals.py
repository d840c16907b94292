"""Intervals over the images of one test set: what other images of the same kind might have given."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats as scipy_stats

import tlhelpers as tl


def answers(right: Any, labels: Any, classes: int) -> np.ndarray:
    """Give probabilities ``[N, C]`` whose answers are right where ``right`` says so."""
    labels = np.asarray(labels)
    return np.eye(classes)[np.where(right, labels, (labels + 1) % classes)]


def softmax(logits: np.ndarray) -> np.ndarray:
    chances = np.exp(logits)
    return chances / chances.sum(axis=1, keepdims=True)


def noisy(
    labels: np.ndarray, groups: np.ndarray, rng: np.random.Generator, margin: float, tie: float
) -> np.ndarray:
    """Give probabilities of logits that share ``tie`` of their variance within a group."""
    classes = int(labels.max()) + 1
    own, shared = rng.normal(size=(len(labels), classes)), rng.normal(size=(groups.max() + 1, classes))
    return softmax(np.sqrt(1 - tie) * own + np.sqrt(tie) * shared[groups] + margin * np.eye(classes)[labels])


def exact_coverage(count: int, accuracy: float) -> float:
    """Give how often the interval of ``count`` independent images holds the truth: a sum over all outcomes."""
    labels = np.zeros(count, int)  # of one class: accuracy alone is asked for, and takes less time
    held = [
        accuracy in tl.stats.score_intervals(answers(np.arange(count) < hits, labels, 2), labels)["accuracy"]
        for hits in range(count + 1)
    ]
    return float(scipy_stats.binom.pmf(np.arange(count + 1), count, accuracy)[held].sum())


def coverage(groups: np.ndarray, accuracy: float, alike: float, samples: int) -> float:
    """Give how often the interval holds the truth where the groups have accuracies of their own (beta)."""
    rng, held = np.random.default_rng(0), 0
    labels, spread = np.zeros(len(groups), int), 1 / alike - 1
    for _ in range(samples):
        chance = rng.beta(accuracy * spread, (1 - accuracy) * spread, groups.max() + 1)[groups]
        found = tl.stats.score_intervals(answers(rng.random(len(groups)) < chance, labels, 2), labels, groups)
        held += accuracy in found["accuracy"]
    return held / samples


class TestCoverage:
    """An interval of 95% holds the truth in 93 to 97 of 100 samples."""

    @pytest.mark.parametrize("count", [10, 15, 20, 30, 45, 75, 150])
    def test_of_independent_images(self, count: int) -> None:
        assert 0.93 <= exact_coverage(count, 0.7) <= 0.97

    @pytest.mark.parametrize("accuracy", [0.5, 0.9])
    @pytest.mark.parametrize("count", [30, 100])
    def test_of_other_accuracies(self, count: int, accuracy: float) -> None:
        assert 0.93 <= exact_coverage(count, accuracy) <= 0.97

    @pytest.mark.parametrize(
        ("groups", "alike"),
        [
            (np.repeat(np.arange(15), 5), 0.1),
            (np.repeat(np.arange(15), 8), 0.3),
            (np.repeat(np.arange(30), 3), 0.3),
            (np.repeat(np.arange(30), np.arange(30) % 7 + 1), 0.3),
        ],
        ids=["15 of 5", "15 of 8", "30 of 3", "30 of 1 to 7"],
    )
    def test_of_groups(self, groups: np.ndarray, alike: float) -> None:
        assert 0.93 <= coverage(groups, 0.7, alike, 1000) <= 0.975

    def test_of_all_three_scores_with_fifteen_classes(self) -> None:
        rng = np.random.default_rng(1)
        labels, groups = np.repeat(np.arange(15), 6), np.arange(45).repeat(2)
        margin = 2.35
        many = np.repeat(np.arange(15), 4000)
        truth = tl.stats.scores(noisy(many, np.arange(len(many)), rng, margin, 0), many)
        held = dict.fromkeys(truth, 0)
        for _ in range(300):
            for name, found in tl.stats.score_intervals(
                noisy(labels, groups, rng, margin, 0.5), labels, groups
            ).items():
                held[name] += truth[name] in found
        # 300 samples tell the coverage to about 0.02.
        assert all(0.91 <= hits / 300 <= 0.985 for hits in held.values()), held

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["alone", "of four", "of one to six"])
    @pytest.mark.parametrize("each", [1, 2, 3, 5, 10])
    @pytest.mark.parametrize("classes", [2, 15, 100])
    def test_of_the_whole_grid(self, classes: int, each: int, kind: str) -> None:
        rng, samples = np.random.default_rng(classes), {2: 1500, 15: 800, 100: 400}[classes]
        groups_of = np.repeat(np.arange(classes), each)
        sizes = {"alone": [1], "of four": [4], "of one to six": [1, 2, 3, 4, 5, 6]}[kind]
        size = np.resize(sizes, len(groups_of))
        labels, groups = np.repeat(groups_of, size), np.repeat(np.arange(len(size)), size)
        margin = {2: 0.74, 15: 2.34, 100: 3.14}[classes]  # accuracy 0.7
        many = np.repeat(np.arange(classes), max(400, 30000 // classes))
        truth = tl.stats.scores(noisy(many, np.arange(len(many)), rng, margin, 0), many)
        held: dict[str, list[bool]] = {name: [] for name in truth}
        for _ in range(samples):
            chances = noisy(labels, groups, rng, margin, 0.0 if kind == "alone" else 0.5)
            for name, found in tl.stats.score_intervals(chances, labels, groups).items():
                held[name] += [truth[name] in found] if found.known else []
        for name, hits in held.items():
            room = 2.5 * np.sqrt(0.05 * 0.95 / max(len(hits), 1))  # what the number of samples leaves open
            assert not hits or 0.93 - room <= np.mean(hits) <= 0.97 + room, (name, np.mean(hits), len(hits))
        if classes * each < 10:
            assert not any(held.values())


class TestWidth:
    """No interval lacks width; where nothing can be said, it says so."""

    def test_it_holds_the_score_and_narrows_with_more_images(self) -> None:
        def width(count: int) -> float:
            rng, labels = np.random.default_rng(0), np.tile([0, 1], count // 2)
            chance = np.clip(labels * 0.3 + 0.35 + rng.normal(0, 0.2, count), 0, 1)
            found = tl.stats.score_intervals(np.stack([1 - chance, chance], 1), labels)["accuracy"]
            assert found.low < found.mean < found.high and found.n == count
            return found.high - found.low

        assert width(400) < 0.6 * width(40)

    def test_images_that_repeat_each_other_widen_it(self) -> None:
        rng = np.random.default_rng(1)
        few = np.clip(np.tile([0.35, 0.65], 10) + rng.normal(0, 0.2, 20), 0, 1)
        chance, labels, ties = np.repeat(few, 8), np.repeat(np.tile([0, 1], 10), 8), np.repeat(np.arange(20), 8)
        both = np.stack([1 - chance, chance], 1)
        apart, tied = (tl.stats.score_intervals(both, labels, t) for t in (None, ties))
        for name in tl.stats.METRICS:
            assert tied[name].high - tied[name].low > 1.5 * (apart[name].high - apart[name].low)

    @pytest.mark.parametrize("right", [True, False])
    @pytest.mark.parametrize("ties", [None, np.repeat(np.arange(24), 2)], ids=["alone", "groups"])
    def test_where_every_answer_was_right_or_wrong(self, right: bool, ties: Any) -> None:
        labels = np.repeat([0, 1, 2], 16)
        found = tl.stats.score_intervals(answers(right, labels, 3), labels, ties)
        assert all(i.known and i.high - i.low > 0.05 for i in found.values())
        assert found["accuracy"].mean == float(right) and float(right) in found["accuracy"]

    def test_where_every_answer_was_right_as_many_as_there_were_matter(self) -> None:
        labels = np.tile([0, 1], 50)
        found = tl.stats.score_intervals(answers(True, labels, 2), labels)["accuracy"]
        assert found.high == 1 and found.low == pytest.approx(0.05 ** (1 / 100), abs=1e-6)  # p ** 100 / 2 = 0.025

    def test_one_class_all_right_and_one_all_wrong(self) -> None:
        labels = np.repeat([0, 1], 20)
        found = tl.stats.score_intervals(answers(labels == 0, labels, 2), labels, np.repeat(np.arange(20), 2))
        assert found["balanced_accuracy"].known and found["balanced_accuracy"].high > 0.6

    def test_where_each_class_has_one_group_it_cannot_be_told(self) -> None:
        labels, ties = np.repeat([0, 1, 2], 10), np.repeat([7, 8, 9], 10)
        found = tl.stats.score_intervals(answers(np.arange(30) % 8 > 0, labels, 3), labels, ties)
        assert str(found["accuracy"]) == "0.867 [cannot be estimated: 3 groups in all; 15 are needed]"
        assert not any(i.known for i in found.values())

    def test_with_many_classes_of_one_group_accuracy_can_be_told(self) -> None:
        labels = ties = np.repeat(np.arange(25), 4)
        right = np.repeat(np.arange(25) % 3 > 0, 4)  # whole groups are right or wrong: 25 answers, not 100
        found = tl.stats.score_intervals(answers(right, labels, 25), labels, ties)
        alone = tl.stats.score_intervals(answers(right[::4], labels[::4], 25), labels[::4])
        assert found["accuracy"].low == pytest.approx(alone["accuracy"].low, abs=0.03)
        for name, least in (("balanced_accuracy", 2), ("auroc", 3)):
            why = f"class 0 has 1 group; {least} of each class are needed"
            assert found[name].why == why and np.isfinite(found[name].mean)

    def test_one_image_of_one_class(self) -> None:
        labels = np.array([0] * 20 + [1] * 20 + [2])
        found = tl.stats.score_intervals(answers(np.arange(41) % 4 > 0, labels, 3), labels)
        assert found["accuracy"].known
        assert found["balanced_accuracy"].why == "class 2 has 1 image; 2 of each class are needed"

    def test_one_group_that_holds_nearly_everything(self) -> None:
        labels, ties = np.arange(200) % 2, np.r_[np.zeros(180), np.arange(1, 21)]
        found = tl.stats.score_intervals(answers(np.arange(200) % 4 > 0, labels, 2), labels, ties)["accuracy"]
        assert found.why == "21 groups of very uneven size"

    def test_two_images_decide_of_a_class(self) -> None:
        labels = np.array([0] * 60 + [1] * 2)
        found = tl.stats.score_intervals(answers(np.arange(62) % 4 > 0, labels, 2), labels)
        assert found["accuracy"].known and found["balanced_accuracy"].why == "2 images of class 1 decide"

    @pytest.mark.parametrize(("count", "why"), [(1, "1 image in all; 10 are needed"), (9, "9 images in all; 10")])
    def test_few_images(self, count: int, why: str) -> None:
        labels = np.arange(count) % 2
        assert why in tl.stats.score_intervals(answers(True, labels, 2), labels)["accuracy"].why

    def test_a_class_without_an_image(self) -> None:
        labels = np.tile([0, 1, 3], 10)
        found = tl.stats.score_intervals(answers(True, labels, 4), labels)
        assert found["accuracy"].known
        for name in ("balanced_accuracy", "auroc"):
            assert f"{found[name]:.3f}" == "nan [cannot be estimated: no image of class 2]"
            assert json.loads(json.dumps(found[name].rounded())) == [None, None, None, "no image of class 2"]

    def test_one_class_only(self) -> None:
        found = tl.stats.score_intervals(answers(True, np.zeros(12, int), 2), np.zeros(12, int))
        assert found["accuracy"].known and found["auroc"].why == "no image of class 1"


class TestAgreement:
    """The scores are those of ``scores``, in whatever the rows come."""

    @pytest.mark.parametrize("classes", [2, 3, 12])
    @pytest.mark.parametrize("coarse", [False, True], ids=["fine", "with ties of scores"])
    def test_with_the_scores(self, classes: int, coarse: bool) -> None:
        rng, labels = np.random.default_rng(3), np.repeat(np.arange(classes), 12)[5:]
        chances = noisy(labels, np.arange(len(labels)), rng, 1.0, 0)
        chances = np.round(chances * 8) / 8 + 1e-3 if coarse else chances
        chances /= chances.sum(axis=1, keepdims=True)
        found = tl.stats.score_intervals(chances, labels)
        assert {name: i.mean for name, i in found.items()} == pytest.approx(tl.stats.scores(chances, labels))

    def test_of_auroc_with_delong_for_two_classes(self) -> None:
        rng, labels = np.random.default_rng(4), np.repeat([0, 1], 300)
        chances = noisy(labels, np.arange(600), rng, 0.7, 0)
        found = tl.stats.score_intervals(chances, labels)["auroc"]
        wins = (chances[300:, 1][:, None] > chances[:300, 1]).astype(float)
        error = np.sqrt(wins.mean(1).var(ddof=1) / 300 + wins.mean(0).var(ddof=1) / 300)
        assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.02)

    def test_an_image_a_group_is_as_without_groups(self) -> None:
        labels = np.repeat([0, 1, 2], 10)
        chances = answers(np.arange(30) % 4 > 0, labels, 3)
        assert tl.stats.score_intervals(chances, labels, np.arange(30) * 7.5) == tl.stats.score_intervals(
            chances, labels
        )

    @pytest.mark.parametrize(
        "hold",
        [
            list,
            pd.Series,
            torch.tensor,
            lambda values: pd.Series(values, index=np.arange(len(values))[::-1]),
            lambda values: (value for value in values),
            lambda values: np.asarray(values, dtype=float),
        ],
        ids=["list", "Series", "tensor", "turned index", "generator", "floats"],
    )
    def test_labels_in_any_holder(self, hold: Callable[[Any], Any]) -> None:
        labels = np.repeat([0, 1, 2], 10)
        chances = answers(np.arange(30) % 4 > 0, labels, 3)
        assert tl.stats.score_intervals(chances, hold(labels)) == tl.stats.score_intervals(chances, labels)

    @pytest.mark.parametrize(
        "hold",
        [pd.DataFrame, np.ndarray.tolist, lambda p: torch.tensor(p, dtype=torch.bfloat16, requires_grad=True)],
        ids=["table", "lists", "tensor"],
    )
    def test_probabilities_in_any_holder(self, hold: Callable[[Any], Any]) -> None:
        labels = np.repeat([0, 1, 2], 10)
        chances = answers(np.arange(30) % 4 > 0, labels, 3)
        assert tl.stats.score_intervals(hold(chances), labels) == tl.stats.score_intervals(chances, labels)

    def test_groups_of_any_type_are_compared_whole(self) -> None:
        labels, ties = np.tile([0, 1], 24), np.repeat(np.arange(24), 2)
        chances = answers(np.arange(48) % 5 > 0, labels, 2)
        expected = tl.stats.score_intervals(chances, labels, ties)
        for held in (
            ties / 10,
            [f" p{t:02d}" for t in ties],
            pd.Series(ties, index=ties),
            [("a", t) for t in ties],
        ):
            assert tl.stats.score_intervals(chances, labels, held) == expected

    def test_the_order_of_rows_does_not_matter(self) -> None:
        labels, ties = np.tile([0, 1, 2], 20), np.repeat(np.arange(30), 2)
        chances = noisy(labels, ties, np.random.default_rng(0), 1.0, 0.5)
        order = np.random.default_rng(1).permutation(60)
        found, turned = (tl.stats.score_intervals(chances[i], labels[i], ties[i]) for i in (np.arange(60), order))
        for name in tl.stats.METRICS:
            assert turned[name].rounded(9) == found[name].rounded(9)


class TestRefusals:
    @pytest.mark.parametrize(
        ("probabilities", "labels", "message"),
        [
            (
                [[0.5, 0.5], [2.0, -1.0]],
                [0, 1],
                "row 1 of the probabilities holds -1;.*Of logits take the softmax",
            ),
            ([[0.5, 0.5], [2.0, 1.0]], [0, 1], "row 1 of the probabilities sums to 3;"),
            ([[0.5, 0.5], [0.5, np.nan]], [0, 1], "hold NaN or infinity"),
            ([[0.5, 0.5]], [0, 1], r"shape \(1, 2\) and labels \(2,\)"),
            (np.zeros((0, 2)), [], "there is nothing to score"),
            ([[0.5, 0.5], [0.5, 0.5]], [1, 2], "labels run from 1 to 2.*counted from 1: write labels - 1"),
            ([[0.5, 0.5], [0.5, 0.5]], ["a", "b"], "label of row 0 is .*'a'.*np.unique"),
            ([[0.5, 0.5], [0.5, 0.5]], [0, 0.5], "label of row 1 is 0.5"),
            ([[0.5, 0.5], [0.5, 0.5]], [0, None], "label of row 1 is missing"),
            ([[0.5, 0.5], [0.5, 0.5]], [0, np.nan], "label of row 1 is missing"),
        ],
    )
    def test_what_is_no_score_is_told_by_row(self, probabilities: Any, labels: Any, message: str) -> None:
        for function in (tl.stats.score_intervals, tl.stats.scores):
            with pytest.raises(ValueError, match=message):
                function(probabilities, labels)

    def test_groups_must_fit(self) -> None:
        with pytest.raises(ValueError, match="there are 3 groups for 4 rows"):
            tl.stats.score_intervals(np.full((4, 2), 0.5), [0, 1, 0, 1], [1, 2, 3])
        with pytest.raises(ValueError, match="row 1 has no group"):
            tl.stats.score_intervals(np.full((2, 2), 0.5), [0, 1], [1, np.nan])

    @pytest.mark.parametrize("level", [0, 1, 95])
    def test_a_level_is_a_share(self, level: float) -> None:
        with pytest.raises(ValueError, match=f"level={level}"):
            tl.stats.score_intervals(np.full((2, 2), 0.5), [0, 1], level=level)

    def test_more_confidence_is_wider(self) -> None:
        labels = np.tile([0, 1], 30)
        chances = noisy(labels, np.arange(60), np.random.default_rng(0), 1.0, 0)
        for name in tl.stats.METRICS:
            found = [
                tl.stats.score_intervals(chances, labels, level=level)[name] for level in (0.5, 0.9, 0.95, 0.99)
            ]
            assert all(a.low > b.low and a.high < b.high for a, b in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("classes", "seconds"), [(200, 10), pytest.param(1000, 60, marks=pytest.mark.slow)], ids=["200", "1,000"]
)
def test_many_classes_take_seconds(classes: int, seconds: float) -> None:
    labels = np.repeat(np.arange(classes), 8)
    chances = noisy(labels, np.arange(len(labels)), np.random.default_rng(0), 3.0, 0)
    start = time.perf_counter()
    found = tl.stats.score_intervals(chances, labels, np.arange(len(labels)) // 2)
    assert time.perf_counter() - start < seconds and all(i.known for i in found.values())
