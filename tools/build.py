"""Build the book: execute what changed, derive the notebooks, render the pages.

`python -m tools.build`, as `make book` runs it. The notebooks beside the chapters hold the outputs: one whose key
is today's is taken as it is, any other chapter is executed and its notebook written. What is made besides lies in
`_build/`: `executed/` (what the pages are made from, and the outputs of other profiles), `.jupyter_cache` (the
same, as Sphinx wants it), `html/`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.settings import SETTINGS, apply

# What reads and writes notebooks takes a second to import; a build that has nothing to do needs none of it.
if TYPE_CHECKING:
    from nbformat import NotebookNode

    from tools.catalog import Book
    from tools.reach import Reach

__all__ = ["PLAIN", "ROOT", "SETTINGS", "BuildFailure", "Chapter", "build", "chapters", "read_chapter"]

ROOT = Path(__file__).resolve().parent.parent
# Executed, rendered and derived like a chapter, but something to do: they have no exercises or claims.
PLAIN = ("00-first-success", "06-your-own-data")
# Where the cards of stored tables on a chapter's page lead.
MADE = "how-these-numbers-were-made.html"


class BuildFailure(RuntimeError):
    """The book cannot be built; the message says why."""


@dataclass(frozen=True)
class Chapter:
    """A chapter's file, its source as a notebook without outputs, and the key of what its outputs depend on."""

    path: Path
    source: NotebookNode
    key: str

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def notebook(self) -> Path:
        """The notebook beside the chapter."""
        return self.path.with_suffix(".ipynb")


def digest(parts: Iterable[str | Path], root: Path) -> str:
    """SHA-256 over texts and files (their names and bytes), in the given order."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            total.update(str(part.relative_to(root).as_posix()).encode() + b"\0")
            total.update(part.read_bytes() if part.exists() else b"absent")
        else:
            total.update(part.encode())
        total.update(b"\0\0")
    return total.hexdigest()


def files(root: Path, *patterns: str) -> list[Path]:
    """The files under `root` that match, sorted, without caches."""
    found = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    return sorted(path for path in found if "__pycache__" not in path.parts)


def chapters(root: Path) -> list[Path]:
    """The sources of all chapters, in order."""
    return files(root, "book/[0-9][0-9]-*.md")


def profile_name() -> str:
    """The profile that the chapters will run in, with the data set where another one is chosen."""
    name, data = os.environ.get("TLHELPERS_PROFILE", "offline"), os.environ.get("TLHELPERS_DATA")
    return f"{name} {data}" if data else name


def read_chapter(path: Path, root: Path, reach: Reach | None = None) -> Chapter:
    """Read a chapter and make its key: its code and what that reaches, the locked packages, the profile.

    Docstrings, comments of modules, and the texts and looks of claims, quizzes and cards are no part of the key.

    Raises `ConversionError` on code that the build cannot follow, or that misses a cell that readers do not get.
    """
    from tools import notebooks
    from tools.reach import Reach

    source = notebooks.read_source(path)
    notebooks.check_removed(source, path.stem)
    parts = (reach or Reach(root)).parts(notebooks.code_of(source), f"book/{path.name}")
    lock = root / "requirements.lock"
    # Neither a comment of the lock nor another build of the same version changes what a chapter finds.
    pins = re.findall(r"^[^\s#][^\\\n]*", lock.read_text(encoding="utf-8"), re.M) if lock.exists() else []
    return Chapter(path, source, digest([*parts, *pins, profile_name()], root))


def site_key(root: Path) -> str:
    """What notebooks and pages depend on, the notebooks themselves included."""
    used = files(
        root,
        "book/**/*",
        "tools/*.py",
        "tlhelpers/**/*.py*",
        "benchmarks/**/*.py",
        "_config.yml",
        "_toc.yml",
        "requirements.*",
    )
    return digest([*used, profile_name()], root)


def check_lock(root: Path) -> None:
    """Make sure that requirements.lock fulfills requirements.txt.

    Raises `BuildFailure` with the first requirement that it does not.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    wanted, lock = root / "requirements.txt", root / "requirements.lock"
    if not wanted.exists() or not lock.exists():
        return
    locked: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([\w.-]+)(?:\[.*?\])?==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.M
    ):
        locked.setdefault(canonicalize_name(name), set()).add(version)
    for line in wanted.read_text(encoding="utf-8").splitlines():
        if text := line.partition("#")[0].strip():
            requirement = Requirement(text)
            versions = locked.get(canonicalize_name(requirement.name), set())
            if not any(requirement.specifier.contains(version, prereleases=True) for version in versions):
                has = f"has {', '.join(sorted(versions))}" if versions else "does not name it"
                raise BuildFailure(
                    f"requirements.lock is stale: requirements.txt asks for {text}, and the lock {has}; "
                    "run `make lock` and commit both."
                )


def check_tables(root: Path) -> None:
    """Make sure that each row of each stored table says how it was made.

    Raises `BuildFailure` with the first table that has a row without a note.
    """
    for path in files(root, "book/results/*.csv"):
        name, notes_path = path.relative_to(root).as_posix(), path.with_suffix(".json")
        advice = f"make the row with `python -m benchmarks {path.stem}`, which writes its note."
        try:
            known = set(json.loads(notes_path.read_text(encoding="utf-8"))["notes"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BuildFailure(f"{name}: {notes_path.name} beside it holds no notes; {advice}") from error
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        if not header or header[-1] != "note":
            raise BuildFailure(f"{name} does not end with the column 'note'; {advice}")
        for number, row in enumerate(rows, start=2):
            if len(row) != len(header) or row[-1] not in known:
                note = row[-1] if len(row) == len(header) else ""
                fault = f"the note {note!r}, which {notes_path.name} does not hold" if note else "no note"
                raise BuildFailure(f"{name}, line {number}, has {fault}; {advice}")


def write(path: Path, notebook: NotebookNode) -> None:
    """Write a notebook in one step, so that an interruption leaves the old one."""
    import nbformat

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(nbformat.writes(notebook), encoding="utf-8")
    os.replace(partial, path)


def read(path: Path) -> NotebookNode:
    """Read a notebook.

    Raises `ValueError` when the file is cut off, empty, holds the marks of a merge, or is no notebook.
    """
    import nbformat
    from jsonschema import ValidationError

    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), 4)
        nbformat.validate(notebook)
        return notebook
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise ValueError(f"{path.name} is no notebook") from error


def read_committed(path: Path) -> NotebookNode | None:
    """The notebook beside a chapter, or None when there is none.

    Raises `BuildFailure` when it cannot be read, or was changed since it was made.
    """
    from tools.notebooks import seal_of

    if not path.exists():
        return None
    advice = (
        f"take the committed one back (`git checkout HEAD -- book/{path.name}`), or delete it to run the chapter"
    )
    try:
        notebook = read(path)
    except ValueError as error:
        raise BuildFailure(
            f"book/{path.name} cannot be read (cut off, empty, or with the marks of a merge); {advice}."
        ) from error
    seal = notebook.metadata.get("book", {}).get("seal")
    if seal != seal_of(notebook):
        fault = "has no seal, so this build did not write it" if seal is None else "was edited by hand"
        raise BuildFailure(f"book/{path.name} {fault}; {advice}, and edit {path.stem}.md instead.")
    return notebook


def say(text: str, *, end: str = "\n") -> None:
    """Print one line of progress; a line that will be replaced is shown on a terminal only."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end=end, flush=True)
    elif end == "\n":
        print(text, flush=True)


def taken(chapter: Chapter, root: Path) -> NotebookNode | None:
    """The executed chapter, from the notebook beside it or from an earlier build, when its key is still the same.

    Raises `BuildFailure` when the notebook beside it cannot be trusted.
    """
    from tools import notebooks

    committed = read_committed(chapter.notebook) if profile_name() == "offline" else None
    if committed is not None and committed.metadata["book"].get("key") == chapter.key:
        try:
            executed = notebooks.restored(chapter.source, committed)
        except ValueError as error:
            raise BuildFailure(
                f"book/{chapter.name}.ipynb lies: it has today's key, and other code than book/{chapter.name}.md; "
                "delete it to run the chapter."
            ) from error
        made = committed.metadata["book"]
        executed.metadata["book"] = {name: made[name] for name in ("key", "seconds") if name in made}
        return executed
    path = root / "_build" / "executed" / f"{chapter.name}.ipynb"
    try:
        earlier = read(path) if path.exists() else None
    except ValueError:
        say(f"  _build/executed/{path.name} cannot be read; the chapter is executed again")
        return None
    if earlier is None or earlier.metadata.get("book", {}).get("key") != chapter.key:
        return None
    executed = notebooks.with_outputs(chapter.source, earlier)
    executed.metadata["book"] = earlier.metadata["book"]
    return executed


def execute_chapter(chapter: Chapter, root: Path) -> NotebookNode:
    """Execute a chapter; return its source with outputs, key and the seconds that it took.

    Raises `BuildFailure` when a cell fails.
    """
    from tools import notebooks

    say(f"  {chapter.name}: running ...", end="")
    start = time.perf_counter()
    try:
        executed = notebooks.execute(chapter.source, root / "book")
    except notebooks.ExecutionFailure as failure:
        raise BuildFailure(f"book/{chapter.name}.md failed:\n{failure}") from failure
    seconds = round(time.perf_counter() - start, 1)
    executed.metadata["book"] = {"key": chapter.key, "seconds": seconds}
    say(f"  {chapter.name}: executed in {seconds:.0f} s")
    return executed


def derive_notebook(chapter: Chapter, executed: NotebookNode, book: Book) -> bool:
    """Write book/NN-*.ipynb when it would change; return whether it was written.

    An execution that took another time and found the same changes nothing: a clone's working tree stays clean.
    """
    import nbformat

    from tools import notebooks

    made = executed.metadata["book"]
    new = notebooks.derive(executed, chapter.name, book, made["key"], made.get("seconds"))
    try:
        old = read(chapter.notebook) if chapter.notebook.exists() else None
    except ValueError:
        old = None
    if old is not None:
        same = nbformat.from_dict(new)
        if "seconds" in new.metadata.book and "seconds" in old.metadata.get("book", {}):
            same.metadata.book["seconds"] = old.metadata.book["seconds"]
        if same == old:
            return False
    write(chapter.notebook, new)
    return True


def fill_cache(executed: list[tuple[Chapter, NotebookNode]], root: Path) -> None:
    """Hand the executed chapters to Sphinx, so that it executes nothing itself."""
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    from tools import notebooks

    folder = root / "_build" / ".jupyter_cache"
    shutil.rmtree(folder, ignore_errors=True)
    cache = get_cache(folder)
    for chapter, notebook in executed:
        ready = notebooks.redrawn(notebook, chapter.name, MADE)
        bundle = CacheBundleIn(ready, str(chapter.path), data={"execution_seconds": 0.0})
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def render(root: Path) -> None:
    """Render the pages from nothing: a second, partial run would forget the warnings of the first."""
    out = root / "_build"
    for name in ("html", ".doctrees", "jupyter_execute"):
        shutil.rmtree(out / name, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "tools.pages"],
        check=False,
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    log = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    (out / "pages.log").write_text(log, encoding="utf-8")
    executed_again = re.findall(r"(\S+): Executing notebook", log)
    if done.returncode != 0 or executed_again or not (out / "html" / "index.html").exists():
        shutil.rmtree(out / "html", ignore_errors=True)
        lines = log.splitlines()
        telling = [line for line in lines if re.search(r"WARNING:|ERROR|Error|Exception", line)] or lines[-25:]
        reason = f"Sphinx executed {executed_again} again: its cache did not fit\n" if executed_again else ""
        raise BuildFailure(
            reason + "the pages have faults:\n" + "\n".join(telling) + "\nWhole log: _build/pages.log"
        )


def is_current(root: Path) -> bool:
    """Whether the last build had today's inputs and all its pages are still there."""
    stamp = root / "_build" / "site.key"
    if not stamp.exists():
        return False
    key, *pages = stamp.read_text(encoding="utf-8").splitlines()
    html = root / "_build" / "html"
    return bool(pages) and all((html / page).is_file() for page in pages) and key == site_key(root)


def build(root: Path = ROOT, *, fresh: bool = False) -> bool:
    """Bring executed and derived notebooks and pages up to date; return whether pages were rendered.

    Raises `BuildFailure`, and then leaves no pages that could be taken for the new ones.
    """
    from filelock import FileLock, Timeout

    (root / "_build").mkdir(exist_ok=True)
    lock = FileLock(root / "_build" / "build.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say("  another build of this checkout is running; waiting for it")
        lock.acquire()
    try:
        return (fresh or not is_current(root)) and _build(root, fresh=fresh)
    finally:
        lock.release()


def _build(root: Path, *, fresh: bool) -> bool:
    from tools.catalog import ConversionError, read_book
    from tools.reach import Reach

    stamp, html = root / "_build" / "site.key", root / "_build" / "html"
    stamp.unlink(missing_ok=True)
    try:
        check_lock(root)
        check_tables(root)
        book, reach = read_book(root), Reach(root)
        # What can be wrong without running anything is said before the first chapter runs.
        sources = [read_chapter(path, root, reach) for path in chapters(root)]
        held = [None if fresh else taken(chapter, root) for chapter in sources]
        executed = []
        for chapter, notebook in zip(sources, held, strict=True):
            if notebook is None:
                notebook = execute_chapter(chapter, root)
            # The pages that collect claims and times look there.
            write(root / "_build" / "executed" / f"{chapter.name}.ipynb", notebook)
            executed.append((chapter, notebook))
            # The notebooks beside the chapters are those of the profile offline.
            if profile_name() == "offline" and derive_notebook(chapter, notebook, book):
                say(f"  {chapter.name}.ipynb: written")
        key = site_key(root)
        start = time.perf_counter()
        say("  pages: rendering ...", end="")
        fill_cache(executed, root)
        render(root)
        say(f"  pages: rendered in {time.perf_counter() - start:.0f} s")
    except (BuildFailure, ConversionError) as failure:
        shutil.rmtree(html, ignore_errors=True)
        raise BuildFailure(str(failure)) from failure
    pages = [path.relative_to(html).as_posix() for path in files(html, "**/*.html")]
    stamp.write_text("\n".join([key, *pages]), encoding="utf-8")
    return True


def main() -> int:
    """Command line of the build; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build the book into _build/html.")
    parser.add_argument("--fresh", action="store_true", help="execute every chapter and rewrite every notebook")
    arguments = parser.parse_args()
    apply()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    try:
        build(fresh=arguments.fresh)
    except BuildFailure as failure:
        say("")
        print(f"The book was not built. {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("")
        print("Interrupted; chapters that were executed are kept.", file=sys.stderr)
        return 130
    print(f"The book is at {(ROOT / '_build' / 'html' / 'index.html').as_uri()}\nRead it: make serve")
    return 0


if __name__ == "__main__":
    sys.exit(main())
