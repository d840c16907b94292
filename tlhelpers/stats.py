"""Scores of one run, and what several runs say together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, special, stats
from sklearn import metrics
from tqdm.auto import tqdm

from tlhelpers import _crossed, _rows

METRICS = ("accuracy", "balanced_accuracy", "auroc")
#: Independent images that an interval over test images needs. With fewer, in simulations (accuracy 0.7, level
#: 0.95), it held the truth in more or less than 93 to 97 of 100 samples; for AUROC, with less than twice as many.
LEAST = {"accuracy": 10, "balanced_accuracy": 10, "auroc": 20}
#: The same for groups of images, whose spread must be seen, too.
LEAST_GROUPS = {"accuracy": 15, "balanced_accuracy": 15, "auroc": 20}
#: And in each class, for the scores that give every class the same weight.
LEAST_IN_CLASS = {"accuracy": 1, "balanced_accuracy": 2, "auroc": 3}
#: Degrees of freedom that it needs: with fewer, one group or one small class decides.
LEAST_FREEDOM = 4
#: Where fewer groups than this make up the spread that was seen (few are wrong, say), it is not trusted alone.
FEW = {"accuracy": 5, "balanced_accuracy": 5, "auroc": 8}


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` runs with the ends of its interval; ``p`` only for a comparison.

    Where too little was seen for ends, both are NaN and ``why`` says in a few words what is missing.
    """

    mean: float
    low: float
    high: float
    n: int
    p: float | None = None
    why: str = ""

    @property
    def known(self) -> bool:
        """Whether the interval has ends."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def rounded(self, digits: int = 4) -> list[float | str | None]:
        """Return ``[mean, low, high]`` for JSON, which has no NaN: ``[mean, None, None, why]`` without ends."""
        mean = None if math.isnan(self.mean) else round(float(self.mean), digits)
        if not self.known:
            return [mean, None, None, self.why]
        return [mean, round(float(self.low), digits), round(float(self.high), digits)]

    def __str__(self) -> str:
        return f"{self:.3f}"

    def __format__(self, spec: str) -> str:
        """Format all three numbers alike: ``f"{i:+.3f}"`` gives ``+0.012 [+0.003, +0.021]``.

        Without ends it gives ``+0.012 [cannot be estimated: 3 groups in all; 10 are needed]``.
        """
        spec = spec or ".3f"
        if not self.known:
            return f"{self.mean:{spec}} [cannot be estimated{': ' * bool(self.why)}{self.why}]"
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __mul__(self, factor: float) -> Interval:
        """Return the interval in another unit, as ``100 * i`` in points; ``-1 * i`` turns a comparison around."""
        low, high = sorted((factor * self.low, factor * self.high))
        return Interval(factor * self.mean, low, high, self.n, self.p, self.why)

    __rmul__ = __mul__

    @property
    def verdict(self) -> str:
        """Whether a difference is above zero: ``holds``, ``fails``, or ``open`` where the interval holds zero."""
        return "holds" if self.low > 0 else "fails" if self.high < 0 else "open"

    def words(self, more: str, less: str, same: str = "not measurably different from") -> str:
        """Return what a difference says: ``more`` than zero, ``less``, or ``same`` where it cannot tell."""
        return {"holds": more, "fails": less, "open": same}[self.verdict]

    def equivalence(self, margin: float) -> str:
        """Whether a difference is too small to matter: ``inside`` a margin, ``fails`` beyond it, else ``open``.

        ``inside`` is :meth:`within`, so it says more than "not measurably different", which is ``open`` where few
        runs leave the interval wide.
        """
        beyond = self.low > margin or self.high < -margin
        return "inside" if self.within(margin) else "fails" if beyond else "open"

    def within(self, margin: float) -> bool:
        """Return whether the whole interval lies inside ``margin`` around zero, which shows equivalence.

        That is the test of two one-sided hypotheses (TOST, Schuirmann 1987), each at half of what the interval
        leaves out: 2.5% for one of 95%. It is stricter than the usual 5% each, which an interval of 90% gives.

        Raises:
            ValueError: when the margin is not positive.
        """
        if not margin > 0:
            raise ValueError(f"margin={margin}; give the largest difference that does not matter, such as 0.02.")
        return -margin <= self.low and self.high <= margin


def scores(probabilities: Any, labels: Iterable[Any]) -> dict[str, float]:
    """Return accuracy, balanced accuracy and AUROC (one against rest, averaged, for more than two classes).

    Args:
        probabilities: ``[N, C]``, rows sum to 1; an array, tensor or table.
        labels: ``[N]`` class indices; an array, tensor, Series or list, taken in its order.

    Raises:
        ValueError: when shapes do not fit, a row holds no probabilities (NaN, or logits), a label names no class,
            or a class has no label (AUROC is undefined then).
    """
    probabilities, labels = _read(probabilities, labels)
    present = np.unique(labels)
    if len(present) < 2:
        raise ValueError(f"labels hold one class only ({present.tolist()}); AUROC needs two. Use another split.")
    columns = probabilities.shape[1]
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


def _read(probabilities: Any, labels: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities ``[N, C]`` and labels ``[N]`` int64, both checked; any number of classes is present."""
    chances, numbers = np.asarray(_on_host(probabilities), dtype=float), np.asarray(_on_host(labels))
    if numbers.ndim == 0:
        numbers = np.asarray(_rows.in_order(labels, "labels"))
    if chances.ndim != 2 or numbers.shape != (len(chances),):
        raise ValueError(
            f"probabilities have shape {chances.shape} and labels {numbers.shape}; give [N, C] and [N]."
        )
    if chances.shape[1] == 1:
        raise ValueError(
            "probabilities have one column; give one a class: for two classes, np.stack([1 - p, p], 1)."
        )
    if not chances.size:
        raise ValueError(
            f"probabilities have shape {chances.shape}, so there is nothing to score; give a row an image."
        )
    if not np.isfinite(chances).all():
        raise ValueError("probabilities hold NaN or infinity; look at the loss of the last epochs.")
    sums = chances.sum(axis=1)
    wrong = (chances < -1e-6).any(axis=1) | (abs(sums - 1) > 0.01)  # half precision is off by up to 0.005
    if wrong.any():
        row = int(wrong.argmax())
        found = f"holds {chances[row].min():.3g}" if chances[row].min() < 0 else f"sums to {sums[row]:.3g}"
        raise ValueError(
            f"row {row} of the probabilities {found}; each is to hold one chance a class that together make 1. "
            "Of logits take the softmax over the classes first; divide percent by 100."
        )
    columns = chances.shape[1]
    if numbers.dtype.kind == "f":  # 1.0 is class 1; what is no whole number is told below, by row
        numbers = np.array([int(v) if v.is_integer() else v for v in numbers.tolist()], dtype=object)
    if numbers.dtype.kind == "b" or all(isinstance(v, int) for v in numbers.tolist()):
        numbers = numbers.astype(np.int64)
    if numbers.dtype.kind in "iu" and (numbers.min() < 0 or numbers.max() >= columns):
        start = " They seem to be counted from 1: write labels - 1." if numbers.min() == 1 else ""
        raise ValueError(
            f"labels run from {numbers.min()} to {numbers.max()}, but there are {columns} columns.{start}"
        )
    return chances, _rows.class_numbers(numbers, len(chances), [str(c) for c in range(columns)], "images")


def _on_host(values: Any) -> Any:
    if not hasattr(values, "detach"):
        return values
    values = values.detach().cpu()  # a tensor, which may have gradients and lie on a GPU
    return values.double().numpy() if values.is_floating_point() else values.numpy()


def interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """Return the mean and its Student t interval over independent runs.

    Runs that all agree give an interval without width: as where nothing is random. That is no certainty about runs
    that could have differed.

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

    Pairing takes out what both share, the luck of the split. Where all differences are the same the interval has
    no width, and p is 0, or 1 for no difference: the t test has seen no spread to measure by, so read it as "in
    each of the n runs", not as certainty.

    Raises:
        ValueError: when the lengths differ, there are fewer than two pairs, or two Series hold the same seeds in
            another order.
    """
    if isinstance(a, pd.Series) and isinstance(b, pd.Series):
        alike = a.index.is_unique and b.index.is_unique and set(a.index) == set(b.index)
        if alike and not a.index.equals(b.index):
            raise ValueError(
                f"the runs stand in another order: {a.index.tolist()[:5]} and {b.index.tolist()[:5]}; give "
                "b.loc[a.index]."
            )
    a, b = _numbers(a), _numbers(b)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} runs against {len(b)}; pair them by seed.")
    difference = _runs(a - b)
    if np.ptp(difference) < 1e-12:  # equal but for rounding
        p = 1.0 if abs(difference.mean()) < 1e-12 else 0.0
    else:
        p = float(stats.ttest_1samp(difference, 0.0).pvalue)
    return replace(interval(difference, level), p=p)


class Run(NamedTuple):
    """What one training, or two on the same split, gave for the ``n`` items that it was tested on.

    ``labels [n]`` are 1 for the positive class and 0 else; for accuracy they are not looked at. ``a [n]`` are the
    scores of an arm: for AUROC the chance of the positive class, for accuracy 1 where the answer was right and 0
    where it was wrong. ``b [n]`` are those of the arm that it is compared with, or ``None``. ``groups [n]`` say
    what belongs together, such as the module of a cell; a name means the same group in every run. Where each item
    stands alone, give its own name.
    """

    labels: Any
    a: Any
    b: Any | None
    groups: Any


def crossed(runs: Iterable[Run], metric: str = "auroc", level: float = 0.95, *, shared: float = 0.0) -> Interval:
    """Return the mean over runs of ``a - b``, or of ``a``; its interval holds for new groups and trainings.

    Runs that test items of one pool are no independent samples of what other items would give: :func:`paired` sees
    the luck of the training, and that of the pool only in part. Here groups and runs are crossed, each with a
    spread of its own. The variance of the mean is that over runs, plus that over groups, minus that over their
    cells, which both have counted (Cameron, Gelbach & Miller 2011); for AUROC of the placement values of DeLong et
    al. (1988), summed by group as Obuchowski (1997) does. It is never below the part of the groups: what the items
    imply for networks that are held fixed. The quantile is that of t, with the degrees of freedom of Satterthwaite
    (1946).

    In simulations with 9 runs on 30 groups and with 8 runs on 2,000 single items, intervals of 95% around a
    difference held the truth in 94 to 97 of 100 samples, :func:`paired` in 78 to 96. The pigeonhole bootstrap,
    which draws runs and groups (McCullagh 2000; Owen 2007), counts the noise of a cell three times: 91 to 100.

    One thing no formula sees: what all runs learn from data that they share. Where that decides which arm is
    ahead, the interval is far too short. ``shared`` makes up for it, as Nadeau & Bengio (2003) do.

    Args:
        runs: one :class:`Run` a split; two or more, from any number of regroupings.
        metric: ``auroc`` or ``accuracy``.
        shared: how much two runs are alike for the training items they share. The mean share of its training items
            that a run has in common with another is an upper bound. 0 takes the trainings for independent.

    Returns:
        Interval with ``n`` runs, and ``p`` where there is a ``b``. For one arm it is symmetric in log odds, so it
        stays in [0, 1]. Without ends where a class of a run lies in one group, or nothing differs at all.

    Raises:
        ValueError: naming the run, when there are fewer than two, lengths differ, one tests a single group or (for
            AUROC) a single class, a group is missing, a score is not finite or (for accuracy) outside [0, 1].
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}; give a share between 0 and 1, such as 0.95.")
    rows = _rows.in_order(runs, "runs")
    error = _crossed.error(rows, metric, shared)
    mean, count = float(error.scores.mean()), len(rows)
    if error.why:
        return Interval(mean, math.nan, math.nan, count, why=error.why)
    half = float(stats.t.ppf((1 + level) / 2, error.freedom)) * error.size
    if rows[0][2] is not None:
        p = float(2 * stats.t.sf(abs(mean) / error.size, error.freedom))
        return Interval(mean, mean - half, mean + half, count, p)
    if not 0 < mean < 1:
        return Interval(mean, math.nan, math.nan, count, why=f"all runs score {mean:.0f}")
    odds, half = special.logit(mean), half / (mean * (1 - mean))
    return Interval(mean, float(special.expit(odds - half)), float(special.expit(odds + half)), count)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p values that account for how many questions were asked, by name and in the order given.

    Below 0.05 they are together wrong in at most 5 of 100 cases where nothing differs, whatever the questions have
    to do with each other (Holm 1979): the smallest is multiplied by their number, the next by one less, and none
    falls below the one before.

    Raises:
        ValueError: when there are none, or one is missing or outside [0, 1].
    """
    if not p_values:
        raise ValueError("got no p values; give one a question, by name.")
    for name, p in p_values.items():
        if p is None or not 0 <= p <= 1:
            raise ValueError(
                f"the p value of {name!r} is {p}; give a number from 0 to 1. A question without an answer has "
                "p = 1: to leave it out would make the others look better."
            )
    adjusted, largest, count = {}, 0.0, len(p_values)
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min((count - rank) * float(p_values[name]), 1.0))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def score_intervals(
    probabilities: Any, labels: Iterable[Any], ties: Iterable[Any] | None = None, *, level: float = 0.95
) -> dict[str, Interval]:
    """Return the scores of :func:`scores`, each with an interval: what other test images might have given.

    The network is held fixed. The truth that an interval is to hold is, for accuracy, the chance of a right answer
    on one more image, its class drawn as those here were; for balanced accuracy and AUROC the score over endlessly
    many images of each class, with the share of each class held as it is here. Images of one group are not
    independent, so groups are what is counted.

    The spread of whole groups around their class gives the standard error (of AUROC by DeLong et al. 1988). It
    says how many independent images the test is worth (Korn & Graubard 1998), and the interval is the binomial one
    for so many (mid-P, Lancaster 1961): it has width where every image was right, too. With less than
    :data:`LEAST` images, :data:`LEAST_GROUPS` groups or :data:`LEAST_IN_CLASS` of them in a class, there is a
    reason in place of ends: :attr:`Interval.why`.

    Args:
        probabilities: ``[N, C]``, rows sum to 1; an array, tensor or table.
        labels: ``[N]`` class indices, in the order of the rows.
        ties: group of each image ``[N]``, of any type; by default each image stands alone.
        level: share of samples whose interval is to hold the truth.

    Raises:
        ValueError: as :func:`scores`, but for absent classes: accuracy is given, the others lack a mean, too.
            Also when there is not one group a row, or the level is no share.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}; give a share between 0 and 1, such as 0.95.")
    probabilities, labels = _read(probabilities, labels)
    count, classes = probabilities.shape
    groups = np.arange(count) if ties is None else _rows.identities(ties, count)
    groups = np.unique(groups, return_inverse=True)[1]
    right = (probabilities.argmax(axis=1) == labels).astype(float)
    each, of_class = np.full(count, 1 / count), np.bincount(labels, minlength=classes)
    accuracy = _Parts("accuracy", right / count, each, np.zeros(count, np.int64), groups)
    result = {"accuracy": _interval(accuracy, float(right.mean()), level)}
    if not of_class.all():
        absent = np.flatnonzero(of_class == 0).tolist()
        named = ", ".join(map(str, absent[:5])) + " and others" * (len(absent) > 5)
        why = f"no image of class{'es' * (len(absent) > 1)} {named}"
        return result | {name: Interval(math.nan, math.nan, math.nan, count, why=why) for name in METRICS[1:]}
    weights = 1 / (of_class[labels] * classes)
    balanced = _Parts("balanced_accuracy", right * weights, weights, labels, groups)
    auroc, placed = _auroc(probabilities, labels)
    result["balanced_accuracy"] = _interval(balanced, float((right * weights).sum()), level)
    result["auroc"] = _interval(_Parts("auroc", placed, weights, labels, groups), auroc, level)
    return result


@dataclass(frozen=True)
class _Parts:
    """What each image adds to a score, the weight it has in it, its stratum and its group, all ``[N]``."""

    name: str
    adds: np.ndarray
    weights: np.ndarray
    strata: np.ndarray
    groups: np.ndarray


def _interval(parts: _Parts, score: float, level: float) -> Interval:
    """Return the interval around a score between 0 and 1, from the spread of groups around their strata."""
    adds, weights, strata, groups = parts.adds, parts.weights, parts.strata, parts.groups
    count, number = len(adds), int(groups.max()) + 1
    score = min(max(score, 0.0), 1.0)
    # One cell for each group in each stratum.
    cells, of_image = np.unique(strata * number + groups, return_inverse=True)
    of_cell = cells // number
    share, per_stratum = np.bincount(of_image, weights), np.bincount(of_cell)
    size = np.bincount(of_cell, share**2)
    freedom = np.bincount(of_cell, share) ** 2 / size - 1  # of each stratum, by its even-sized groups
    of_group = np.bincount(groups, weights)
    total_freedom = 1 / (of_group**2).sum() - 1
    if (freedom > 0).all():
        total_freedom = min(total_freedom, size.sum() ** 2 / (size**2 / freedom).sum())
    if why := _missing(parts, per_stratum, total_freedom):
        return Interval(score, math.nan, math.nan, count, why=why)
    worth = 1 / (weights**2).sum()  # independent images, if all were
    if parts.name != "auroc" and number == count and np.ptp(weights) == 0:
        # Shares of independent images: classes that differ make the spread smaller than binomial, never larger.
        return Interval(score, *_around_share(score, worth, level), count)
    middle = np.bincount(strata, adds) / np.bincount(strata, weights)
    # A group pulls the middle of its stratum to itself, the more of it, the larger it is (Bell & McCaffrey 2002).
    pull = np.sqrt(1 - share / np.bincount(of_cell, share)[of_cell])
    apart = np.bincount(groups, (adds - weights * middle[strata]) / pull[of_image], number) ** 2
    spread, binomial = apart.sum(), score * (1 - score) / worth
    effect = spread / binomial if binomial > 1e-12 else 0.0
    # As if the images of a group were one: where hardly a group shows any spread, chance may hide it.
    worst = max(worth * (of_group**2).sum(), effect)
    carried = spread**2 / (apart**2).sum() if spread > 1e-18 else 0.0
    doubt = max(0.0, 1 - carried / FEW[parts.name])
    effect = (1 - doubt) * effect + doubt * worst
    tails = stats.norm.ppf((1 + level) / 2) / stats.t.ppf((1 + level) / 2, total_freedom)
    return Interval(score, *_around_share(score, worth / effect * tails**2, level), count)


def _missing(parts: _Parts, per_stratum: np.ndarray, freedom: float) -> str:
    """Return what an interval lacks, in a few words; empty where it lacks nothing."""
    number = int(parts.groups.max()) + 1
    what = "image" if number == len(parts.groups) else "group"
    least = (LEAST if what == "image" else LEAST_GROUPS)[parts.name]
    if number < least:
        return f"{number} {what}{'s' * (number != 1)} in all; {least} are needed"
    least = LEAST_IN_CLASS[parts.name]
    if (per_stratum < least).any():
        rare = int(per_stratum.argmin())
        held = int(per_stratum[rare])
        return f"class {rare} has {held} {what}{'s' * (held != 1)}; {least} of each class are needed"
    if freedom < LEAST_FREEDOM:
        small = int(per_stratum.argmin())
        few = f"{per_stratum[small]} {what}s of class {small}"
        return f"{few} decide" if parts.name != "accuracy" else f"{number} groups of very uneven size"
    return ""


def _around_share(share: float, count: float, level: float) -> tuple[float, float]:
    """Return the mid-P interval of a share of ``count`` independent trials, which need not be whole."""
    hits, tail = share * count, (1 - level) / 2

    def as_many(chance: float) -> float:
        """The probability of more hits, and half of that of as many."""
        from_here = special.betainc(hits, count - hits + 1, chance) if hits > 0 else 1.0
        return (from_here + (special.betainc(hits + 1, count - hits, chance) if share < 1 else 0.0)) / 2

    low = optimize.brentq(lambda chance: as_many(chance) - tail, 0, 1) if hits > 0 else 0.0
    high = optimize.brentq(lambda chance: as_many(chance) - 1 + tail, 0, 1) if share < 1 else 1.0
    return float(low), float(high)


def _auroc(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Return AUROC as :func:`scores` does, and what each image adds to it ``[N]`` (placement values, DeLong 1988).

    One column is ranked once, so 1,000 classes take seconds.
    """
    count, classes = probabilities.shape
    if classes > 2:
        probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    columns = [1] if classes == 2 else range(classes)
    score, adds = 0.0, np.zeros(count)
    for column in tqdm(columns, "AUROC", leave=False, disable=count * classes < 1_000_000):
        own, chances = labels == column, probabilities[:, column]
        ranks, hits = stats.rankdata(chances), int(own.sum())
        above = (ranks[own] - stats.rankdata(chances[own])) / (count - hits)
        below = 1 - (ranks[~own] - stats.rankdata(chances[~own])) / hits
        score += above.mean() / len(columns)
        adds[own] += above / (hits * len(columns))
        adds[~own] += below / ((count - hits) * len(columns))
    return float(score), adds


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


def _numbers(values: Any) -> np.ndarray:
    if np.ma.is_masked(values):
        raise ValueError("some runs are masked; give those that count, as values.compressed().")
    values = _on_host(values)
    rows = values if isinstance(values, np.ndarray) else _rows.in_order(values, "runs")
    try:
        return np.asarray(rows, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the runs are no numbers ({error}); give one score a run.") from error


def _runs(values: Sequence[float] | np.ndarray, level: float = 0.95) -> np.ndarray:
    if not 0 < level < 1:
        raise ValueError(f"level={level}; give a share between 0 and 1, such as 0.95.")
    runs = _numbers(values)
    if runs.ndim != 1 or len(runs) < 2:
        raise ValueError(f"got values of shape {runs.shape}; an interval needs two or more runs.")
    if not np.isfinite(runs).all():
        raise ValueError("a run holds NaN or infinity; find out why before averaging.")
    return runs
