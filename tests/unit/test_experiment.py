"""Stored experiments: only what is missing is run, every run is stored at once, and every row tells its origin."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tlhelpers as tl
from benchmarks import experiment as bench
from benchmarks.experiment import Cell, Experiment
from tlhelpers import _paths
from tlhelpers.profile import Profile

CELLS = [{"kind": kind, "seed": seed} for seed in (0, 1) for kind in ("a", "b")]
NOTE = {"commit": "abc1234", "profile": "offline", "precision": "fp32", "known": "row"}
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder where results are stored, and an empty registry."""
    monkeypatch.setattr(bench, "REGISTRY", {})
    for module in (bench, _paths):
        monkeypatch.setattr(module, "book_folder", lambda: tmp_path)
    return tmp_path / "results"


@pytest.fixture
def p() -> Profile:
    return tl.profile.current()


class Runner:
    """A run that counts its calls and can be cut off."""

    __module__ = "benchmarks.recipes"

    def __init__(self, until: int | None = None) -> None:
        self.calls: list[Cell] = []
        self.until = until

    def __call__(self, p: Profile, **cell: Any) -> dict[str, float]:
        if len(self.calls) == self.until:
            raise KeyboardInterrupt
        self.calls.append(cell)
        return {"accuracy": 0.8, "auroc": 0.6 + cell["seed"] / 10}


def make(run: Callable[..., Any], cells: list[Cell] = CELLS, **options: Any) -> Experiment:
    """An experiment called ``tried`` in a registry of its own."""
    bench.REGISTRY.clear()
    return Experiment("tried", lambda p: cells, run, **options)


def lines(folder: Path) -> list[str]:
    return (folder / "tried.csv").read_text().splitlines()


class TestFill:
    def test_every_cell_becomes_a_row_with_its_scores_and_its_note(self, p: Profile) -> None:
        bench.fill(make(Runner()), p, NOTE)
        rows = tl.book.results("tried")
        assert rows[["kind", "seed"]].to_dict("records") == CELLS
        assert rows["auroc"].tolist() == [0.6, 0.6, 0.7, 0.7] and rows["seconds"].ge(0).all()
        assert list(rows.attrs["notes"].values()) == [NOTE]

    def test_an_interrupted_grid_goes_on_where_it_stopped(self, p: Profile) -> None:
        with pytest.raises(KeyboardInterrupt):
            bench.fill(make(Runner(until=3)), p, NOTE)
        assert len(tl.book.results("tried")) == 3
        again = Runner()
        bench.fill(make(again), p, NOTE)
        assert again.calls == CELLS[3:] and len(tl.book.results("tried")) == 4

    def test_a_block_is_as_many_rows_that_share_its_seconds(self, p: Profile) -> None:
        def run(p: Profile, kind: str, seed: int) -> Iterator[dict[str, float]]:
            yield {"step": 0, "loss": 0.9}
            yield {"step": 1, "loss": 0.5, "seconds": 7.0}

        bench.fill(make(run), p, NOTE)
        rows = tl.book.results("tried")
        assert len(rows) == 8 and rows["step"].tolist() == [0, 1] * 4
        assert rows["seconds"].tolist()[1::2] == [7.0] * 4 and (rows["seconds"][::2] < 1).all()
        calls = Runner()
        bench.fill(make(calls), p, NOTE)
        assert not calls.calls

    def test_later_cells_may_depend_on_earlier_rows(self, p: Profile) -> None:
        def cells(p: Profile) -> list[Cell]:
            stored = experiment.stored()
            return CELLS + [{"kind": "best", "seed": 7}] * (len(stored) >= len(CELLS))

        bench.REGISTRY.clear()
        experiment = Experiment("tried", cells, Runner())
        bench.fill(experiment, p, NOTE)
        assert tl.book.results("tried")["kind"].tolist() == ["a", "b", "a", "b", "best"]

    def test_only_the_cells_asked_for_are_run(self, p: Profile) -> None:
        run = Runner()
        bench.fill(make(run), p, NOTE, only={"kind": "b", "seed": "1"})
        assert run.calls == [{"kind": "b", "seed": 1}]

    @pytest.mark.parametrize("only", [{"kind": "c"}, {"color": "red"}])
    def test_cells_that_are_not_there_are_refused(self, only: dict[str, str], p: Profile) -> None:
        with pytest.raises(SystemExit, match=r"tried has no cell with .*(c|red).*kind, seed"):
            bench.fill(make(Runner()), p, NOTE, only=only)

    def test_again_replaces_rows_where_they_stand_and_no_other(self, folder: Path, p: Profile) -> None:
        bench.fill(make(Runner()), p, NOTE)
        before = lines(folder)
        bench.fill(
            make(lambda p, kind, seed: {"accuracy": 1.0, "auroc": 1.0}),
            p,
            NOTE | {"commit": "def5678"},
            only={"kind": "b", "seed": "0"},
            again=True,
        )
        after = lines(folder)
        assert [number for number in range(5) if before[number] != after[number]] == [2]
        notes = tl.book.results("tried").attrs["notes"]
        assert sorted(note["commit"] for note in notes.values()) == ["abc1234", "def5678"]

    def test_a_note_that_no_row_names_any_more_goes(self, p: Profile) -> None:
        bench.fill(make(Runner()), p, NOTE)
        bench.fill(make(Runner()), p, NOTE | {"commit": "def5678"}, again=True)
        assert [note["commit"] for note in tl.book.results("tried").attrs["notes"].values()] == ["def5678"]

    def test_rows_of_another_profile_do_not_join(self, p: Profile) -> None:
        bench.fill(make(Runner(until=4)), p, NOTE)
        with pytest.raises(SystemExit, match=r"tried\.csv holds rows of profile 'offline'.*'full'"):
            bench.fill(make(Runner()), dataclasses.replace(p, name="full"), NOTE)

    def test_a_cell_in_bfloat16_says_so_where_the_machine_can(
        self, p: Profile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bench, "has_bf16", lambda device: True)
        bench.fill(make(Runner(), bf16=lambda cell: cell["kind"] == "a"), p, NOTE)
        notes = tl.book.results("tried").attrs["notes"]
        rows = bench.REGISTRY["tried"].stored()
        assert [notes[row["note"]]["precision"] for row in rows] == ["bf16", "fp32"] * 2


class TestTable:
    def test_rows_that_are_there_keep_every_byte(self, folder: Path, p: Profile) -> None:
        bench.fill(make(Runner()), p, NOTE)
        old = (folder / "tried.csv").read_text().replace("0.8", "0.80000")
        old = old.replace("\na,", '\n"a, b",')  # as a person or an older version may have written it
        (folder / "tried.csv").write_text(old)
        bench.put(folder / "tried.csv", {"seed": 5}, [{"seed": 5, "accuracy": 1 / 3}], NOTE)
        assert (folder / "tried.csv").read_text().startswith(old)
        assert lines(folder)[-1].split(",")[:3] == ["", "5", "0.333333"]

    def test_a_new_column_comes_before_the_note(self, folder: Path) -> None:
        for row in ({"seed": 0, "a": 1.0}, {"seed": 1, "b": float("nan")}):
            bench.put(folder / "tried.csv", {"seed": row["seed"]}, [row], NOTE)
        note = bench.digest(NOTE)
        assert lines(folder) == ["seed,a,b,note", f"0,1,,{note}", f"1,,,{note}"]

    @pytest.mark.parametrize("rows", [[], [{"accuracy": 0.5}]])
    def test_nothing_and_rows_without_a_seed_are_not_stored(self, rows: list, folder: Path) -> None:
        with pytest.raises(ValueError, match=r"tried .*'kind': 'a'.*seed"):
            bench.put(folder / "tried.csv", {"kind": "a"}, rows, NOTE)
        assert not folder.exists()

    @pytest.mark.parametrize("mark", ["", "1234abcd"])
    def test_a_row_written_by_hand_stops_everything(self, mark: str, folder: Path, p: Profile) -> None:
        bench.fill(make(Runner()), p, NOTE)
        with (folder / "tried.csv").open("a") as file:
            file.write(f"c,0,0.99,0.99,1,{mark}\n")
        run = Runner()
        with pytest.raises(ValueError, match=r"tried\.csv, row 5: its note"):
            bench.fill(make(run), p, NOTE)
        with pytest.raises(ValueError, match=r"tried\.csv, row 5: its note"):
            bench.put(folder / "tried.csv", {"seed": 9}, [{"seed": 9}], NOTE)
        assert not run.calls

    def test_numbers_have_six_figures_and_nan_is_nothing(self) -> None:
        values = (1 / 3, 1e-5, 2.0, 7, True, "a, b", float("nan"))
        assert [bench.text(value) for value in values] == ["0.333333", "1e-05", "2", "7", "True", "a, b", ""]


class TestTwoWriters:
    def test_a_cell_that_another_process_runs_is_left_to_it(self, p: Profile) -> None:
        run = Runner()
        with bench.locked(make(run).path, CELLS[1], timeout=0):
            bench.fill(bench.REGISTRY["tried"], p, NOTE)
        assert run.calls == [CELLS[0], *CELLS[2:]]
        bench.fill(bench.REGISTRY["tried"], p, NOTE)
        assert run.calls[3:] == [CELLS[1]]

    def test_rows_that_another_process_stored_meanwhile_stay(self, p: Profile) -> None:
        other = Runner()

        def run(p: Profile, kind: str, seed: int) -> dict[str, float]:
            for cell in CELLS:  # the other process is at every cell, this one among them
                bench.make(both, p, NOTE | {"commit": "def5678"}, False, cell)
            return {"accuracy": 0.1}

        both = make(other)
        bench.REGISTRY.clear()
        bench.fill(Experiment("tried", lambda p: CELLS[:1], run), p, NOTE)
        rows = tl.book.results("tried")
        assert len(rows) == 4 and sorted(rows["accuracy"]) == [0.1, 0.8, 0.8, 0.8]
        assert other.calls == CELLS[1:]


class TestRegistry:
    def test_a_name_stands_for_one_experiment(self) -> None:
        make(Runner())
        with pytest.raises(ValueError, match=r"'tried' stands in benchmarks\.recipes already"):
            Experiment("tried", lambda p: CELLS, Runner())

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nothing"], "no experiment 'nothing'; there are tried"),
            (["tried", "--only", "kind"], "--only kind: give column=value"),
            (["tried", "--workers", "0"], "--workers 0: give 1 or more"),
        ],
    )
    def test_a_command_that_means_nothing_is_refused(
        self, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        make(Runner())
        monkeypatch.setattr(bench, "discover", lambda: bench.REGISTRY)
        with pytest.raises(SystemExit):
            bench.main(arguments)
        assert message in capsys.readouterr().err

    def test_the_list_tells_what_is_stored(
        self, p: Profile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        bench.fill(make(Runner()), p, NOTE, only={"kind": "a"})
        monkeypatch.setattr(bench, "discover", lambda: bench.REGISTRY)
        bench.main(["--list"])
        assert capsys.readouterr().out.split() == ["tried", "2", "of", "4", "cells"]


def git(root: Path, *arguments: str) -> str:
    """Run git in a folder, as somebody."""
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    return subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository with one experiment, all of it committed."""
    root = tmp_path / "checkout"
    for name, code in {
        "benchmarks/__init__.py": "",
        "benchmarks/tried.py": '"""Tried."""\nfrom benchmarks import part\n\nX = part.X\n',
        "benchmarks/part.py": "X = 1\n",
        "tlhelpers/__init__.py": "",
        "book/results/tried.csv": "seed\n0\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(code)
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    monkeypatch.setattr(bench, "ROOT", root)
    return root


class TestNotes:
    def test_a_note_tells_all_that_made_the_row(self, p: Profile) -> None:
        note = bench.make_note(make(Runner()), p, "abc1234", None, threads=1)
        assert json.loads(json.dumps(note)) == note
        assert set(note) == {
            "commit", "diff", "script", "packages", "versions", "python", "threads", "device", "precision",
            "machine", "profile", "command", "known",
        }  # fmt: skip
        assert note["command"] == "python -m benchmarks tried" and note["known"] == "row"
        assert note["versions"]["torch"] and len(note["script"]) == len(note["packages"]) == 8

    def test_a_committed_tree_has_a_commit_and_no_diff(self, checkout: Path) -> None:
        (checkout / "book" / "results" / "tried.csv").write_text("seed\n1\n")  # a table is no code
        assert bench.revision(dirty=False) == (git(checkout, "rev-parse", "--short", "HEAD").strip(), None)

    @pytest.mark.parametrize("name", ["benchmarks/part.py", "tlhelpers/new.py"])
    def test_a_dirty_tree_is_refused_unless_asked_for(self, name: str, checkout: Path) -> None:
        hashes = set()
        for code in ("X = 2\n", "X = 3\n"):
            (checkout / name).write_text(code)
            with pytest.raises(SystemExit, match=f"1 file.*{name}.*--dirty"):
                bench.revision(dirty=False)
            hashes.add(bench.revision(dirty=True)[1])
        assert len(hashes) == 2 and None not in hashes

    def test_without_git_nothing_is_known(self, checkout: Path) -> None:
        shutil.rmtree(checkout / ".git")
        with pytest.raises(SystemExit, match=r"no git checkout.*--dirty"):
            bench.revision(dirty=False)
        assert bench.revision(dirty=True) == (None, None)

    def test_a_script_is_its_code_and_that_of_what_it_imports(self, checkout: Path) -> None:
        def after(name: str, code: str) -> str:
            (checkout / "benchmarks" / name).write_text(code)
            return bench.script("benchmarks.tried")

        first = bench.script("benchmarks.tried")
        assert after("part.py", '"""A docstring."""\nX = 1  # a comment\n') == first
        assert after("other.py", "Y = 1\n") == first
        assert after("part.py", "X = 2\n") != first

    def test_the_engine_is_no_part_of_a_script(self, checkout: Path) -> None:
        tried = checkout / "benchmarks" / "tried.py"
        tried.write_text(tried.read_text() + "from benchmarks.experiment import Experiment\n")
        hashes = set()
        for code in ("Experiment = 1\n", "Experiment = 2\n"):
            (checkout / "benchmarks" / "experiment.py").write_text(code)
            hashes.add(bench.script("benchmarks.tried"))
        assert len(hashes) == 1


SCRIPT = '''"""A script that nobody lists anywhere."""

import torch

from benchmarks.experiment import Experiment


def cells(p):
    return [{"seed": seed} for seed in range(6)]


def run(p, seed):
    return {"threads": torch.get_num_threads()}


Experiment("tried", cells, run)
'''


def test_the_command_finds_a_new_script_and_fills_its_table_with_two_processes(tmp_path: Path) -> None:
    root = tmp_path / "whole"
    for name in ("tlhelpers", "tools"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "benchmarks").mkdir()
    for name in ("__init__.py", "__main__.py", "experiment.py", "protocol.py", "protocol.yml"):
        shutil.copy(REPOSITORY / "benchmarks" / name, root / "benchmarks")
    (root / "benchmarks" / "tried.py").write_text(SCRIPT)
    (root / "book").mkdir()
    (root / "book" / "index.md").write_text("")
    (root / ".gitignore").write_text("__pycache__\n_build\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    command = [sys.executable, "-m", "benchmarks", "tried", "--workers", "2"]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, env=dict(clean(), PYTHONPATH=str(root))
    )
    assert done.returncode == 0, done.stderr
    rows = (root / "book" / "results" / "tried.csv").read_text().splitlines()
    assert sorted(row.split(",")[0] for row in rows[1:]) == list("012345")
    assert {row.split(",")[1] for row in rows[1:]} == {"1"}
    (note,) = json.loads((root / "book" / "results" / "tried.json").read_text())["notes"].values()
    assert note["commit"] == git(root, "rev-parse", "--short", "HEAD").strip() and note["diff"] is None
    assert note["threads"] == 1


def clean() -> dict[str, str]:
    """This environment without what chose profile, data or threads."""
    import os

    return {key: value for key, value in os.environ.items() if not key.startswith(("TLHELPERS", "OMP", "TQDM"))}
