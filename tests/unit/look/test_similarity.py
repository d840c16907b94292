"""Scores of transferability against values worked out by hand or by brute force."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, stats
from sklearn.metrics import balanced_accuracy_score

import tlhelpers as tl
from tlhelpers.look import _similarity

rng = np.random.default_rng(0)


def blobs(n: int, width: int = 5, apart: float = 3.0, classes: int = 2, seed: int = 0) -> tuple:
    """Return ``n`` items a class, whose means stand ``apart`` along one axis each."""
    draw = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), n)
    X = draw.normal(size=(len(y), width))
    X[np.arange(len(y)), y] += apart
    return X, y


class TestKnnProbe:
    def test_by_hand_on_a_line_where_one_item_lies_among_the_others(self) -> None:
        # Left out one at a time, each item takes the label of its nearest neighbor: only the last of class 0
        # (at 10.4, next to 10.0) is wrong, and no item of class 1 is nearer to it than to another of class 1.
        X = np.array([[0.0], [0.1], [0.3], [10.4], [10.0], [10.1], [10.15], [9.9]])
        y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
        assert tl.look.knn_probe(X, y, k=1, folds=4, seed=0) == pytest.approx((3 / 4 + 1) / 2)

    def test_it_is_one_for_classes_far_apart(self) -> None:
        assert tl.look.knn_probe(*blobs(20, apart=50)) == 1.0

    def test_it_is_chance_for_labels_that_are_drawn_by_lot(self) -> None:
        X = rng.normal(size=(400, 5))
        assert tl.look.knn_probe(X, rng.integers(0, 2, 400)) == pytest.approx(0.5, abs=0.08)

    def test_a_common_class_does_not_flatter(self) -> None:
        X, y = rng.normal(size=(200, 5)), np.repeat([0, 1], [180, 20])
        assert tl.look.knn_probe(X, y, k=15) == pytest.approx(0.5, abs=0.05)

    @pytest.mark.parametrize("k", [0, 17])
    def test_more_neighbors_than_items_outside_a_fold_are_refused(self, k: int) -> None:
        with pytest.raises(ValueError, match=rf"k={k}: give a number from 1 to 16"):
            tl.look.knn_probe(*blobs(10), k=k, folds=5)


class TestLinearProbe:
    def test_each_item_is_predicted_by_a_model_that_never_saw_it(self) -> None:
        from sklearn.model_selection import StratifiedKFold

        X, y = blobs(30, apart=1.0)
        guess = np.empty_like(y)
        for fit, held in StratifiedKFold(3, shuffle=True, random_state=4).split(X, y):
            guess[held] = tl.look.linear_classifier(0.1).fit(X[fit], y[fit]).predict(X[held])
        assert tl.look.linear_probe(X, y, C=0.1, folds=3, seed=4) == balanced_accuracy_score(y, guess)

    def test_noise_in_many_dimensions_is_not_memorized(self) -> None:
        X, y = rng.normal(size=(100, 1000)), np.repeat([0, 1], 50)
        assert tl.look.linear_probe(X, y) < 0.7

    def test_units_of_the_features_do_not_matter(self) -> None:
        X, y = blobs(30, apart=1.0)
        assert tl.look.linear_probe(X, y) == tl.look.linear_probe(X * [1, 10, 100, 1e3, 1e4] + 7, y)

    def test_it_reads_more_than_two_classes(self) -> None:
        assert tl.look.linear_probe(*blobs(20, apart=20, classes=4)) == 1.0

    def test_the_seed_sets_the_folds(self) -> None:
        X, y = blobs(30, apart=0.8)
        assert tl.look.linear_probe(X, y, seed=1) == tl.look.linear_probe(X, y, seed=1)
        assert len({tl.look.linear_probe(X, y, seed=seed) for seed in range(6)}) > 1


class TestAboveChance:
    @pytest.mark.parametrize(
        ("accuracy", "classes", "expected"),
        [(0.5, 2, 0), (1, 2, 1), (0.1, 10, 0), (0.55, 10, 0.5), (0.25, 2, -0.5)],
    )
    def test_zero_is_guessing_and_one_is_perfect(self, accuracy: float, classes: int, expected: float) -> None:
        assert tl.look.above_chance(accuracy, classes) == pytest.approx(expected)

    def test_one_class_has_no_chance_level(self) -> None:
        with pytest.raises(ValueError, match="n_classes=1"):
            tl.look.above_chance(1.0, 1)


class TestProxyADistance:
    def test_two_samples_of_one_distribution_are_near_zero(self) -> None:
        A, B = rng.normal(size=(400, 5)), rng.normal(size=(400, 5))
        assert 0 <= tl.look.proxy_a_distance(A, B) < 0.3

    def test_separable_domains_are_two_apart(self) -> None:
        assert tl.look.proxy_a_distance(rng.normal(size=(40, 5)), rng.normal(size=(40, 5)) + 20) == 2.0

    def test_it_agrees_with_the_best_possible_error_of_two_gaussians(self) -> None:
        A, B = rng.normal(size=(4000, 1)) - 1, rng.normal(size=(4000, 1)) + 1
        assert tl.look.proxy_a_distance(A, B) == pytest.approx(2 * (1 - 2 * stats.norm.cdf(-1)), abs=0.05)

    def test_a_classifier_below_chance_counts_as_zero(self) -> None:
        # One item a fold at the same place in both domains: held out, its twin gives it the wrong label.
        A = np.eye(10)
        assert tl.look.proxy_a_distance(A, A, C=10, folds=10) == 0.0

    def test_sizes_of_the_domains_do_not_matter(self) -> None:
        A, B = rng.normal(size=(1000, 3)), rng.normal(size=(60, 3))
        assert tl.look.proxy_a_distance(A, B) < 0.4

    def test_it_is_the_same_in_both_directions_up_to_the_folds(self) -> None:
        A, B = rng.normal(size=(300, 4)), rng.normal(size=(300, 4)) + 0.5
        assert tl.look.proxy_a_distance(A, B) == pytest.approx(tl.look.proxy_a_distance(B, A), abs=0.1)

    def test_features_of_two_networks_are_refused(self) -> None:
        with pytest.raises(ValueError, match="A has 3 features and B has 4"):
            tl.look.proxy_a_distance(np.ones((10, 3)), np.ones((10, 4)))


def evidence(X: np.ndarray, t: np.ndarray, alpha: float, beta: float) -> float:
    """Return the log evidence by its definition: targets are normal with an N x N covariance."""
    covariance = X @ X.T / alpha + np.eye(len(X)) / beta
    return float(stats.multivariate_normal(np.zeros(len(X)), covariance, allow_singular=True).logpdf(t))


def brute_force(X: np.ndarray, t: np.ndarray) -> float:
    """Return the largest log evidence an item over many starts of a general optimizer."""
    found = [
        optimize.minimize(
            lambda logs: -evidence(X, t, *np.exp(logs)),
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-9},
        ).fun
        for start in ([0, 0], [3, 1], [-3, 3], [6, 1])
    ]  # fmt: skip
    return -min(found) / len(X)


def fixed_point(X: np.ndarray, t: np.ndarray, rounds: int = 5000) -> float:
    """Return what the paper's iteration ends at: MacKay's updates, written with D x D matrices."""
    alpha = beta = 1.0
    n, width = X.shape
    for _ in range(rounds):
        A = alpha * np.eye(width) + beta * X.T @ X
        m = beta * np.linalg.solve(A, X.T @ t)
        eigen = np.maximum(np.linalg.eigvalsh(beta * X.T @ X), 0)
        gamma = (eigen / (alpha + eigen)).sum()
        alpha, beta = gamma / (m @ m), (n - gamma) / ((X @ m - t) ** 2).sum()
    A = alpha * np.eye(width) + beta * X.T @ X
    m = beta * np.linalg.solve(A, X.T @ t)
    return (
        n / 2 * np.log(beta) + width / 2 * np.log(alpha) - n / 2 * np.log(2 * np.pi)
        - beta / 2 * ((X @ m - t) ** 2).sum() - alpha / 2 * (m @ m) - np.linalg.slogdet(A)[1] / 2
    ) / n  # fmt: skip


class TestLogme:
    @pytest.mark.parametrize(("n", "width"), [(12, 3), (10, 10), (8, 20)], ids=["tall", "square", "wide"])
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_it_is_the_largest_evidence_that_brute_force_finds(self, n: int, width: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        X = draw.normal(size=(n, width))
        t = X @ draw.normal(size=width) + draw.normal(size=n)
        assert tl.look.logme(X, t) == pytest.approx(brute_force(X, t), abs=1e-5)

    @pytest.mark.parametrize(("n", "width"), [(40, 4), (30, 60)], ids=["tall", "wide"])
    def test_the_fixed_point_of_the_paper_is_the_same(self, n: int, width: int) -> None:
        draw = np.random.default_rng(3)
        X = draw.normal(size=(n, width))
        t = X @ draw.normal(size=width) + 5 * draw.normal(size=n)
        assert tl.look.logme(X, t) == pytest.approx(fixed_point(X, t), abs=1e-5)

    def test_classes_are_one_hot_columns_that_are_averaged(self) -> None:
        X, y = blobs(6, classes=3)
        columns = [brute_force(X, (y == label).astype(float)) for label in range(3)]
        assert tl.look.logme(X, y) == pytest.approx(np.mean(columns), abs=1e-4)
        assert tl.look.logme(X, y) == pytest.approx(tl.look.logme(X, (y[:, None] == np.arange(3)).astype(float)))

    def test_names_of_classes_do_not_matter(self) -> None:
        X, y = blobs(10)
        assert tl.look.logme(X, y) == pytest.approx(tl.look.logme(X, np.array([7, 3])[y]))

    def test_scale_and_rotation_of_the_features_do_not_matter(self) -> None:
        X, y = blobs(15)
        turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
        assert tl.look.logme(X, y) == pytest.approx(tl.look.logme(1000 * X @ turn, y), abs=1e-6)

    def test_labels_that_the_features_explain_score_higher_than_shuffled_ones(self) -> None:
        X, y = blobs(40)
        assert tl.look.logme(X, y) > tl.look.logme(X, rng.permutation(y)) + 0.1

    def test_noise_added_to_the_features_is_not_rewarded(self) -> None:
        X, y = blobs(40)
        assert tl.look.logme(np.hstack([X, rng.normal(size=(80, 300))]), y) < tl.look.logme(X, y)

    def test_without_any_signal_it_is_the_evidence_of_a_plain_normal(self) -> None:
        t = np.array([1.0, -1.0, 1.0, -1.0])
        X = np.array([[1.0], [1.0], [-1.0], [-1.0]])  # orthogonal to t
        assert tl.look.logme(X, t) == pytest.approx(-0.5 * (np.log(2 * np.pi) + 1), abs=1e-6)

    def test_features_that_hold_the_label_itself_give_a_number(self) -> None:
        y = np.repeat([0, 1], 10)
        assert np.isfinite(tl.look.logme(np.eye(2)[y], y))

    def test_zero_features_are_refused(self) -> None:
        with pytest.raises(ValueError, match="all features are zero"):
            tl.look.logme(np.zeros((4, 2)), np.array([0, 1, 0, 1]))

    def test_constant_targets_are_refused(self) -> None:
        with pytest.raises(ValueError, match="constant"):
            tl.look.logme(np.eye(4), np.ones(4))

    @pytest.mark.parametrize("targets", [np.ones(3), np.array([1, np.nan, 2, 3]), np.ones((4, 1, 1))])
    def test_real_targets_are_one_finite_row_an_item(self, targets: np.ndarray) -> None:
        with pytest.raises(ValueError, match="give one finite row an item"):
            tl.look.logme(np.eye(4), targets)


class TestLeep:
    def test_by_hand_on_three_items_and_two_source_classes(self) -> None:
        P, y = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]]), np.array([0, 0, 1])
        # P(y, z), three times: label 0 has (1.4, 0.6), label 1 has (0.1, 0.9); each source class has 1.5.
        zero, one = np.array([1.4, 0.6]) / 1.5, np.array([0.1, 0.9]) / 1.5
        items = [[0.8, 0.2] @ zero, [0.6, 0.4] @ zero, [0.1, 0.9] @ one]
        by_hand = np.mean(np.log(items))
        assert tl.look.leep(P, y) == pytest.approx(by_hand)
        assert by_hand == pytest.approx(np.log([0.82666667, 0.72, 0.54666667]).mean())

    def test_a_source_that_knows_the_labels_scores_zero(self) -> None:
        y = np.array([0, 1, 2, 1])
        assert tl.look.leep(np.eye(3)[y], y) == pytest.approx(0)

    def test_a_source_that_always_answers_alike_scores_the_entropy_of_the_labels(self) -> None:
        y = np.array([0, 0, 0, 1])
        share = np.array([0.75, 0.25])
        assert tl.look.leep(np.full((4, 5), 0.2), y) == pytest.approx((share * np.log(share)).sum())

    def test_source_classes_that_nobody_is_given_change_nothing(self) -> None:
        P, y = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]]), np.array([0, 0, 1])
        assert tl.look.leep(np.hstack([P, np.zeros((3, 2))]), y) == pytest.approx(tl.look.leep(P, y))
        assert tl.look.leep(P[:, ::-1], y + 4) == pytest.approx(tl.look.leep(P, y))

    @pytest.mark.parametrize("P", [[[0.5, 0.4], [1, 0]], [[1.5, -0.5], [1, 0]]])
    def test_logits_are_refused(self, P: list) -> None:
        with pytest.raises(ValueError, match="softmax"):
            tl.look.leep(np.array(P), np.array([0, 1]))


class TestRankCorrelation:
    def test_the_same_order_gives_one_and_the_reverse_minus_one(self) -> None:
        a = np.array([1.0, 5, 7, 20, 21])
        assert tl.look.rank_correlation(a, a**3).mean == pytest.approx(1)
        assert tl.look.rank_correlation(a, -a).mean == pytest.approx(-1)

    def test_it_is_spearmans_and_p_counts_all_orders_of_a_few(self) -> None:
        a, b = np.array([1, 2, 3, 4, 5.0]), np.array([2, 1, 4, 3, 5.0])
        found = tl.look.rank_correlation(a, b)
        assert found.mean == pytest.approx(stats.spearmanr(a, b).statistic) == pytest.approx(0.8)
        assert found.p == pytest.approx(16 / 120) and found.n == 5  # 8 orders reach 0.8, 8 reach -0.8

    def test_four_in_perfect_order_are_no_proof(self) -> None:
        assert tl.look.rank_correlation(np.arange(4), np.arange(4)).p == pytest.approx(2 / 24)

    def test_many_are_judged_by_random_orders_that_agree_with_the_exact_ones(self, monkeypatch) -> None:
        a, b = rng.normal(size=7), rng.normal(size=7)
        exact = tl.look.rank_correlation(a, b).p
        monkeypatch.setattr(_similarity, "EXACT_UP_TO", 5)
        assert tl.look.rank_correlation(a, b, draws=20_000).p == pytest.approx(exact, abs=0.02)

    def test_ties_share_their_rank(self) -> None:
        a, b = np.array([1, 1, 2, 3, 4.0]), np.array([1, 2, 2, 3, 9.0])
        assert tl.look.rank_correlation(a, b).mean == pytest.approx(stats.spearmanr(a, b).statistic)

    def test_the_interval_holds_the_value_and_narrows_with_more_items(self) -> None:
        a = rng.normal(size=200)
        b = a + rng.normal(size=200)
        many, few = tl.look.rank_correlation(a, b), tl.look.rank_correlation(a[:12], b[:12])
        assert many.mean in many and few.mean in few
        assert many.high - many.low < few.high - few.low

    def test_the_interval_is_worked_out_by_hand(self) -> None:
        # Two swaps of neighbors cost 12 / 990 each: 1 - 6 * 4 / 990. Its z is atanh(0.9758) = 2.2003, its error
        # the root of (1 + 0.9758^2 / 2) / 7 = 0.2109, or 0.4592: 2.2003 -+ 1.96 * 0.4592.
        b = np.array([2, 1, 3, 4, 6, 5, 7, 8, 9, 10.0])
        found = tl.look.rank_correlation(np.arange(10), b)
        assert found.mean == pytest.approx(1 - 24 / 990)
        assert (found.low, found.high) == pytest.approx((np.tanh(1.3003), np.tanh(3.1003)), abs=1e-4)

    @pytest.mark.parametrize(("n", "least"), [(4, -0.7), (13, 0.95)])
    def test_a_perfect_order_of_a_few_is_no_certainty(self, n: int, least: float) -> None:
        found, other = (tl.look.rank_correlation(np.arange(n), sign * np.arange(n)) for sign in (1, -1))
        assert found.high == found.mean == pytest.approx(1) and least < found.low < 0.99
        assert (other.low, other.high) == pytest.approx((-found.high, -found.low))

    @pytest.mark.parametrize("n", [9, 13, 30])
    def test_the_interval_holds_the_truth_as_often_as_it_says(self, n: int) -> None:
        own = np.random.default_rng(0)
        for rho in (0.0, 0.5, 0.8):
            truth = 6 / np.pi * np.arcsin(rho / 2)  # Spearman's, of two normal variables (Pearson 1907)
            held = 0
            for _ in range(1000):
                a = own.normal(size=n)
                b = rho * a + np.sqrt(1 - rho**2) * own.normal(size=n)
                low, high = _similarity._around_rank_correlation(float(stats.spearmanr(a, b).statistic), n)
                held += low <= truth <= high
            # 1,000 samples tell the coverage to about 0.014.
            assert 0.925 <= held / 1000 <= 0.98, (rho, held)

    def test_it_repeats_itself_for_one_seed(self) -> None:
        a, b = rng.normal(size=12), rng.normal(size=12)
        assert tl.look.rank_correlation(a, b, seed=3) == tl.look.rank_correlation(a, b, seed=3)

    @pytest.mark.parametrize(
        ("a", "b", "message"),
        [
            ([1, 2, 3], [1, 2, 3], "four or more"),
            ([1, 2, 3, 4], [1, 2, 3], "as many scores as outcomes"),
            ([1, 1, 1, 1], [1, 2, 3, 4], "score is constant"),
            ([1, 2, 3, 4], [1, 2, np.nan, 4], "outcome is constant or not finite"),
        ],
    )
    def test_what_cannot_be_ranked_is_refused(self, a: list, b: list, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.look.rank_correlation(np.array(a), np.array(b))


Score = Callable[[np.ndarray, np.ndarray], float]


@pytest.mark.parametrize(
    "score", [tl.look.knn_probe, tl.look.linear_probe, tl.look.logme], ids=lambda f: f.__name__
)
class TestWhatIsRefused:
    def test_features_that_are_not_finite(self, score: Score) -> None:
        X, y = blobs(10)
        X[3, 1] = np.nan
        with pytest.raises(ValueError, match="NaN or infinity"):
            score(X, y)

    def test_one_class(self, score: Score) -> None:
        with pytest.raises(ValueError, match=r"one class only \(\[1\]\)"):
            score(np.eye(6), np.ones(6, dtype=int))

    def test_labels_of_another_length(self, score: Score) -> None:
        with pytest.raises(ValueError, match=r"6 rows of features but labels of shape \(5,\)"):
            score(np.eye(6), np.array([0, 1, 0, 1, 0]))

    def test_features_that_are_no_table(self, score: Score) -> None:
        with pytest.raises(ValueError, match=r"shape \(6,\); give \[N, D\]"):
            score(np.ones(6), np.array([0, 1, 0, 1, 0, 1]))


@pytest.mark.parametrize("probe", [tl.look.knn_probe, tl.look.linear_probe], ids=lambda f: f.__name__)
class TestFolds:
    def test_a_class_with_fewer_items_than_folds_is_named(self, probe: Score) -> None:
        X, y = rng.normal(size=(23, 4)), np.repeat([0, 5], [20, 3])
        with pytest.raises(ValueError, match=r"class 5 has 3 item\(s\), fewer than the 5 folds"):
            probe(X, y)

    def test_one_fold_holds_nothing_out(self, probe: Callable) -> None:
        with pytest.raises(ValueError, match="folds=1"):
            probe(*blobs(10), k=1, folds=1) if probe is tl.look.knn_probe else probe(*blobs(10), folds=1)

    def test_labels_are_whole_numbers(self, probe: Score) -> None:
        with pytest.raises(ValueError, match="labels are float64"):
            probe(np.eye(6), np.array([0, 1, 0, 1, 0, 1.0]))


SHUFFLED = [5, 3, 1, 0, 2, 4, 11, 9, 7, 6, 8, 10]


class TestContainers:
    @pytest.mark.parametrize(
        "take",
        [
            lambda X, y: (X, pd.Series(y, index=SHUFFLED)),
            lambda X, y: (pd.DataFrame(X, index=SHUFFLED), pd.Series(y, index=SHUFFLED)),
            lambda X, y: (torch.from_numpy(X).requires_grad_(), torch.from_numpy(y)),
            lambda X, y: (list(torch.from_numpy(X)), y.tolist()),
            lambda X, y: ((row for row in X), (label for label in y)),
            lambda X, y: (X.tolist(), pd.array(y, dtype="Int64")),
        ],
        ids=["a Series", "pandas", "tensors", "rows", "generators", "lists"],
    )
    @pytest.mark.parametrize("score", [tl.look.linear_probe, tl.look.logme, tl.look.knn_probe])
    def test_rows_are_taken_in_their_order(self, take: Callable, score: Callable) -> None:
        X, y = blobs(6)
        order = np.random.default_rng(1).permutation(12)
        X, y = X[order], y[order]
        options = {} if score is tl.look.logme else {"folds": 3}
        assert score(*take(X, y), **options) == score(X, y, **options)

    def test_two_indices_in_different_orders_are_no_pairs(self) -> None:
        a = pd.Series([1.0, 2, 3, 4], index=list("abcd"))
        b = pd.Series([4.0, 3, 2, 1], index=list("dcba"))
        with pytest.raises(ValueError, match=r"score and outcome have the same index in another order: row 0"):
            tl.look.rank_correlation(a, b)
        assert tl.look.rank_correlation(a, b.loc[a.index]).mean == pytest.approx(1)
        assert tl.look.rank_correlation(a.reset_index(drop=True), b).mean == pytest.approx(-1)
        X, y = blobs(6)
        with pytest.raises(ValueError, match="X and y have the same index"):
            tl.look.linear_probe(pd.DataFrame(X), pd.Series(y, index=SHUFFLED))
        with pytest.raises(ValueError, match="x and y have the same index"):
            tl.look.cka(pd.DataFrame(X), pd.DataFrame(X, index=SHUFFLED))

    @pytest.mark.parametrize(
        ("X", "y", "message"),
        [
            ([["a", "b"]] * 4, [0, 1, 0, 1], "features are no table of numbers"),
            ([[1, 2], [3]], [0, 1], "features are no table of numbers"),
            (np.eye(4), ["a", "b", "a", "b"], "labels are <U1; give whole numbers"),
            (np.eye(4), [0, 1, None, 1], "the label of row 2 is missing"),
            (np.eye(4), "abab", "labels is one string"),
            (np.where(np.eye(4) > 0, np.inf, 0), [0, 1, 0, 1], "first in row 0"),
        ],
    )
    def test_what_is_no_number_is_named(self, X: object, y: object, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.look.linear_probe(X, y)

    def test_constant_features_tell_nothing_apart(self) -> None:
        assert tl.look.linear_probe(np.ones((20, 3)), np.arange(20) % 2) == 0.5

    @pytest.mark.parametrize("accuracy", [85.0, -0.1, float("nan")])
    def test_a_percentage_is_no_share(self, accuracy: float) -> None:
        with pytest.raises(ValueError, match="give a share from 0 to 1, not a percentage"):
            tl.look.above_chance(accuracy, 2)


class TestCkaOfFewOrOtherRows:
    @pytest.mark.parametrize("count", [1, 2])
    def test_two_images_are_alike_in_any_description(self, count: int) -> None:
        with pytest.raises(ValueError, match=f"there are {count} rows; any two images look alike"):
            tl.look.cka(rng.normal(size=(count, 3)), rng.normal(size=(count, 4)))

    def test_rows_come_in_any_container(self) -> None:
        x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
        for one in (torch.from_numpy(x).requires_grad_(), x.tolist(), pd.DataFrame(x), iter(x)):
            assert tl.look.cka(one, y) == pytest.approx(tl.look.cka(x, y))
