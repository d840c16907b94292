"""Scores of several trainings on items of one pool: how far their mean may be off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from tlhelpers import _rows

METRICS = ("auroc", "accuracy")
NO_SPREAD = 1e-10  # what rounding leaves of a standard error that is zero


class Error(NamedTuple):
    """Scores of the runs ``[S]``, the standard error of their mean, its degrees of freedom, or why it has none."""

    scores: np.ndarray
    size: float
    freedom: float
    why: str = ""


class _Checked(NamedTuple):
    """A run as arrays: classes, scores of both arms (``b`` may lack), and numbers of the groups, all ``[n]``."""

    classes: np.ndarray
    a: np.ndarray
    b: np.ndarray | None
    groups: np.ndarray


def error(runs: Iterable[Any], metric: str, shared: float) -> Error:
    """Return the error of the mean score, or difference, over new trainings and new groups at once.

    Three sums of squares meet, as in Cameron, Gelbach & Miller (2011): over runs ``A``, over groups ``B`` and over
    their cells ``C``. ``A`` and ``B`` both count the noise of a cell, so the variance is ``A + B - C``. It is cut
    off below at ``B``: what the items themselves imply, the trained networks held fixed.

    Args:
        runs: ``(labels, a, b, groups)`` of each, as :class:`tlhelpers.stats.Run`.
        shared: correlation of two runs for the training data that they share.

    Raises:
        ValueError: as :func:`tlhelpers.stats.crossed`.
    """
    if not 0 <= shared < 1:
        raise ValueError(
            f"shared={shared}; give the share of its training items that a run has in common, below 1."
        )
    checked, number = _read(runs, metric)
    count = len(checked)
    scores, cells = np.zeros(count), np.zeros((count, number))
    weights = np.zeros((2, number))  # of each group in each class; in accuracy the classes are one
    why = ""
    for at, run in enumerate(checked):
        scores[at], adds = _placed(run) if metric == "auroc" else _right(run)
        for own in (0, 1):
            rows = run.classes == own
            if not rows.any():
                continue
            share = np.bincount(run.groups[rows], minlength=number) / rows.sum()
            if share.max() > 1 - 1e-9:
                why = why or f"all of class {own} in runs[{at}] lie in one group"
                continue
            apart = np.bincount(run.groups[rows], adds[rows] - adds[rows].mean(), number) / rows.sum()
            # A group pulls the mean of its class to itself, the more, the larger it is (Bell & McCaffrey 2002).
            cells[at] += apart / np.sqrt(1 - share)
            weights[own] += share
    if why:
        return Error(scores, np.nan, np.nan, why)
    of_runs = scores.var(ddof=1) / count
    of_groups = ((cells.sum(axis=0) / count) ** 2).sum()
    of_cells = ((cells / count) ** 2).sum()
    training = max(of_runs - of_cells, 0.0)
    # Runs that share a part of their training vary less among themselves than anew (Nadeau & Bengio 2003).
    unseen = training * count * shared / (1 - shared)
    variance = of_groups + training + unseen
    if variance < NO_SPREAD**2:
        return Error(scores, np.nan, np.nan, "no run and no group differs from the others")
    # Groups of even size that would be worth as much, in the class that has fewer (Satterthwaite 1946).
    worth = min(each.sum() ** 2 / (each**2).sum() for each in weights if each.any())
    doubt = (of_runs + unseen) ** 2 / (count - 1) + of_groups**2 / max(worth - 1, 1.0)
    return Error(scores, float(np.sqrt(variance)), max(float(variance**2 / doubt), 1.0))


def _placed(run: _Checked) -> tuple[float, np.ndarray]:
    """Return AUROC, or its difference, and placement values ``[n]``: the share of the other class in order."""
    score, adds = _placements(run.classes, run.a)
    if run.b is None:
        return score, adds
    other, less = _placements(run.classes, run.b)
    return score - other, adds - less


def _placements(classes: np.ndarray, chances: np.ndarray) -> tuple[float, np.ndarray]:
    """Return AUROC and, of each item, the share of the other class that it is in order with; ties count half."""
    own = classes == 1
    ranks = stats.rankdata(chances)
    adds = np.empty(len(chances))
    adds[own] = (ranks[own] - stats.rankdata(chances[own])) / (~own).sum()
    adds[~own] = 1 - (ranks[~own] - stats.rankdata(chances[~own])) / own.sum()
    return float(adds[own].mean()), adds


def _right(run: _Checked) -> tuple[float, np.ndarray]:
    adds = run.a if run.b is None else run.a - run.b
    return float(adds.mean()), adds


def _read(runs: Iterable[Any], metric: str) -> tuple[list[_Checked], int]:
    """Return the runs as arrays, and how many groups there are; a group has one number in all runs."""
    if metric not in METRICS:
        raise ValueError(f"metric={metric!r}; there are {METRICS}.")
    rows = _rows.in_order(runs, "runs")
    if len(rows) < 2:
        raise ValueError(f"got {len(rows)} run(s); trainings must differ to be compared: give two splits or more.")
    for at, row in enumerate(rows):
        if not isinstance(row, (tuple, list)) or len(row) != 4:
            raise ValueError(f"runs[{at}] is no (labels, a, b, groups); give tl.stats.Run(labels, a, b, groups).")
    alone = [row[2] is None for row in rows]
    if any(alone) and not all(alone):
        raise ValueError(f"runs[{alone.index(True)}] has no scores b, others have; compare what both arms did.")
    parts = [_scores(row, f"runs[{at}]", metric) for at, row in enumerate(rows)]
    groups = [
        _groups(row[3], len(a), f"runs[{at}]") for at, (row, (_, a, _)) in enumerate(zip(rows, parts, strict=True))
    ]
    joined = _numbered(groups)
    cuts = np.cumsum([len(a) for _, a, _ in parts])[:-1]
    checked = [_Checked(*part, own) for part, own in zip(parts, np.split(joined, cuts), strict=True)]
    for at, run in enumerate(checked):
        if np.ptp(run.groups) == 0:
            raise ValueError(
                f"runs[{at}] tests one group only, {groups[at][0]}; how groups differ cannot be seen. Use fewer "
                "folds, so that each tests two groups or more."
            )
    return checked, int(joined.max()) + 1


def _scores(row: Sequence[Any], name: str, metric: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return classes (0 or 1 for AUROC, else all 0) and the scores of one or two arms, checked."""
    labels = _vector(row[0], f"labels of {name}")
    arms = [
        None if arm is None else _vector(arm, f"{what} of {name}")
        for what, arm in zip("ab", row[1:3], strict=True)
    ]
    if arms[0] is None:
        raise ValueError(f"{name} has no scores a; give one an item.")
    for what, arm in zip("ab", arms, strict=True):
        if arm is None:
            continue
        if len(arm) != len(labels):
            raise ValueError(f"{name} has {len(labels)} labels and {len(arm)} scores {what}; give one an item.")
        if arm.dtype.kind not in "bifu" or not np.isfinite(arm).all():
            raise ValueError(f"{what} of {name} holds what is no finite number; give one score an item.")
        if metric == "accuracy" and ((arm < 0) | (arm > 1)).any():
            beyond = arm[(arm < 0) | (arm > 1)][0]
            raise ValueError(
                f"{what} of {name} holds {beyond}; for accuracy give 1 for a right answer, 0 for a wrong one."
            )
    if not len(labels):
        raise ValueError(f"{name} tests no item; leave it out.")
    classes = np.zeros(len(labels), np.int64)
    if metric == "auroc":
        present = np.unique(labels)
        if not np.isin(present, (0, 1)).all():
            raise ValueError(
                f"labels of {name} are {present[:5].tolist()}; AUROC takes 1 for the positive class, else 0."
            )
        if len(present) < 2:
            raise ValueError(
                f"labels of {name} hold one class only ({present.tolist()}); AUROC needs two. Use other folds."
            )
        classes = labels.astype(np.int64)
    a, b = (None if arm is None else arm.astype(float) for arm in arms)
    assert a is not None
    return classes, a, b


def _vector(values: Any, what: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim == 0:
        array = np.asarray(_rows.in_order(values, what))
    if array.ndim != 1:
        raise ValueError(f"{what} have shape {array.shape}; give one value an item, [n].")
    return array


def _groups(values: Any, count: int, name: str) -> np.ndarray | list[Any]:
    """Return the groups of a run, one a row and none missing."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.shape == (count,):
        return values
    rows = _rows.in_order(values, f"groups of {name}")
    _rows.identities(rows, count, f"groups of {name}")
    return rows


def _numbered(groups: Sequence[np.ndarray | list[Any]]) -> np.ndarray:
    """Return numbers from 0 for the groups of all runs, one after the other."""
    if all(isinstance(each, np.ndarray) for each in groups):
        return np.unique(np.concatenate(groups), return_inverse=True)[1]
    return _rows.identities([group for each in groups for group in each])
