"""What comes in row by row, whatever holds it: taken in its order, once; and which rows belong together."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import pandas as pd


def in_order(values: Iterable[Any], what: str) -> list[Any]:
    """Return the values in the order they stand in, whatever numbers a pandas index gives them.

    Args:
        values: a list, tuple, array, Series, generator or any other iterable with an order.
        what: plural, for the message, as ``images``.

    Raises:
        ValueError: for a lone string, a table, a mapping, a set, or what cannot be iterated.
    """
    if isinstance(values, (str, bytes)):
        raise ValueError(f"{what} is one string, {values[:40]!r}; give a list, as [{values[:20]!r}].")
    if isinstance(values, pd.DataFrame):
        raise ValueError(f"{what} is a table with columns {list(values.columns)[:8]}; give one of them.")
    if isinstance(values, (Mapping, Set)):
        raise ValueError(f"{what} is a {type(values).__name__}, which has no rows in order; give a list.")
    try:
        return list(values)
    except TypeError as error:
        raise ValueError(f"{what} is a {type(values).__name__}, one thing; give a list.") from error


def positions(indices: Iterable[Any], count: int) -> np.ndarray:
    """Return positions ``[M]`` int64 from whole numbers, or from a mask ``[count]``, true where one is wanted.

    Raises:
        ValueError: when a number is no whole one, names no row, or a mask has another length.
    """
    chosen = np.asarray(in_order(indices, "indices"))
    if not chosen.size:
        return np.zeros(0, np.int64)
    if chosen.dtype == bool:
        if chosen.shape != (count,):
            raise ValueError(f"the mask has shape {chosen.shape}, but there are {count} rows; give one each.")
        return np.flatnonzero(chosen)
    if chosen.ndim != 1 or not np.issubdtype(chosen.dtype, np.integer):
        raise ValueError(
            f"indices are {chosen.dtype} of shape {chosen.shape}; give whole numbers, or a mask of true and false."
        )
    beyond = chosen[(chosen < 0) | (chosen >= count)]
    if beyond.size:
        raise ValueError(f"index {beyond[0]} names no row; there are {count}, counted from 0.")
    return chosen.astype(np.int64)


def class_numbers(labels: Iterable[Any], count: int, classes: Sequence[str], what: str) -> np.ndarray:
    """Return labels ``[count]`` int64, each the number of one of ``classes``.

    Args:
        what: plural, for the message, what is labeled: ``images``.

    Raises:
        ValueError: naming the first row whose label is missing, no whole number, or names no class.
    """
    whole = isinstance(labels, np.ndarray) and labels.shape == (count,) and np.issubdtype(labels.dtype, np.integer)
    if whole and np.isin(labels, np.arange(len(classes))).all():  # type: ignore[arg-type]
        return np.array(labels, np.int64)
    rows = in_order(labels, "labels")
    if len(rows) != count:
        raise ValueError(f"labels have shape ({len(rows)},), but there are {count} {what}; give one label each.")
    numbers = np.zeros(count, np.int64)
    for row, label in enumerate(rows):
        if hasattr(label, "item"):  # of numpy or torch
            label = np.asarray(label)
            label = label if label.ndim else label.item()
        if is_missing(label):
            raise ValueError(f"the label of row {row} is missing ({label!r}); give it one, or leave the row out.")
        if isinstance(label, bool) or not isinstance(label, int):
            raise ValueError(f"the label of row {row} is {label!r} ({type(label).__name__}); {_label_cure(label)}")
        if not 0 <= label < len(classes):
            raise ValueError(
                f"label {label} of row {row} names no class; there are {len(classes)}, numbered from 0: "
                f"{tuple(classes)[:8]}{' ...' if len(classes) > 8 else ''}. {_range_cure(rows, len(classes))}"
            )
        numbers[row] = label
    return numbers


def _label_cure(label: object) -> str:
    cures: dict[type, str] = {
        bool: "true and false are no numbers: labels.astype(int) gives 0 for false and 1 for true.",
        float: "class numbers are whole: labels.astype(int), once you have seen that nothing is cut off.",
        str: "labels are numbers: classes, labels = np.unique(names, return_inverse=True) gives both.",
        np.ndarray: "labels are one number a row: labels.reshape(-1) of a column, .argmax(1) of one-hot ones.",
    }
    return cures.get(type(label), "give whole numbers, the class indices.")


def _range_cure(rows: Sequence[Any], classes: int) -> str:
    found = {int(label) for label in rows if np.ndim(label) == 0 and isinstance(label, (int, np.integer))}
    if found == {-1, 1}:
        return "For -1 and 1 write (labels + 1) // 2."
    if min(found) >= 1 and max(found) <= classes:
        return "They seem to be counted from 1: write labels - 1."
    return "Name all classes, or leave the row out."


def is_missing(value: object) -> bool:
    """Return whether a cell holds nothing: ``None``, NaN, NaT or pandas' NA."""
    return bool(np.ndim(value) == 0 and not isinstance(value, (str, bytes)) and pd.isna(value))  # type: ignore[arg-type,call-overload]


def clean(text: str) -> str:
    """Return a name as it is compared: in Unicode's composed form (NFC), without spaces around it."""
    return unicodedata.normalize("NFC", text).strip()


def identities(values: Iterable[Any], count: int | None = None, what: str = "groups") -> np.ndarray:
    """Return one whole number a row ``[N]``, the same for rows of one group; numbers keep their order.

    Groups may be of any type and are compared whole: 1.1 is not 1.2. Names are compared as :func:`clean` gives
    them; where names and numbers stand in one column, 7 and ``"7"`` are one group.

    Args:
        count: rows that there must be; any when ``None``.

    Raises:
        ValueError: naming the first row whose group is missing or empty, or when there is not one a row.
    """
    rows = in_order(values, what)
    if count is not None and len(rows) != count:
        raise ValueError(f"there are {len(rows)} {what} for {count} rows; give one a row.")
    keys = [_identity(value, row, what) for row, value in enumerate(rows)]
    if any(isinstance(key, str) for key in keys):
        keys = [key if isinstance(key, str) else str(int(key)) if key == int(key) else repr(key) for key in keys]
    rank = {key: number for number, key in enumerate(sorted(set(keys)))}
    return np.array([rank[key] for key in keys], dtype=np.int64)


def _identity(value: Any, row: int, what: str) -> Any:
    if isinstance(value, (np.generic, np.ndarray)) and np.ndim(value) == 0:
        value = value.item() if not isinstance(value, (np.datetime64, np.timedelta64)) else pd.Timestamp(value)
    if isinstance(value, (tuple, list, np.ndarray)):
        return repr([_identity(part, row, what) for part in value])
    if is_missing(value) or (isinstance(value, (str, bytes)) and not value.strip()):
        raise ValueError(
            f"row {row} has no group ({value!r}) among the {what}; give it one. One of its own, such as "
            f"'alone-{row}', says that it stands alone."
        )
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float) and not abs(value) < 2**53:
        raise ValueError(
            f"row {row} has the group {value!r}: a floating-point number of that size cannot tell neighbors "
            "apart. Read the column as text (dtype=str)."
        )
    return value if isinstance(value, (int, float)) else clean(str(value))


def check_apart(parts: Mapping[str, Collection[int] | np.ndarray], groups: np.ndarray) -> None:
    """Do nothing when no group stands in two parts.

    Args:
        parts: rows by the name of their part.
        groups: as :func:`identities` gives them, ``[N]``.

    Raises:
        ValueError: naming two parts that share a group.
    """
    owner: dict[int, str] = {}
    for part, rows in parts.items():
        for group in np.unique(groups[np.asarray(list(rows), dtype=np.int64)]).tolist():
            if owner.setdefault(group, part) != part:
                raise ValueError(f"{owner[group]} and {part} share group number {group}; please report this.")
