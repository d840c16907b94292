"""What the book's own Sphinx extensions make: the ledger, the notes on stored tables, formulas."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import counting
import eyebrow
import ledger
import mathml
import nbformat
import provenance
import pytest
import yaml

from benchmarks import attacks, protocol
from tlhelpers.book import Claim

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def small() -> ledger.Ledger:
    """Two claims of one chapter."""
    claims = [
        Claim("01-a", "A < B.", "holds", "1 [0, 2]", "said so"),
        Claim("01-b", "Two.", "open", "0 [-1, 1]", relied=False),
    ]
    return ledger.Ledger({claim.slug: claim for claim in claims}, {"01": ("01-first", "First")})


# --- the ledger -------------------------------------------------------------------------------------------------


def test_a_missing_claim_is_a_fault_only_where_its_chapter_is_written(small: ledger.Ledger) -> None:
    assert small.missing("01-a", "here") == "" and small.missing("02-x", "here") == ""
    assert small.missing("02", "here") == ""
    said = small.missing("01-typo", "row 3")
    assert all(word in said for word in ("row 3", "01-typo", "01-first", "01-b"))
    assert "name its claim" in small.missing("01", "row 3")
    assert "no claim" in small.missing("one", "row 3")


def test_the_tally_counts_each_verdict(small: ledger.Ledger) -> None:
    assert small.tally() == "2 claims in 1 chapters: 1 hold, 0 do not, 1 are open."
    small.claims["01-c"] = Claim("01-c", "Three.", "inside", "0 [0, 0]")
    assert small.tally().endswith("1 are open, 1 lie inside their margin.")


def test_an_answer_is_the_claim_or_the_chapter_that_will_give_it(small: ledger.Ledger) -> None:
    assert 'href="01-first.html#claim-01-a"' in ledger.answer("01-a", small)
    assert "1 [0, 2]" in ledger.answer("01-a", small)
    assert "no such claim" in ledger.answer("01-z", small)
    assert "Chapter 07 will answer" in ledger.answer("07-x", small)


def test_a_row_whose_chapter_is_not_written_is_not_called_measured(small: ledger.Ledger) -> None:
    assert ledger.verdict_on({"verdict": "measured", "claims": ["09"]}, small) == "Not measured yet"
    assert ledger.verdict_on({"verdict": "measured", "claims": ["09", "01-a"]}, small) == "Measured here"
    assert ledger.verdict_on({"verdict": "wrong"}, small) == "Wrong"


def test_reading_takes_the_chapters_of_the_contents_and_names_those_not_executed(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "01-first.md").write_text("# First\n")
    (tmp_path / "book" / "02-second.md").write_text("# Second\n")
    chapters = "[{file: book/01-first}, {file: book/02-second}, {file: book/glossary}]"
    (tmp_path / "_toc.yml").write_text(f"parts: [{{chapters: {chapters}}}]")
    claim = {"slug": "02-a", "text": "A.", "verdict": "holds", "measured": "1"}
    output = nbformat.v4.new_output("display_data", metadata={"tlhelpers": {"claim": claim}})
    executed = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])
    (tmp_path / "_build" / "executed").mkdir(parents=True)
    (tmp_path / "_build" / "executed" / "02-second.ipynb").write_text(nbformat.writes(executed))
    made = ledger.read(tmp_path)
    assert made.chapters == {"01": ("01-first", "First"), "02": ("02-second", "Second")}
    assert made.not_executed == ["01-first"] and made.claims["02-a"].verdict == "holds"


# --- stored tables ----------------------------------------------------------------------------------------------


def test_every_stored_table_shows_what_made_it() -> None:
    shown = provenance.tables(ROOT)
    tables = list((ROOT / "book" / "results").glob("*.csv"))
    rows = sum(len(path.read_text(encoding="utf-8").splitlines()) - 1 for path in tables)
    assert tables and f"<p>Together {rows:,} rows, which took " in shown
    for path in tables:
        notes = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["notes"]
        block = shown.split(f'id="table-{path.stem}"')[1].split("</details>")[0]
        assert all(note["commit"] in block for note in notes.values()), path.stem
        assert "<dt>Command</dt><dd><code>python -m benchmarks" in block
        read = path.with_name("contrasts.csv")
        whole = {row["table"] for row in csv.DictReader(read.open())} if read.is_file() else set()
        plans = {protocol.plan(table).digest: table for table in protocol.tables(protocol.document())}
        filling = any(plans.get(note.get("protocol"), "") not in {"", *whole} for note in notes.values())
        assert ("still filling" in block) == filling, path.stem


def test_the_page_shows_each_arm_of_the_protocol_and_each_endpoint(tmp_path: Path) -> None:
    planned = yaml.safe_load((ROOT / "benchmarks" / "protocol.yml").read_text(encoding="utf-8"))
    shown = provenance.planned(ROOT)
    for name, rules in protocol.tables(planned).items():
        block = shown.split(f'id="protocol-{name}"')[1].split("</details>")[0]
        assert all(f"<dt>{arm}</dt>" in block for arm in rules["arms"]), name
        amended = [change for change in planned["amendments"] if change["table"] == name]
        final = (rules | amended[-1]["rules"] if amended else rules)["final"]
        assert f"{len(final['regroupings']) * final['folds']} splits" in block
        assert block.count("<dt>Amended") == len(amended)
    asked = sum(len(it["labels"]) for it in planned["endpoints"].values())
    assert provenance.endpoints(ROOT).count("<tr>") == 1 + asked
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks" / "protocol.yml", tmp_path / "benchmarks")
    assert provenance.endpoints(tmp_path).count("not run yet") == asked


def test_attempts_to_break_stand_beside_the_arms_that_they_attack(tmp_path: Path) -> None:
    assert "None of them was run yet" in provenance.attacks(tmp_path)
    results = tmp_path / "book" / "results"
    results.mkdir(parents=True)
    (results / "attempts_to_break.csv").write_text(
        "table,attack,seed,labels,accuracy,auroc,note\npieces,permuted,1,400,0.1,0.5,a\n"
        "pieces,permuted,2,400,0.2,0.5,a\ncells,edges,1,450,0.7,0.8,a\n"
    )
    (results / "contrasts.csv").write_text(
        "table,labels,plus,minus,part,mean,endpoint\npieces,400,frozen,,,0.82,\npieces,400,frozen,scratch,,0.3,\n"
    )
    shown = provenance.attacks(tmp_path)
    assert "<td>0.82</td>" in shown and "<td>0.30</td>" not in shown
    assert "<td>0.15</td><td>0.10 to 0.20</td>" in shown and "<td>0.80</td><td>0.80 to 0.80</td>" in shown
    assert set(provenance.ATTACKS) == {attack for each in attacks.ATTACKS.values() for attack in each}


def test_a_stored_table_names_its_chapters() -> None:
    assert "04-what-the-layers-know" in provenance.used_by(ROOT, "stage_probes")
    assert provenance.used_by(ROOT, "nothing") == []


# --- formulas ---------------------------------------------------------------------------------------------------


def test_a_formula_becomes_mathml_that_keeps_its_source() -> None:
    inline, block = mathml.to_mathml("a < b"), mathml.to_mathml(r" \frac{s}{\sqrt{n}} ", "block")
    assert 'alttext="a &lt; b"' in inline and 'display="inline"' in inline
    assert "<mfrac>" in block and 'display="block"' in block


@pytest.mark.parametrize(("latex", "named"), [(r"\foo{x}", r"\foo"), ("a & b", "&")])
def test_latex_that_the_converter_does_not_know_is_refused_by_name(latex: str, named: str) -> None:
    with pytest.raises(ValueError, match=f"no MathML for {re.escape(named)} in"):
        mathml.to_mathml(latex)


# --- where a reader is ------------------------------------------------------------------------------------------


def test_figures_count_within_their_chapter_and_pages_of_the_back_on_their_own() -> None:
    whole = {
        "book/05-layers": {"figure": {"late": (21,), "early": (20,)}, "exercise": {"ex": (9,)}},
        "book/glossary": {"figure": {"one": (57,)}},
    }
    found = counting.by_chapter(whole)
    assert found["book/05-layers"]["figure"] == {"early": (5, 1), "late": (5, 2)}
    assert found["book/05-layers"]["exercise"] == {"ex": (5, 1)} and found["book/glossary"]["figure"] == {
        "one": (1,)
    }


def test_a_chapter_is_announced_by_its_question_in_bold(tmp_path: Path) -> None:
    page = tmp_path / "04-layers.md"
    page.write_text("head\n\n# Layers\n\nA *word*. **Where does\nit sit?**\n\n## Later\n\n**What else?**\n")
    assert eyebrow.question(page) == "Where does it sit?"
    other = tmp_path / "10-none.md"
    other.write_text("head\n\n# Layers\n\nNo question.\n\n## Later\n\n**What else?**\n")
    assert eyebrow.question(other) is None
