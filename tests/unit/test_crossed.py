"""Runs that share one pool of groups: intervals that hold for new groups and new trainings."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats as scipy_stats
from sklearn.metrics import roc_auc_score

from tlhelpers import stats
from tlhelpers.stats import Interval, Run

#: Groups, their size, regroupings and folds: modules of cells, and sentences that stand alone.
MODULES, SENTENCES = (30, 60, 3, 3), (2000, 1, 2, 4)
LITTLE, MUCH = (0.05, 0.05), (0.5, 0.3)  # spread of groups, shared by all runs; and of cells, a group in one run


def simulated(
    rng: np.random.Generator,
    metric: str,
    design: tuple[int, int, int, int],
    training: float,
    groups: tuple[float, float],
    *,
    gap: float = 0.0,
    common: float = 0.0,
) -> list[Run]:
    """Draw a pool of groups and train on parts of it; without a gap the arms differ by luck alone.

    Args:
        training: spread of what the networks can, by run and arm.
        groups: spread of how easy groups are for an arm, in all runs and in one.
        common: share of the variance of the training that comes from the groups that are trained on.
    """
    number, size, regroupings, folds = design
    shape = number, size
    share = rng.beta(1.5, 2.5, number) if size > 1 else np.full(number, 0.5)
    labels = (rng.random(shape) < share[:, None]).astype(int)
    hue = rng.normal(0, 0.5 if size > 1 else 0.0, number)
    ease, teaches = rng.normal(0, groups[0], (number, 2)), rng.normal(size=(number, 2))
    item = rng.normal(size=(*shape, 1)) + rng.normal(0, 0.5, (*shape, 2))
    runs = []
    for _ in range(regroupings):
        order = rng.permutation(number)
        for test in np.array_split(order, folds):
            taught = np.setdiff1d(order, test)
            skill = math.sqrt(common * len(taught)) * teaches[taught].mean(axis=0)
            skill = training * (skill + math.sqrt(1 - common) * rng.normal(size=2))
            signal = 1 + np.array([gap, 0]) + skill + ease[test] + rng.normal(0, groups[1], (len(test), 2))
            own = labels[test][:, :, None] if metric == "auroc" else 1
            z = own * signal[:, None] + hue[test][:, None, None] + item[test]
            z = (z + rng.normal(0, 0.5, z.shape)).reshape(-1, 2)
            z = z if metric == "auroc" else (z > 0).astype(float)
            runs.append(Run(labels[test].ravel(), z[:, 0], z[:, 1], np.repeat(test, size)))
    return runs


def by_run(runs: list[Run], metric: str) -> np.ndarray:
    """Give the difference of each run ``[S]``."""
    if metric == "accuracy":
        return np.array([(run.a - run.b).mean() for run in runs])
    each = [[weighted_auroc(r.labels, arm, np.ones((1, len(arm)))).item() for arm in (r.a, r.b)] for r in runs]
    return np.array([a - b for a, b in each])


def coverage(
    samples: int, metric: str, *conditions: Any, shared: float = 0.0, **others: Any
) -> tuple[float, float]:
    """Give how often ``crossed`` holds the truth, and how often ``paired`` does."""
    rng = np.random.default_rng(0)
    found, rival = [], []
    for _ in range(samples):
        runs = simulated(rng, metric, *conditions, **others)
        found.append(stats.crossed(runs, metric, shared=shared))
        rival.append(stats.paired(scores := by_run(runs, metric), np.zeros(len(scores))))
    # The arms are alike where there is no gap; else the mean over many samples is close to the truth.
    truth = float(np.mean([i.mean for i in found])) if others.get("gap") else 0.0
    return tuple(float(np.mean([truth in i for i in each])) for each in (found, rival))  # type: ignore[return-value]


def weighted_auroc(labels: np.ndarray, chances: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Give AUROC for each row of weights ``[D, n]``; ties count half."""
    order = np.argsort(chances, kind="stable")
    chances, own, weights = chances[order], labels[order].astype(float), weights[:, order]
    starts = np.flatnonzero(np.r_[True, np.diff(chances) > 0])
    hits = np.add.reduceat(weights * own, starts, axis=1)
    rest = np.add.reduceat(weights * (1 - own), starts, axis=1)
    below = rest.cumsum(axis=1) - rest / 2
    return (hits * below).sum(axis=1) / (hits.sum(axis=1) * rest.sum(axis=1))


def pigeonhole(runs: list[Run], metric: str, rng: np.random.Generator, draws: int) -> np.ndarray:
    """Give what ``draws`` of the runs and of the groups give, both with replacement."""
    number = 1 + max(int(run.groups.max()) for run in runs)
    of_group = rng.multinomial(number, np.full(number, 1 / number), draws).astype(float)
    of_run = rng.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), draws)
    found = np.zeros((draws, len(runs)))
    for at, run in enumerate(runs):
        weights = of_group[:, run.groups]
        if metric == "accuracy":
            found[:, at] = weights @ (run.a - run.b) / weights.sum(axis=1)
        else:
            a, b = (weighted_auroc(run.labels, arm, weights) for arm in (run.a, run.b))
            found[:, at] = a - b
    return (found * of_run).sum(axis=1) / len(runs)


class TestCoverage:
    """An interval of 95% holds the truth in 93 to 97 of 100 samples; that of the runs alone does not."""

    @pytest.mark.parametrize("metric", ["auroc", "accuracy"])
    @pytest.mark.parametrize(
        ("design", "training", "groups", "rival_below"),
        [(MODULES, 0.02, MUCH, 0.88), (MODULES, 0.2, LITTLE, 1.0), (SENTENCES, 0.02, LITTLE, 0.94)],
        ids=["groups differ", "trainings differ", "only noise"],
    )
    def test_of_a_difference(
        self, metric: str, design: Any, training: float, groups: Any, rival_below: float
    ) -> None:
        found, rival = coverage(200, metric, design, training, groups)
        # 200 samples tell the coverage to about 0.03.
        assert 0.91 <= found <= 0.985 and rival < rival_below, (found, rival)

    @pytest.mark.slow
    @pytest.mark.parametrize("metric", ["auroc", "accuracy"])
    @pytest.mark.parametrize("design", [MODULES, SENTENCES], ids=["modules", "sentences"])
    @pytest.mark.parametrize("training", [0.02, 0.2])
    @pytest.mark.parametrize("groups", [LITTLE, MUCH], ids=["little", "much"])
    @pytest.mark.parametrize("gap", [0.0, 0.3])
    def test_of_the_whole_grid(self, metric: str, design: Any, training: float, groups: Any, gap: float) -> None:
        samples = 1000
        found, rival = coverage(samples, metric, design, training, groups, gap=gap)
        room = 2.5 * np.sqrt(0.05 * 0.95 / samples)  # what the number of samples leaves open
        assert 0.93 - room <= found <= 0.97 + room, (found, rival)
        if training < 0.1:
            assert rival < min(0.93, found - 0.02), (found, rival)

    @pytest.mark.slow
    @pytest.mark.parametrize("common", [0.5, 1.0])
    def test_of_trainings_that_learn_from_the_same_groups(self, common: float) -> None:
        # Two runs share 20 of 30 groups or, in one regrouping, half of theirs: about 0.62 of what one learns from.
        conditions = 600, "auroc", MODULES, 0.4, LITTLE
        blind, _ = coverage(*conditions, common=common)
        assert blind < 0.75, blind
        told, _ = coverage(*conditions, common=common, shared=0.62 * common)
        bound, _ = coverage(*conditions, common=common, shared=0.62)
        # Where the pool's own luck is all there is, 9 runs leave its size uncertain: a little short.
        assert 0.90 <= told <= 0.98 and bound >= told, (told, bound)

    def test_the_error_has_the_size_that_samples_show_and_drawing_both_doubles_its_square(self) -> None:
        rng = np.random.default_rng(1)
        means, ours, drawn = [], [], []
        for _ in range(150):
            runs = simulated(rng, "accuracy", (300, 1, 2, 4), 0.0, (0.0, 0.0))
            found = stats.crossed(runs, "accuracy", level=0.5)
            means.append(found.mean)
            ours.append((found.high - found.mean) / scipy_stats.t.ppf(0.75, 15))
            drawn.append(pigeonhole(runs, "accuracy", rng, 200).std())
        truth = np.std(means)
        assert 0.85 < np.mean(ours) / truth < 1.25
        assert np.mean(np.square(drawn)) > 1.7 * truth**2


class TestByHand:
    def test_groups_that_differ(self) -> None:
        # Differences of group 0: 1 1 in both runs; of group 1: 0 0, then 1 0. Scores 1/2 and 3/4, variance 1/32.
        # Groups are 1/4 and 1/8 off in a run, over the root of 1/2 as each is half of it. Their means square to
        # 0.0703 each, 0.1406 in all. Over cells it is 0.0781, more than the 1/64 over runs: nothing is left for
        # the training. The error is the root of 0.1406, with one degree of freedom.
        zeros, groups = np.zeros(4), [0, 0, 1, 1]
        runs = [Run(zeros, [1, 1, 0, 0], zeros, groups), Run(zeros, [1, 1, 1, 0], zeros, groups)]
        found = stats.crossed(runs, "accuracy")
        assert (found.mean, found.n) == (0.625, 2)
        assert found.high == pytest.approx(0.625 + 12.7062 * 0.375, abs=1e-4)
        assert found.low == pytest.approx(0.625 - 12.7062 * 0.375, abs=1e-4)
        assert found.p == pytest.approx(2 * scipy_stats.t.sf(0.625 / 0.375, 1))

    def test_trainings_that_differ(self) -> None:
        # Scores 1 and 1/4: 9/64 over runs. Only the second has groups apart, 1/8 over the root of 1/2 each: 1/64
        # over groups, and the same over cells. 9/64 + 1/64 - 1/64.
        zeros, groups = np.zeros(4), ["a", "a", "b", "b"]
        runs = [Run(zeros, [1, 1, 1, 1], zeros, groups), Run(zeros, [0, 0, 1, 0], zeros, groups)]
        found = stats.crossed(runs, "accuracy", 0.5)
        assert found.high - found.mean == pytest.approx(1.0 * math.sqrt(9 / 64))  # t of 0.75 with 1 degree is 1
        # Half shared: the 1/8 that the training adds is seen half only, so 2 runs lack 2 * 1/8 of it.
        half = stats.crossed(runs, "accuracy", 0.5, shared=0.5)
        assert half.high - half.mean == pytest.approx(math.sqrt(9 / 64 + 2 / 8))

    def test_degrees_of_freedom_are_between_those_of_runs_and_of_groups(self) -> None:
        rng = np.random.default_rng(3)
        zeros, groups = np.zeros(40), np.arange(40)

        def freedom(scores: list[np.ndarray]) -> float:
            found = stats.crossed([Run(zeros, a, zeros, groups) for a in scores], "accuracy")
            assert found.p is not None
            ratio = (found.high - found.mean) / found.mean
            # The interval is as wide as t says, and p as small: together they give the degrees of freedom.
            many = np.geomspace(1, 1000, 20_000)
            t = scipy_stats.t.ppf(0.975, many) / ratio
            return float(many[np.abs(2 * scipy_stats.t.sf(t, many) - found.p).argmin()])

        same = (rng.random(40) < 0.7).astype(float)
        assert freedom([same] * 5) == pytest.approx(39, rel=0.01), "runs that are one: the groups count"
        apart = [np.full(40, level) + 1e-4 * same for level in (0.1, 0.2, 0.3, 0.2, 0.4)]
        assert freedom(apart) == pytest.approx(4, rel=0.01), "groups that are one: the runs count"

    def test_of_fixed_networks_it_is_delongs(self) -> None:
        rng = np.random.default_rng(2)
        labels = np.repeat([0, 1], [40, 25])
        a, b = labels + rng.normal(size=65), (0.6 * labels + rng.normal(size=65)).round(1)
        found = stats.crossed([Run(labels, a, b, np.arange(65))] * 3)

        def of(arm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            order = (arm[labels == 1][:, None] > arm[labels == 0]) + 0.5 * (
                arm[labels == 1][:, None] == arm[labels == 0]
            )
            return order.mean(axis=1), order.mean(axis=0)

        hits, rest = (x - y for x, y in zip(of(a), of(b), strict=True))
        error = math.sqrt(hits.var(ddof=1) / 25 + rest.var(ddof=1) / 40)
        assert found.mean == pytest.approx(roc_auc_score(labels, a) - roc_auc_score(labels, b))
        assert found.high - found.mean == pytest.approx(scipy_stats.t.ppf(0.975, 24) * error)

    def test_an_auroc_counts_ties_half_and_runs_alike(self) -> None:
        runs = simulated(np.random.default_rng(4), "auroc", (12, 20, 2, 2), 0.2, MUCH)
        runs = [run._replace(a=run.a.round(), b=run.b.round(1)) for run in runs]
        assert stats.crossed(runs).mean == pytest.approx(by_run(runs, "auroc").mean())
        alone = stats.crossed([run._replace(b=None) for run in runs])
        assert alone.mean == pytest.approx(np.mean([roc_auc_score(run.labels, run.a) for run in runs]))

    def test_a_weighted_auroc_is_that_of_repeated_items(self) -> None:
        rng = np.random.default_rng(5)
        labels, chances = rng.integers(0, 2, 50), rng.random(50).round(1)
        weights = rng.integers(0, 3, (4, 50))
        expected = [roc_auc_score(labels.repeat(w), chances.repeat(w)) for w in weights]
        assert weighted_auroc(labels, chances, weights.astype(float)) == pytest.approx(expected)


class TestFloor:
    def test_it_is_never_narrower_than_the_items_imply(self) -> None:
        # Eight seeds of one frozen recipe answer 1,000 items nearly alike: their spread is that of a few items.
        rng = np.random.default_rng(6)
        a, b = (rng.random(1000) < 0.75).astype(float), (rng.random(1000) < 0.73).astype(float)
        runs = []
        for _ in range(8):
            flip = (rng.random((2, 1000)) < 0.003).astype(float)
            runs.append(Run(np.zeros(1000), abs(a - flip[0]), abs(b - flip[1]), np.arange(1000)))
        found, rival = stats.crossed(runs, "accuracy"), stats.paired(by_run(runs, "accuracy"), np.zeros(8))
        assert rival.high - rival.mean < 0.003
        assert found.high - found.mean > 1.96 * 0.98 * (a - b).std() / math.sqrt(1000) > 0.035

    def test_items_of_a_group_are_not_counted_as_independent(self) -> None:
        runs = simulated(np.random.default_rng(7), "accuracy", MODULES, 0.02, MUCH)
        alone = [run._replace(groups=run.groups * 60 + np.tile(np.arange(60), 10)) for run in runs]
        found, naive = (stats.crossed(each, "accuracy") for each in (runs, alone))
        assert found.mean == naive.mean and found.high - found.low > 1.2 * (naive.high - naive.low)

    def test_a_training_part_that_is_shared_widens_it(self) -> None:
        runs = simulated(np.random.default_rng(8), "auroc", MODULES, 0.3, LITTLE)
        widths = [i.high - i.low for i in (stats.crossed(runs, shared=s) for s in (0.0, 0.1, 0.3, 0.6))]
        assert widths == sorted(widths) and widths[-1] > 2 * widths[0]


class TestOneArm:
    @pytest.mark.parametrize("metric", ["auroc", "accuracy"])
    def test_it_stays_between_zero_and_one_and_has_no_p(self, metric: str) -> None:
        runs = simulated(np.random.default_rng(9), metric, (12, 10, 1, 3), 0.1, LITTLE, gap=2.0)
        found = stats.crossed([run._replace(b=None) for run in runs], metric)
        assert 0 < found.low < found.mean < found.high < 1 and found.p is None
        assert found.high - found.mean < found.mean - found.low, "near 1 there is less room above"

    def test_where_all_is_right_there_are_no_ends(self) -> None:
        run = Run([0, 1], [1, 1], None, [0, 1])
        found = stats.crossed([run, run], "accuracy")
        assert found.mean == 1 and not found.known and "no run and no group differs" in found.why


class TestWhatItTakes:
    RUNS = simulated(np.random.default_rng(10), "auroc", (12, 10, 2, 2), 0.1, LITTLE)

    def test_a_minus_b_is_the_other_way_around_b_minus_a(self) -> None:
        found, other = stats.crossed(self.RUNS), stats.crossed([r._replace(a=r.b, b=r.a) for r in self.RUNS])
        assert (other.mean, other.low, other.high) == pytest.approx((-found.mean, -found.high, -found.low))
        assert other.p == pytest.approx(found.p)

    def test_the_interval_excludes_zero_exactly_when_p_is_small(self) -> None:
        runs = simulated(np.random.default_rng(11), "auroc", (12, 20, 2, 2), 0.1, LITTLE, gap=0.5)
        decided = [
            (0 not in (i := stats.crossed(runs, level=level)), i.p < 1 - level) for level in (0.5, 0.9, 0.9999)
        ]
        assert all(x == y for x, y in decided) and {x for x, _ in decided} == {True, False}

    @pytest.mark.parametrize(
        "hold",
        [list, tuple, pd.Series, torch.tensor, lambda v: pd.Series(v, index=range(len(v))[::-1])],
        ids=["list", "tuple", "Series", "tensor", "a Series of another index"],
    )
    def test_any_holder_is_read_in_order(self, hold: Callable) -> None:
        runs = [Run(*(hold(column) for column in run)) for run in self.RUNS]
        found, expected = stats.crossed(iter(runs)), stats.crossed(self.RUNS)
        assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))

    def test_groups_may_have_names_and_any_order(self) -> None:
        expected, order = stats.crossed(self.RUNS), np.random.default_rng(0).permutation(60)
        named = [run._replace(groups=[f"module {g}" for g in run.groups]) for run in self.RUNS]
        mixed = [Run(*(np.asarray(column)[order] for column in run)) for run in named]
        for runs in (named, mixed, self.RUNS[::-1]):
            found = stats.crossed(runs)
            assert (found.mean, found.low, found.high) == pytest.approx(
                (expected.mean, expected.low, expected.high)
            )

    def test_scores_of_any_scale_have_the_same_auroc(self) -> None:
        squeezed = [run._replace(a=1 / (1 + np.exp(-run.a)), b=1 / (1 + np.exp(-run.b))) for run in self.RUNS]
        assert stats.crossed(squeezed) == stats.crossed(self.RUNS)

    def test_a_class_in_one_group_leaves_it_without_ends(self) -> None:
        first = self.RUNS[0]
        labels = (first.groups == first.groups[0]).astype(int)
        found = stats.crossed([first._replace(labels=labels), *self.RUNS[1:]])
        assert not found.known and found.why == "all of class 1 in runs[0] lie in one group" and found.n == 4

    def test_arms_that_are_one_have_no_ends(self) -> None:
        found = stats.crossed([run._replace(b=run.a) for run in self.RUNS])
        assert found.mean == 0 and not found.known and found.verdict == "open" and found.p is None

    @pytest.mark.parametrize(
        ("change", "metric", "message"),
        [
            (
                lambda run: run._replace(labels=run.labels * 0),
                "auroc",
                "labels of runs[1] hold one class only ([0])",
            ),
            (lambda run: run._replace(labels=run.labels + 1), "auroc", "labels of runs[1] are [1, 2]"),
            (lambda run: run._replace(a=run.a[1:]), "auroc", "runs[1] has 60 labels and 59 scores a"),
            (lambda run: run._replace(b=run.b[1:]), "auroc", "runs[1] has 60 labels and 59 scores b"),
            (lambda run: run._replace(b=None), "auroc", "runs[1] has no scores b, others have"),
            (lambda run: run._replace(a=None), "auroc", "runs[1] has no scores a"),
            (lambda run: run._replace(a=run.a * np.nan), "auroc", "a of runs[1] holds what is no finite number"),
            (lambda run: run._replace(a=run.a * 0 + 2), "accuracy", "b of runs[0]"),
            (
                lambda run: run._replace(groups=run.groups[1:]),
                "auroc",
                "there are 59 groups of runs[1] for 60 rows",
            ),
            (lambda run: run._replace(groups=run.groups * 0), "auroc", "runs[1] tests one group only, 0"),
            (
                lambda run: run._replace(groups=[None, *run.groups[1:]]),
                "auroc",
                "row 0 has no group (None) among the groups of runs[1]",
            ),
            (lambda run: run._replace(a=run.a[:, None]), "auroc", "a of runs[1] have shape (60, 1)"),
            (lambda run: Run([], [], [], []), "auroc", "runs[1] tests no item"),
            (lambda run: run[:3], "auroc", "runs[1] is no (labels, a, b, groups)"),
            (lambda run: run, "f1", "metric='f1'; there are ('auroc', 'accuracy')"),
        ],
    )
    def test_what_does_not_fit_is_told(self, change: Callable, metric: str, message: str) -> None:
        message = message if metric != "accuracy" else "for accuracy give 1 for a right answer, 0 for a wrong one"
        runs = [self.RUNS[0], change(self.RUNS[1])]
        with pytest.raises(ValueError, match=re.escape(message)):
            stats.crossed(runs, metric)

    @pytest.mark.parametrize("count", [0, 1])
    def test_fewer_than_two_runs_are_refused(self, count: int) -> None:
        with pytest.raises(ValueError, match=re.escape(f"got {count} run(s)")):
            stats.crossed(self.RUNS[:count])

    def test_levels_and_shares_are_shares(self) -> None:
        with pytest.raises(ValueError, match="level=95; give a share between 0 and 1"):
            stats.crossed(self.RUNS, level=95)
        for shared in (-0.1, 1.0, math.nan):
            with pytest.raises(ValueError, match=f"shared={shared}"):
                stats.crossed(self.RUNS, shared=shared)

    def test_sixteen_thousand_answers_take_no_time(self) -> None:
        runs = simulated(np.random.default_rng(12), "auroc", (8000, 1, 2, 4), 0.1, LITTLE)
        start = time.perf_counter()
        stats.crossed(runs)
        assert time.perf_counter() - start < 2


class TestHolm:
    def test_it_is_worked_out_by_hand(self) -> None:
        # In order 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1, and 0.06 does not fall below the 0.06 before it.
        found = stats.holm({"a": 0.03, "b": 0.01, "c": 0.5, "d": 0.02})
        assert list(found) == ["a", "b", "c", "d"]
        assert found == pytest.approx({"a": 0.06, "b": 0.04, "c": 0.5, "d": 0.06})

    def test_none_falls_below_the_one_before_nor_rises_above_one(self) -> None:
        assert stats.holm({"a": 0.04, "b": 0.045}) == pytest.approx({"a": 0.08, "b": 0.08})
        assert stats.holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}
        assert stats.holm({"only": 0.04}) == {"only": 0.04}

    def test_of_questions_without_an_answer_one_in_twenty_families_finds_some(self) -> None:
        rng = np.random.default_rng(0)
        found = [min(stats.holm(dict(zip("abcdef", row, strict=True))).values()) for row in rng.random((4000, 6))]
        assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.012)

    @pytest.mark.parametrize("p", [None, math.nan, -0.1, 1.1])
    def test_what_is_no_p_value_is_refused(self, p: Any) -> None:
        with pytest.raises(ValueError, match=re.escape(f"the p value of 'b' is {p}")):
            stats.holm({"a": 0.1, "b": p})

    def test_none_at_all_are_refused(self) -> None:
        with pytest.raises(ValueError, match="got no p values"):
            stats.holm({})


class TestEquivalence:
    """Inside a margin is the two one-sided tests at 2.5% each."""

    def test_inside_is_what_two_one_sided_tests_say(self) -> None:
        rng, decided = np.random.default_rng(0), set()
        for _ in range(200):
            runs = rng.normal(0.005, 0.01, 5)
            above = scipy_stats.ttest_1samp(runs, -0.02, alternative="greater").pvalue
            below = scipy_stats.ttest_1samp(runs, 0.02, alternative="less").pvalue
            inside = stats.interval(runs).equivalence(0.02) == "inside"
            assert inside == (max(above, below) < 0.025)
            decided.add(inside)
        assert decided == {True, False}

    def test_a_difference_as_large_as_the_margin_is_seldom_inside(self) -> None:
        rng = np.random.default_rng(1)
        found = [stats.interval(rng.normal(0.02, 0.005, 6)).within(0.02) for _ in range(2000)]
        assert np.mean(found) == pytest.approx(0.025, abs=0.01)

    def test_nothing_measurable_is_not_equivalence(self) -> None:
        wide = Interval(0.0, -0.05, 0.05, 5)
        assert wide.verdict == "open" and wide.equivalence(0.02) == "open"
