"""What the tables of the protocol say: each arm's score, and the difference between two arms, with intervals.

Made from the scores of single items, without a network, in a minute: ``python -m benchmarks.contrasts``. Primary
endpoints carry Holm's correction; all other contrasts are exploratory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch

import tlhelpers as tl
from benchmarks import cells, experiment, others, pieces, protocol, sentences
from benchmarks.experiment import Experiment, Row
from tlhelpers.profile import Profile
from tlhelpers.stats import Interval, Run

NAME = "contrasts"
# Of each table of the protocol: its experiment, and which items a run learns from.
TABLES: dict[str, tuple[Experiment, Callable[..., np.ndarray]]] = {
    "cells": (cells.EXPERIMENT, cells.few),
    "pieces": (pieces.EXPERIMENT, pieces.few),
    "sentences": (sentences.EXPERIMENT, sentences.few),
    "shift": (cells.SHIFTED, cells.few_of_shift),
    "textures": (others.TURNED, others.few_textures),
    "digits": (others.WRITTEN, others.few_digits),
}


class Contrast(NamedTuple):
    """A score of ``plus``, or what it has more than ``minus``; ``part`` names other items than the test part."""

    table: str
    labels: int
    plus: str
    minus: str = ""
    part: str = ""


def asked() -> dict[Contrast, str]:
    """Return the contrasts of the primary endpoints and the name of each; the one of two tables is left out."""
    return {
        Contrast(it["table"], labels, it["plus"], it["minus"], it.get("part", "")): f"{name} {labels}"
        for name, it in protocol.document()["endpoints"].items()
        if "less" not in it
        for labels in it["labels"]
    }


def possible(table: str) -> Iterator[Contrast]:
    """Yield every score and difference that a table allows."""
    arms = protocol.plan(table).arms
    parts = ("", "other kind") if table == "shift" else ("",)
    primary = asked()
    for labels in sorted({labels for arm in arms.values() for labels in arm["labels"]}):
        there = [arm for arm in arms if labels in arms[arm]["labels"]]
        for part in parts:
            yield from (Contrast(table, labels, arm, "", part) for arm in there)
            # Later arms borrow more; a difference says what that gains, but for endpoints that have it turned.
            for minus, plus in combinations(there, 2):
                turned = Contrast(table, labels, minus, plus, part)
                yield turned if turned in primary else Contrast(table, labels, plus, minus, part)


class Archive:
    """Scores of single items of a table, by cell."""

    def __init__(self, table: str) -> None:
        self.plan = protocol.plan(table)
        experiment, self.few = TABLES[table]
        if missing := experiment.missing(tl.profile.current()):
            raise SystemExit(
                f"table {experiment.name} lacks {len(missing)} cell(s), first {missing[0]}: all cells or none of "
                f"its numbers. Run python -m benchmarks {experiment.name}."
            )
        self.rows = experiment.stored()
        with np.load(experiment.path.with_suffix(".npz"), allow_pickle=False) as file:
            self.held = {name: file[name] for name in file.files}
        self.settings = self.plan.chosen(self.rows)

    def splits(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the seed of each final split, and the kind of item where a table asks twice."""
        yield from ((seed, kind) for seed in self.plan.final_seeds for kind in self.plan.kinds)

    def runs(self, contrast: Contrast) -> list[Run]:
        """Return the runs of a contrast, one a split, each with the scores of both arms on the same items."""
        found = []
        for seed, kind in self.splits():
            sides = [self._items(contrast, arm, seed, kind) for arm in (contrast.plus, contrast.minus) if arm]
            if any(
                not np.array_equal(side[name], sides[0][name]) for side in sides for name in ("label", "group")
            ):
                raise ValueError(f"{contrast}, seed {seed}: the arms were tested on other items.")
            other = sides[1]["score"] if len(sides) > 1 else None
            found.append(Run(sides[0]["label"], sides[0]["score"], other, sides[0]["group"]))
        return found

    def _items(self, contrast: Contrast, arm: str, seed: int, kind: Mapping[str, str]) -> dict[str, np.ndarray]:
        setting = self.settings[arm]
        cell = {**kind, "arm": arm, "labels": contrast.labels, "setting": setting, "seed": seed}
        key = f"{experiment.items_key(cell)}|{contrast.part}{' ' * bool(contrast.part)}"
        score, group = self.held[f"{key}score"].astype(float), self.held[f"{key}group"].astype(np.int64)
        # Right and wrong answers need no label.
        return {"score": score, "group": group, "label": self.held.get(f"{key}label", np.zeros(len(score), int))}

    def shared(self, labels: int) -> float:
        """Return the mean share of its training items that a run has in common with another."""
        few = [set(self.few(labels, seed, **kind).tolist()) for seed, kind in self.splits()]
        return float(np.mean([len(a & b) / labels for a, b in combinations(few, 2)]))


def both(near: Interval, far: Interval) -> Interval:
    """Return the difference between two independent contrasts, ``far`` minus ``near``.

    Their half-widths are put together as standard errors are; the quantiles of both are larger than the normal
    one, so the interval is rather too wide than too narrow.
    """
    half = math.hypot((near.high - near.low) / 2, (far.high - far.low) / 2)
    mean = far.mean - near.mean
    p = math.erfc(abs(mean) / (half / 1.96) / math.sqrt(2))
    return Interval(mean, mean - half, mean + half, min(near.n, far.n), p)


def contrast(archive: Archive, asked_for: Contrast) -> tuple[Interval, float]:
    """Return the interval of a contrast, and the share of training items that it counts as common."""
    shared = min(archive.shared(asked_for.labels), 0.95)
    metric = "auroc" if archive.plan.rules["measure"] == "auroc" else "accuracy"
    return tl.stats.crossed(archive.runs(asked_for), metric, shared=shared), shared


def rows(tables: Sequence[str]) -> list[Row]:
    """Return a row for each contrast of some tables, with Holm's p for those that are primary."""
    primary, archives = asked(), {table: Archive(table) for table in tables}
    made: dict[Contrast, tuple[Interval, float]] = {}
    for table, archive in archives.items():
        for each in possible(table):
            made[each] = contrast(archive, each)
    extra: dict[str, tuple[Contrast, Interval]] = {}
    for name, it in protocol.document()["endpoints"].items():
        if "less" in it and {it["table"], it["less"]["table"]} <= set(tables):
            far = Contrast(it["table"], it["labels"][0], it["plus"], it["minus"])
            near = Contrast(it["less"]["table"], it["less"]["labels"], it["plus"], it["minus"])
            extra[name] = far._replace(part=f"minus {near.table}"), both(made[near][0], made[far][0])
    known = {primary[c]: i.p for c, (i, _) in made.items() if c in primary}
    known |= {name: interval.p for name, (_, interval) in extra.items()}
    # An endpoint whose table is not whole counts as one that shows nothing, so that fewer tables are no advantage.
    planned = [*primary.values(), *(name for name, it in protocol.document()["endpoints"].items() if "less" in it)]
    holm = tl.stats.holm({name: 1.0 if (p := known.get(name)) is None else p for name in planned})
    found = [
        _row(each, interval, shared, primary.get(each, ""), holm) for each, (interval, shared) in made.items()
    ]
    return found + [_row(each, interval, 0.0, name, holm) for name, (each, interval) in extra.items()]


def _row(each: Contrast, interval: Interval, shared: float, endpoint: str, holm: Mapping[str, float]) -> Row:
    return {
        **each._asdict(),
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "p": float("nan") if interval.p is None else interval.p,
        "splits": interval.n,
        "shared": shared,
        "endpoint": endpoint,
        "holm": holm.get(endpoint, float("nan")),
    }


def whole(p: Profile) -> list[str]:
    """Return the tables of the protocol that have all their cells."""
    return [table for table, (it, _) in TABLES.items() if it.path.is_file() and not it.missing(p)]


def main() -> None:
    """Write ``book/results/contrasts.csv`` from all tables of the protocol that are whole."""
    p = tl.profile.current()
    tables = whole(p)
    if not tables:
        raise SystemExit("no table of the protocol is whole; run python -m benchmarks solar_cells, for one.")
    commit, diff = experiment.revision(dirty=False)
    first, _ = TABLES[tables[0]]
    path = first.path.with_name(f"{NAME}.csv")
    note = experiment.make_note(first, p, commit, diff, torch.get_num_threads())
    note |= {"command": "python -m benchmarks.contrasts", "script": experiment.script(__name__)}
    note["protocol"] = protocol.digest(protocol.document())
    for old in (path, path.with_suffix(".json")):
        old.unlink(missing_ok=True)
    experiment.put(path, {}, rows(tables), note, seeded=False)
    print(f"{path.name}: contrasts of {', '.join(tables)}")


if __name__ == "__main__":
    main()
