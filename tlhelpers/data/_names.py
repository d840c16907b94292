"""Names that people write: which differ in their writing only, which come near, which stand for none."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np

from tlhelpers._rows import clean
from tlhelpers.data._images import ImageSet

NUMBER = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]*))?")
# What pandas reads as a missing value, and what str() and its to_csv make of one.
MISSING = {
    "nan",
    "NaN",
    "-nan",
    "-NaN",
    "<NA>",
    "NaT",
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "#NA",
    "NULL",
    "null",
    "None",
    "?",
}


def spelling(name: str) -> str:
    """Return what stays of a name without case, invisible signs, Unicode's forms, and a number's idle zeros.

    White space within it becomes one space, for ``1 11`` is not ``11 1``; 1.0 is 1, but chapter 1.10 is not 1.1.
    """
    text = unicodedata.normalize("NFKC", name)
    # Folding makes one of two letters that stand for themselves, as the two small sigmas.
    text = unicodedata.normalize("NFKC", text.casefold() if len(text) > 1 else text.lower())
    text = " ".join("".join(sign for sign in text if unicodedata.category(sign) != "Cf").split())
    if number := NUMBER.fullmatch(text):
        whole, after = number[2].lstrip("0") or "0", number[3] or ""
        after = after if after.strip("0") else ""
        minus = "-" if number[1] == "-" and (whole != "0" or after) else ""
        return f"{minus}{whole}.{after}" if after else f"{minus}{whole}"
    return text


def check_spelling(names: Iterable[str], what: str, where: str) -> None:
    """Do nothing when no two names are one name written in two ways.

    Args:
        what: plural, for the message: ``classes``.
        where: for the message: the folder or table.

    Raises:
        ValueError: naming the two, by their escapes, for on paper they may look the same.
    """
    written: dict[str, str] = {}
    for name in sorted(set(names)):
        other = written.setdefault(spelling(name), name)
        if other != name:
            raise ValueError(
                f"{where}: the {what} {other!a} and {name!a} differ only in {_difference(other, name)}. "
                "If they are one, write them alike; if they are two, give them names that differ in more."
            )


def _difference(one: str, other: str) -> str:
    if one.strip() == other.strip():
        return "the spaces around them"
    if clean(one) == clean(other):
        return "their Unicode form"
    if clean(one).casefold() == clean(other).casefold():
        return "upper and lower case"
    if NUMBER.fullmatch(one.strip()) and NUMBER.fullmatch(other.strip()):
        return "how the number is written"
    return "case, spaces or Unicode form"


def near(name: str, names: Iterable[str]) -> str:
    """Return `` Is 'the nearest name' meant?``, or nothing where none comes near."""
    found: dict[str, str] = {}
    for other in islice(names, 20000):  # a second's work
        found.setdefault(spelling(other), other)
    close = difflib.get_close_matches(spelling(name), found, n=1, cutoff=0.75)
    if not close or found[close[0]] == name:
        return ""
    other = found[close[0]]
    return f" Is {ascii(other) if spelling(name) == close[0] else repr(other)} meant?"


def in_classes(labels: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the number of each label ``[N]`` and the classes in order: numbers by number, then names by name."""

    def place(name: str) -> tuple[bool, float, str]:
        number = NUMBER.fullmatch(name)
        return number is None, float(name) if number else 0.0, name

    classes = tuple(sorted(set(labels), key=place))
    number = {name: index for index, name in enumerate(classes)}
    return np.array([number[label] for label in labels], np.int64), classes


def check_classes(images: ImageSet, source: str) -> None:
    """Do nothing when there are two classes or more, each with two images or more.

    Raises:
        ValueError: naming the class.
    """
    if len(images.classes) < 2:
        raise ValueError(f"{source} has one class only, {images.classes}; there is nothing to tell apart.")
    name, count = images.rarest()
    if count < 2:
        others = [other for other in images.classes if other != name]
        raise ValueError(
            f"{source}: class {name!r} has {count} image; find more, or leave it out.{near(name, others)}"
        )
