"""How claims, quizzes and cards of stored tables look: the only place that writes their HTML.

What is shown carries a record in the output's metadata, of which :func:`rerender` makes the output again. A change
of a look, or of a quiz's text, therefore executes no chapter. Nothing here imports more than it shows.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlhelpers.book._claims import Claim

#: The verdict of a claim, in the words that a reader meets.
VERDICTS = {
    "holds": "Holds",
    "fails": "Does not hold",
    "open": "Open: these runs cannot tell",
    "inside": "Inside the margin: no difference that matters",
}
#: White cards on the book's accent; the page's stylesheet replaces them by its own in light and dark.
COLORS = {
    "--jq-multiple-choice-bg": "#0f5c63",
    "--jq-many-choice-bg": "#0f5c63",
    "--jq-numeric-bg": "#0f5c63",
    "--jq-numeric-input-bg": "#ffffff",
    "--jq-numeric-input-label": "#101010",
    "--jq-numeric-input-shadow": "#0f5c63",
    "--jq-mc-button-bg": "#ffffff",
    "--jq-mc-button-border": "#c9d6d6",
    "--jq-mc-button-inset-shadow": "#0f5c63",
    "--jq-incorrect-color": "#a63d00",
    "--jq-correct-color": "#00694b",
    "--jq-text-color": "#ffffff",
    "--jq-link-color": "#9abafa",
}
MADE = "How these numbers were made"


def show(record: dict[str, Any]) -> None:
    """Display what :func:`rerender` makes of a record, which travels along in the output's metadata."""
    from IPython.display import display

    display(rerender(record), metadata={"tlhelpers": record}, raw=True)


def rerender(record: dict[str, Any], made: str = "") -> dict[str, str] | None:
    """Return the data of an output by mime type, of the record ``metadata["tlhelpers"]`` that came with it.

    Args:
        record: ``{"claim": ...}``, ``{"quiz": ...}`` or ``{"card": ...}``; for any other, ``None`` is returned.
        made: address of the page on how numbers were made, from where the output is shown; no link when empty.
    """
    if "claim" in record:
        from tlhelpers.book._claims import Claim

        claim = Claim(**record["claim"])
        return {"text/html": claim_html(claim), "text/plain": claim_text(claim)}
    if "quiz" in record:
        from tlhelpers.book import _quiz

        number, folder, only = (record["quiz"][key] for key in ("number", "folder", "only"))
        questions = [_quiz.to_jupyterquiz(question) for question in _quiz.load(number, folder, only)]
        text = "\n".join(f"{k}. {question['question']}" for k, question in enumerate(questions, start=1))
        name = "_".join(part for part in ("quiz", folder, number, only) if part)
        return {"text/html": quiz_html(questions, name), "text/plain": html.unescape(text)}
    if "card" in record:
        from tlhelpers.book import _results

        tables = {name: _results.facts(name) for name in record["card"]}
        return {"text/html": card_html(tables, made), "text/plain": card_text(tables)}
    return None


def verdict_words(claim: Claim) -> str:
    """Return the verdict of a claim in words."""
    nothing_ran = claim.verdict == "open" and claim.looked_up
    return "Open: nothing here settles it" if nothing_ran else VERDICTS[claim.verdict]


def label(claim: Claim) -> str:
    """Return ``Measured``, or ``Answer`` where a claim's evidence comes from a paper or a definition."""
    return "Answer" if claim.looked_up else "Measured"


def claim_html(claim: Claim) -> str:
    """Return the box of a claim on its chapter's page."""
    # The verdict is a word, not only a color, and the group has a name, for readers who listen.
    return (
        f'<div class="tl-claim" id="claim-{claim.slug}" role="group" aria-label="Claim {claim.slug}" '
        f'data-verdict="{claim.verdict}"><p><strong>{verdict_words(claim)}.</strong> {html.escape(claim.text)}</p>'
        f"{_evidence(claim)}</div>"
    )


def claim_text(claim: Claim) -> str:
    """Return a claim as one line, for front ends without HTML."""
    quoted = f"; quoted: {claim.quoted}" if claim.quoted else ""
    return (
        f"[{verdict_words(claim).lower()}] {claim.text} ({label(claim).lower()}: {claim.measured}{quoted}"
        f"{'; planned' * claim.planned})"
    )


def ledger_card(claim: Claim, link: str) -> str:
    """Return a claim's card in the ledger, with a link to the cell that made it."""
    relied = "" if claim.relied else "Reported; the chapter's text does not rest on it. "
    return (
        f'<div class="tl-card tl-is-{claim.verdict}" id="ledger-{claim.slug}"><p><strong class="tl-outcome '
        f'tl-{claim.verdict}">{verdict_words(claim)}.</strong> {html.escape(claim.text)}</p>{_evidence(claim)}'
        f'<p class="tl-note">{relied}<a href="{link}">{claim.slug}: to the cell</a></p></div>'
    )


def ledger_answer(claim: Claim, link: str) -> str:
    """Return a claim as one line that answers a sentence of the blog post."""
    return (
        f'<a href="{link}">{claim.slug}</a> '
        f'<span class="tl-outcome tl-{claim.verdict}">{verdict_words(claim)}.</span> '
        f"{html.escape(claim.text)} <em>{label(claim)}:</em> {html.escape(claim.measured)}"
    )


def _evidence(claim: Claim) -> str:
    rows = {"Quoted": claim.quoted, label(claim): claim.measured, "Planned": "before the runs" * claim.planned}
    return _list({term: html.escape(text) for term, text in rows.items() if text})


def _list(rows: dict[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{term}</dt><dd>{text}</dd>' for term, text in rows.items())}</dl>"


def quiz_html(questions: list[dict[str, Any]], name: str) -> str:
    """Return questions in jupyterquiz's form as HTML and script, the same at each call.

    Args:
        questions: made by ``_quiz.to_jupyterquiz``.
        name: of the element that holds them; quizzes of one page need different ones.
    """
    # display_quiz would draw a name at random and display: these are the three parts that it puts together.
    from jupyterquiz.dynamic import loader, renderer

    element = re.sub(r"\W", "_", name)  # jupyterquiz makes a JavaScript variable of it
    box = renderer.render_div(element, False, False, False, 1_000_000, 720, 10, "left")
    script = renderer.build_script(*loader.load_questions_script(questions, element), element, True)
    # jupyterquiz leaves its element open, and declares its classes anew with each quiz: a block keeps them apart.
    return f"{box}{renderer.build_styles(element, COLORS)}</div>\n<script>\n{{\n{script}\n}}\n</script>"


def card_html(tables: dict[str, dict[str, str]], made: str) -> str:
    """Return the card of stored tables: one line, with the facts on each in a fold.

    Args:
        tables: by name, what ``_results.facts`` tells of each.
        made: address of the page on how numbers were made; no link when empty.
    """
    link = f'<a href="{html.escape(made)}">{MADE}</a>' if made else f"<em>{MADE}</em>"
    folds = "".join(
        f"<p><strong>{name}</strong></p>{_list({term: html.escape(text) for term, text in facts.items()})}"
        for name, facts in tables.items()
    )
    return (
        f'<div class="tl-stored"><p>{html.escape(_stored(tables))} See {link}.</p>'
        f"<details><summary>Machine, code and packages</summary>{folds}</details></div>"
    )


def card_text(tables: dict[str, dict[str, str]]) -> str:
    """Return the card of stored tables as lines, for front ends without HTML."""
    lines = [f"{name}, {term.lower()}: {text}" for name, facts in tables.items() for term, text in facts.items()]
    return "\n".join([f"{_stored(tables)} See “{MADE}”.", *lines])


def _stored(tables: dict[str, dict[str, str]]) -> str:
    brief = (
        f"{name} ({facts['Rows']} row{'s' * (facts['Rows'] != '1')}, "
        f"seed{'s' * (not facts['Seeds'].isdigit())} {facts['Seeds']}, {facts['Computing']}, code {facts['Code']})"
        for name, facts in tables.items()
    )
    return f"Stored runs: {'; '.join(brief)}."
