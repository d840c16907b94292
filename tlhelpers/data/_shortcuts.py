"""Ask whether labels can be looked up without a pixel: by place in the list, folder, file name, or date."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

from tlhelpers._rows import clean, identities
from tlhelpers.data._folders import PART
from tlhelpers.data._images import ImageSet, check_set

FEWEST = 60
"""Images below which nothing is told."""
FEWEST_GROUPS = 8
"""Groups below which nothing is told: a half then knows of three or fewer."""
BLOCKS = (8, 32)
"""Neighbors in the list that are looked up together: a burst of photographs, and a machine or a day."""
HALVES = 5
SHUFFLES = 199
LEVEL = 0.01
"""Highest p of one look-up. There are five at most, so 5 in 100 sets of labels that nothing tells are told of."""
WORTH = 0.2
"""Least score that is told, on a scale from chance (0) to perfect (1): an AUROC of 0.6."""
DATE = re.compile(r"(?<!\d)(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?=\d{6}(?!\d)|(?!\d))")


class Shortcut(NamedTuple):
    """A look-up that tells labels without a pixel.

    Attributes:
        by: what is looked up, in words.
        measure: of the score: ``AUROC`` for two classes, ``balanced accuracy`` for more.
        score: on held-out images, a mean over halves.
        p: share of shuffled lists of labels that are told as well or better.
    """

    by: str
    measure: str
    score: float
    p: float

    def __str__(self) -> str:
        done = "ranks" if self.measure == "AUROC" else "names"
        return f"a look-up by {self.by} {done} held-out images with {self.measure} {self.score:.2f}"


def shortcuts(images: ImageSet, groups: Iterable[Any] | None = None, *, seed: int = 0) -> list[Shortcut]:
    """Return the look-ups that tell labels without a pixel; an empty list when there is none.

    A table of the smoothed share of each class, made from half of the images, is asked for the other half. Its key
    is the place in the list (blocks of 8 and of 32 neighbors), the folder, a part of the file name, or the date in
    it. What such a key knows, a network may learn to recognize: the machine, the day, the camera. Where it tells
    labels, images of one source stand together, and a random cut puts them on both sides (Kaufman et al. 2012,
    *Leakage in Data Mining*).

    A key that is the class by construction says nothing: class folders, class names within file names, a list
    sorted by class, folders below class folders that each lie in one class alone. Files in class folders are
    ordered by their names without the class. Where each class counts its images from its own start, there is no
    common order, and none is asked for. Look-ups with less than a fifth of the way from chance to perfect are
    passed over.

    Measured on random labels with random folders, names and dates, 60 to 1,000 images, 16 settings of 200 sets: it
    told of something in 2 of 100, at most in 6. Of the solar cells, drawn at random and left in their order, 200
    were enough in 20 of 20 draws, 100 in 12. It sees neither sources that mix in the list and share no name, nor
    sources in a list that was shuffled. And it may tell of no leak, as of file names that hold a breed. It is a
    question: only you know what belongs together.

    Args:
        images: in the order in which they were collected or listed; 60 or more, else nothing is told.
        groups: what you keep together, one an image of any type. The look-ups then learn from other groups than
            they are asked for: what is still told is told across groups.
        seed: of the halves and of the shuffled lists.

    Raises:
        ValueError: when ``images`` is no :class:`ImageSet`, or there is not one group an image.
    """
    check_set(images)
    files = [image for image in images.images if isinstance(image, Path)]
    names = _names(files, images) if len(files) == len(images) else None
    members = None if groups is None else identities(groups, len(images))
    return found_in(images.labels, names, members, seed)


class Names(NamedTuple):
    """What the paths of images say once the class is taken out of them.

    Attributes:
        folders, stems, dates: ``[N]`` of text, empty where there is none.
        nested: whether each image lies in a folder with the name of its class.
    """

    folders: list[str]
    stems: list[str]
    dates: list[str]
    nested: bool


def _names(files: Sequence[Path], images: ImageSet) -> Names:
    classes = [_plain(name) for name in images.classes]
    folders, stems, dates, nested = [], [], [], True
    for path, label in zip(files, images.labels.tolist(), strict=True):
        above = [_plain(part) for part in path.parts[:-1]]
        nested = nested and classes[label] in above
        folders.append("/".join(part for part in above if part not in classes and not PART.fullmatch(part)))
        stem = _plain(path.stem)
        date = DATE.search(stem)
        dates.append(date[0] if date else "")
        stems.append(_without(DATE.sub("", stem), classes))
    return Names(folders, stems, dates, nested)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", clean(text)).casefold()


def _without(stem: str, classes: Sequence[str]) -> str:
    """Return a file name without the names of classes; a short one, or a number, must stand alone to be one."""
    for name in classes:
        if len(name) > 2 and not name.isdigit():
            stem = stem.replace(name, "")
        else:
            stem = re.sub(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", "", stem)
    return stem


def found_in(
    labels: np.ndarray, names: Names | None = None, groups: np.ndarray | None = None, seed: int = 0
) -> list[Shortcut]:
    """Return what :func:`shortcuts` does, from class indices ``[N]`` in the order of the list.

    Args:
        groups: ``[N]`` of whole numbers.
    """
    kinds, y = np.unique(labels, return_inverse=True)
    if len(y) < FEWEST or len(kinds) < 2:
        return []
    members = np.arange(len(y)) if groups is None else groups
    if len(np.unique(members)) < FEWEST_GROUPS:
        return []
    found = []
    order = _order(names, y)
    if order is not None and not _sorted_by_class(y[order]):
        place = np.empty(len(y), np.int64)
        place[order] = np.arange(len(y))
        told = [_told("place in the list", place // size, y, members, seed) for size in BLOCKS]
        found.append(max(filter(None, told), key=lambda one: one.score, default=None))
    if names is not None:
        for by, keys in _keys(names, y).items():
            found.append(_told(by, keys, y, members, seed))
    return [one for one in found if one is not None]


def _order(names: Names | None, y: np.ndarray) -> np.ndarray | None:
    """Return the order to look at, ``[N]``: of class folders that of the names, if they share one numbering."""
    if names is None or not names.nested:
        return np.arange(len(y))
    keys = list(zip(names.folders, names.dates, names.stems, strict=True))
    if len(set(keys)) < len(keys) or _below_classes(names, y):  # each class, part or folder counts for itself
        return None
    return np.array(sorted(range(len(y)), key=lambda row: [_natural(part) for part in keys[row]]))


def _natural(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts 9 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]


def _sorted_by_class(y: np.ndarray) -> bool:
    """Return whether classes come one after another, once or twice, as when two such lists were put together."""
    return 1 + int((y[1:] != y[:-1]).sum()) <= 2 * len(np.unique(y))


def _keys(names: Names, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return the keys that are worth a look-up, ``[N]`` of whole numbers, under what each is in words."""
    keys = {}
    folder = np.unique(names.folders, return_inverse=True)[1]
    if _is_key(folder, y) and not _below_classes(names, y):
        keys["folder"] = folder
    _, date = np.unique(names.dates, return_inverse=True)
    if _is_key(date, y):
        keys["the date in the file name"] = date
    # A number at the end counts images; where each class has its own count, the larger class owns the high ones.
    stems = [re.sub(r"\d+\W*$", "", stem) for stem in names.stems]
    words = [re.findall(r"[^\W_]+", stem) for stem in stems]
    for position in range(max(map(len, words))):
        parts = [word[position] if position < len(word) else "" for word in words]
        values, part = np.unique(parts, return_inverse=True)
        if _is_key(part, y):
            example = next(value for value in values if value)
            keys[f"a part of the file name, such as {str(example)!r},"] = part
            break
    return keys


def _below_classes(names: Names, y: np.ndarray) -> bool:
    """Return whether images lie in folders of a class each that divide it further."""
    folders, folder = np.unique(names.folders, return_inverse=True)
    pairs = np.unique(np.stack([folder, y]), axis=1).shape[1]
    return names.nested and len(folders) > 1 and pairs == len(folders)


def _is_key(key: np.ndarray, y: np.ndarray) -> bool:
    """Return whether a key has several values, of three images or more each, and is not the class itself."""
    count = int(key.max()) + 1
    pairs = np.unique(np.stack([key, y]), axis=1).shape[1]
    return 2 <= count <= len(y) / 3 and not pairs == count == len(np.unique(y))


def _told(by: str, key: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int) -> Shortcut | None:
    """Return what a look-up by ``key`` tells, ``None`` when that is little or shuffled labels are told as well.

    Whole groups change places as labels are shuffled, so that a few large ones do not pass for many images.
    """
    rng = np.random.default_rng(seed)
    _, group = np.unique(groups, return_inverse=True)
    halves = [rng.permuted(np.arange(group.max() + 1) % 2)[group] == 0 for _ in range(HALVES)]
    classes = int(y.max()) + 1
    score = _looked_up(key, y, halves)
    if not _worth(score, classes):
        return None
    laid = np.argsort(group, kind="stable")
    as_well = 0
    for _ in range(SHUFFLES):
        mixed = np.empty_like(y)
        mixed[laid] = y[laid][np.argsort(rng.permutation(group.max() + 1)[group[laid]], kind="stable")]
        as_well += _looked_up(key, mixed, halves) >= score
        if (1 + as_well) / (1 + SHUFFLES) > LEVEL:
            return None
    measure = "AUROC" if classes == 2 else "balanced accuracy"
    return Shortcut(by, measure, float(score), (1 + as_well) / (1 + SHUFFLES))


def _worth(score: float, classes: int) -> bool:
    chance = 1 / classes  # of an AUROC, too, as it is told for two classes only
    return (score - chance) / (1 - chance) >= WORTH


def _looked_up(key: np.ndarray, y: np.ndarray, halves: Sequence[np.ndarray]) -> float:
    """Return the score of the shares of classes by key, on images they were not made from; a mean over halves."""
    classes = int(y.max()) + 1
    scores = []
    for known in halves:
        shares = np.bincount(y[known], minlength=classes) / known.sum()
        counts = np.bincount(key[known] * classes + y[known], minlength=(key.max() + 1) * classes)
        counts = counts.reshape(-1, classes)
        rates = (counts + shares) / (counts.sum(1, keepdims=True) + 1)
        held = rates[key[~known]]
        scores.append(_auroc(held[:, 1], y[~known]) if classes == 2 else _balanced(held, y[~known], shares))
    return float(np.mean(scores))


def _auroc(rates: np.ndarray, y: np.ndarray) -> float:
    ones = int(y.sum())
    if not 0 < ones < len(y):
        return 0.5
    return float((rankdata(rates)[y == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(y) - ones)))


def _balanced(rates: np.ndarray, y: np.ndarray, shares: np.ndarray) -> float:
    """Return the balanced accuracy of the class whose share is raised most; one without a known image is none."""
    raised = np.divide(rates, shares, out=np.zeros_like(rates), where=shares > 0)
    right = raised.argmax(1) == y
    asked = np.bincount(y, minlength=len(shares))
    return float((np.bincount(y[right], minlength=len(shares))[asked > 0] / asked[asked > 0]).mean())
