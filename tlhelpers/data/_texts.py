"""Labeled sentences: those of Hutto & Gilbert (2014), VADER, ICWSM, or reviews from the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tlhelpers.data import _fetch, _hub
from tlhelpers.profile import Profile

TEXT_DOMAINS = tuple(_fetch.FILES)


@dataclass(frozen=True)
class TextSet:
    """Sentences with one label each.

    Attributes:
        texts: ``N`` strings.
        labels: int64 array ``[N]`` of class indices.
        groups: array ``[N]``: which document a sentence comes from. Keep a document on one side of a split.
        classes: name of each class, by index.

    Raises:
        ValueError: when the three are not of one length.
    """

    texts: list[str]
    labels: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...] = field(default=("negative", "positive"))

    def __post_init__(self) -> None:
        if not len(self.texts) == len(self.labels) == len(self.groups):
            raise ValueError(
                f"{len(self.texts)} texts, {len(self.labels)} labels and {len(self.groups)} groups; "
                "give as many of each."
            )

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, index: np.ndarray | Sequence[int]) -> TextSet:
        """Return the sentences at ``index``, in that order."""
        index = np.asarray(index, dtype=np.int64)
        return TextSet([self.texts[i] for i in index], self.labels[index], self.groups[index], self.classes)


class TextSplits(NamedTuple):
    """Three parts that share no document: learn on ``train``, choose on ``val``, report on ``test``."""

    train: TextSet
    val: TextSet
    test: TextSet


def load_texts(domain: str) -> TextSet:
    """Return the sentences of one of :data:`TEXT_DOMAINS` with a clearly negative (0) or positive (1) mean rating.

    Twenty people rated each sentence from -4 to 4; a mean nearer to zero than 0.5 is left out, and so is a
    sentence that stood before.

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
    """Divide sentences into parts of the given sizes such that no document lies in two of them.

    Documents are dealt out in random order until a part is full; what a last document has too much is
    dropped.

    Raises:
        ValueError: when a part is empty or the documents do not suffice.
    """
    if min(train, val, test) < 1:
        raise ValueError(f"train={train}, val={val}, test={test}: each part needs a sentence or more.")
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.unique(texts.groups))
    members: dict[int, list[int]] = {}
    for index, group in enumerate(texts.groups):
        members.setdefault(int(group), []).append(index)
    parts, at = [], 0
    for size in (test, val, train):
        part: list[int] = []
        while len(part) < size:
            if at == len(order):
                raise ValueError(
                    f"train={train}, val={val} and test={test} need more documents than the {len(order)} there "
                    f"are ({len(texts)} sentences); ask for fewer."
                )
            part += members[int(order[at])]
            at += 1
        parts.append(texts.take(part[:size]))
    return TextSplits(parts[2], parts[1], parts[0])


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
    rest = split_texts(labeled, train, p.text_val, 1, seed)
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
        pool = _hub.reviews(p.text_data, "unsupervised")[0]
    order = np.random.default_rng(seed).permutation(len(pool))[: p.text_unlabeled]
    return [pool[i] for i in order]
