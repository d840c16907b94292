"""Claims: what a chapter found, beside what was quoted, and whether it holds."""

from __future__ import annotations

import html
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from IPython.display import display

_ID = re.compile(r"\d\d-[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Claim:
    """One claim: ``id`` as ``NN-slug``, its text, what was quoted, what we measured, whether it holds."""

    id: str
    text: str
    holds: bool
    measured: str
    quoted: str = ""

    def _repr_html_(self) -> str:
        verdict = "Holds" if self.holds else "Does not hold"
        quoted = f"<dt>Quoted</dt><dd>{html.escape(self.quoted)}</dd>" if self.quoted else ""
        record = html.escape(json.dumps(asdict(self), sort_keys=True), quote=True)
        return (
            f'<div class="tl-claim" id="claim-{self.id}" data-holds="{str(self.holds).lower()}" '
            f'data-claim="{record}"><p><strong>{verdict}.</strong> {html.escape(self.text)}</p>'
            f"<dl>{quoted}<dt>Measured</dt><dd>{html.escape(self.measured)}</dd></dl></div>"
        )

    def __repr__(self) -> str:
        quoted = f"; quoted: {self.quoted}" if self.quoted else ""
        return f"[{'holds' if self.holds else 'does not hold'}] {self.text} (measured: {self.measured}{quoted})"


def claim(id: str, text: str, *, holds: bool, measured: object, quoted: str = "", relied: bool = True) -> None:
    """Show a claim as a box on the page and as one line elsewhere.

    Args:
        id: chapter and slug, such as ``07-batchnorm-drifts``.
        measured: the value with its interval, as text or as an :class:`tlhelpers.measures.Interval`.
        quoted: what the seed or a paper says.
        relied: whether the text builds on it; then the build must stop when it fails.

    Raises:
        ValueError: when ``id`` is not of that form.
        AssertionError: when a relied-on claim does not hold.
    """
    if not _ID.fullmatch(id):
        raise ValueError(f"claim id {id!r}: give two digits and a slug, such as '07-batchnorm-drifts'.")
    found = Claim(id, text, bool(holds), str(measured), quoted)
    if relied and not found.holds:
        raise AssertionError(
            f"claim {id} does not hold: {text} Measured {measured}; quoted {quoted or 'nothing'}."
        )
    display(found)


def collect(notebook: str | Path) -> list[Claim]:
    """Return the claims that an executed notebook shows, in order."""
    cells: list[dict[str, Any]] = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    found = []
    for cell in cells:
        for output in cell.get("outputs", []):
            markup = "".join(output.get("data", {}).get("text/html", ""))
            for record in re.findall(r'data-claim="([^"]*)"', markup):
                found.append(Claim(**json.loads(html.unescape(record))))
    return found
