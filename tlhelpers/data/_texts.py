"""Labeled texts: those of Hutto & Gilbert (2014), VADER, ICWSM, reviews from the Hugging Face hub, or your own."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from tlhelpers import _rows
from tlhelpers.data import _fetch, _hub
from tlhelpers.data._images import _whole
from tlhelpers.data._own import tied
from tlhelpers.profile import Profile

TEXT_DOMAINS = tuple(_fetch.FILES)


@dataclass(frozen=True, eq=False)
class TextSet:
    """Texts with one label each, in the order that they come in.

    Attributes:
        texts: ``N`` strings, none of them blank.
        labels: int64 array ``[N]`` of class indices.
        groups: array ``[N]``: which document, author or patient a text comes from, numbers or names. Keep a group
            on one side of a split. ``None``: each text stands alone.
        classes: name of each class, by index.

    Raises:
        ValueError: when the three are not of one length; naming the first row whose text is missing, blank or no
            string, whose label names no class, or whose group is missing; when two classes have one name.
    """

    texts: list[str]
    labels: np.ndarray
    groups: np.ndarray = field(default=None)  # type: ignore[arg-type]  # an array once it is made
    classes: tuple[str, ...] = field(default=("negative", "positive"))

    def __post_init__(self) -> None:
        texts = _rows.in_order(self.texts, "texts")
        array = isinstance(self.labels, np.ndarray) and self.labels.ndim > 0
        labels = self.labels if array else _rows.in_order(self.labels, "labels")
        groups = np.arange(len(texts)) if self.groups is None else _named_groups(self.groups)
        if not len(texts) == len(labels) == len(groups):
            raise ValueError(
                f"{len(texts)} texts, {len(labels)} labels and {len(groups)} groups; give as many of each."
            )
        classes = class_names(self.classes)
        object.__setattr__(self, "texts", strings(texts))
        object.__setattr__(self, "labels", _rows.class_numbers(labels, len(texts), classes, "texts"))
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "classes", classes)

    def __eq__(self, other: object) -> bool:
        """Whether another set holds the same texts, labels and groups in the same order."""
        if not isinstance(other, TextSet):
            return NotImplemented
        return (self.texts, self.classes) == (other.texts, other.classes) and all(
            np.array_equal(*pair) for pair in ((self.labels, other.labels), (self.groups, other.groups))
        )

    __hash__ = None  # type: ignore[assignment]  # it holds arrays

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: np.ndarray | Sequence[int]) -> TextSet:
        """Return the texts at ``indices``, in that order, or those where a mask ``[N]`` is true.

        Raises:
            ValueError: when an index names no text, or a mask is not of the set's length.
        """
        rows = _rows.positions(indices, len(self))
        return TextSet([self.texts[i] for i in rows], self.labels[rows], self.groups[rows], self.classes)


def strings(texts: TextSet | Iterable[Any]) -> list[str]:
    """Return texts as a list of strings, in the order they stand in.

    Raises:
        ValueError: for a lone string, or naming the first row that holds no string, or none that can be read.
    """
    if isinstance(texts, TextSet):
        return texts.texts
    rows = _rows.in_order(texts, "texts")
    for row, text in enumerate(rows):
        if not isinstance(text, str):
            raise ValueError(_no_string(row, text))
        if is_blank(text):
            raise ValueError(f"the text of row {row} is blank ({text[:20]!r}); leave the row out.")
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError(
                f"the text of row {row} holds half a character (a lone surrogate): {text[:40]!a}. It was decoded "
                "wrongly; read the file again as UTF-8."
            )
    return [str(text) for text in rows]  # plain ones, for NumPy has strings of its own


def is_blank(text: str) -> bool:
    """Return whether a text holds nothing but spaces, line breaks and signs that nobody sees."""
    return all(letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf") for letter in text)


def _no_string(row: int, text: object) -> str:
    if _rows.is_missing(text):
        return f"the text of row {row} is missing ({text!r}); leave the row out, or give it a text."
    cures: dict[type, str] = {
        bytes: "decode it first: text.decode('utf-8').",
        list: "join its words, or its lines, to one string first.",
        tuple: "join its parts to one string first.",
    }
    cure = cures.get(type(text), "give strings; for a column of numbers write column.astype(str).")
    return f"the text of row {row} is {str(text)[:40]!r} ({type(text).__name__}); {cure}"


def class_names(classes: Iterable[Any]) -> tuple[str, ...]:
    """Return names of classes, by index; numbers become names.

    Raises:
        ValueError: when a name is missing or blank, or two are the same.
    """
    names: list[str] = []
    known: set[str] = set()
    for number, name in enumerate(_rows.in_order(classes, "classes")):
        if _rows.is_missing(name) or not isinstance(name, (str, int, float, np.generic)) or not str(name).strip():
            raise ValueError(f"class number {number}, counted from 0, has no name ({name!r}); give it one.")
        if _rows.clean(str(name)) in known:
            raise ValueError(f"classes: two have one name, {str(name)!a}; give each its own: {tuple(names)[:8]}.")
        names.append(str(name))
        known.add(_rows.clean(str(name)))
    return tuple(names)


def _named_groups(groups: Iterable[Any]) -> np.ndarray:
    if isinstance(groups, np.ndarray) and groups.ndim == 1 and np.issubdtype(groups.dtype, np.integer):
        return groups.copy()
    rows = _rows.in_order(groups, "groups")
    _rows.identities(rows)
    if rows and all(isinstance(row, (int, np.integer)) and not isinstance(row, bool) for row in rows):
        return np.array(rows)
    kept = np.empty(len(rows), dtype=object)
    for at, row in enumerate(rows):  # one by one, or tuples would be spread over columns
        kept[at] = _rows.clean(row) if isinstance(row, str) else row
    return kept


class TextSplits(NamedTuple):
    """Three parts that share no group and no text: learn on ``train``, choose on ``val``, report on ``test``."""

    train: TextSet
    val: TextSet
    test: TextSet


def load_texts(domain: str) -> TextSet:
    """Return the sentences of one of :data:`TEXT_DOMAINS` with a clearly negative (0) or positive (1) mean rating.

    Twenty people rated each sentence from -4 to 4; a mean nearer to zero than 0.5 is left out, and so is a
    sentence that stood before. The groups of products and editorials are their documents. Movie sentences and
    tweets name no review or author: each is a group of its own, and a split cannot keep those of one review
    together.

    Raises:
        ValueError: when there is no such domain.
        FileNotFoundError: when the data were not fetched yet.
    """
    if domain not in TEXT_DOMAINS:
        raise ValueError(f"no domain {domain!r}; there are {', '.join(TEXT_DOMAINS)}.")
    texts = _rated(domain)
    return texts.take(range(len(texts)))  # what a caller does to them is no other caller's


@lru_cache(maxsize=len(TEXT_DOMAINS))
def _rated(domain: str) -> TextSet:
    path = _fetch.folder() / f"{domain}.txt"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: the sentiment data are fetched once, with a network. Run `make setup` in the "
            "checkout, or `%run -m tlhelpers.data` in a notebook."
        )
    kept: dict[str, tuple[float, int]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, rating, sentence = line.split("\t", 2)
        if abs(float(rating)) >= 0.5:
            # Products and articles are numbered before the underscore, their sentences behind it.
            kept.setdefault(sentence, (float(rating), int(name.split("_")[0])))
    ratings, groups = zip(*kept.values(), strict=True)
    return TextSet(list(kept), (np.array(ratings) > 0).astype(np.int64), np.array(groups))


def split_texts(texts: TextSet, train: int, val: int, test: int, seed: int) -> TextSplits:
    """Divide texts into parts of the given sizes such that no group, and no text, lies in two of them.

    Groups, such as documents, are dealt out in random order until a part is full; what a last one has too much is
    dropped. Groups that share a text (the same but for spaces) are dealt out as one.

    Raises:
        ValueError: when a size is no whole number or ``seed`` none from 0 on, a part is empty or lacks a class,
            or the documents do not suffice.
    """
    parts = _dealt(texts, {"train": train, "val": val, "test": test}, seed)
    for name, part in parts._asdict().items():
        counts = np.bincount(part.labels, minlength=len(texts.classes))
        if not counts.all():
            rare = int(counts.argmin())
            everywhere = int((texts.labels == rare).sum())
            used = sum(map(len, parts)) == len(texts)
            more = "take another seed, or find more" if used else "ask for more"
            cure = more if everywhere > 2 else "find more, or leave the class out"
            raise ValueError(
                f"{name}={len(part)} holds no text of the class {texts.classes[rare]!r}, of which there are "
                f"{everywhere}; {cure}."
            )
    return parts


def _dealt(texts: TextSet, sizes: dict[str, int], seed: int) -> TextSplits:
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
            raise ValueError(
                f"{name}={size!r}; give a number of texts, a whole one. A share of them is round(share * "
                f"{len(texts)})."
            )
    seed = _whole("seed", seed, "a number", 0)
    asked = ", ".join(f"{name}={size}" for name, size in sizes.items())
    if min(sizes.values()) < 1:
        raise ValueError(f"{asked}: each part needs a sentence or more.")
    groups = _rows.identities(texts.groups, len(texts))
    bundles = tied(groups, _same_text(texts.texts))
    members: dict[int, list[int]] = {}
    for index, bundle in enumerate(bundles.tolist()):
        members.setdefault(bundle, []).append(index)
    _, first = np.unique(groups, return_index=True)
    order = np.random.default_rng(seed).permutation(len(first))
    # A bundle of several documents is dealt where the first of them comes up.
    queue = iter(dict.fromkeys(bundles[first[order]].tolist()))
    parts: dict[str, list[int]] = {}
    for name in ("test", "val", "train"):
        part: list[int] = []
        while len(part) < sizes[name]:
            bundle = next(queue, None)
            if bundle is None:
                alike, cure = "", "ask for fewer"
                if len(members) < len(first):
                    shared = _most_shared(texts.texts, groups)
                    alike = f", some of which share a text and stay together, most of all {shared[:60]!r}"
                    cure = "leave that text out where it says nothing, or ask for fewer"
                raise ValueError(
                    f"{asked} need more documents than the {len(first)} there are ({len(texts)} sentences)"
                    f"{alike}; {cure}."
                )
            part += members[bundle]
        parts[name] = part[: sizes[name]]
    _rows.check_apart(parts, bundles)
    return TextSplits(*(texts.take(parts[name]) for name in ("train", "val", "test")))


def plain(text: str) -> str:
    """Return a text as texts are compared: composed (NFC), each run of white space one space."""
    return " ".join(_rows.clean(text).split())


def _most_shared(texts: Sequence[str], groups: np.ndarray) -> str:
    """Return the text that stands in the most groups."""
    holders: dict[str, set[int]] = {}
    for text, group in zip(texts, groups.tolist(), strict=True):
        holders.setdefault(plain(text), set()).add(group)
    return max(holders, key=lambda text: len(holders[text]))


def _same_text(texts: Sequence[str]) -> np.ndarray:
    first: dict[str, int] = {}
    return np.array([first.setdefault(plain(text), row) for row, text in enumerate(texts)], dtype=np.int64)


def text_splits(p: Profile, seed: int, train: int | None = None) -> TextSplits:
    """Return training, validation and test texts of a profile's data, in the profile's sizes.

    A set from the hub keeps its published test part, whole or thinned out; validation is cut from its training
    part, never from the test part.

    Args:
        seed: of the split.
        train: labeled training texts, when not as many as the profile says.

    Raises:
        HubError: when the data must be downloaded and cannot be.
    """
    train = p.text_train if train is None else train
    if p.text_data in TEXT_DOMAINS:
        return split_texts(load_texts(p.text_data), train, p.text_val, p.text_test, seed)
    labeled, test = (TextSet(*_hub.reviews(p.text_data, part)) for part in ("train", "test"))
    if len(labeled) <= train + p.text_val:
        raise ValueError(
            f"train={train} and val={p.text_val} need more than the {len(labeled)} labeled texts of {p.text_data}."
        )
    rest = _dealt(labeled, {"train": train, "val": p.text_val, "test": 1}, seed)
    chosen = np.random.default_rng(seed).permutation(len(test))[: p.text_test]
    return TextSplits(rest.train, rest.val, test.take(chosen))


def unlabeled_texts(p: Profile, seed: int) -> list[str]:
    """Return texts of the profile's domain without labels, none of them in ``text_splits(p, seed)``'s val or test.

    Raises:
        HubError: when the data must be downloaded and cannot be.
    """
    if p.text_data in TEXT_DOMAINS:
        everything, splits = load_texts(p.text_data), text_splits(p, seed)
        held_out = np.concatenate([splits.val.groups, splits.test.groups])
        pool = everything.take(np.flatnonzero(~np.isin(everything.groups, held_out))).texts
    else:
        splits = text_splits(p, seed)
        judging = {plain(text) for part in (splits.val, splits.test) for text in part.texts}
        pool = [text for text in _hub.reviews(p.text_data, "unsupervised")[0] if plain(text) not in judging]
    order = np.random.default_rng(seed).permutation(len(pool))[: p.text_unlabeled]
    return [pool[i] for i in order]
