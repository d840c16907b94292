"""Tables of texts: one row a text, as careful as tables of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tlhelpers._rows import clean
from tlhelpers.data._names import check_spelling, in_classes
from tlhelpers.data._tables import Table, check_single, open_table
from tlhelpers.data._texts import TextSet, is_blank, plain


def read_texts(
    source: str | Path | pd.DataFrame,
    text_column: str = "text",
    label_column: str = "label",
    group: str | None = None,
) -> TextSet:
    """Return the texts of a table (a CSV or a DataFrame), one row a text; a quoted one may run over several lines.

    Labels become classes, numbers by number and names by name; spaces around cells do not count. A text may stand
    in the table twice (:func:`split_texts` keeps copies together), but under one label.

    Args:
        group: the column that says what belongs together: a document, an author, a patient. Each text stands alone
            when ``None``.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: naming lines, when it is no table in text, a column is unknown or a cell empty, two labels or
            groups differ in their writing only, a text stands under two labels, or a stray quotation mark swallows
            rows; when there are fewer than two classes, two texts of one, or two groups.
    """
    columns = [text_column, label_column, *([] if group is None else [group])]
    if len(set(columns)) < len(columns):
        raise ValueError(f"text, label and group are columns of their own; given were {columns}.")
    table = open_table(source, columns)
    texts, labels = table.column(text_column, free=True), table.column(label_column)
    if blank := [row for row, text in enumerate(texts) if is_blank(text)]:
        raise ValueError(
            f"{table.name}: column {text_column!r} holds signs that nobody sees, and no text, on {len(blank)} "
            f"{table.unit}(s), first {table.where(blank)}; leave them out."
        )
    text, label = (table.columns.index(clean(name)) for name in (text_column, label_column))
    _check_swallowed(table, texts, text, label, set(labels))
    where = f"{table.name}, column {label_column!r}"
    check_spelling(labels, "labels", where)
    check_single(labels, where)
    _check_one_label(table, texts, labels)
    numbers, classes = in_classes(labels)
    found = TextSet(texts, numbers, _groups(table, group), classes)  # type: ignore[arg-type]
    _check_classes(table, found)
    return found


def _groups(table: Table, group: str | None) -> np.ndarray | None:
    if group is None:
        return None
    groups = [clean(cell) for cell in table.column(group)]
    check_spelling(groups, "groups", f"{table.name}, column {group!r}")
    if len(set(groups)) < 2:
        raise ValueError(f"group={group!r} puts all {len(groups)} texts into one group; none is left to test on.")
    return np.array(groups, dtype=object)


def _check_classes(table: Table, texts: TextSet) -> None:
    if len(texts.classes) < 2:
        raise ValueError(f"{table.name} has one class only, {texts.classes}; there is nothing to tell apart.")
    counts = np.bincount(texts.labels, minlength=len(texts.classes))
    rare = int(counts.argmin())
    if counts[rare] < 2:
        row = int(np.flatnonzero(texts.labels == rare)[0])
        raise ValueError(
            f"{table.name}: class {texts.classes[rare]!r} has {counts[rare]} text ({table.unit} "
            f"{table.lines[row]}), of {len(counts)} classes; find more, leave it out, or name the right column as "
            "label_column."
        )


def _check_swallowed(table: Table, texts: Sequence[str], text: int, label: int, classes: set[str]) -> None:
    """Do nothing when no text over several lines is made of what looks like rows of their own.

    A file in which most texts are of that kind was written so on purpose. A DataFrame has no lines to swallow.

    Args:
        text: the number of its column, as ``label``.
    """
    if not table.separator:
        return
    odd = [
        row for row, lines in enumerate(texts) if "\n" in lines and _rowlike(table, lines, text, label, classes)
    ]
    if odd and not (len(odd) > 2 and 2 * len(odd) > len(texts)):
        first = texts[odd[0]].split("\n")
        raise ValueError(
            f"{table.name}: the text that begins on {table.unit} {table.lines[odd[0]]} runs over several "
            f"lines, and each looks like a row of its own ("
            f"{first[0 if text < label else 1][:50]!r}); a quotation "
            "mark seems to stand alone. Double it, and put the text between quotation marks; if the text is right "
            "as it stands, read the file with pandas and give the DataFrame."
        )


def _rowlike(table: Table, lines: str, text: int, label: int, classes: set[str]) -> bool:
    """Return whether a text is what a stray quotation mark makes of rows: an end, whole rows, and a beginning."""
    pieces = [line.split(table.separator) for line in lines.split("\n") if line.strip()]
    pieces[0] = [""] * text + pieces[0]
    whole = len(table.columns)
    shape = [len(cells) for cells in pieces]
    # What stands before the closing mark may be nothing, and then the last line is a whole row.
    ends = {text + 1} if text else {1, whole}
    if any(count != whole for count in shape[:-1]) or shape[-1] not in ends:
        return False
    # A sentence has a space behind its comma, a row of a table has none.
    if any(cell.startswith(" ") for cells in pieces for cell in cells[1:]):
        return False
    known = [
        cells[label].strip() for at, cells in enumerate(pieces) if len(cells) > label and (at or label > text)
    ]
    return not classes.isdisjoint(known)


def _check_one_label(table: Table, texts: Sequence[str], labels: Sequence[str]) -> None:
    first: dict[str, int] = {}
    torn = []
    for row, text in enumerate(texts):
        earlier = first.setdefault(plain(text), row)
        if labels[earlier] != labels[row]:
            torn.append(f"{table.lines[earlier]} ({labels[earlier]}) and {table.lines[row]} ({labels[row]})")
    if torn:
        raise ValueError(
            f"{table.name}: {len(torn)} text(s) stand under two labels, first on {table.unit}s "
            f"{'; '.join(torn[:3])}; decide which is right, or leave both out."
        )
