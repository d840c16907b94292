"""How near is a target to a source? Scores that need features and labels, and no training of the backbone."""

from __future__ import annotations

from itertools import permutations
from math import factorial
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import optimize, stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from tlhelpers._rows import in_order, is_missing
from tlhelpers.look._inside import check_same_order, numbers
from tlhelpers.stats import Interval

EXACT_UP_TO = 8  # items whose orders are all tried: 8! = 40,320


def linear_classifier(C: float = 0.01) -> Pipeline:
    """Return the book's probe: standardized, strongly penalized logistic regression with balanced classes."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=2000, class_weight="balanced"))


def knn_probe(X: np.ndarray, y: np.ndarray, k: int = 5, folds: int = 5, seed: int = 0) -> float:
    """Return the balanced accuracy, in [0, 1], with which the ``k`` nearest neighbors name held-out items.

    Every item is named once, by Euclidean neighbors from the other folds. It asks whether classes lie together
    in the features as they are, as the nearest-neighbor evaluation of Wu et al. (2018), arXiv:1805.01978, does.

    Args:
        X: features ``[N, D]``.
        y: class indices ``[N]``.
        folds: parts of the stratified cross-validation.

    Raises:
        ValueError: when shapes do not fit, a value is not finite, there is one class only, a class has fewer
            than ``folds`` items, or ``k`` exceeds what is left to search.
    """
    X, y = _labeled(X, y)
    left = len(y) - -(-len(y) // folds)
    if folds > 1 and not 1 <= k <= left:
        raise ValueError(f"k={k}: give a number from 1 to {left}, the items outside one fold.")
    return _held_out(KNeighborsClassifier(k), X, y, folds, seed)


def linear_probe(X: np.ndarray, y: np.ndarray, C: float = 0.01, folds: int = 5, seed: int = 0) -> float:
    """Return the balanced accuracy, in [0, 1], of a logistic regression on held-out items.

    A linear classifier on frozen features measures what they make easy to read: Alain & Bengio (2016),
    arXiv:1610.01644. It is cross-validated, so ``X`` should hold training data only.

    Args:
        X: features ``[N, D]``.
        y: class indices ``[N]``.
        C: inverse strength of the penalty, on standardized features.
        folds: parts of the stratified cross-validation.

    Raises:
        ValueError: as :func:`knn_probe`.
    """
    X, y = _labeled(X, y)
    return _held_out(linear_classifier(C), X, y, folds, seed)


def above_chance(balanced_accuracy: float, n_classes: int) -> float:
    """Return ``(b - 1/C) / (1 - 1/C)``: 0 is guessing and 1 is perfect, whatever the number of classes.

    Raises:
        ValueError: for fewer than two classes, or an accuracy outside [0, 1].
    """
    if n_classes < 2:
        raise ValueError(f"n_classes={n_classes}; chance is defined for two or more.")
    if not np.all((np.asarray(balanced_accuracy) >= 0) & (np.asarray(balanced_accuracy) <= 1)):
        raise ValueError(f"balanced_accuracy={balanced_accuracy}; give a share from 0 to 1, not a percentage.")
    return (balanced_accuracy - 1 / n_classes) / (1 - 1 / n_classes)


def proxy_a_distance(A: np.ndarray, B: np.ndarray, C: float = 0.01, folds: int = 5, seed: int = 0) -> float:
    """Return ``2 (1 - 2 e)``, where ``e`` is the error of a linear classifier that tells ``A`` from ``B``.

    0: it cannot tell the two domains apart; 2: it always can. The error is measured on held-out items and both
    domains count alike, whatever their sizes; what chance pushes below 0 is cut off. No label of any task is
    used. After Ben-David, Blitzer, Crammer & Pereira (2007), Analysis of Representations for Domain Adaptation.

    Args:
        A, B: features ``[N, D]`` and ``[M, D]``, in the same space.

    Raises:
        ValueError: when widths differ, a value is not finite, or a domain has fewer than ``folds`` items.
    """
    A, B = _features(A), _features(B)
    if A.shape[1] != B.shape[1]:
        raise ValueError(f"A has {A.shape[1]} features and B has {B.shape[1]}; describe both with one network.")
    domain = np.repeat([0, 1], [len(A), len(B)])
    right = _held_out(linear_classifier(C), np.concatenate([A, B]), domain, folds, seed)
    return float(np.clip(2 * (1 - 2 * (1 - right)), 0, 2))


def logme(X: np.ndarray, y: np.ndarray) -> float:
    """Return LogME: the highest log evidence per item that a Bayesian linear model gives to the labels.

    The model of one target column is ``t = X w + noise`` with ``w ~ N(0, I / alpha)`` and noise of precision
    ``beta``; the evidence integrates ``w`` out, so features are not rewarded for fitting noise. Classes become
    one-hot columns, whose evidences are averaged. You, Liu, Wang & Long (2021), arXiv:2102.11005, iterate
    ``alpha`` and ``beta`` to a fixed point; here ``beta`` is solved for exactly and the best ``alpha / beta`` is
    searched, which finds the same maximum.

    Higher is better. It has no absolute scale: compare feature sets of one target, not targets.

    Args:
        X: features ``[N, D]``.
        y: class indices ``[N]``, or real targets ``[N]`` or ``[N, K]`` as floats.

    Raises:
        ValueError: when shapes do not fit, a value is not finite, all features are zero, or ``y`` is constant.
    """
    y = _rows_of(y)
    if np.issubdtype(y.dtype, np.floating):
        check_same_order(X, y, "X", "y")
        X, targets = _features(X), y.astype(float)
        targets = targets[:, None] if targets.ndim == 1 else targets
        if targets.ndim != 2 or len(targets) != len(X) or not np.isfinite(targets).all():
            raise ValueError(f"targets have shape {np.shape(y)} for {len(X)} items; give one finite row an item.")
        if not np.ptp(targets, axis=0).all():
            raise ValueError("a target column is constant; there is nothing to predict.")
    else:
        X, y = _labeled(X, y)
        targets = (y[:, None] == np.unique(y)).astype(float)
    with threadpool_limits(1):
        U, s, _ = np.linalg.svd(X, full_matrices=False)
    if not s[0] > 0:
        raise ValueError("all features are zero; check that the network was run on the inputs.")
    seen = s > s[0] * 1e-10
    energy, s2 = (U[:, seen].T @ targets) ** 2, s[seen] ** 2
    rest = np.maximum((targets**2).sum(axis=0) - energy.sum(axis=0), 0.0)
    evidences = [_max_evidence(s2, z2, r, len(X)) for z2, r in zip(energy.T, rest, strict=True)]
    return float(np.mean(evidences)) / len(X)


def _max_evidence(s2: np.ndarray, z2: np.ndarray, rest: float, n: int) -> float:
    """Return the largest log evidence of one target.

    Rotated by the left singular vectors, the target's entries are independent, with variances
    ``(s2 / ratio + 1) / beta`` along them and ``1 / beta`` elsewhere, where ``ratio = alpha / beta``.
    """
    floor = 1e-12 * (z2.sum() + rest)  # labels that the features hold exactly would have infinite evidence

    def negative(log_ratio: float) -> float:
        spread = s2 / np.exp(log_ratio) + 1
        noise = max((z2 / spread).sum() + rest, floor) / n  # the best 1 / beta for this ratio
        return 0.5 * (n * np.log(2 * np.pi * noise) + n + np.log(spread).sum())

    # The evidence may have several hills; a coarse look first, then the top of the best one.
    grid = np.log(s2[0]) + np.linspace(-30, 15, 91)
    best = int(np.argmin([negative(at) for at in grid]))
    ends = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    top = optimize.minimize_scalar(negative, bounds=ends, method="bounded", options={"xatol": 1e-8})
    return -min(float(top.fun), negative(grid[best]))


def leep(source_probabilities: np.ndarray, y: np.ndarray) -> float:
    """Return LEEP: the mean log probability of the labels when a source classifier's answers stand for them.

    Each source class ``z`` gets the share of each label among the items it is given to, ``P(y | z)``; an item's
    label is then predicted by averaging these shares with the source's own probabilities for the item. At most
    0; higher is better. It needs a source with a classifier, so a text encoder without one has no LEEP. Nguyen,
    Hassner, Seeger & Archambeau (2020), arXiv:2002.12462.

    Args:
        source_probabilities: ``[N, Z]``, the source head's answers for the target's items; rows sum to 1.
        y: class indices of the target ``[N]``.

    Raises:
        ValueError: when shapes do not fit, a row is no distribution, or there is one class only.
    """
    P, y = _labeled(source_probabilities, y)
    if (P < 0).any() or not np.allclose(P.sum(axis=1), 1, atol=1e-3):
        raise ValueError("source_probabilities are no distributions; apply softmax over the source classes.")
    joint = (y[:, None] == np.unique(y)).astype(float).T @ P / len(y)  # [labels, Z]
    total = joint.sum(axis=0)
    given = np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)
    label = np.searchsorted(np.unique(y), y)
    return float(np.log((given[label] * P).sum(axis=1)).mean())


def rank_correlation(score: np.ndarray, outcome: np.ndarray, draws: int = 5000, seed: int = 0) -> Interval:
    """Return Spearman's rank correlation with an interval of 95% and a permutation p value.

    The interval is that of Fisher's z with the standard error of Bonett & Wright (2000),
    ``sqrt((1 + r^2 / 2) / (n - 3))``. In simulations it held the truth in 93 to 97 of 100 samples of 9, 13 and 30
    items, and in more of fewer items. A perfect order counts as half a step from the next best, or its interval
    would have no width. Items are taken for independent: draws of one task are not.

    The p value is the share of orders that give a correlation at least as far from 0: of all orders for up to 8
    items, else of ``draws`` random ones. It asks for no shape of the interval, so where the two disagree, go by p.

    Raises:
        ValueError: when lengths differ, there are fewer than four items, one side is constant or not finite, or
            two Series have one index in different orders.
    """
    check_same_order(score, outcome, "score", "outcome")
    a, b = numbers(score, "scores"), numbers(outcome, "outcomes")
    if a.shape != b.shape or a.ndim != 1 or len(a) < 4:
        raise ValueError(f"got shapes {a.shape} and {b.shape}; give as many scores as outcomes, four or more.")
    for name, values in (("score", a), ("outcome", b)):
        if not np.isfinite(values).all() or not np.ptp(values):
            raise ValueError(f"{name} is constant or not finite; it ranks nothing.")
    n, rng = len(a), np.random.default_rng(seed)
    ranks = stats.rankdata(a), stats.rankdata(b)
    if n <= EXACT_UP_TO:
        orders = np.array(list(permutations(range(n))))
        assert len(orders) == factorial(n)
    else:
        orders = rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1)
    rho = float(_correlate(ranks[0][None], ranks[1][None])[0])
    as_far = np.abs(_correlate(ranks[0][orders], ranks[1][None])) >= abs(rho) - 1e-9
    # The order at hand is one of the random ones, too, so that p is never 0.
    p = float(as_far.mean()) if n <= EXACT_UP_TO else float((as_far.sum() + 1) / (draws + 1))
    low, high = _around_rank_correlation(rho, n)
    return Interval(rho, low, high, n, p)


def _around_rank_correlation(rho: float, n: int) -> tuple[float, float]:
    """Return the ends of an interval of 95%, which hold ``rho``."""
    step = 12 / (n**3 - n)  # that two neighbors out of order cost
    inner = float(np.clip(rho, step / 2 - 1, 1 - step / 2))
    half = stats.norm.ppf(0.975) * np.sqrt((1 + inner**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(inner) + np.array([-half, half]))
    return min(float(low), rho), max(float(high), rho)


def _correlate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of the rows."""
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    return (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))


def _held_out(model: object, X: np.ndarray, y: np.ndarray, folds: int, seed: int) -> float:
    if folds < 2:
        raise ValueError(f"folds={folds}; give two or more.")
    values, counts = np.unique(y, return_counts=True)
    if counts.min() < folds:
        raise ValueError(
            f"class {values[counts.argmin()]} has {counts.min()} item(s), fewer than the {folds} folds; "
            "label more of it, or use fewer folds."
        )
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    # So small a problem gains nothing from threads, and on a busy machine they wait for each other.
    with threadpool_limits(1):
        return float(balanced_accuracy_score(y, cross_val_predict(model, X, y, cv=parts)))


def _features(X: np.ndarray) -> np.ndarray:
    features = numbers(X, "features")
    if features.ndim != 2 or not features.size:
        raise ValueError(f"features have shape {features.shape}; give [N, D], one row an item.")
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise ValueError(f"features hold NaN or infinity, first in row {row}; look for broken inputs.")
    return features


def _rows_of(y: Any) -> np.ndarray:
    """Return labels or targets as an array, in the order of their rows."""
    if isinstance(y, torch.Tensor):
        return y.detach().cpu().numpy()
    array = np.asarray(y if isinstance(y, (np.ndarray, pd.DataFrame)) else in_order(y, "labels"))
    if array.dtype != object:
        return array
    if missing := [row for row, label in enumerate(array.tolist()) if is_missing(label)]:
        raise ValueError(f"the label of row {missing[0]} is missing; give it one, or leave the row out.")
    return np.asarray(array.tolist())  # such as pandas' own whole numbers


def _labeled(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    check_same_order(X, y, "X", "y")
    X, y = _features(X), _rows_of(y)
    if y.shape != (len(X),):
        raise ValueError(f"{len(X)} rows of features but labels of shape {y.shape}; give one label a row.")
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"labels are {y.dtype}; give whole numbers, the class indices, as np.unique(labels, "
            "return_inverse=True)[1] does."
        )
    if len(np.unique(y)) < 2:
        raise ValueError(f"labels hold one class only ({np.unique(y).tolist()}); there is nothing to tell apart.")
    return X, y
