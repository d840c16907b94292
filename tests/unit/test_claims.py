"""A claim is shown with its measurement, stops the build when it fails, and can be collected later."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tlhelpers.book import _render
from tlhelpers.book._claims import Claim, claim
from tlhelpers.stats import Interval
from tools import records

GAIN, TIE = Interval(0.02, 0.01, 0.03, 5), Interval(0.01, -0.01, 0.03, 5)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Claim]:
    """Collect the claims that are displayed, each checked to be what its record says."""
    claims: list[Claim] = []

    def display(data: dict[str, str], metadata: dict[str, Any], raw: bool) -> None:
        claims.append(Claim(**metadata["tlhelpers"]["claim"]))
        assert raw and data == _render.rerender(metadata["tlhelpers"])
        assert json.loads(json.dumps(metadata)) == metadata, "a notebook is JSON"

    monkeypatch.setattr("IPython.display.display", display)
    return claims


class TestVerdict:
    def test_an_interval_gives_verdict_and_words(self, shown: list[Claim]) -> None:
        claim("05-gain", "Two stages win.", GAIN, on="accuracy, solar cells", quoted="3 to 5 points")
        measured = "+0.020 [+0.010, +0.030] on accuracy, solar cells"
        assert shown == [Claim("05-gain", "Two stages win.", "holds", measured, "3 to 5 points")]

    @pytest.mark.parametrize(
        ("found", "verdict"),
        [
            (GAIN, "holds"),
            (-1 * GAIN, "fails"),
            (TIE, "open"),
            (True, "holds"),
            (np.True_, "holds"),
            (False, "fails"),
            (np.False_, "fails"),
            (None, "open"),
        ],
    )
    def test_each_outcome_has_its_own(self, shown: list[Claim], found: Any, verdict: str) -> None:
        claim("05-gain", "Two stages win.", found, measured="as told", relied=False)
        assert shown[0].verdict == verdict and shown[0].measured == "as told"
        assert f'data-verdict="{verdict}"' in _render.claim_html(shown[0])

    def test_a_difference_inside_its_margin_is_a_verdict_of_its_own(self, shown: list[Claim]) -> None:
        same = "Two stages and one do not differ by more than 0.02."
        claim("05-zero", same, Interval(0.004, -0.01, 0.018, 5), margin=0.02)
        claim("05-small", same, Interval(0.004, 0.001, 0.007, 5), margin=0.02)
        claim("05-edge", same, Interval(0.03, 0.01, 0.05, 5), margin=0.02, relied=False)
        claim("05-more", same, Interval(0.06, 0.05, 0.07, 5), margin=0.02, relied=False)
        claim("05-less", same, Interval(-0.06, -0.07, -0.05, 5), margin=0.02, relied=False)
        claim("05-wide", same, Interval(0.004, -0.03, 0.04, 5), margin=0.02, relied=False)
        assert [one.verdict for one in shown] == ["inside", "inside", "open", "fails", "fails", "open"]
        assert shown[0].measured == "+0.004 [-0.010, +0.018] (margin ±0.02)"
        assert "Inside the margin" in _render.claim_html(shown[0])

    @pytest.mark.parametrize("found", ["no", "True", "open", 1, 0.5, np.array([True, False]), np.array([0.1])])
    def test_nothing_else_is_an_outcome(self, shown: list[Claim], found: Any) -> None:
        with pytest.raises(TypeError, match=r"claim 05-gain: found is .*; give an Interval, True, False, or None"):
            claim("05-gain", "It wins.", found, measured="0.83")
        assert not shown

    def test_a_margin_needs_an_interval(self) -> None:
        with pytest.raises(TypeError, match=r"claim 05-gain: margin=0\.02 with True; a margin needs an Interval"):
            claim("05-gain", "It wins.", True, measured="0.83", margin=0.02)


class TestRelied:
    def test_a_claim_that_the_text_relies_on_must_hold(self, shown: list[Claim]) -> None:
        message = r"claim 05-gain does not hold: Two stages win\. Measured 0\.83 .*quoted 91 %\. .*relied=False"
        with pytest.raises(AssertionError, match=message):
            claim("05-gain", "Two stages win.", False, measured="0.83 [0.81, 0.85]", quoted="91 %")
        with pytest.raises(AssertionError, match=r"claim 05-gain is open: .* Measured \+0\.010 .*quoted nothing"):
            claim("05-gain", "Two stages win.", TIE)
        assert not shown

    def test_one_that_nothing_relies_on_may_fail(self, shown: list[Claim]) -> None:
        claim("05-gain", "It wins.", False, measured="0.83", quoted="0.91", relied=False)
        assert shown[0].verdict == "fails" and not shown[0].relied

    @pytest.mark.parametrize("name", ["full", "smoke"])
    def test_other_profiles_show_what_failed(
        self, shown: list[Claim], monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv("TLHELPERS_PROFILE", name)
        claim("05-gain", "It wins.", False, measured="0.83")
        assert shown == [Claim("05-gain", "It wins.", "fails", "0.83")]


class TestBadInput:
    @pytest.mark.parametrize(
        "slug", ["gain", "7-gain", "07", "07-", "07-Gain", "07--gain", "05-gain-", "05-g x", 7, None]
    )
    def test_a_slug_has_two_digits_and_words(self, slug: Any) -> None:
        with pytest.raises(ValueError, match=f"claim slug {slug!r}: give two digits and words"):
            claim(slug, "It wins.", True, measured="0.83")

    @pytest.mark.parametrize("text", ["", " ", None])
    def test_a_claim_says_what(self, text: Any) -> None:
        with pytest.raises(ValueError, match=f"claim 05-gain: text is {text!r}"):
            claim("05-gain", text, True, measured="0.83")

    @pytest.mark.parametrize("measured", ["", " ", None])
    @pytest.mark.parametrize("found", [True, None])
    def test_a_claim_says_how_much(self, found: Any, measured: Any) -> None:
        with pytest.raises(ValueError, match=f"claim 05-gain: measured is {measured!r}; say what was measured"):
            claim("05-gain", "It wins.", found, measured=measured)

    @pytest.mark.parametrize(("found", "measured"), [(True, "0.83"), (GAIN, "0.83"), (True, "")])
    def test_words_that_would_go_unseen_are_refused(self, found: Any, measured: str) -> None:
        with pytest.raises(ValueError, match=r"claim 05-gain: on='accuracy' goes with .*; write it into measured"):
            claim("05-gain", "It wins.", found, on="accuracy", measured=measured)


@pytest.mark.parametrize(
    ("verdict", "looked_up", "label", "words"),
    [
        ("open", True, "Answer", "Open: nothing here settles it"),
        ("fails", True, "Answer", "Does not hold"),
        ("holds", False, "Measured", "Holds"),
        ("open", False, "Measured", "Open: these runs cannot tell"),
    ],
)
def test_what_was_looked_up_is_not_called_measured(verdict: str, looked_up: bool, label: str, words: str) -> None:
    one = Claim("05-gain", "It wins.", verdict, "0.868", looked_up=looked_up)
    for page in (_render.claim_html(one), _render.ledger_card(one, "#")):
        assert f"<dt>{label}</dt>" in page and f">{words}.</strong>" in page
    assert f"{words}.</span>" in _render.ledger_answer(one, "#")
    assert f"<em>{label}:</em>" in _render.ledger_answer(one, "#")


def test_what_was_planned_says_so() -> None:
    one = Claim("05-gain", "It wins.", "holds", "0.868", planned=True)
    assert "<dt>Planned</dt>" in _render.claim_html(one) and "planned" in _render.claim_text(one)
    assert "lanned" not in _render.claim_html(Claim("05-gain", "It wins.", "holds", "0.868"))


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
    words.feed(
        _render.claim_html(Claim("05-x", "<script>a</script> & b", "fails", "<i>0.05</i>", '"<b>half</b>"'))
    )
    assert words.tags == ["div", "p", "strong", "dl", "dt", "dd", "dt", "dd"], "texts must not make tags"
    heard = " ".join(words.text.split())
    assert heard == 'Does not hold. <script>a</script> & b Quoted "<b>half</b>" Measured <i>0.05</i>'
    assert words.attributes["class"] == "tl-claim" and words.attributes["id"] == "claim-05-x"
    assert words.attributes["role"] == "group" and words.attributes["aria-label"] == "Claim 05-x"
    assert words.attributes["data-verdict"] == "fails"


def test_the_ledgers_texts_make_no_tags_and_lead_to_the_cell() -> None:
    one = Claim("05-x", "a < b", "fails", "<i>0.05</i>", relied=False)
    card, answer = _render.ledger_card(one, "07.html#claim-05-x"), _render.ledger_answer(one, "07.html#claim-05-x")
    for page in (card, answer):
        assert "a &lt; b" in page and "<i>" not in page and 'href="07.html#claim-05-x"' in page
    assert 'id="ledger-05-x"' in card and "does not rest on it" in card


def test_plain_text_says_the_same() -> None:
    assert _render.claim_text(Claim("05-x", "Up.", "holds", "1", "2")) == "[holds] Up. (measured: 1; quoted: 2)"
    assert _render.claim_text(Claim("05-x", "Up.", "fails", "1")) == "[does not hold] Up. (measured: 1)"


def test_a_record_of_something_else_is_left_alone() -> None:
    assert _render.rerender({"figure": {}}) is None


def test_making_a_claim_again_is_quick() -> None:
    code = (
        "import sys; from tlhelpers.book import _render; from tools import records;"
        "_render.rerender({'claim': {'slug': '05-x', 'text': 'Up.', 'verdict': 'holds', 'measured': '1'}});"
        "slow = {'torch', 'scipy', 'sklearn', 'pandas', 'matplotlib', 'IPython'}; print(slow & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class TestRecords:
    @staticmethod
    def notebook_with(folder: Path, *claims: Claim) -> Path:
        outputs = []
        for one in claims:
            record = {"claim": asdict(one)}
            outputs.append(
                new_output("display_data", data=_render.rerender(record), metadata={"tlhelpers": record})
            )
        outputs.append(new_output("stream", name="stdout", text="no claim"))
        cells = [new_markdown_cell("# Title"), new_code_cell("pass", outputs=outputs, execution_count=1)]
        path = folder / "05-made.ipynb"
        nbformat.write(new_notebook(cells=cells), path)
        return path

    def test_claims_are_collected_in_order(self, tmp_path: Path) -> None:
        first, second = Claim("05-b", "<b>&", "holds", "1", "2"), Claim("05-a", "y", "fails", "3", relied=False)
        assert records.claims(self.notebook_with(tmp_path, first, second)) == [first, second]
        assert records.claims(str(self.notebook_with(tmp_path))) == []

    def test_one_slug_for_two_claims_is_an_error(self, tmp_path: Path) -> None:
        twice = Claim("05-a", "x", "holds", "1")
        with pytest.raises(ValueError, match=r"05-made\.ipynb: claim 05-a stands twice; give each claim its own"):
            records.claims(self.notebook_with(tmp_path, twice, twice))

    def test_a_missing_notebook_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"no notebook .*nowhere\.ipynb; run the chapter first"):
            records.claims(tmp_path / "nowhere.ipynb")

    @pytest.mark.parametrize("content", ["", "# a page", "[]", json.dumps({"metadata": {}})])
    def test_a_file_that_is_no_notebook_is_named(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "page.ipynb"
        path.write_text(content)
        with pytest.raises(ValueError, match=r"page\.ipynb is not a notebook .*; give an executed \.ipynb"):
            records.claims(path)


def test_an_executed_claim_reaches_ledger_and_page_without_a_warning(tmp_path: Path) -> None:
    from nbclient import NotebookClient
    from sphinx.application import Sphinx

    code = "claim('05-a', 'Up & on.', 1 > 0, measured='1 [0, 2]', quoted='3')\nnote(gain=0.5)\nquiz('01')"
    first = new_code_cell("from tlhelpers.book import claim, note, quiz")
    title = new_markdown_cell("# Title\n\nIt is {glue:text}`gain:.2f`.")
    nb = new_notebook(cells=[title, first, new_code_cell(code)])
    NotebookClient(nb, timeout=120, kernel_name="python3").execute()
    nbformat.write(nb, tmp_path / "index.ipynb")
    assert records.claims(tmp_path / "index.ipynb") == [Claim("05-a", "Up & on.", "holds", "1 [0, 2]", "3")]

    warnings = StringIO()
    options = {"extensions": ["myst_nb"], "nb_execution_mode": "off"}
    page = tmp_path / "html"
    app = Sphinx(tmp_path, None, page, page / "tree", "html", options, status=None, warning=warnings)
    app.build()
    assert not warnings.getvalue(), "myst-nb warns about mime types that it does not know"
    made = (page / "index.html").read_text()
    assert 'class="tl-claim" id="claim-05-a"' in made
    assert re.search(r"It is (<[^>]+>)?0\.50", made) and 'id="quiz_01"' in made
