"""Scores agree with values worked out by hand, and intervals say what several runs can say."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from tlhelpers import stats
from tlhelpers.stats import Interval

RUNS = [0.71, 0.74, 0.69, 0.80, 0.73]


def two_columns(*chances: float) -> np.ndarray:
    """Give probabilities ``[N, 2]`` with these chances of the second class."""
    return np.stack([1 - np.array(chances), np.array(chances)], axis=1)


class TestScores:
    def test_of_two_classes_by_hand(self) -> None:
        # Predicted are 0, 1, 1, 1, 0. Right: the first of class 0 (of 3), the second and third of class 1 (of 2).
        found = stats.scores(two_columns(0.1, 0.6, 0.7, 0.8, 0.3), np.array([0, 0, 1, 1, 0]))
        assert list(found) == list(stats.METRICS)
        assert found["accuracy"] == pytest.approx(4 / 5)
        assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 2 / 2) / 2)
        assert found["auroc"] == 1.0, "all of class 1 rank above all of class 0"

    def test_auroc_is_the_share_of_pairs_in_order(self) -> None:
        # 0.7 beats 0.1 and 0.6, 0.2 beats 0.1: three of four pairs.
        assert stats.scores(two_columns(0.1, 0.6, 0.7, 0.2), np.array([0, 0, 1, 1]))["auroc"] == 0.75

    def test_of_three_classes_auroc_is_the_mean_of_one_against_rest(self) -> None:
        probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.3, 0.1, 0.6], [0.5, 0.35, 0.15]])
        # Each class ranks its own first: 0.6; 0.5 and 0.35; 0.6.
        assert stats.scores(probabilities, np.array([0, 1, 2, 1]))["auroc"] == 1.0
        # Class 0: 0.6 beats three of three. Class 1: 0.5 beats 0.3 and 0.35, 0.1 neither: two of four.
        # Class 2: 0.15 beats 0.1 of 0.1, 0.3, 0.6: one of three.
        found = stats.scores(probabilities, np.array([0, 1, 1, 2]))
        assert found["auroc"] == pytest.approx((3 / 3 + 2 / 4 + 1 / 3) / 3)
        assert found["accuracy"] == 0.5
        assert found["balanced_accuracy"] == pytest.approx((1 + 0.5 + 0) / 3)

    def test_a_constant_guess_has_no_skill(self) -> None:
        found = stats.scores(two_columns(0.2, 0.2, 0.2, 0.2), np.array([0, 0, 0, 1]))
        assert found == {"accuracy": 0.75, "balanced_accuracy": 0.5, "auroc": 0.5}

    def test_values_are_plain_numbers(self) -> None:
        found = stats.scores(two_columns(0.1, 0.9), np.array([0, 1]))
        assert all(type(value) is float for value in found.values())

    @pytest.mark.parametrize(
        ("probabilities", "labels", "shapes"),
        [
            (np.full((3, 2), 0.5), np.zeros(2, dtype=int), "(3, 2) and labels (2,)"),
            (np.full((3, 2), 0.5), np.zeros((3, 1), dtype=int), "(3, 2) and labels (3, 1)"),
            (np.full(3, 0.5), np.zeros(3, dtype=int), "(3,) and labels (3,)"),
        ],
    )
    def test_shapes_that_do_not_fit_are_named(self, probabilities: Any, labels: Any, shapes: str) -> None:
        message = re.escape(f"probabilities have shape {shapes}; give [N, C] and [N].")
        with pytest.raises(ValueError, match=message):
            stats.scores(probabilities, labels)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_values_that_are_not_finite_are_refused(self, value: float) -> None:
        message = "probabilities hold NaN or infinity; look at the loss of the last epochs"
        with pytest.raises(ValueError, match=message):
            stats.scores(np.array([[0.5, 0.5], [0.5, value]]), np.array([0, 1]))

    @pytest.mark.parametrize("label", [0, 1])
    def test_one_class_only_is_refused(self, label: int) -> None:
        message = rf"labels hold one class only \(\[{label}\]\); AUROC needs two\. Use another split"
        with pytest.raises(ValueError, match=message):
            stats.scores(np.full((3, 2), 0.5), np.full(3, label))

    def test_a_label_without_a_column_is_refused(self) -> None:
        with pytest.raises(ValueError, match="labels run from 0 to 2, but there are 2 columns"):
            stats.scores(np.full((3, 2), 0.5), np.array([0, 2, 2]))

    def test_an_absent_class_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"no label is of class \[2\], so its AUROC is undefined"):
            stats.scores(np.full((4, 3), 1 / 3), np.array([0, 1, 1, 0]))


class TestInterval:
    def test_it_is_students_t_worked_out_by_hand(self) -> None:
        found = stats.interval([1.0, 2.0, 3.0])
        # Mean 2, standard deviation 1, t with 2 degrees of freedom 4.302653.
        assert found.mean == 2.0 and found.n == 3 and found.p is None
        assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5)
        assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)

    def test_it_agrees_with_scipy(self) -> None:
        found = stats.interval(RUNS, level=0.9)
        expected = scipy_stats.t.interval(0.9, len(RUNS) - 1, np.mean(RUNS), scipy_stats.sem(RUNS))
        assert (found.low, found.high) == pytest.approx(expected)

    def test_more_confidence_is_wider(self) -> None:
        widths = [(i.high - i.low) for i in (stats.interval(RUNS, level) for level in (0.5, 0.9, 0.95, 0.99))]
        assert widths == sorted(widths) and len(set(widths)) == 4

    def test_equal_runs_have_no_width(self) -> None:
        assert stats.interval([0.5] * 3) == Interval(0.5, 0.5, 0.5, 3)

    def test_it_reads_as_mean_and_ends(self) -> None:
        assert str(Interval(0.81234, 0.79951, 0.8251, 5)) == "0.812 [0.800, 0.825]"

    def test_a_format_is_that_of_all_three_numbers(self) -> None:
        found = Interval(0.0121, 0.0029, 0.0213, 5)
        assert f"{found:+.3f}" == "+0.012 [+0.003, +0.021]"
        assert f"{-1 * found:+.2f}" == "-0.01 [-0.02, -0.00]"
        assert f"{100 * found:.1f}" == f"{found * 100:.1f}" == "1.2 [0.3, 2.1]"
        assert f"{found}" == str(found) == "0.012 [0.003, 0.021]"

    @pytest.mark.parametrize(
        ("low", "high", "verdict"),
        [
            (0.01, 0.03, "holds"),
            (-0.03, -0.01, "fails"),
            (-0.01, 0.03, "open"),
            (0, 0.1, "open"),
            (-0.1, 0, "open"),
        ],
    )
    def test_it_settles_a_comparison_when_it_leaves_zero_out(self, low: float, high: float, verdict: str) -> None:
        found = Interval((low + high) / 2, low, high, 5)
        assert found.verdict == verdict
        words = {"holds": "ahead of", "fails": "behind", "open": "level with"}
        assert found.words("ahead of", "behind", "level with") == words[verdict]

    def test_without_other_words_no_difference_was_measured(self) -> None:
        assert Interval(0.0, -0.1, 0.1, 5).words("more", "less") == "not measurably different from"

    @pytest.mark.parametrize(
        ("low", "high", "verdict"),
        [
            (-0.01, 0.02, "inside"),
            (0.001, 0.004, "inside"),
            (0.01, 0.03, "open"),
            (-0.1, 0.1, "open"),
            (0.05, 0.07, "fails"),
            (-0.07, -0.05, "fails"),
        ],
    )
    def test_equivalence_is_borne_out_inside_the_margin_and_refuted_beyond_it(
        self, low: float, high: float, verdict: str
    ) -> None:
        assert Interval((low + high) / 2, low, high, 5).equivalence(0.02) == verdict

    @pytest.mark.parametrize(
        ("low", "high", "inside"),
        [(-0.01, 0.015, True), (-0.02, 0.02, True), (0.001, 0.01, True), (-0.01, 0.021, False), (-0.03, 0, False)],
    )
    def test_it_is_within_a_margin_when_all_of_it_is(self, low: float, high: float, inside: bool) -> None:
        assert Interval((low + high) / 2, low, high, 5).within(0.02) is inside

    @pytest.mark.parametrize("margin", [0, -0.02, math.nan])
    def test_a_margin_is_positive(self, margin: float) -> None:
        with pytest.raises(ValueError, match=rf"margin={margin}"):
            Interval(0.0, -0.1, 0.1, 5).within(margin)

    def test_it_holds_what_lies_between_its_ends(self) -> None:
        found = Interval(0.5, 0.4, 0.6, 5)
        assert 0.4 in found and 0.5 in found and 0.6 in found
        assert 0.39 not in found and 0.61 not in found


class TestUnknown:
    """An interval without ends says why, and settles nothing."""

    FOUND = Interval(0.8666, math.nan, math.nan, 30, why="3 groups in all; 10 are needed")

    def test_it_reads_as_the_mean_and_the_reason(self) -> None:
        assert str(self.FOUND) == "0.867 [cannot be estimated: 3 groups in all; 10 are needed]"
        assert f"{100 * self.FOUND:+.1f}" == "+86.7 [cannot be estimated: 3 groups in all; 10 are needed]"
        assert str(replace(self.FOUND, why="")) == "0.867 [cannot be estimated]"

    def test_it_settles_nothing(self) -> None:
        assert not self.FOUND.known and self.FOUND.verdict == "open"
        assert self.FOUND.equivalence(1.0) == "open" and self.FOUND.within(1.0) is False
        assert self.FOUND.words("more", "less", "same") == "same"
        assert 0.8666 not in self.FOUND and 0 not in self.FOUND

    def test_it_can_be_written_as_json(self) -> None:
        assert json.loads(json.dumps(self.FOUND.rounded(), allow_nan=False)) == [
            0.8666, None, None, "3 groups in all; 10 are needed",
        ]  # fmt: skip
        known = Interval(np.float64(0.81234), np.float64(0.799511), 0.825199, 5)
        assert json.dumps(known.rounded()) == "[0.8123, 0.7995, 0.8252]" and known.known
        assert known.rounded(1) == [0.8, 0.8, 0.8]


class TestPredictionInterval:
    def test_it_is_students_t_worked_out_by_hand(self) -> None:
        found = stats.prediction_interval([1.0, 2.0, 3.0])
        assert found.mean == 2.0 and found.n == 3
        assert found.high == pytest.approx(2 + 4.302653 * math.sqrt(4 / 3), abs=1e-5)
        assert found.low == pytest.approx(2 - 4.302653 * math.sqrt(4 / 3), abs=1e-5)

    @pytest.mark.parametrize("level", [0.5, 0.95])
    def test_one_more_run_is_less_certain_than_the_mean(self, level: float) -> None:
        mean, run = stats.interval(RUNS, level), stats.prediction_interval(RUNS, level)
        assert run.low < mean.low < mean.high < run.high
        assert (run.high - run.low) / (mean.high - mean.low) == pytest.approx(math.sqrt(len(RUNS) + 1))

    def test_it_holds_a_new_run_as_often_as_it_says(self) -> None:
        rng = np.random.default_rng(0)
        runs = rng.normal(size=(2000, 6))
        held = [row[5] in stats.prediction_interval(row[:5], level=0.8) for row in runs]
        assert np.mean(held) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("function", [stats.interval, stats.prediction_interval])
class TestBothIntervals:
    @pytest.mark.parametrize(("values", "shape"), [([], "(0,)"), ([0.5], "(1,)"), ([[0.5], [0.6]], "(2, 1)")])
    def test_fewer_than_two_runs_are_refused(self, function: Any, values: Any, shape: str) -> None:
        message = re.escape(f"got values of shape {shape}; an interval needs two or more runs")
        with pytest.raises(ValueError, match=message):
            function(values)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_a_run_that_is_not_finite_is_refused(self, function: Any, value: float) -> None:
        with pytest.raises(ValueError, match="a run holds NaN or infinity; find out why before averaging"):
            function([0.5, value, 0.6])

    @pytest.mark.parametrize("level", [0, 1, 95])
    def test_a_level_that_is_no_share_is_refused(self, function: Any, level: float) -> None:
        with pytest.raises(ValueError, match=f"level={level}; give a share between 0 and 1"):
            function([0.1, 0.2, 0.3], level)


class TestPaired:
    OTHERS = (0.70, 0.70, 0.66, 0.79, 0.70)

    def test_it_is_the_interval_of_the_differences(self) -> None:
        found = stats.paired(RUNS, self.OTHERS)
        expected = stats.interval(np.array(RUNS) - np.array(self.OTHERS))
        assert found.mean == pytest.approx(np.mean(RUNS) - np.mean(self.OTHERS))
        assert (found.low, found.high, found.n) == (expected.low, expected.high, 5)

    def test_the_p_value_is_that_of_the_paired_t_test(self) -> None:
        assert stats.paired(RUNS, self.OTHERS).p == pytest.approx(scipy_stats.ttest_rel(RUNS, self.OTHERS).pvalue)

    def test_the_interval_excludes_zero_exactly_when_p_is_small(self) -> None:
        for level in (0.5, 0.9, 0.95, 0.99, 0.999):
            found = stats.paired(RUNS, self.OTHERS, level)
            assert (0 not in found) == (found.p is not None and found.p < 1 - level)

    def test_pairing_takes_out_what_both_share(self) -> None:
        found, apart = stats.paired(RUNS, self.OTHERS), stats.interval(RUNS)
        assert found.high - found.low < apart.high - apart.low
        assert found.p is not None and found.p < scipy_stats.ttest_ind(RUNS, self.OTHERS).pvalue

    def test_it_changes_its_sign_with_the_order(self) -> None:
        found, other = stats.paired(RUNS, self.OTHERS), stats.paired(self.OTHERS, RUNS)
        assert (other.mean, other.low, other.high) == pytest.approx((-found.mean, -found.high, -found.low))
        assert other.p == pytest.approx(found.p)

    def test_equal_runs_do_not_differ(self) -> None:
        assert stats.paired(RUNS, RUNS) == Interval(0.0, 0.0, 0.0, 5, 1.0)

    def test_the_same_difference_in_all_runs_is_certain(self) -> None:
        assert stats.paired([0.75, 0.5, 1.0], [0.5, 0.25, 0.75]) == Interval(0.25, 0.25, 0.25, 3, 0.0)

    def test_runs_without_a_partner_are_refused(self) -> None:
        with pytest.raises(ValueError, match="5 runs against 4; pair them by seed"):
            stats.paired(RUNS, self.OTHERS[:4])

    @pytest.mark.parametrize("count", [0, 1])
    def test_fewer_than_two_pairs_are_refused(self, count: int) -> None:
        with pytest.raises(ValueError, match=rf"shape \({count},\); an interval needs two or more runs"):
            stats.paired(RUNS[:count], self.OTHERS[:count])

    def test_a_run_that_is_not_finite_is_refused(self) -> None:
        with pytest.raises(ValueError, match="a run holds NaN or infinity"):
            stats.paired([0.5, math.nan], [0.5, 0.6])

    def test_differences_that_are_equal_but_for_rounding_are_equal(self) -> None:
        found = stats.paired([0.3, 0.4, 0.5], [0.2, 0.3, 0.4])
        assert found.p == 0.0 and found.mean == pytest.approx(0.1)


class TestTable:
    @pytest.fixture
    def runs(self) -> pd.DataFrame:
        rows = [
            ("two-stage", 50, 0.8, 0.7),
            ("frozen", 50, 0.6, 0.5),
            ("two-stage", 25, 0.4, 0.3),
            ("two-stage", 50, 0.9, 0.8),
            ("frozen", 50, 0.7, 0.6),
            ("two-stage", 25, 0.5, 0.2),
            ("frozen", 50, 0.8, 0.4),
        ]
        return pd.DataFrame(rows, columns=["strategy", "labels", "accuracy", "auroc"])

    def test_there_is_one_row_a_group_in_order_of_first_appearance(self, runs: pd.DataFrame) -> None:
        found = stats.table(runs, ["strategy"], ["accuracy"])
        assert found.index.tolist() == ["two-stage", "frozen"]
        found = stats.table(runs, ["strategy", "labels"], ["accuracy"])
        assert found.index.tolist() == [("two-stage", 50), ("frozen", 50), ("two-stage", 25)]
        assert found.index.names == ["strategy", "labels"]

    def test_a_cell_is_mean_and_interval(self, runs: pd.DataFrame) -> None:
        found = stats.table(runs, ["strategy", "labels"], ["auroc", "accuracy"])
        assert found.columns.tolist() == ["auroc", "accuracy", "seeds"]
        assert found.loc[("frozen", 50), "accuracy"] == str(stats.interval([0.6, 0.7, 0.8]))
        assert found.loc[("two-stage", 25), "auroc"] == str(stats.interval([0.3, 0.2]))

    def test_seeds_are_counted(self, runs: pd.DataFrame) -> None:
        assert stats.table(runs, ["strategy", "labels"], ["auroc"])["seeds"].tolist() == [2, 3, 2]

    def test_the_metrics_are_those_of_scores_unless_told(self, runs: pd.DataFrame) -> None:
        found = stats.table(runs.assign(balanced_accuracy=runs["accuracy"]), ["strategy"])
        assert found.columns.tolist() == [*stats.METRICS, "seeds"]

    @pytest.mark.parametrize(
        ("by", "metrics", "missing"),
        [
            (["model"], ["accuracy"], "['model']"),
            (["strategy"], ["f1", "accuracy"], "['f1']"),
            (["model"], ["f1"], "['model', 'f1']"),
        ],
    )
    def test_a_missing_column_is_named_with_those_that_exist(
        self, runs: pd.DataFrame, by: list[str], metrics: list[str], missing: str
    ) -> None:
        message = f"column(s) {missing} missing; there are ['strategy', 'labels', 'accuracy', 'auroc']"
        with pytest.raises(KeyError, match=re.escape(message)):
            stats.table(runs, by, metrics)


class TestRuns:
    """Runs in any holder; what does not fit is told."""

    def test_two_series_in_another_order_are_refused(self) -> None:
        a, b = pd.Series([0.9, 0.8, 0.7], [0, 1, 2]), pd.Series([0.65, 0.79, 0.88], [2, 1, 0])
        with pytest.raises(ValueError, match=r"another order: \[0, 1, 2\] and \[2, 1, 0\]; give b.loc\[a.index\]"):
            stats.paired(a, b)
        assert stats.paired(a, b.loc[a.index]).mean == pytest.approx(0.08 / 3)
        assert stats.paired(a, b.set_axis([5, 6, 7])).n == 3, "numbers of other rows: in order"

    def test_any_holder_is_read_in_order(self) -> None:
        expected = stats.interval([0.1, 0.2, 0.4])
        for held in ((v for v in (0.1, 0.2, 0.4)), {"a": 0.1, "b": 0.2, "c": 0.4}.values(), (0.1, 0.2, 0.4)):
            assert stats.interval(held) == expected

    def test_what_is_no_row_of_numbers_is_told(self) -> None:
        masked = np.ma.array([1.0, 2, 99], mask=[0, 0, 1])
        for values, message in ((masked, "masked"), ({"a": 1.0}, "dict"), (["x", "y"], "no numbers")):
            with pytest.raises(ValueError, match=message):
                stats.interval(values)

    def test_one_column_is_told(self) -> None:
        with pytest.raises(ValueError, match=r"one column; .*np.stack\(\[1 - p, p\], 1\)"):
            stats.score_intervals(np.ones((60, 1)), np.zeros(60, int))
