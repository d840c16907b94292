"""What an arm of a protocol's table has more than another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tlhelpers.book._results import results

if TYPE_CHECKING:
    from tlhelpers.stats import Interval


def contrast(table: str, plus: str, minus: str = "", *, labels: int, part: str = "") -> Interval:
    """Return what an arm of a table has more than another, or its own score, with its interval.

    Table ``contrasts`` holds them, made from the scores of single items: the interval is one for new trainings and
    new groups of items, see :func:`tlhelpers.stats.crossed`. ``p`` is Holm's where the contrast is a primary
    endpoint; the interval, and so the verdict, is not corrected.

    Args:
        table: that the protocol names.
        minus: the other arm; the score of ``plus`` alone when left out.
        labels: with which both arms were trained.
        part: of the items; the test part when left out.

    Raises:
        KeyError: when there is no such contrast, with those of the table.
    """
    from tlhelpers.stats import Interval

    every = results("contrasts").fillna({"minus": "", "part": ""})
    fit = (every["table"] == table) & (every["labels"] == labels) & (every["part"] == part)
    for sign, arms in ((1, (plus, minus)), (-1, (minus, plus))):
        found = every[fit & (every["plus"] == arms[0]) & (every["minus"] == arms[1])]
        if len(found) == 1:
            row = found.iloc[0]
            p = row["p"] if row["holm"] != row["holm"] else row["holm"]
            known_p = None if p != p else float(p)
            return sign * Interval(row["mean"], row["low"], row["high"], int(row["splits"]), known_p)
    known = ", ".join(every.loc[fit, "plus"].unique()) or "nothing"
    raise KeyError(
        f"table 'contrasts' has no {plus!r} minus {minus!r} of {table!r} at {labels} labels; it has {known}."
    )
