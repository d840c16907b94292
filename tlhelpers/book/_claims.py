"""Claims: what a chapter found, beside what was quoted, and whether it holds."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from tlhelpers import profile
from tlhelpers.book import _render

if TYPE_CHECKING:
    from tlhelpers.stats import Interval

_SLUG = re.compile(r"\d\d(-[a-z0-9]+)+")


@dataclass(frozen=True)
class Claim:
    """One claim: its ``slug`` as ``NN-words``, its text, the verdict, what was measured and quoted.

    ``verdict`` is ``holds``, ``fails``, ``open`` or ``inside`` (a margin); the flags are those of :func:`claim`.
    """

    slug: str
    text: str
    verdict: str
    measured: str
    quoted: str = ""
    relied: bool = True
    planned: bool = False
    looked_up: bool = False


def claim(
    slug: str,
    text: str,
    found: Interval | bool | None,
    /,
    *,
    on: str = "",
    measured: object = "",
    quoted: str = "",
    relied: bool = True,
    planned: bool = False,
    looked_up: bool = False,
    margin: float | None = None,
) -> None:
    """Show a claim as a box on the page and as one line elsewhere.

    Args:
        slug: chapter and words, such as ``05-batchnorm-drifts``.
        text: the claim, one sentence.
        found: a difference that is positive if the text is right, the outcome of another test, or ``None`` where
            nothing here settles it.
        on: the measure of an interval and its data, such as ``accuracy, solar cells``.
        measured: the values in words; made of an interval where it is empty.
        quoted: what the blog post or a paper says.
        relied: whether the text builds on it; then a run in profile offline stops when it does not hold.
        planned: whether it was written down before the runs.
        looked_up: whether it was found in a paper or a definition, and not measured.
        margin: for a text that says two things do not differ by more than this: an interval wholly inside it bears
            that out, one wholly outside refutes it, and any other leaves it open (Schuirmann 1987).

    Raises:
        ValueError: when ``slug`` is not of that form, ``text`` or ``measured`` is empty, or ``on`` goes unseen.
        TypeError: when ``found`` is something else (``"no"`` and an array would count as true), or a margin comes
            without an interval.
        AssertionError: when a relied-on claim neither holds nor is inside its margin.
    """
    from tlhelpers.stats import Interval

    if not isinstance(slug, str) or not _SLUG.fullmatch(slug):
        raise ValueError(f"claim slug {slug!r}: give two digits and words, such as '05-batchnorm-drifts'.")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"claim {slug}: text is {text!r}; say what was claimed.")
    words = "" if measured is None else str(measured).strip()
    if isinstance(found, Interval):
        verdict = found.verdict if margin is None else found.equivalence(margin)
        made = f"{found:+.3f}" + f" on {on}" * bool(on) + (f" (margin ±{margin:g})" if margin is not None else "")
    elif margin is not None:
        raise TypeError(f"claim {slug}: margin={margin} with {found!r}; a margin needs an Interval.")
    elif found is None or isinstance(found, bool | np.bool_):
        verdict, made = "open" if found is None else "holds" if found else "fails", ""
    else:
        raise TypeError(
            f"claim {slug}: found is {found!r}; give an Interval, True, False, or None where it is open."
        )
    if on and (words or not made):
        raise ValueError(f"claim {slug}: on={on!r} goes with the words of an interval; write it into measured.")
    if not (words or made):
        raise ValueError(f"claim {slug}: measured is {measured!r}; say what was measured.")
    shown = Claim(slug, text, verdict, words or made, quoted, relied, planned, looked_up)
    if relied and verdict not in ("holds", "inside") and profile.current().name == "offline":
        outcome = "is open" if verdict == "open" else "does not hold"
        raise AssertionError(
            f"claim {slug} {outcome}: {text} Measured {shown.measured}; quoted {quoted or 'nothing'}. "
            "Correct the text that relies on it, or say relied=False."
        )
    _render.show({"claim": asdict(shown)})
