"""A stored table comes back as it was, with a note on each row, and live runs are held against it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tlhelpers import _paths
from tlhelpers.book import _contrasts, _render, _results
from tlhelpers.stats import prediction_interval

STORED = Path(__file__).parents[2] / "book" / "results"
FIELDS = [
    "commit", "diff", "script", "packages", "versions", "python", "threads", "device", "precision", "machine",
    "profile", "command", "known",
]  # fmt: skip
NOTE: dict[str, Any] = {
    "commit": "abc1234",
    "diff": None,
    "script": "0123abcd",
    "packages": "89efcdab",
    "versions": {"torch": "2.14.1", "numpy": "2.4.6"},
    "python": "3.11.7",
    "threads": 1,
    "device": "cpu",
    "precision": "float32",
    "machine": "Linux x86_64, 2 cores",
    "profile": "offline",
    "command": "python -m benchmarks tried",
    "known": "row",
}
LINES = [
    "strategy,labels,seed,auroc,rate,seconds,note",
    "frozen,100,0,0.75,0.0003,90,00000001",
    "frozen,100,1,0.8125,0.0003,30.5,00000001",
    "frozen,100,2,0.78,0.0003,,00000001",
    "tuned,100,0,0.9,0.001,59.5,1e234567",
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the book hold one table, ``tried``; return the folder of tables."""
    where = tmp_path / "results"
    where.mkdir()
    write(
        where,
        LINES,
        {"00000001": NOTE, "1e234567": NOTE | {"commit": "def5678", "diff": "99aa99aa", "threads": 2}},
    )
    monkeypatch.setattr(_paths, "book_folder", lambda: tmp_path)
    return where


def write(where: Path, lines: list[str], notes: dict[str, Any], name: str = "tried") -> None:
    (where / f"{name}.csv").write_text("\n".join(lines) + "\n")
    (where / f"{name}.json").write_text(json.dumps({"notes": notes}))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Collect data and metadata of what is displayed."""
    outputs: list[tuple[dict[str, str], dict[str, Any]]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, metadata, raw: outputs.append((data, metadata)))
    return outputs


class TestResults:
    def test_a_table_comes_without_its_notes_which_stand_beside_it(self) -> None:
        runs = _results.results("tried")
        assert runs.columns.tolist() == ["strategy", "labels", "seed", "auroc", "rate", "seconds"]
        assert runs["auroc"].tolist() == [0.75, 0.8125, 0.78, 0.9] and pd.isna(runs.loc[2, "seconds"])
        assert list(runs.attrs["notes"]) == ["00000001", "1e234567"]
        assert runs.attrs["notes"]["00000001"] == NOTE

    def test_a_missing_table_says_how_to_make_it(self, folder: Path) -> None:
        message = rf"no stored result 'other' in {re.escape(str(folder))}; make it with 'make results'"
        for function in (_results.results, _results.card, _results.facts):
            with pytest.raises(FileNotFoundError, match=message):
                function("other")

    @pytest.mark.parametrize(
        ("line", "note"), [("tuned,100,1,0.9,0.001,1,", "''"), ("tuned,100,1,0.9,0.001,1,ffffffff", "'ffffffff'")]
    )
    def test_a_row_without_a_note_is_named(self, folder: Path, line: str, note: str) -> None:
        write(folder, [*LINES, line], {"00000001": NOTE, "1e234567": NOTE})
        for function in (_results.results, _results.card):
            with pytest.raises(
                ValueError, match=rf"table tried\.csv, row 5: its note {note} is not in tried\.json"
            ):
                function("tried")

    def test_a_table_without_notes_is_named(self, folder: Path) -> None:
        (folder / "tried.json").unlink()
        with pytest.raises(
            ValueError, match=r"table tried\.csv, row 1: its note '00000001' is not in tried\.json"
        ):
            _results.results("tried")
        write(folder, [line.rpartition(",")[0] for line in LINES], {"00000001": NOTE})
        with pytest.raises(ValueError, match=r"table tried\.csv, row 1: its note None"):
            _results.results("tried")


class TestCard:
    def test_a_line_tells_rows_seeds_minutes_and_code(self, shown: list[Any]) -> None:
        _results.card("tried")
        ((data, metadata),) = shown
        assert metadata == {"tlhelpers": {"card": ["tried"]}}
        line = (
            "Stored runs: tried (4 rows, seeds 0 to 2, 3 minutes, code abc1234, def5678 and uncommitted changes)."
        )
        assert line in data["text/html"].partition("<details>")[0]
        assert data["text/plain"].startswith(line)

    def test_a_fold_tells_the_rest(self, shown: list[Any]) -> None:
        _results.card("tried")
        fold = shown[0][0]["text/html"].partition("<details>")[2]
        for text in (
            NOTE["command"],
            NOTE["machine"],
            "threads: 1, 2",
            "device: cpu",
            "torch 2.14.1",
            "Python 3.11.7",
        ):
            assert text in fold and text in shown[0][0]["text/plain"]
        assert "with each row" in fold

    def test_what_is_not_known_is_not_made_up(self, folder: Path) -> None:
        old = NOTE | {"device": None, "precision": None, "diff": "unknown", "known": "table"}
        write(folder, LINES[:2], {"00000001": old})
        facts = _results.facts("tried")
        assert "device: not noted; precision: not noted" in facts["Machine"]
        assert facts["Code"] == "abc1234 and uncommitted changes"
        assert "earlier rows may differ" in facts["Noted"]
        write(folder, LINES[:2], {"00000001": old | {"commit": None, "diff": None}})
        assert _results.facts("tried")["Code"] == "not noted"

    def test_several_tables_share_a_card(self, folder: Path, shown: list[Any]) -> None:
        write(folder, LINES[:3], {"00000001": NOTE}, name="again")
        _results.card("tried", "again")
        html = shown[0][0]["text/html"]
        assert "tried (4 rows" in html and "again (2 rows, seeds 0, 1, 2 minutes" in html
        assert html.count("<details>") == 1 and html.count("<dl>") == 2

    def test_it_can_be_made_again_with_a_link_to_the_page(self, shown: list[Any]) -> None:
        _results.card("tried")
        data, metadata = shown[0]
        assert _render.rerender(metadata["tlhelpers"]) == data
        linked = _render.rerender(metadata["tlhelpers"], made="how.html")
        assert linked is not None and f'<a href="how.html">{_render.MADE}</a>' in linked["text/html"]

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (["29"], "less than a minute"),
            (["31"], "1 minute"),
            (["40", "49"], "1 minute"),
            (["40", "", "51"], "2 minutes"),
            (["60000"], "1,000 minutes"),
            ([""], "time not noted"),
        ],
    )
    def test_minutes_are_counted_as_people_do(self, folder: Path, seconds: list[str], text: str) -> None:
        rows = [f"frozen,100,{seed},0.8,0.001,{time},00000001" for seed, time in enumerate(seconds)]
        write(folder, [LINES[0], *rows], {"00000001": NOTE})
        assert _results.facts("tried")["Computing"] == text

    def test_a_single_row_of_a_single_seed_is_told_as_one(self, folder: Path, shown: list[Any]) -> None:
        write(folder, LINES[:2], {"00000001": NOTE})
        _results.card("tried")
        assert "tried (1 row, seed 0, " in shown[0][0]["text/html"]

    @pytest.mark.parametrize(
        ("numbers", "text"),
        [
            ([0], "0"),
            ([0, 1], "0, 1"),
            ([2, 0, 1], "0 to 2"),
            ([100, 0, 1, 2, 3], "0 to 3, 100"),
            ([3, 5], "3, 5"),
        ],
    )
    def test_seeds_are_written_as_people_do(self, numbers: list[int], text: str) -> None:
        assert _results._ranges(numbers) == text


class TestCheck:
    @pytest.fixture
    def cell(self) -> dict[str, Any]:
        return {"strategy": "frozen", "labels": 100, "rate": 3e-4}

    def test_a_run_that_fits_says_so_in_a_line(
        self, cell: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        _results.check({"auroc": 0.76}, "tried", seed=0, **cell)
        _results.check(pd.Series({"auroc": 0.85}), "tried", **cell)
        assert capsys.readouterr().out == "the live run agrees with the stored ones\n" * 2

    def test_a_run_far_from_that_of_its_seed_does_not(self, cell: dict[str, Any]) -> None:
        with pytest.raises(
            AssertionError, match=r"'tried'.*auroc 0\.8000 is farther than 0\.03 from the stored 0\.75"
        ):
            _results.check({"auroc": 0.8}, "tried", seed=0, **cell)
        _results.check({"auroc": 0.8}, "tried", tolerance=0.06, seed=0, **cell)

    def test_a_run_unlike_all_seeds_does_not(self, cell: dict[str, Any]) -> None:
        expected = prediction_interval([0.75, 0.8125, 0.78])
        _results.check({"auroc": expected.high - 1e-6}, "tried", **cell)
        with pytest.raises(AssertionError, match=rf"auroc .* is outside of {re.escape(str(expected))}"):
            _results.check({"auroc": expected.high + 1e-3}, "tried", **cell)
        with pytest.raises(AssertionError, match="is outside of"):
            _results.check({"auroc": expected.high + 1e-3}, "tried", tolerance=1, seed=0, **cell)

    def test_seeds_that_agree_leave_room_for_rounding(self, folder: Path) -> None:
        same = [f"frozen,100,{seed},1.0,0.0003,1,00000001" for seed in range(3)]
        write(folder, [LINES[0], *same], {"00000001": NOTE})
        _results.check({"auroc": 0.996}, "tried", seed=0)
        with pytest.raises(AssertionError, match="is outside of"):
            _results.check({"auroc": 0.99}, "tried", seed=0)

    def test_a_value_that_is_not_finite_does_not_fit(self, cell: dict[str, Any]) -> None:
        with pytest.raises(AssertionError, match="auroc nan"):
            _results.check({"auroc": float("nan")}, "tried", seed=0, **cell)

    def test_runs_of_another_profile_are_not_compared(
        self, cell: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TLHELPERS_PROFILE", "smoke")
        _results.check({"auroc": 0.1}, "tried", seed=0, **cell)
        assert "profile offline: nothing to compare with" in capsys.readouterr().out

    def test_a_cell_picks_one_run_a_seed(self, cell: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"0 rows of table 'tried' fit .*'labels': 99"):
            _results.check({"auroc": 0.8}, "tried", **cell | {"labels": 99})
        with pytest.raises(ValueError, match=r"0 rows of table 'tried' fit .*'seed': 9"):
            _results.check({"auroc": 0.8}, "tried", seed=9, **cell)
        with pytest.raises(ValueError, match=r"2 rows of table 'tried' fit .*'labels': 100"):
            _results.check({"auroc": 0.8}, "tried", labels=100, seed=0)
        with pytest.raises(ValueError, match=r"4 rows of table 'tried' fit .*'labels': 100"):
            _results.check({"auroc": 0.8}, "tried", labels=100)

    @pytest.mark.parametrize(("live", "more"), [({"f1": 0.5}, {}), ({"auroc": 0.5}, {"model": "a"})])
    def test_a_missing_column_is_named(self, live: dict[str, float], more: dict[str, Any]) -> None:
        with pytest.raises(KeyError, match=r"missing in table 'tried'; there are \['strategy', 'labels', 'seed'"):
            _results.check(live, "tried", **more)

    def test_live_and_stored_stand_beside_each_other(self, cell: dict[str, Any]) -> None:
        expected = str(prediction_interval([0.75, 0.8125, 0.78]))
        table = _results.beside({"auroc": 0.7654321}, "tried", seed=1, **cell).round(3)
        assert table.to_dict("index") == {
            "auroc": {"live": 0.765, "stored, seed 1": 0.812, "a new run should fall in": expected}
        }
        table = _results.beside({"auroc": 0.7654321}, "tried", **cell)
        assert table.columns.tolist() == ["live", "a new run should fall in"]


@pytest.mark.parametrize("path", sorted(STORED.glob("*.csv")), ids=lambda path: path.stem)
class TestTheBooksTables:
    def test_each_row_has_a_note(self, path: Path) -> None:
        rows, notes = _results.read(path)
        assert {row["note"] for row in rows} == set(notes)
        with path.open(newline="") as file:
            assert next(csv.reader(file))[-1] == "note"

    def test_each_note_tells_what_is_known(self, path: Path) -> None:
        for key, note in _results.read(path)[1].items():
            assert re.fullmatch("[0-9a-f]{8}", key) and set(note) - {"protocol"} == set(FIELDS)
            assert note["known"] in ("row", "table") and note["versions"] and note["command"]


class TestContrast:
    LINES = (
        "table,labels,plus,minus,part,mean,low,high,p,splits,shared,endpoint,holm,note",
        "cells,500,frozen,,,0.8,0.7,0.9,,6,0.2,,,00000001",
        "cells,500,frozen,scratch,,0.1,0.02,0.18,0.01,6,0.2,cells-frozen 500,0.04,00000001",
        "cells,500,frozen,scratch,other kind,0.3,0.2,0.4,0.001,6,0.2,,,00000001",
        "cells,25,frozen,scratch,,0.05,-0.1,0.2,0.4,6,0.1,,,00000001",
    )

    @pytest.fixture(autouse=True)
    def contrasts(self, folder: Path) -> None:
        write(folder, list(self.LINES), {"00000001": NOTE | {"protocol": "aa"}}, "contrasts")

    def test_a_difference_comes_with_its_interval_and_holms_p_where_it_is_primary(self) -> None:
        primary = _contrasts.contrast("cells", "frozen", "scratch", labels=500)
        assert (primary.mean, primary.low, primary.high, primary.n, primary.p) == (0.1, 0.02, 0.18, 6, 0.04)
        assert _contrasts.contrast("cells", "frozen", "scratch", labels=25).p == 0.4
        assert _contrasts.contrast("cells", "frozen", "scratch", labels=500, part="other kind").mean == 0.3

    def test_the_other_way_round_it_has_the_other_sign(self) -> None:
        turned = _contrasts.contrast("cells", "scratch", "frozen", labels=500)
        assert (turned.mean, turned.low, turned.high, turned.p) == (-0.1, -0.18, -0.02, 0.04)

    def test_one_arm_has_a_score_and_no_p(self) -> None:
        score = _contrasts.contrast("cells", "frozen", labels=500)
        assert score.mean == 0.8 and score.p is None

    @pytest.mark.parametrize(
        ("asked", "labels"), [(("cells", "frozen", "scratch"), 77), (("pieces", "frozen"), 500)]
    )
    def test_what_is_not_there_is_told(self, asked: tuple[str, ...], labels: int) -> None:
        with pytest.raises(KeyError, match="table 'contrasts' has no"):
            _contrasts.contrast(*asked, labels=labels)

    def test_a_table_without_seeds_says_whose_it_has(self) -> None:
        assert _results.facts("contrasts")["Seeds"] == "those of other tables"


def test_rows_of_two_protocols_are_not_read_as_one_table(folder: Path) -> None:
    notes = {"00000001": NOTE | {"protocol": "aaaa1111"}, "1e234567": NOTE | {"protocol": "bbbb2222"}}
    write(folder, LINES, notes)
    with pytest.raises(ValueError, match=r"tried.csv mixes rows of 2 protocols \(aaaa1111, bbbb2222\)"):
        _results.results("tried")
