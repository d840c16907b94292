"""Run the cells of a grid that a CSV lacks, and store each as soon as it is there."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from tqdm import tqdm

import tlhelpers as tl
from benchmarks.recipes import Run


def fill(name: str, command: str, cells: Iterable[dict[str, Any]], run: Callable[..., Run]) -> pd.DataFrame:
    """Run ``run(**cell)`` for each cell that stands in no row of the stored table ``name``; return the table.

    A row holds the cell, the scores on the test set, ``watched_accuracy`` (the best validation accuracy of any
    epoch, which is what a report without a test set would quote) and ``seconds``.
    """
    path = tl.book.folder() / f"{name}.csv"
    lock = FileLock(Path(tempfile.gettempdir()) / f"tlhelpers-{name}.lock")

    def stored() -> list[dict[str, Any]]:
        return pd.read_csv(path).to_dict("records") if path.exists() else []

    rows = stored()
    for cell in tqdm([cell for cell in cells if not any(cell.items() <= row.items() for row in rows)], unit="run"):
        start = time.perf_counter()
        found = run(**cell)
        seconds = time.perf_counter() - start
        watched = float(found.history["val_accuracy"].max())
        # Another process may fill other cells of the same table meanwhile.
        with lock:
            rows = [*stored(), cell | found.scores | {"watched_accuracy": watched, "seconds": seconds}]
            tl.book.save(name, pd.DataFrame(rows), command)
    return pd.DataFrame(stored())
