"""A claim is shown with its measurement, stops the build when it fails, and can be collected later."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tlhelpers import claims, measures
from tlhelpers.claims import Claim, claim


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Claim]:
    """Collect the claims that are displayed."""
    found: list[Claim] = []
    monkeypatch.setattr(claims, "display", found.append)
    return found


def test_a_claim_that_holds_is_shown(shown: list[Claim]) -> None:
    claim("07-gain", "Two stages win.", holds=np.True_, measured="0.02 [0.01, 0.03]", quoted="3 to 5 points")
    assert shown == [Claim("07-gain", "Two stages win.", True, "0.02 [0.01, 0.03]", "3 to 5 points", True)]
    assert shown[0].holds is True, "json knows no numpy.bool"


def test_an_interval_may_be_the_measurement(shown: list[Claim]) -> None:
    claim("07-gain", "Two stages win.", holds=True, measured=measures.Interval(0.02, 0.01, 0.03, 5))
    assert shown[0].measured == "0.020 [0.010, 0.030]"


def test_a_claim_that_the_text_relies_on_must_hold(shown: list[Claim]) -> None:
    message = (
        r"claim 07-gain does not hold: Two stages win\. Measured 0\.83 \[0\.81, 0\.85\]; quoted 91 %\. "
        r"Correct the text that relies on it, or say relied=False\."
    )
    with pytest.raises(AssertionError, match=message):
        claim("07-gain", "Two stages win.", holds=False, measured="0.83 [0.81, 0.85]", quoted="91 %")
    assert not shown


def test_without_a_quotation_the_error_says_so() -> None:
    with pytest.raises(AssertionError, match=r"Measured 0\.5; quoted nothing"):
        claim("07-gain", "It wins.", holds=False, measured=0.5)


def test_a_claim_that_nothing_relies_on_may_fail(shown: list[Claim]) -> None:
    claim("07-gain", "It wins.", holds=False, measured="0.83", quoted="0.91", relied=False)
    assert not shown[0].holds and not shown[0].relied
    assert "Does not hold" in shown[0]._repr_html_()


@pytest.mark.parametrize(
    ("measured", "holds", "label", "verdict"),
    [
        ("looked up: Lee et al. 2019", "open", "Answer", "Open: nothing here settles it"),
        ("not run here; published: 0.868", False, "Answer", "Does not hold"),
        ("768 in this encoder; looked up: 1,024", True, "Measured", "Holds"),
        ("0.01 [-0.01, 0.03]", "open", "Measured", "Open: these runs cannot tell"),
    ],
)
def test_what_was_looked_up_is_not_called_measured(measured: str, holds: Any, label: str, verdict: str) -> None:
    box = Claim("07-gain", "It wins.", holds, measured)._repr_html_()
    assert f"<dt>{label}</dt>" in box and f"<strong>{verdict}.</strong>" in box


@pytest.mark.parametrize(
    "id", ["gain", "7-gain", "07", "07-", "07-Gain", "07--gain", "07-gain-", "07-g x", 7, None]
)
def test_an_id_has_two_digits_and_a_slug(id: Any) -> None:
    with pytest.raises(ValueError, match=f"claim id {id!r}: give two digits and a slug, such as '07-batch"):
        claim(id, "It wins.", holds=True, measured="0.83")


def test_a_comparison_may_stay_open(shown: list[Claim]) -> None:
    claim("07-gain", "It wins.", holds="open", measured="0.01 [-0.01, 0.03]", relied=False)
    assert (
        "Open: these runs cannot tell" in shown[0]._repr_html_() and 'data-holds="open"' in shown[0]._repr_html_()
    )
    with pytest.raises(AssertionError, match=r"claim 07-gain is open: It wins\. Measured 0\.01"):
        claim("07-gain", "It wins.", holds="open", measured="0.01 [-0.01, 0.03]")


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(0.01, 0.03, True), (-0.03, -0.01, False), (-0.01, 0.03, "open"), (0, 0.1, "open")],
)
def test_an_interval_settles_a_comparison_when_it_leaves_zero_out(low: float, high: float, outcome: Any) -> None:
    assert claims.settled(measures.Interval((low + high) / 2, low, high, 5)) == outcome


@pytest.mark.parametrize("holds", ["no", None, 1, np.array([True, False]), np.array(["open"])])
def test_holds_is_true_or_false(holds: Any) -> None:
    with pytest.raises(
        TypeError, match=r"claim 07-gain: holds is .*; give a comparison's outcome, True or False, or 'open'"
    ):
        claim("07-gain", "It wins.", holds=holds, measured="0.83")


@pytest.mark.parametrize(
    ("text", "measured", "message"),
    [
        ("", "0.83", "claim 07-gain: text is ''; say what was claimed"),
        ("It wins.", " ", "claim 07-gain: measured is ' '; say what was measured"),
        ("It wins.", None, "claim 07-gain: measured is None; say what was measured"),
    ],
)
def test_a_claim_says_what_and_how_much(text: str, measured: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        claim("07-gain", text, holds=True, measured=measured)


class Words(HTMLParser):
    """Keep what a reader hears, and the names of the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.attributes: dict[str, str | None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes = self.attributes or dict(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_the_box_is_read_as_it_was_written() -> None:
    words = Words()
    words.feed(Claim("07-x", "<script>a</script> & b", False, "<i>0.05</i>", '"<b>half</b>"')._repr_html_())
    assert words.tags == ["div", "p", "strong", "dl", "dt", "dd", "dt", "dd"], "texts must not make tags"
    heard = " ".join(words.text.split())
    assert heard == 'Does not hold. <script>a</script> & b Quoted "<b>half</b>" Measured <i>0.05</i>'
    assert words.attributes["class"] == "tl-claim" and words.attributes["id"] == "claim-07-x"
    assert words.attributes["role"] == "group" and words.attributes["aria-label"] == "Claim 07-x"
    assert words.attributes["data-holds"] == "false"


def test_plain_text_says_the_same() -> None:
    assert repr(Claim("07-x", "Up.", True, "1", "2")) == "[holds] Up. (measured: 1; quoted: 2)"
    assert repr(Claim("07-x", "Up.", False, "1")) == "[does not hold] Up. (measured: 1)"


def notebook_with(folder: Path, *found: Claim) -> Path:
    outputs = []
    for one in found:
        data, metadata = one._repr_mimebundle_()
        outputs.append(new_output("display_data", data=data, metadata=metadata))
    outputs.append(new_output("stream", name="stdout", text="no claim"))
    cells = [new_markdown_cell("# Title"), new_code_cell("pass", outputs=outputs, execution_count=1)]
    path = folder / "07-made.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_claims_are_collected_in_order(tmp_path: Path) -> None:
    first, second = Claim("07-b", "<b>&", True, "1", "2"), Claim("07-a", "y", False, "3", relied=False)
    assert claims.collect(notebook_with(tmp_path, first, second)) == [first, second]
    assert claims.collect(str(notebook_with(tmp_path))) == []


def test_one_id_for_two_claims_is_an_error(tmp_path: Path) -> None:
    twice = Claim("07-a", "x", True, "1")
    with pytest.raises(ValueError, match=r"07-made\.ipynb: claim 07-a stands twice; give each claim its own id"):
        claims.collect(notebook_with(tmp_path, twice, twice))


def test_a_missing_notebook_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no notebook .*nowhere\.ipynb; run the chapter first"):
        claims.collect(tmp_path / "nowhere.ipynb")


@pytest.mark.parametrize("content", ["", "# a page", "[]", json.dumps({"metadata": {}})])
def test_a_file_that_is_no_notebook_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "page.ipynb"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"page\.ipynb is not a notebook .*; give an executed \.ipynb"):
        claims.collect(path)


def test_an_executed_claim_reaches_ledger_and_page_without_a_warning(tmp_path: Path) -> None:
    from nbclient import NotebookClient
    from sphinx.application import Sphinx

    code = "claim('07-a', 'Up & on.', holds=1 > 0, measured='1 [0, 2]', quoted='3')"
    first = new_code_cell("from tlhelpers.claims import claim")
    nb = new_notebook(cells=[new_markdown_cell("# Title"), first, new_code_cell(code)])
    NotebookClient(nb, timeout=120, kernel_name="python3").execute()
    nbformat.write(nb, tmp_path / "index.ipynb")
    assert claims.collect(tmp_path / "index.ipynb") == [Claim("07-a", "Up & on.", True, "1 [0, 2]", "3")]

    warnings = StringIO()
    options = {"extensions": ["myst_nb"], "nb_execution_mode": "off"}
    page = tmp_path / "html"
    app = Sphinx(tmp_path, None, page, page / "tree", "html", options, status=None, warning=warnings)
    app.build()
    assert not warnings.getvalue(), "myst-nb warns about mime types that it does not know"
    assert 'class="tl-claim" id="claim-07-a"' in (page / "index.html").read_text()
