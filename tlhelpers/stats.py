"""Scores of one run, and what several runs say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats
from sklearn import metrics

METRICS = ("accuracy", "balanced_accuracy", "auroc")


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` runs with the ends of its interval; ``p`` only for a comparison."""

    mean: float
    low: float
    high: float
    n: int
    p: float | None = None

    def __str__(self) -> str:
        return f"{self:.3f}"

    def __format__(self, spec: str) -> str:
        """Format all three numbers alike: ``f"{i:+.3f}"`` gives ``+0.012 [+0.003, +0.021]``."""
        spec = spec or ".3f"
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __mul__(self, factor: float) -> Interval:
        """Return the interval in another unit, as ``100 * i`` in points; ``-1 * i`` turns a comparison around."""
        low, high = sorted((factor * self.low, factor * self.high))
        return Interval(factor * self.mean, low, high, self.n, self.p)

    __rmul__ = __mul__

    @property
    def verdict(self) -> str:
        """Whether a difference is above zero: ``holds``, ``fails``, or ``open`` where the interval holds zero."""
        return "holds" if self.low > 0 else "fails" if self.high < 0 else "open"

    def words(self, more: str, less: str, same: str = "not measurably different from") -> str:
        """Return what a difference says: ``more`` than zero, ``less``, or ``same`` where it cannot tell."""
        return {"holds": more, "fails": less, "open": same}[self.verdict]

    def equivalence(self, margin: float) -> str:
        """Whether a difference is too small to matter: ``inside`` a margin, ``fails`` beyond it, else ``open``."""
        beyond = self.low > margin or self.high < -margin
        return "inside" if self.within(margin) else "fails" if beyond else "open"

    def within(self, margin: float) -> bool:
        """Return whether the whole interval lies inside ``margin`` around zero, which shows equivalence.

        Raises:
            ValueError: when the margin is not positive.
        """
        if not margin > 0:
            raise ValueError(f"margin={margin}; give the largest difference that does not matter, such as 0.02.")
        return -margin <= self.low and self.high <= margin


def scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return accuracy, balanced accuracy and AUROC (one against rest, averaged, for more than two classes).

    Args:
        probabilities: ``[N, C]``, rows sum to 1.
        labels: ``[N]`` class indices.

    Raises:
        ValueError: when shapes do not fit, a value is not finite, a label names no column, or a class is
            absent: no ranking can be judged then.
    """
    probabilities, labels = np.asarray(probabilities, dtype=float), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != (len(probabilities),):
        raise ValueError(
            f"probabilities have shape {probabilities.shape} and labels {labels.shape}; give [N, C] and [N]."
        )
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities hold NaN or infinity; look at the loss of the last epochs.")
    present = np.unique(labels)
    if len(present) < 2:
        raise ValueError(f"labels hold one class only ({present.tolist()}); AUROC needs two. Use another split.")
    columns = probabilities.shape[1]
    if present.min() < 0 or present.max() >= columns:
        raise ValueError(f"labels run from {present.min()} to {present.max()}, but there are {columns} columns.")
    if len(present) < columns:
        absent = sorted(set(range(columns)) - set(present.tolist()))
        raise ValueError(f"no label is of class {absent}, so its AUROC is undefined. Use another split.")
    binary = columns == 2
    predicted = probabilities.argmax(axis=1)
    sums = probabilities.sum(axis=1, keepdims=True)
    return {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(labels, predicted)),
        "auroc": float(
            metrics.roc_auc_score(labels, probabilities[:, 1])
            if binary
            else metrics.roc_auc_score(labels, probabilities / sums, multi_class="ovr", labels=range(columns))
        ),
    }


def interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """Return the mean and its Student t interval over independent runs.

    Raises:
        ValueError: for fewer than two runs, a value that is not finite, or a level outside (0, 1).
    """
    return _around_mean(values, level, new_run=False)


def prediction_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """Return where one more run is to be expected: the t prediction interval around the mean.

    Raises:
        ValueError: for fewer than two runs, a value that is not finite, or a level outside (0, 1).
    """
    return _around_mean(values, level, new_run=True)


def paired(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """Return the mean of ``a - b`` over runs that share seed and split, its t interval and the p value.

    Pairing takes out what both share, the luck of the split.

    Raises:
        ValueError: when the lengths differ or there are fewer than two pairs.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} runs against {len(b)}; pair them by seed.")
    difference = _runs(np.asarray(a, dtype=float) - np.asarray(b, dtype=float))
    if np.ptp(difference) < 1e-12:  # equal but for rounding
        p = 1.0 if abs(difference.mean()) < 1e-12 else 0.0
    else:
        p = float(stats.ttest_1samp(difference, 0.0).pvalue)
    return replace(interval(difference, level), p=p)


def bootstrap(
    probabilities: np.ndarray,
    labels: np.ndarray,
    ties: np.ndarray | None = None,
    *,
    draws: int = 400,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return the scores of :func:`scores`, each with its percentile interval (Efron 1979).

    It tells what other test images of the same kind might have given this very network. Images are drawn with
    replacement within their class; with ``ties`` whole groups are, among those that hold the same classes, for
    the images of a group are not independent. A score without a miss gets an interval without width.

    Args:
        probabilities: ``[N, C]``.
        labels: ``[N]``.
        ties: group of each image ``[N]``.

    Raises:
        ValueError: as :func:`scores`.
    """
    labels, rng = np.asarray(labels), np.random.default_rng(seed)
    whole = scores(probabilities, labels)
    ties = np.arange(len(labels)) if ties is None else np.asarray(ties)
    order = np.argsort(ties, kind="stable")
    strata: dict[tuple[int, ...], list[np.ndarray]] = {}
    for group in np.split(order, np.flatnonzero(np.diff(ties[order])) + 1):
        strata.setdefault(tuple(np.unique(labels[group]).tolist()), []).append(group)
    drawn_scores = []
    for _ in range(draws):
        picks = [(groups, rng.integers(0, len(groups), len(groups))) for groups in strata.values()]
        drawn = np.concatenate([groups[i] for groups, pick in picks for i in pick])
        drawn_scores.append(scores(probabilities[drawn], labels[drawn]))
    result = {}
    for name, value in whole.items():
        low, high = np.quantile([of_draw[name] for of_draw in drawn_scores], ((1 - level) / 2, (1 + level) / 2))
        result[name] = Interval(value, float(low), float(high), len(labels))
    return result


def table(runs: pd.DataFrame, by: Sequence[str], metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Return one row a group with ``mean [low, high]`` of each metric, in order of first appearance.

    Args:
        runs: one row a run, with the columns ``by`` and ``metrics``.

    Raises:
        KeyError: when a column is missing.
    """
    missing = [name for name in [*by, *metrics] if name not in runs]
    if missing:
        raise KeyError(f"column(s) {missing} missing; there are {list(runs.columns)}.")
    grouped = runs.groupby(list(by), sort=False)
    result = pd.DataFrame({name: grouped[name].apply(lambda v: str(interval(v.to_numpy()))) for name in metrics})
    result["seeds"] = grouped.size()
    return result


def _around_mean(values: Sequence[float] | np.ndarray, level: float, new_run: bool) -> Interval:
    runs = _runs(values, level)
    width = np.sqrt(new_run + 1 / len(runs))
    half = stats.t.ppf((1 + level) / 2, len(runs) - 1) * runs.std(ddof=1) * width
    return Interval(runs.mean(), runs.mean() - half, runs.mean() + half, len(runs))


def _runs(values: Sequence[float] | np.ndarray, level: float = 0.95) -> np.ndarray:
    if not 0 < level < 1:
        raise ValueError(f"level={level}; give a share between 0 and 1, such as 0.95.")
    runs = np.asarray(values, dtype=float)
    if runs.ndim != 1 or len(runs) < 2:
        raise ValueError(f"got values of shape {runs.shape}; an interval needs two or more runs.")
    if not np.isfinite(runs).all():
        raise ValueError("a run holds NaN or infinity; find out why before averaging.")
    return runs
