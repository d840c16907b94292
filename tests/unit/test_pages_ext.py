"""What the extensions of the book do to tables and to links into the glossary."""

from __future__ import annotations

import re

import pandas as pd
import tables
import terms
from docutils import nodes
from sphinx import addnodes

FRAME = pd.DataFrame({"lead": ["-0.01 [-0.03, +0.02]"], "run-in": ["x-1"]}, index=pd.Index([40], name="labels"))


def rows_of_head(markup: str) -> list[list[str]]:
    """The texts of a table's head, row by row."""
    head = re.search(r"<thead>.*?</thead>", markup, re.DOTALL)
    assert head
    return [re.findall(r"<th[^>]*>(.*?)</th>", row) for row in re.findall(r"<tr.*?</tr>", head[0], re.DOTALL)]


def test_the_name_of_an_index_stands_among_the_names_of_the_columns() -> None:
    plain = FRAME.to_html()
    assert len(rows_of_head(plain)) == 2
    assert rows_of_head(tables.tidied(plain)) == [["labels", "lead", "run-in"]]
    assert rows_of_head(tables.tidied(FRAME.rename_axis(columns="task").to_html())) == [
        ["labels / task", "lead", "run-in"]
    ]


def test_a_head_of_two_full_rows_stays() -> None:
    double = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])).to_html()
    assert tables.tidied(double) == double


def test_an_interval_does_not_break_and_has_a_minus() -> None:
    made = tables.tidied(FRAME.to_html())
    assert '<td>−0.01 <span class="tl-interval">[−0.03, +0.02]</span></td>' in made
    assert "<td>x-1</td>" in made and "run-in" in made
    assert tables.tidied("<p>-1 [-2, 0]</p>") == "<p>-1 [-2, 0]</p>"


def test_a_link_to_a_word_carries_its_definition() -> None:
    word = nodes.term("", "head", ids=["term-head"])
    item = nodes.definition_list_item("", word, nodes.definition("", nodes.paragraph("", 'The "last"\nlayer.')))
    document = nodes.document("", "")  # type: ignore[arg-type]
    document += addnodes.glossary("", nodes.definition_list("", item))
    known = terms.definitions(document)
    assert known == {"term-head": 'The "last" layer.'}
    link = '<a class="reference internal" href="glossary.html#term-head">heads</a>'
    assert 'data-tl-term="The &quot;last&quot; layer."' in terms.with_definitions(link, known)
    assert terms.with_definitions(link.replace("term-head", "term-tail"), known).count("data-") == 0
