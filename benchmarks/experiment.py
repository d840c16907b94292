"""One registry of stored experiments, and the one way to fill their tables.

A script of this package makes an :class:`Experiment` at module level, and with that it is known:
``python -m benchmarks --list``. What stands in ``book/results/NAME.csv`` is not run again, each cell is written as
soon as it is there, and two processes may fill one table. Each row names a note on the code, the packages and the
machine that made it.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import math
import multiprocessing
import os
import pickle
import pkgutil
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

import tlhelpers as tl
from benchmarks.protocol import SEARCHED, Plan, digest
from tlhelpers._paths import book_folder  # private: readers of tables need neither, and two copies would part
from tlhelpers.book._results import read
from tlhelpers.profile import Profile
from tlhelpers.stats import METRICS
from tlhelpers.train import has_bf16
from tools.reach import Reach

ROOT = Path(__file__).resolve().parents[1]
CODE = ("tlhelpers", "benchmarks", "requirements.lock")  # what a row depends on and a commit can tell
PACKAGES = ("torch", "torchvision", "timm", "transformers", "peft", "scikit-learn", "numpy")
REGISTRY: dict[str, Experiment] = {}
Cell = dict[str, Any]
Row = dict[str, Any]
Note = dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """A stored table: its cells, and how one of them is run.

    Attributes:
        name: of the table, ``book/results/NAME.csv``.
        cells: gives the cells of a profile, each as the columns that name it. It is asked again when all are
            there, so that later cells may depend on earlier rows.
        run: ``run(p, **cell)`` returns the scores of a cell as one row, or as many rows as the cell has.
        check: a few cells that are cheap enough to be run again by the slow tests.
        score: the column on which such a cell has to agree with the stored rows.
        within: how closely.
        bf16: tells of a cell whether it computes in bfloat16 where the machine can.
        choose: gives the validation scores by which settings were chosen, for ``--choose``.
        plan: what the protocol says of the table. Each run is held against it, and a row may hold ``items``: an
            array ``[N]`` by name, the scores of single test items, which go into ``NAME.npz``.
        needs: packages that the main lock lacks. Where one is not installed, the experiment runs by its name only.

    Raises:
        ValueError: when there is an experiment of that name.
    """

    name: str
    cells: Callable[[Profile], Iterable[Cell]]
    run: Callable[..., Row | Iterable[Row]]
    check: Sequence[Cell] = ()
    score: str = "auroc"
    within: float = 0.02
    bf16: Callable[[Cell], bool] | None = None
    choose: Callable[[Profile], pd.DataFrame | pd.Series] | None = None
    plan: Plan | None = None
    needs: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.name in REGISTRY:
            raise ValueError(
                f"experiment {self.name!r} stands in {REGISTRY[self.name].run.__module__} already; name one anew."
            )
        REGISTRY[self.name] = self

    @property
    def path(self) -> Path:
        """Where the table lies."""
        return book_folder() / "results" / f"{self.name}.csv"

    def stored(self) -> list[dict[str, str]]:
        """Return the rows of the table as they are written, none when there is no table.

        Raises:
            ValueError: when a row has no note.
        """
        with locked(self.path):  # notes and rows are two files
            return read(self.path)[0] if self.path.is_file() else []

    def missing(self, p: Profile) -> list[Cell]:
        """Return the cells that the table lacks."""
        rows = self.stored()
        return [cell for cell in self.cells(p) if not any(holds(row, cell) for row in rows)]


def planned(
    table: str,
    plan: Plan,
    run: Callable[..., Row | Iterable[Row]],
    *,
    bf16: Callable[[Cell], bool],
    check: Sequence[Cell],
) -> Experiment:
    """Make the experiment of a table that the protocol plans; its cells are those of the plan.

    Args:
        table: name of the file; a chapter that says it as a string is taken for a reader of it, so no common word.
    """
    return Experiment(table, partial(_planned, table), run, check, SEARCHED, bf16=bf16, plan=plan)


def _planned(table: str, p: Profile) -> list[Cell]:
    experiment = REGISTRY[table]
    assert experiment.plan is not None
    return experiment.plan.cells(experiment.stored())


def discover() -> dict[str, Experiment]:
    """Import every script of this package and return the experiments by name."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        if module.name != "__main__":
            importlib.import_module(f"{package.__name__}.{module.name}")
    return REGISTRY


def text(value: object) -> str:
    """Return how a value stands in a table: numbers with six figures, nothing for NaN."""
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def holds(row: Mapping[str, str], cell: Mapping[str, object]) -> bool:
    """Return whether a row is one of a cell's."""
    return all(row.get(column) == text(value) for column, value in cell.items())


# Notes


def script(module: str) -> str:
    """Return a hash of a module and of what it imports from this repository, docstrings and comments apart.

    This very module does not count: it stores numbers and makes none.
    """
    reach = Reach(ROOT)
    waiting, reached = {module}, {__name__}
    while waiting := waiting - reached:
        name = waiting.pop()
        reached.add(name)
        if reach.locate(name):
            waiting |= reach.module(name)[1]
    names = sorted(name for name in reached - {__name__} if reach.locate(name))
    return digest([[name, reach.module(name)[0]] for name in names])


def revision(dirty: bool) -> tuple[str | None, str | None]:
    """Return the commit of the code, and a hash of what was changed since.

    Raises:
        SystemExit: when something was, or nobody can know, unless that is ``dirty`` on purpose.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short", "HEAD")
        new = git("ls-files", "--others", "--exclude-standard", "--", *CODE).splitlines()
        changed = git("diff", "HEAD", "--name-only", "--", *CODE).splitlines() + new
        diff = [git("diff", "HEAD", "--binary", "--", *CODE), *((ROOT / name).read_bytes().hex() for name in new)]
    except (OSError, subprocess.CalledProcessError):
        if not dirty:
            raise SystemExit(
                "no git checkout here, so no row could tell its code; give --dirty to go on."
            ) from None
        return None, None
    if changed and not dirty:
        raise SystemExit(
            f"{len(changed)} file(s) are not committed, first {changed[0]}, so no row could tell its code; "
            "commit them, or give --dirty to go on."
        )
    return commit, digest([new, diff]) if changed else None


def make_note(experiment: Experiment, p: Profile, commit: str | None, diff: str | None, threads: int) -> Note:
    """Return what another person needs to make the rows of an experiment again and to judge them."""
    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    return {
        "commit": commit,
        "diff": diff,
        "script": script(experiment.run.__module__),
        "packages": digest(installed),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "threads": threads,
        "device": torch.cuda.get_device_name() if p.device == "cuda" else p.device,
        "precision": "fp32",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "profile": p.name,
        **({"protocol": experiment.plan.digest} if experiment.plan else {}),
        "command": f"python -m benchmarks {experiment.name}",
        "known": "row",
    }


# Filling


@contextmanager
def locked(path: Path, cell: Cell | None = None, timeout: float = -1) -> Iterator[None]:
    """Hold a table, or one cell of it, against other processes; the system frees it when a process ends.

    Raises:
        filelock.Timeout: when another process holds it for longer.
    """
    folder = ROOT / "_build" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{path.stem}-{digest([str(path), cell])}.lock", timeout=timeout):
        yield


def put(path: Path, cell: Cell, rows: Sequence[Row], note: Note, *, seeded: bool = True) -> None:
    """Write the rows of a cell into a table, in place of those it had; all other rows stay as they are.

    Args:
        seeded: whether each row is a run and has a seed; what is made from whole tables has none.

    Raises:
        ValueError: when there is no row, a row lacks a seed, or a row of the table has no note.
    """
    if not rows or (seeded and not all("seed" in row for row in rows)):
        raise ValueError(f"{path.stem} {cell}: nothing to store; return one row or more, each with its seed.")
    with locked(path):
        there, notes = read(path) if path.is_file() else ([], {})
        at = next((number for number, row in enumerate(there) if holds(row, cell)), len(there))
        there = [row for row in there if not holds(row, cell)]
        mark = digest(note)
        there[at:at] = [{column: text(value) for column, value in row.items()} | {"note": mark} for row in rows]
        columns = [*dict.fromkeys(column for row in there for column in row if column != "note"), "note"]
        path.parent.mkdir(parents=True, exist_ok=True)
        # A note comes before its rows and goes after them, so that no crash leaves a row without.
        _write_notes(path, notes | {mark: note})
        partial_path = path.with_suffix(".partial")
        with partial_path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(there)
        os.replace(partial_path, path)
        used = {row["note"] for row in there}
        _write_notes(path, {key: value for key, value in (notes | {mark: note}).items() if key in used})


def put_items(path: Path, cell: Cell, items: Mapping[str, np.ndarray]) -> None:
    """Write the scores of single items of a cell beside its table, in place of those it had."""
    archive = path.with_suffix(".npz")
    key = items_key(cell)
    with locked(archive):
        held = {}
        if archive.is_file():
            with np.load(archive, allow_pickle=False) as file:
                held = {name: file[name] for name in file.files if not name.startswith(f"{key}|")}
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial_path = archive.with_suffix(".npz.partial")
        with partial_path.open("wb") as file:
            arrays: dict[str, Any] = {**held, **{f"{key}|{name}": values for name, values in items.items()}}
            np.savez_compressed(file, **arrays)
        os.replace(partial_path, archive)


def items_key(cell: Mapping[str, object]) -> str:
    """Return the name of a cell in an archive of single items."""
    return "|".join(f"{column}={text(value)}" for column, value in cell.items())


def _write_notes(path: Path, notes: Mapping[str, Note]) -> None:
    partial_path = path.with_suffix(".json.partial")
    partial_path.write_text(json.dumps({"notes": notes}, indent=2) + "\n", encoding="utf-8")
    os.replace(partial_path, path.with_suffix(".json"))


def make(experiment: Experiment, p: Profile, note: Note, again: bool, cell: Cell) -> None:
    """Run a cell and store its rows, unless it is stored already or another process is at it."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(experiment.path, cell, timeout=0))
        except Timeout:
            return
        if not again and any(holds(row, cell) for row in experiment.stored()):
            return
        if experiment.plan is not None:
            experiment.plan.check(cell)
        start = time.perf_counter()
        result = experiment.run(p, **cell)
        rows = [result] if isinstance(result, dict) else list(result)
        items = {} if experiment.plan is None else {k: v for row in rows for k, v in row.pop("items", {}).items()}
        if experiment.plan is not None:
            for row in rows:
                experiment.plan.check_scores(cell, row, METRICS)
        if items:
            put_items(experiment.path, cell, items)
        seconds = (time.perf_counter() - start) / max(len(rows), 1)
        if experiment.bf16 is not None and experiment.bf16(cell) and has_bf16(p.device):
            note = note | {"precision": "bf16"}
        put(experiment.path, cell, [{**cell, **row, "seconds": row.get("seconds", seconds)} for row in rows], note)


def fill(
    experiment: Experiment,
    p: Profile,
    note: Note,
    *,
    only: Mapping[str, str] | None = None,
    again: bool = False,
    workers: int = 1,
) -> None:
    """Run the cells that a table lacks, or with ``again`` all of them, and store each as soon as it is there.

    Args:
        only: column and value, as it stands in the table, of the cells that are meant; all when left out.
        workers: processes, each on one thread when there are several.

    Raises:
        SystemExit: when no cell is meant, or the table holds rows of another profile.
    """
    _check_profile(experiment, p)
    done: list[Cell] = []
    while True:
        every = [cell for cell in experiment.cells(p) if holds({k: text(v) for k, v in cell.items()}, only or {})]
        if not every:
            columns = ", ".join(dict.fromkeys(column for cell in experiment.cells(p) for column in cell))
            raise SystemExit(f"{experiment.name} has no cell with {dict(only or {})}; its columns are {columns}.")
        rows = [] if again else experiment.stored()
        todo = [cell for cell in every if cell not in done and not any(holds(row, cell) for row in rows)]
        if not todo:
            return
        work = partial(make, experiment, p, note, again)
        # Asked for: TQDM_DISABLE hides the bars of the runs themselves.
        with tqdm(total=len(todo), desc=experiment.name, unit="cell", disable=False) as bar:
            for _ in _over(work, todo, workers):
                bar.update()
        done += todo


def _over(work: Callable[[Cell], None], cells: Sequence[Cell], workers: int) -> Iterator[object]:
    if workers == 1:
        yield from map(work, cells)
        return
    pickle.dumps(work)  # what cannot travel to a process raises here; in the pool it would wait forever
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=fresh, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for future in as_completed([pool.submit(work, cell) for cell in cells]):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _check_profile(experiment: Experiment, p: Profile) -> None:
    with locked(experiment.path):
        notes = read(experiment.path)[1] if experiment.path.is_file() else {}
    planned = experiment.plan.digest if experiment.plan else None
    if others := sorted({str(note.get("protocol")) for note in notes.values()} - {str(planned)}):
        raise SystemExit(
            f"{experiment.path.name} holds rows of protocol {others[0]}, and the protocol is {planned} now; move "
            "the table, its notes and its archive away, and run all cells again."
        )
    if others := sorted({note["profile"] for note in notes.values()} - {p.name}):
        raise SystemExit(
            f"{experiment.path.name} holds rows of profile {others[0]!r}, and this is profile {p.name!r}; "
            "move the table and its notes away first."
        )


# Command line


def main(arguments: Sequence[str] | None = None) -> None:
    """Run experiments as asked; see ``python -m benchmarks --help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Make stored results.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments; all, in order, when left out")
    parser.add_argument("--only", nargs="+", default=[], metavar="KEY=VALUE", help="cells with these values")
    parser.add_argument("--again", action="store_true", help="run cells that are stored, too, and replace them")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes, each on one thread")
    parser.add_argument("--dirty", action="store_true", help="go on although code is not committed")
    parser.add_argument("--choose", action="store_true", help="show the scores by which settings were chosen")
    parser.add_argument("--list", action="store_true", help="show names, stored cells and all cells")
    asked = parser.parse_args(arguments)
    known, p = discover(), tl.profile.current()
    if unknown := [name for name in asked.names if name not in known]:
        parser.error(f"no experiment {unknown[0]!r}; there are {', '.join(known)}.")
    if asked.workers < 1:
        parser.error(f"--workers {asked.workers}: give 1 or more.")
    if wrong := [pair for pair in asked.only if "=" not in pair]:
        parser.error(f"--only {wrong[0]}: give column=value.")
    chosen = [known[name] for name in asked.names or known]
    if asked.list:
        for experiment in chosen:
            every = len(list(experiment.cells(p)))
            print(f"{experiment.name:12} {every - len(experiment.missing(p)):4} of {every:4} cells")
        return
    if asked.choose:
        for experiment in chosen:
            if experiment.choose is not None:
                print(f"{experiment.name}\n{experiment.choose(p).to_string()}")
        return
    only = dict(pair.split("=", 1) for pair in asked.only)
    commit, diff = revision(asked.dirty)
    if asked.workers > 1:  # before they start: libraries read it when they are loaded
        os.environ["OMP_NUM_THREADS"] = "1"
    for experiment in chosen:
        lacking = [name for name in experiment.needs if util.find_spec(name) is None]
        if lacking and not asked.names:
            print(f"{experiment.name} is left out: {lacking[0]} is not installed.")
            continue
        threads = 1 if asked.workers > 1 else torch.get_num_threads()
        note = make_note(experiment, p, commit, diff, threads)
        fill(experiment, p, note, only=only, again=asked.again, workers=asked.workers)
