"""The machinery: one execution, stable derived notebooks, a comparison that bites, clear failures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tools import bootstrap, build, notebooks
from tools.catalog import Book, ConversionError

ROOT = Path(__file__).resolve().parents[2]
BOOK = Book("https://example.org/me/it", "main", {"01-a": "A"}, {})
HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A

"""
SOURCE = (
    HEADER
    + """```{code-cell} ipython3
import helper
from myst_nb import glue
glue("twice", helper.twice(2.5), display=False)
```

It is {glue:text}`twice:.1f`.

```{code-cell} ipython3
:tags: [hide-input]

helper.twice(21)
```

```{code-cell} ipython3
---
mystnb:
  figure: {caption: "What to see", name: fig-a}
  image: {alt: "a dot"}
---
values = [helper.twice(1)];
values.copy();
```
"""
)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in small: one chapter, one helper module."""
    (tmp_path / "book").mkdir()
    (tmp_path / "tlhelpers").mkdir()
    (tmp_path / "requirements.lock").write_text("a==1\n")
    (tmp_path / "book" / "01-a.md").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "book" / "helper.py").write_text("def twice(x):\n    return 2 * x\n")
    for name, value in build.SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("TLHELPERS_PROFILE", raising=False)
    return tmp_path


def made(tree: Path) -> NotebookNode:
    """Execute and derive the small chapter."""
    chapter = tree / "book" / "01-a.md"
    build.derive_notebook(chapter, build.execute_chapter(chapter, tree), BOOK, tree, fresh=False)
    return nbformat.read(chapter.with_suffix(".ipynb"), 4)


def nbval(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run nbval as `make notebooks` does."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tools.nbval_plugin"]
    command += ["--rootdir", str(tree), "--nbval", "--nbval-sanitize-with", str(ROOT / "tests" / "nbval.cfg")]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    return subprocess.run(
        [*command, "book/01-a.ipynb"],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_nbval_passes_then_bites(tree: Path) -> None:
    made(tree)
    passed = nbval(tree)
    assert passed.returncode == 0 and "4 passed" in passed.stdout, passed.stdout
    (tree / "book" / "helper.py").write_text("def twice(x):\n    return 2 * x + 1\n")
    failed = nbval(tree)
    assert failed.returncode == 1 and "Cell outputs differ" in failed.stdout, failed.stdout


def test_derived_notebook(tree: Path) -> None:
    notebook = made(tree)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "git+https://example.org/me/it@main" in code[0].source
    assert "It is 5.0." in text and "**Figure.** What to see" in text and "a dot" in text
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4]
    assert code[2].outputs[0].execution_count == 3 and code[2].metadata.jupyter.source_hidden
    nbformat.validate(notebook)


def test_same_source_same_file(tree: Path) -> None:
    notebook = made(tree)
    again = notebooks.derive_again(tree / "book" / "01-a.md", notebook, BOOK)
    assert nbformat.writes(again) == nbformat.writes(notebook)


def test_unchanged_outputs_are_kept_and_not_run_again(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tree)
    chapter = tree / "book" / "01-a.md"
    path = build.execute_chapter(chapter, tree)
    assert "unchanged" in capsys.readouterr().out.splitlines()[-1]
    assert not build.derive_notebook(chapter, path, BOOK, tree, fresh=False)
    chapter.write_text(SOURCE.replace("It is", "Now it is"), encoding="utf-8")
    assert build.execute_chapter(chapter, tree) == path and "unchanged" in capsys.readouterr().out
    assert build.derive_notebook(chapter, path, BOOK, tree, fresh=False)
    assert "Now it is 5.0." in chapter.with_suffix(".ipynb").read_text(encoding="utf-8")


def test_key_follows_all_that_decides_the_outputs(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chapter = tree / "book" / "01-a.md"
    keys = [build.execution_key(chapter, tree)]
    (tree / "book" / "results").mkdir()
    (tree / "book" / "quizzes").mkdir()
    for name in ("tlhelpers/data.py", "book/results/a.csv", "book/quizzes/01.yml", "requirements.lock"):
        (tree / name).write_text("changed")
        keys.append(build.execution_key(chapter, tree))
    monkeypatch.setenv("TLHELPERS_PROFILE", "full")
    keys.append(build.execution_key(chapter, tree))
    chapter.write_text(SOURCE.replace("21", "22"), encoding="utf-8")
    keys.append(build.execution_key(chapter, tree))
    assert len(set(keys)) == len(keys)
    (tree / "book" / "quizzes" / "02.yml").write_text("another chapter's")
    chapter.write_text(SOURCE.replace("21", "22").replace("It is", "So"), encoding="utf-8")
    assert build.execution_key(chapter, tree) == keys[-1]


@pytest.mark.parametrize(
    ("code", "said"), [("1 / 0", "ZeroDivisionError"), ("import sys; print('oh', file=sys.stderr)", "stderr")]
)
def test_a_failing_cell_is_shown_and_leaves_nothing(tree: Path, code: str, said: str) -> None:
    made(tree)
    chapter = tree / "book" / "01-a.md"
    chapter.write_text(SOURCE.replace("helper.twice(21)", code), encoding="utf-8")
    with pytest.raises(build.BuildFailure) as caught:
        build.execute_chapter(chapter, tree)
    assert said in str(caught.value) and code in str(caught.value) and "01-a.md" in str(caught.value)
    assert not (tree / "_build" / "executed" / "01-a.ipynb").exists()


def test_another_codes_notebook_is_refused(tree: Path) -> None:
    notebook = made(tree)
    chapter = tree / "book" / "01-a.md"
    chapter.write_text(SOURCE.replace("21", "22"), encoding="utf-8")
    with pytest.raises(ConversionError, match="other code"):
        notebooks.derive_again(chapter, notebook, BOOK)


@pytest.mark.parametrize(
    ("options", "named"), [(":tags: [scroll-output]\n", "scroll-output"), (":color: red\n", "color")]
)
def test_unknown_cell_options_are_refused(tree: Path, options: str, named: str) -> None:
    chapter = tree / "book" / "01-a.md"
    chapter.write_text(HEADER + "```{code-cell} ipython3\n" + options + "\n1\n```\n", encoding="utf-8")
    with pytest.raises(ConversionError, match=named):
        notebooks.derive(notebooks.read_source(chapter), "01-a", BOOK)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError(...)\nERROR: No matching distribution found for torch==2", "cannot be reached"),
        ("ERROR: No matching distribution found for torch==2.99", "torch==2.99"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "differs from the one"),
    ],
)
def test_setup_explains_what_pip_means(log: str, said: str) -> None:
    assert said in str(bootstrap.explain(log))


def test_setup_explains_nothing_it_does_not_know() -> None:
    assert bootstrap.explain("something else") is None


def test_setup_stops_on_an_old_python_or_a_full_disk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "NEEDED_PYTHON", (9, 9))
    with pytest.raises(SystemExit):
        bootstrap.check_python()
    with pytest.raises(SystemExit):
        bootstrap.check_disk(1e9)
    said = capsys.readouterr().err
    assert "9.9 or newer" in said and "GiB are free" in said


def test_help_lists_every_target() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = ["setup", "book", "serve", "test", "lint", "lint-workflow", "unit", "notebooks", "check-book", "slow"]
    for name in [*names, "results", "lock", "gpu", "gpu-smoke", "clean"]:
        assert f"make {name} " in listed
