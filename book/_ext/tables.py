"""Sphinx extension: what pandas shows as HTML reads like a table of a book.

- The name of an index stands in the row of the column names, not in a second one that is else empty.
- An interval stays on one line, and a number below zero has a minus, not a hyphen.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

TABLE = re.compile(r'<table[^>]*class="dataframe.*?</table>', re.DOTALL)
TWO_ROWS = re.compile(r"(<thead>\s*<tr[^>]*>)(.*?)(</tr>)\s*<tr[^>]*>(.*?)</tr>(\s*</thead>)", re.DOTALL)
HEAD = re.compile(r"<th([^>]*)>(.*?)</th>", re.DOTALL)
CELL = re.compile(r"(<td[^>]*>)(.*?)(</td>)", re.DOTALL)
MINUS = re.compile(r"(?<![\w.\-/\"=])-(?=\.?\d)")
INTERVAL = re.compile(r"\[[+−]?[\d.]+, [+−]?[\d.]+\]")


def one_row(head: re.Match[str]) -> str:
    """Return a table's head in one row, where its second row holds nothing but the names of the index."""
    columns, names = HEAD.findall(head[2]), HEAD.findall(head[4])
    own = [place for place, (_, name) in enumerate(names) if name.strip()]
    # Names of rows stand to the left of all columns; above the last of them may stand what the columns are.
    named = own == list(range(len(own))) and all(text for _, text in columns[len(own) :])
    if len(columns) != len(names) or not named:
        return head[0]
    cells = [
        f"<th{kept}>{' / '.join(text for text in (name.strip(), above.strip()) if text)}</th>"
        for (kept, above), (_, name) in zip(columns, names, strict=True)
    ]
    return head[1] + "\n" + "\n".join(cells) + "\n" + head[3] + head[5]


def numbers(cell: re.Match[str]) -> str:
    """Return a cell whose numbers have a minus and whose intervals do not break."""
    text = MINUS.sub("−", cell[2])
    return cell[1] + INTERVAL.sub(r'<span class="tl-interval">\g<0></span>', text) + cell[3]


def tidied(markup: str) -> str:
    """Return HTML with every table of pandas in it made ready."""
    return TABLE.sub(lambda table: CELL.sub(numbers, TWO_ROWS.sub(one_row, table[0])), markup)


class Tidy(SphinxPostTransform):
    """Make the tables of a page ready."""

    default_priority = 200
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Change the raw nodes of the page in place."""
        for node in self.document.findall(nodes.raw):
            if node.get("format") == "html" and 'class="dataframe' in (text := node.astext()):
                node.children = [nodes.Text(tidied(text))]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the transform."""
    app.add_post_transform(Tidy)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
