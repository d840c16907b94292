"""Claims: what a chapter found, beside what was quoted, and whether it holds."""

from __future__ import annotations

import html
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from IPython.display import display

from tlhelpers.measures import Interval

OPEN = "open"
"""The outcome of a comparison that these runs cannot settle."""

_VERDICTS = {True: "Holds", False: "Does not hold", OPEN: "Open: these runs cannot tell"}
_ELSEWHERE = re.compile(r"looked up|not measured here|not run here|by definition|a matter of terms")
_ID = re.compile(r"\d\d(-[a-z0-9]+)+")


@dataclass(frozen=True)
class Claim:
    """One claim: ``id`` as ``NN-slug``, its text, whether it holds (true, false or ``open``), what was measured
    and quoted.

    ``relied`` says whether the chapter's text builds on it.
    """

    id: str
    text: str
    holds: bool | str
    measured: str
    quoted: str = ""
    relied: bool = True

    @property
    def verdict(self) -> str:
        """The outcome in words."""
        nothing_ran = self.holds == OPEN and self.label == "Answer"
        return "Open: nothing here settles it" if nothing_ran else _VERDICTS[self.holds]

    @property
    def label(self) -> str:
        """``Measured``, or ``Answer`` where it comes from a paper or a definition."""
        return "Answer" if _ELSEWHERE.match(self.measured) else "Measured"

    def _repr_html_(self) -> str:
        quoted = f"<dt>Quoted</dt><dd>{html.escape(self.quoted)}</dd>" if self.quoted else ""
        # The verdict is a word, not only a color, and the group has a name, for readers who listen.
        return (
            f'<div class="tl-claim" id="claim-{self.id}" role="group" aria-label="Claim {self.id}" '
            f'data-holds="{str(self.holds).lower()}">'
            f"<p><strong>{self.verdict}.</strong> {html.escape(self.text)}</p>"
            f"<dl>{quoted}<dt>{self.label}</dt><dd>{html.escape(self.measured)}</dd></dl></div>"
        )

    def __repr__(self) -> str:
        quoted = f"; quoted: {self.quoted}" if self.quoted else ""
        return f"[{self.verdict.lower()}] {self.text} ({self.label.lower()}: {self.measured}{quoted})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        # The record travels in the output's metadata: myst-nb warns about a mime type that it does not know.
        data = {"text/plain": repr(self), "text/html": self._repr_html_()}
        return data, {"tlhelpers": {"claim": asdict(self)}}


def settled(difference: Interval) -> bool | str:
    """Return whether a difference is positive: true or false when its interval leaves zero out, else ``open``."""
    return difference.mean > 0 if 0 not in difference else OPEN


def claim(
    id: str, text: str, *, holds: bool | str, measured: object, quoted: str = "", relied: bool = True
) -> None:
    """Show a claim as a box on the page and as one line elsewhere.

    Args:
        id: chapter and slug, such as ``07-batchnorm-drifts``.
        text: the claim, one sentence.
        holds: the outcome of a comparison, or ``open`` when it has none; :func:`settled` makes it of an interval.
        measured: the value with its interval, as text or as an :class:`tlhelpers.measures.Interval`.
        quoted: what the seed or a paper says.
        relied: whether the text builds on it; then the build must stop when it fails.

    Raises:
        ValueError: when ``id`` is not of that form, or ``text`` or ``measured`` is empty.
        TypeError: when ``holds`` is not true, false or ``open``; ``"no"`` and an array would count as true.
        AssertionError: when a relied-on claim does not hold.
    """
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise ValueError(f"claim id {id!r}: give two digits and a slug, such as '07-batchnorm-drifts'.")
    for name, value in (("text", text), ("measured", measured)):
        if value is None or not str(value).strip():
            raise ValueError(
                f"claim {id}: {name} is {value!r}; say what was {'claimed' if name == 'text' else name}."
            )
    if not isinstance(holds, bool | np.bool_) and not (isinstance(holds, str) and holds == OPEN):
        raise TypeError(f"claim {id}: holds is {holds!r}; give a comparison's outcome, True or False, or 'open'.")
    found = Claim(id, text, OPEN if isinstance(holds, str) else bool(holds), str(measured), quoted, relied)
    if relied and found.holds is not True:
        verdict = "is open" if found.holds == OPEN else "does not hold"
        raise AssertionError(
            f"claim {id} {verdict}: {text} Measured {measured}; quoted {quoted or 'nothing'}. "
            "Correct the text that relies on it, or say relied=False."
        )
    display(found)


def collect(notebook: str | Path) -> list[Claim]:
    """Return the claims that an executed notebook shows, in order.

    Raises:
        FileNotFoundError: when there is no such notebook.
        ValueError: when the file is no notebook, or one id stands for two claims.
    """
    path = Path(notebook)
    if not path.is_file():
        raise FileNotFoundError(f"no notebook {path}; run the chapter first, claims are made when it runs.")
    try:
        cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is not a notebook ({error}); give an executed .ipynb.") from error
    found: dict[str, Claim] = {}
    for cell in cells:
        for output in cell.get("outputs", []):
            if record := output.get("metadata", {}).get("tlhelpers", {}).get("claim"):
                one = Claim(**record)
                if one.id in found:
                    raise ValueError(f"{path.name}: claim {one.id} stands twice; give each claim its own id.")
                found[one.id] = one
    return list(found.values())
