"""Build the book: execute what changed, derive the notebooks, render the pages.

`python -m tools.build`, as `make book` runs it. What is made lies in `_build/`: `executed/` (the notebooks
with their outputs and the key they were made with), `.jupyter_cache` (the same, as Sphinx wants it), `html/`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbformat import NotebookNode

from tools import notebooks
from tools.catalog import Book, ConversionError, read_book

ROOT = Path(__file__).resolve().parent.parent
# Executed, rendered and derived like a chapter, but a tool: it has no question, quiz, exercises or claims.
TEMPLATE = "17-your-own-data"
# An execution by hand and the one of `make notebooks` run under the same settings.
SETTINGS = {
    "TLHELPERS_PROGRESS": "0",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    # tqdm's advice to install widgets, which nothing here draws.
    "PYTHONWARNINGS": "ignore:IProgress not found",
}


class BuildFailure(RuntimeError):
    """The book cannot be built; the message says why."""


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
    name, data = os.environ.get("TLHELPERS_PROFILE") or "offline", os.environ.get("TLHELPERS_DATA")
    return f"{name} {data}" if data else name


def execution_key(chapter: Path, root: Path) -> str:
    """What a chapter's outputs depend on: code, package, stored results, quiz, lock and profile."""
    code = notebooks.code_of(notebooks.read_source(chapter))
    quizzes = [f"book/quizzes/{folder}{chapter.stem[:2]}.yml" for folder in ("", "cases/")]
    used = files(root, "tlhelpers/**/*", "book/results/*", "book/figures/*", *quizzes)
    return digest([*code, *used, root / "requirements.lock", profile_name()], root)


def site_key(root: Path, executed: Iterable[Path]) -> str:
    """What the pages depend on."""
    used = [p for p in files(root, "book/**/*", "tools/*.py", "_config.yml", "_toc.yml") if p.suffix != ".ipynb"]
    return digest([*used, root / "requirements.lock", *executed], root)


def write(path: Path, notebook: NotebookNode) -> None:
    """Write a notebook in one step, so that an interruption leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(nbformat.writes(notebook), encoding="utf-8")
    os.replace(partial, path)


def say(text: str, *, end: str = "\n") -> None:
    """Print one line of progress; a line that will be replaced is shown on a terminal only."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end=end, flush=True)
    elif end == "\n":
        print(text, flush=True)


def execute_chapter(chapter: Path, root: Path) -> Path:
    """Execute a chapter unless its outputs are up to date; return the executed notebook's path."""
    path = root / "_build" / "executed" / f"{chapter.stem}.ipynb"
    key = execution_key(chapter, root)
    if path.exists() and nbformat.read(path, 4).metadata.get("book", {}).get("key") == key:
        say(f"  {chapter.stem}: unchanged")
        return path
    path.unlink(missing_ok=True)
    say(f"  {chapter.stem}: running ...", end="")
    start = time.perf_counter()
    try:
        executed = notebooks.execute(notebooks.read_source(chapter), root / "book")
    except notebooks.ExecutionFailure as failure:
        raise BuildFailure(f"book/{chapter.name} failed:\n{failure}") from failure
    executed.metadata["book"] = {"key": key, "seconds": round(time.perf_counter() - start, 1)}
    write(path, executed)
    say(f"  {chapter.stem}: executed in {time.perf_counter() - start:.0f} s")
    return path


def derive_notebook(chapter: Path, executed: Path, book: Book, root: Path, *, fresh: bool) -> bool:
    """Write book/NN-*.ipynb when it would change; return whether it was written.

    While the committed notebook was made with the same key, its outputs are kept: a clone's working tree
    stays clean after a build, and nbval compares against what was committed.
    """
    path = chapter.with_suffix(".ipynb")
    ran = nbformat.read(executed, 4)
    key = ran.metadata["book"]["key"]
    old = nbformat.read(path, 4) if path.exists() else None
    if old is not None and not fresh and old.metadata.get("book", {}).get("key") == key:
        new = notebooks.derive_again(chapter, old, book)
    else:
        new = notebooks.derive(
            notebooks.with_outputs(notebooks.read_source(chapter), ran), chapter.stem, book, key
        )
    if old is not None and nbformat.writes(old) == nbformat.writes(new):
        return False
    write(path, new)
    return True


def fill_cache(sources: list[Path], executed: list[Path], root: Path) -> None:
    """Hand the executed notebooks to Sphinx, so that it executes nothing itself."""
    folder = root / "_build" / ".jupyter_cache"
    shutil.rmtree(folder, ignore_errors=True)
    cache = get_cache(folder)
    for source, path in zip(sources, executed, strict=True):
        ready = notebooks.with_outputs(notebooks.read_source(source), nbformat.read(path, 4))
        bundle = CacheBundleIn(ready, str(source), data={"execution_seconds": 0.0})
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def render(root: Path) -> None:
    """Run jupyter-book from nothing: a second, partial run would forget the warnings of the first."""
    out = root / "_build"
    for name in ("html", ".doctrees", "jupyter_execute"):
        shutil.rmtree(out / name, ignore_errors=True)
    start = "from jupyter_book.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        start,
        "build",
        ".",
        "--path-output",
        ".",
        "-W",
        "-n",
        "--keep-going",
        "--all",
    ]
    done = subprocess.run(
        command,
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


def build(root: Path = ROOT, *, fresh: bool = False) -> bool:
    """Bring executed and derived notebooks and pages up to date; return whether pages were rendered.

    Raises `BuildFailure`, and then leaves no pages that could be taken for the new ones.
    """
    stamp, html = root / "_build" / "site.key", root / "_build" / "html"
    if fresh:
        shutil.rmtree(root / "_build" / "executed", ignore_errors=True)
    sources = chapters(root)
    try:
        executed = [execute_chapter(chapter, root) for chapter in sources]
        key = site_key(root, executed)
        book = read_book(root)
        # The notebooks beside the chapters are those of the profile offline.
        for chapter, path in zip(sources, executed, strict=True) if profile_name() == "offline" else ():
            if derive_notebook(chapter, path, book, root, fresh=fresh):
                say(f"  {chapter.with_suffix('.ipynb').name}: written")
        if (html / "index.html").exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == key:
            return False
        stamp.unlink(missing_ok=True)
        start = time.perf_counter()
        say("  pages: rendering ...", end="")
        fill_cache(sources, executed, root)
        render(root)
        say(f"  pages: rendered in {time.perf_counter() - start:.0f} s")
        stamp.write_text(key, encoding="utf-8")
        return True
    except (BuildFailure, ConversionError) as failure:
        stamp.unlink(missing_ok=True)
        shutil.rmtree(html, ignore_errors=True)
        raise BuildFailure(str(failure)) from failure


def main() -> int:
    """Command line of the build; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build the book into _build/html.")
    parser.add_argument("--fresh", action="store_true", help="execute every chapter and rewrite every notebook")
    arguments = parser.parse_args()
    os.environ.update(SETTINGS)
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
