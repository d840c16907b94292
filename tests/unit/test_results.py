"""A stored table comes back as it was, with all that another person needs to make it again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest
import torch

from tlhelpers import profile, results

FIELDS = ["command", "code", "machine", "python", "packages", "threads", "profile", "seeds", "seconds"]


@pytest.fixture(autouse=True)
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let the book lie in an empty folder, outside of any repository."""
    monkeypatch.setattr(profile, "book_folder", lambda: tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    results._revision.cache_clear()
    yield tmp_path
    results._revision.cache_clear()


@pytest.fixture
def runs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "strategy": ["frozen", "two-stage", "frozen", "two-stage"],
            "seed": [1, 1, 0, 0],
            "auroc": [0.8125, 0.912345, 0.75, float("nan")],
            "seconds": [1.25, 30.5, 1.5, 28.0],
        }
    )


class TestRoundTrip:
    def test_a_table_comes_back_as_it_was(self, runs: pd.DataFrame) -> None:
        results.save("tried", runs, "python -m tried")
        pd.testing.assert_frame_equal(results.load("tried"), runs)

    def test_the_index_is_not_stored(self, runs: pd.DataFrame) -> None:
        results.save("tried", runs.set_index(pd.Index([7, 8, 9, 10])), "python -m tried")
        assert results.load("tried").columns.tolist() == runs.columns.tolist()

    def test_six_digits_are_kept(self, runs: pd.DataFrame) -> None:
        results.save("tried", runs.assign(auroc=2 / 3), "python -m tried")
        assert results.load("tried")["auroc"].tolist() == [0.666667] * 4

    def test_its_provenance_comes_with_it(self, runs: pd.DataFrame) -> None:
        results.save("tried", runs, "python -m tried")
        assert results.load("tried").attrs["provenance"] == results.provenance(runs, "python -m tried")

    def test_more_may_be_said_in_the_provenance(self, runs: pd.DataFrame) -> None:
        results.save("tried", runs, "python -m tried", extra={"note": "a first try", "machine": "mine"})
        found = results.load("tried").attrs["provenance"]
        assert found == results.provenance(runs, "python -m tried") | {"note": "a first try", "machine": "mine"}

    def test_saving_again_replaces_table_and_provenance(self, runs: pd.DataFrame) -> None:
        results.save("tried", runs.iloc[:2], "python -m tried")
        results.save("tried", runs, "python -m again")
        found = results.load("tried")
        assert len(found) == 4 and found.attrs["provenance"]["command"] == "python -m again"


class TestFiles:
    def test_results_lie_in_the_book(self, book: Path) -> None:
        assert results.folder() == book / "results"

    def test_the_path_of_the_csv_is_given_and_nothing_else_is_left(self, book: Path, runs: pd.DataFrame) -> None:
        path = results.save("tried", runs, "python -m tried")
        assert path == book / "results" / "tried.csv"
        assert {file.name for file in path.parent.iterdir()} == {"tried.csv", "tried.json"}

    def test_they_are_plain_text(self, book: Path, runs: pd.DataFrame) -> None:
        path = results.save("tried", runs, "python -m tried")
        assert path.read_text().splitlines()[:2] == ["strategy,seed,auroc,seconds", "frozen,1,0.8125,1.25"]
        text = path.with_suffix(".json").read_text()
        assert list(json.loads(text)) == FIELDS and text.endswith("}\n")

    def test_a_missing_result_says_how_to_make_it(self, book: Path) -> None:
        message = rf"no stored result 'tried' in {re.escape(str(book / 'results'))}; make it with 'make results'"
        with pytest.raises(FileNotFoundError, match=message):
            results.load("tried")

    def test_nothing_is_not_stored(self, book: Path, runs: pd.DataFrame) -> None:
        for nothing in (runs.iloc[:0], pd.DataFrame(), runs.drop(columns="seed")):
            with pytest.raises(ValueError, match="tried: nothing to store; give one row a run, with its seed"):
                results.save("tried", nothing, "python -m tried")
        assert not results.folder().exists()

    def test_numbers_never_stand_beside_the_provenance_of_others(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(results, "folder", lambda: tmp_path)
        results.save("tried", pd.DataFrame({"seed": [0], "auroc": [0.5]}), "first")
        with pytest.raises(TypeError):
            results.save("tried", pd.DataFrame({"seed": [1], "auroc": [0.9]}), "second", extra={"p": Path("a")})
        kept = results.load("tried")
        assert kept["auroc"].tolist() == [0.5] and kept.attrs["provenance"]["command"] == "first"


class TestProvenance:
    def test_it_tells_command_seeds_and_seconds(self, runs: pd.DataFrame) -> None:
        found = results.provenance(runs, "python -m tried")
        assert list(found) == FIELDS
        assert found["command"] == "python -m tried"
        assert found["seeds"] == [0, 1] and found["seconds"] == 61

    def test_without_times_the_seconds_are_unknown(self, runs: pd.DataFrame) -> None:
        assert results.provenance(runs.drop(columns="seconds"), "c")["seconds"] is None

    def test_it_tells_the_machine_and_the_versions(self, runs: pd.DataFrame) -> None:
        found = results.provenance(runs, "c")
        assert f"{os.cpu_count()} cores" in found["machine"]
        assert found["python"] == ".".join(map(str, sys.version_info[:3]))
        assert found["threads"] == torch.get_num_threads()
        text = {"transformers", "peft"}
        assert set(found["packages"]) == {"torch", "torchvision", "timm", "scikit-learn", "numpy"} | text
        assert found["packages"]["scikit-learn"] == metadata.version("scikit-learn")

    @pytest.mark.parametrize("name", ["offline", "smoke"])
    def test_it_tells_the_profile(self, runs: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv("TLHELPERS_PROFILE", name)
        assert results.provenance(runs, "c")["profile"] == name

    def test_it_can_be_written_as_json(self, runs: pd.DataFrame) -> None:
        found = results.provenance(runs, "c")
        assert json.loads(json.dumps(found)) == found

    def test_the_code_is_the_commit_that_the_book_is_at(self, book: Path, runs: pd.DataFrame) -> None:
        commit(book)
        found = results.provenance(runs, "c")["code"]
        assert re.fullmatch(r"[0-9a-f]{7,}", found) and head(book).startswith(found)

    def test_a_commit_made_during_a_long_run_is_not_the_code_that_runs(
        self, book: Path, runs: pd.DataFrame
    ) -> None:
        commit(book)
        first = results.provenance(runs, "c")["code"]
        commit(book)
        assert results.provenance(runs, "c")["code"] == first and not head(book).startswith(first)

    def test_code_that_no_commit_holds_is_told(self, book: Path, runs: pd.DataFrame) -> None:
        commit(book)
        (book / "benchmarks").mkdir()
        (book / "benchmarks" / "new.py").write_text("")
        assert results.provenance(runs, "c")["code"].endswith(" and uncommitted changes")

    def test_a_change_that_is_not_code_does_not_count(self, book: Path, runs: pd.DataFrame) -> None:
        commit(book)
        (book / "notes.txt").write_text("not code")
        assert head(book).startswith(results.provenance(runs, "c")["code"])

    def test_outside_of_a_repository_the_code_is_unknown(self, runs: pd.DataFrame) -> None:
        assert results.provenance(runs, "c")["code"] == "unknown"

    def test_without_git_the_code_is_unknown(
        self, book: Path, runs: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit(book)
        monkeypatch.setenv("PATH", str(book))
        assert results.provenance(runs, "c")["code"] == "unknown"


def git(folder: Path, *command: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *command], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path) -> None:
    """Make a commit in ``folder``, a repository of its own."""
    git(folder, "init", "--quiet")
    git(folder, "commit", "--quiet", "--allow-empty", "--no-verify", f"--message={os.urandom(8).hex()}")


def head(folder: Path) -> str:
    return git(folder, "rev-parse", "HEAD")
