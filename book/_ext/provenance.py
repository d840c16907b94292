"""How the stored tables were made, and how long the chapters took."""

from __future__ import annotations

import csv
import html
import re
from pathlib import Path

import nbformat

from benchmarks import protocol
from tlhelpers.book import _results


def used_by(root: Path, name: str) -> list[str]:
    """File stems of the chapters that read a stored table."""
    pages = sorted(root.glob("book/[0-9][0-9]-*.md"))
    # An argument before the name may be a call itself.
    read = re.compile(rf"\b(?:results|card|check)\((?:[^()]|\([^()]*\))*?[\"']{re.escape(name)}[\"']")
    return [page.stem for page in pages if read.search(page.read_text(encoding="utf-8"))]


def table(name: str, root: Path) -> str:
    """What is known of a stored table as HTML: a line, and the rest in a fold."""
    facts = {term: html.escape(text) for term, text in _results.facts(name).items()}
    chapters = ", ".join(f'<a href="{stem}.html">{stem[:2]}</a>' for stem in used_by(root, name)) or "none"
    facts["Command"] = f"<code>{facts['Command']}</code>"
    details = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in facts.items())
    line = f"<strong>{name}</strong>: {facts['Rows']} rows, seeds {facts['Seeds']}, {facts['Computing']}"
    if _filling(name, root):
        line += "; still filling, so nothing is read from it"
    return (
        f'<details class="tl-card" id="table-{name}"><summary>{line}</summary>'
        f"<dl><dt>Chapters</dt><dd>{chapters}</dd>{details}</dl></details>"
    )


def tables(root: Path) -> str:
    """All stored tables, by name, as HTML; before them, what they took together."""
    paths = sorted((root / "book" / "results").glob("*.csv"))
    rows = [row for path in paths for row in _results.read(path)[0]]
    hours = sum(float(row["seconds"]) for row in rows if row.get("seconds")) / 3600
    whole = f"<p>Together {len(rows):,} rows, which took {hours:.0f} hours of one core.</p>"
    return "\n".join([whole, *(table(path.stem, root) for path in paths)])


def _filling(name: str, root: Path) -> bool:
    """Whether a table is one of the protocol's and has not all of its cells yet."""
    plans = {plan.digest: plan.name for plan in _plans(root)}
    notes = _results.read(root / "book" / "results" / f"{name}.csv")[1].values()
    asked = {plans[note["protocol"]] for note in notes if note.get("protocol") in plans}
    return bool(asked - {row["table"] for row in _contrasts(root)})


def _plans(root: Path) -> list[protocol.Plan]:
    path = root / "benchmarks" / "protocol.yml"
    return [protocol.plan(name, path) for name in protocol.tables(protocol.document(path))]


def planned(root: Path) -> str:
    """The tables of the protocol as HTML: what each asks, how it is split, and each arm with its search."""
    return "\n".join(_planned(plan) for plan in _plans(root))


def _contrasts(root: Path) -> list[dict[str, str]]:
    path = root / "book" / "results" / "contrasts.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _planned(plan: protocol.Plan) -> str:
    rules = plan.rules
    size = f", {rules['image_size']} pixels" if "image_size" in rules else ""
    arms = "".join(
        f"<dt>{html.escape(arm)}</dt><dd>{html.escape(it['of'])}: {', '.join(map(str, it['search']))}; "
        f"{', '.join(f'{count:,}' for count in it['labels'])} labels</dd>"
        for arm, it in rules["arms"].items()
    )
    measure = {"auroc": "AUROC"}.get(rules["measure"], rules["measure"])
    line = (
        f"<strong>{plan.name}</strong>: {html.escape(rules['question'])} "
        f"Measured in {measure}{size}, {len(plan.final_seeds)} splits"
    )
    arms += "".join(
        f"<dt>Amended {change['date']}</dt><dd>{html.escape(change['reason'].strip())}</dd>"
        for change in rules.get("amendments", [])
    )
    return (
        f'<details class="tl-card" id="protocol-{plan.name}"><summary>{line}</summary>'
        f"<dl><dt>Groups</dt><dd>{html.escape(rules['groups'])}</dd>{arms}</dl></details>"
    )


def endpoints(root: Path) -> str:
    """The primary endpoints and what came out, as an HTML table; those without a whole table say so."""
    there = {row["endpoint"]: row for row in _contrasts(root) if row["endpoint"]}
    lines = []
    for name, it in protocol.document(root / "benchmarks" / "protocol.yml")["endpoints"].items():
        for labels in it["labels"]:
            row = there.get(name if "less" in it else f"{name} {labels}")
            what = f"{it['plus']} minus {it['minus']}"
            what += f", less the same on {it['less']['table']}" if "less" in it else ""
            what += f", {it['part']}" if "part" in it else ""
            found, chance = "not run yet", ""
            if row:
                found = f"{float(row['mean']):+.3f} [{float(row['low']):+.3f}, {float(row['high']):+.3f}]"
                chance = f"{float(row['holm']):.2g}" if row["holm"] else ""
            cells = (it["table"], html.escape(what), f"{labels:,}", found, chance)
            lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    head = "".join(
        f"<th>{title}</th>" for title in ("table", "difference", "labels", "found", "Holm’s <em>p</em>")
    )
    body = f'<table class="table"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
    frame = 'class="pst-scrollable-table-container" tabindex="0" role="region" aria-label="Primary endpoints"'
    return f"<div {frame}>{body}</div>"


ATTACKS = {
    "permuted": "frozen features learn labels in another order, fifteen times a split: this has to be guessing",
    "wide": "a network from scratch of twice the width, four times the steps, flips, changes of light",
    "logistic": "scikit-learn’s logistic regression on the frozen features, in place of a trained head",
    "uncalibrated": "the same regression on random weights as they were drawn, BatchNorm not calibrated",
    "place": "no picture at all: the label of the nearest files in the list",
    "edges": "as “logistic”, without the cells at the ends of each module, where its edge is uncertain",
}


def attacks(root: Path) -> str:
    """What was tried to break the headlines, and what it did, as an HTML table beside the arms in question."""
    path = root / "book" / "results" / "attempts_to_break.csv"
    if not path.is_file():
        return "<p>None of them was run yet.</p>"
    with path.open(encoding="utf-8", newline="") as file:
        tried = list(csv.DictReader(file))
    known = _contrasts(root)
    lines = []
    for table, measure in (("pieces", "accuracy"), ("cells", "auroc")):
        labels = next(row["labels"] for row in tried if row["table"] == table)
        for arm in ("frozen", "scratch", "random"):
            for row in known:
                if (row["table"], row["labels"], row["plus"], row["minus"]) == (table, labels, arm, ""):
                    lines.append((table, f"<em>{arm}, as in the protocol</em>", f"{float(row['mean']):.2f}", ""))
        for attack in dict.fromkeys(row["attack"] for row in tried if row["table"] == table):
            found = [float(row[measure]) for row in tried if (row["table"], row["attack"]) == (table, attack)]
            spread = f"{min(found):.2f} to {max(found):.2f}"
            lines.append((table, html.escape(ATTACKS[attack]), f"{sum(found) / len(found):.2f}", spread))
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    head = "".join(f"<th>{title}</th>" for title in ("task", "what was tried", "mean", "over the splits"))
    body = f'<table class="table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    frame = 'class="pst-scrollable-table-container" tabindex="0" role="region" aria-label="Attempts to break"'
    return f"<div {frame}>{body}</div>"


def seconds(root: Path, chapters: dict[str, tuple[str, str]]) -> str:
    """One sentence: how long each chapter took when it was executed."""
    spent = {}
    for number, (stem, _) in sorted(chapters.items()):
        path = root / "_build" / "executed" / f"{stem}.ipynb"
        made = nbformat.read(path, 4).metadata.get("book", {}) if path.is_file() else {}
        if "seconds" in made:
            spent[number] = f"{number}: {made['seconds']:.0f}"
    if not spent:
        return ""
    return f"Seconds by chapter, on a machine that may have had other work: {', '.join(spent.values())}."
