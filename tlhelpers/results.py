"""Stored runs: small CSV files that scripts in ``benchmarks/`` wrote, each with its provenance."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from tlhelpers import profile

PACKAGES = ("torch", "torchvision", "timm", "transformers", "peft", "scikit-learn", "numpy")


def folder() -> Path:
    """Return where stored results lie."""
    return profile.book_folder() / "results"


def load(name: str) -> pd.DataFrame:
    """Return a stored table; ``attrs["provenance"]`` tells command, code, machine, packages, seeds, seconds.

    Raises:
        FileNotFoundError: when it was never made.
    """
    path = folder() / f"{name}.csv"
    if not path.exists():
        raise FileNotFoundError(f"no stored result {name!r} in {folder()}; make it with 'make results'.")
    runs = pd.read_csv(path)
    runs.attrs["provenance"] = json.loads(path.with_suffix(".json").read_text())
    return runs


def save(name: str, runs: pd.DataFrame, command: str, extra: dict[str, Any] | None = None) -> Path:
    """Write a table of runs and its provenance; return the path of the CSV.

    Raises:
        ValueError: when the table has no row or no column ``seed``.
    """
    if runs.empty or "seed" not in runs:
        raise ValueError(f"{name}: nothing to store; give one row a run, with its seed.")
    folder().mkdir(parents=True, exist_ok=True)
    path = folder() / f"{name}.csv"
    # All that can fail comes first: numbers never stand beside the provenance of others.
    text = json.dumps(provenance(runs, command) | (extra or {}), indent=2) + "\n"
    partial = path.with_suffix(".partial")
    runs.to_csv(partial, index=False, float_format="%.6g")
    path.with_suffix(".json").write_text(text)
    os.replace(partial, path)
    return path


def provenance(runs: pd.DataFrame, command: str) -> dict[str, Any]:
    """Return what another person needs to make these runs again and to judge them."""
    import torch

    return {
        "command": command,
        "code": _revision(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": sys.version.split()[0],
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "threads": torch.get_num_threads(),
        "profile": profile.current().name,
        "seeds": sorted(int(seed) for seed in runs["seed"].unique()),
        "seconds": round(float(runs["seconds"].sum())) if "seconds" in runs else None,
    }


@cache  # a commit made during a long run is not the code that runs
def _revision() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=profile.book_folder(), capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short", "HEAD")
        # A stored table is itself a change; code is what counts.
        changed = git("status", "--porcelain", "--", ":/tlhelpers", ":/benchmarks")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} and uncommitted changes" if changed else commit
