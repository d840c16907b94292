"""Each construct that a chapter may use, as a notebook shows it; every other one is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.catalog import Book, Context, ConversionError, read_book
from tools.markdown import figure_text, to_plain

ROOT = Path(__file__).resolve().parents[2]
BIBLIOGRAPHY = r"""
@misc{three, author={Yosinski, J. and Clune, J. and Bengio, Y.}, title={A}, year={2014}, doi={10.1/x}}
@article{two, author={M{\"u}ller, A. and de Vries, B.}, title={B}, year={2020}, url={https://example.org/b}}
@misc{one, author={Solo, Han}, title={C}, year={1977}}
"""


@pytest.fixture
def context(tmp_path: Path) -> Context:
    book = tmp_path / "book"
    book.mkdir()
    (tmp_path / "_config.yml").write_text("repository: {url: https://example.org/me/it/, branch: dev}\n")
    (book / "references.bib").write_text(BIBLIOGRAPHY, encoding="utf-8")
    (book / "index.md").write_text("# Start\n")
    (book / "01-first.md").write_text(
        "(top)=\n# First chapter\n\n(sec)=\n## A section\n\n"
        "```{exercise} Try it\n:label: ex-try\n\nDo.\n```\n"
        "```{code-cell} ipython3\n---\nmystnb:\n  figure:\n    caption: c\n    name: fig-a\n---\n1\n```\n"
    )
    (book / "02-second.md").write_text("(other)=\n# Second chapter\n")
    values = {"acc": "0.91234", "count": "12.0", "who": "'a name'", "word": "plain"}
    return Context(read_book(tmp_path), "01-first", values)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Plain *text* and `code {x}`.", "Plain *text* and `code {x}`."),
        ("{glue:text}`acc:.3f`, {glue:text}`acc:.0%`", "0.912, 91%"),
        ("{glue:text}`count:d` {glue:text}`who` {glue:text}`word:s`", "12 a name plain"),
        ("{cite:t}`three`", "[Yosinski et al. (2014)](https://doi.org/10.1/x)"),
        ("{cite:p}`two, one`", "([Müller and de Vries, 2020](https://example.org/b); Solo, 1977)"),
        ("{ref}`sec` and {ref}`there <other>`", "A section and [there](02-second.ipynb)"),
        (
            "{ref}`other` {ref}`fig-a` {ref}`ex-try`",
            "[Second chapter](02-second.ipynb) the figure Exercise “Try it”",
        ),
        ("{term}`Probe`, {term}`feature\nmaps <feature map>`", "**Probe**, **feature maps**"),
        ("[a `b` c](02-second.md#x)", "[a `b` c](02-second.ipynb#x)"),
        ("[start](index.md)", "[start](https://example.org/me/it/blob/dev/book/index.md)"),
        ("[away](https://example.org/x.md)", "[away](https://example.org/x.md)"),
        ("![a chart](figures/a.svg)", "![a chart](figures/a.svg)"),
        ("$x_{{i}}$ and\n\n$$\na = \\frac{1}{2}\n$$", "$x_{{i}}$ and\n\n$$\na = \\frac{1}{2}\n$$"),
        ("(sec)=\n## A section\n% a comment\nText", "## A section\nText"),
        ("```{note}\nBody {glue:text}`acc:.1f`.\n```", "> **Note**\n>\n> Body 0.9."),
        (":::{tip} First\nSecond\n:::", "> **Tip**\n>\n> First\n> Second"),
        ("```{important}\n- a\n- b\n```", "> **Important**\n>\n> - a\n> - b"),
        ("```{admonition} A *title*\nx\n```", "> **A *title***\n>\n> x"),
        (
            "```{admonition} A `b` & c\n:class: dropdown\n\nx\n```",
            "<details>\n<summary><b>A <code>b</code> &amp; c</b></summary>\n\nx\n\n</details>",
        ),
        (
            "````{warning}\n```python\nx = '{no}`role`'\n```\n````",
            "> **Warning**\n>\n> ```python\n> x = '{no}`role`'\n> ```",
        ),
        ("```{exercise} Try it\n:label: ex-try\n\nDo.\n```", "> **Exercise: Try it**\n>\n> Do."),
        (
            "````{solution} ex-try\n:class: dropdown\n\nSo:\n\n```python\nprint(1)\n```\n````",
            (
                "<details>\n<summary><b>Solution: Try it</b></summary>\n\n"
                "So:\n\n```python\nprint(1)\n```\n\n</details>"
            ),
        ),
        ("- item\n\n  ```{note}\n  inside\n  ```", "- item\n\n  > **Note**\n  >\n  > inside"),
        ("```text\n{note} `{x}`\n```", "```text\n{note} `{x}`\n```"),
    ],
)
def test_construct(source: str, expected: str, context: Context) -> None:
    assert to_plain(source, context) == expected


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("```{tabs}\nx\n```", "{tabs}"),
        ("```{note}\n:color: red\nx\n```", ":color:"),
        ("```{note}\nx", "nothing closes"),
        (":::note\nx\n:::", "not a directive"),
        ("a {abbr}`b`", "{abbr}"),
        ("a {term}`b", "{term}"),
        ("{glue:text}`missing:.2f`", "missing"),
        ("{glue:text}`word:.2f`", "word"),
        ("{cite:t}`nobody2000`", "nobody2000"),
        ("{ref}`nowhere`", "nowhere"),
        ("{doc}`02-second`", "{doc}"),
        ("[x](99-none.md)", "99-none.md"),
        ("[](02-second.md)", "no text"),
        ("[x](#sec)", "{ref}"),
        ("{{ version }}", "substitution"),
        ("word[^1]", "footnote"),
        ("```{figure} a.svg\n:alt: a dot\n```", "{figure}"),
        ("```{solution} ex-none\nx\n```", "ex-none"),
        ("````{note}\n```{tabs}\n```\n````", "{tabs}"),
    ],
)
def test_refuses_and_names_the_culprit(source: str, named: str, context: Context) -> None:
    with pytest.raises(ConversionError, match=r"book/01-first\.md") as caught:
        to_plain(source, context)
    assert named in str(caught.value)


def test_a_lone_dollar_hides_no_role(context: Context) -> None:
    assert (
        to_plain("It costs $5.\n\nThen {glue:text}`acc:.1f` of $9.", context) == "It costs $5.\n\nThen 0.9 of $9."
    )


def test_figure_text(context: Context) -> None:
    shown = figure_text("At {glue:text}`acc:.2f`.", "a falling line", context)
    assert shown.startswith("**Figure.** At 0.91.\n\n<details>") and "a falling line" in shown


def test_reads_the_books_own_settings() -> None:
    book = read_book(ROOT)
    assert isinstance(book, Book) and book.url.startswith("https://") and book.titles
