"""What the tables of the protocol say: each arm's score, and the difference between two arms, with intervals.

Made from the scores of single items, without a network, in a minute: ``python -m benchmarks.contrasts``. Primary
endpoints carry Holm's correction; all other contrasts are exploratory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch

import tlhelpers as tl
from benchmarks import cells, experiment, pieces, protocol, sentences
from benchmarks.experiment import Experiment, Row
from tlhelpers.profile import Profile
from tlhelpers.stats import Interval, Run

NAME = "contrasts"
TABLES: dict[str, Experiment] = {
    "cells": cells.EXPERIMENT,
    "pieces": pieces.EXPERIMENT,
    "sentences": sentences.EXPERIMENT,
    "shift": cells.SHIFTED,
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
        self.plan, self.table = protocol.plan(table), table
        self.rows = TABLES[table].stored()
        if missing := TABLES[table].missing(tl.profile.current()):
            raise SystemExit(
                f"table {table} lacks {len(missing)} cell(s), first {missing[0]}: all cells or none of its "
                f"numbers. Run python -m benchmarks {table}."
            )
        with np.load(TABLES[table].path.with_suffix(".npz"), allow_pickle=False) as file:
            self.held = {name: file[name] for name in file.files}
        self.settings = self.plan.chosen(self.rows)

    def runs(self, contrast: Contrast) -> list[Run]:
        """Return the runs of a contrast, one a split, each with the scores of both arms on the same items."""
        found = []
        for seed in self.plan.final_seeds:
            for kind in self.plan.kinds:
                sides = [
                    self._items(kind, arm, contrast.labels, seed, contrast.part)
                    for arm in (contrast.plus, contrast.minus)
                    if arm
                ]
                if any(not np.array_equal(side["where"], sides[0]["where"]) for side in sides):
                    raise ValueError(f"{contrast}, seed {seed}: the arms were tested on other items.")
                other = sides[1]["score"] if len(sides) > 1 else None
                found.append(Run(sides[0]["label"], sides[0]["score"], other, sides[0]["group"]))
        return found

    def _items(
        self, kind: Mapping[str, str], arm: str, labels: int, seed: int, part: str
    ) -> dict[str, np.ndarray]:
        cell = {**kind, "arm": arm, "labels": labels, "setting": self.settings[arm], "seed": seed}
        key = f"{experiment.items_key(cell)}|{part.removesuffix('kind')}"
        score = self.held[f"{key}score"].astype(float)
        if self.table == "pieces":
            group = self.held[f"{key}group"]
            return {"where": group, "score": score, "label": np.zeros(len(score), np.int64), "group": group}
        at = self.held[f"{key}at"].astype(np.int64)
        if self.table == "sentences":
            return {"where": at, "score": score, "label": np.zeros(len(at), np.int64), "group": at}
        chance = 1 / (1 + np.exp(-score))
        return {"where": at, "score": chance, "label": _defective()[at], "group": cells.modules()[0][at]}

    def shared(self, labels: int) -> float:
        """Return the mean share of its training items that a run has in common with another."""
        few = []
        for seed in self.plan.final_seeds:
            for kind in self.plan.kinds:
                few.append(set(_few(self.table, kind.get("kind", ""), labels, seed).tolist()))
        return float(np.mean([len(a & b) / labels for a, b in combinations(few, 2)]))


def _defective() -> np.ndarray:
    return tl.data.load(tl.profile.current().image_data).labels


def _few(table: str, kind: str, labels: int, seed: int) -> np.ndarray:
    if table == "pieces":  # each split draws new lines and cuts new pieces
        return np.arange(seed * 10_000, seed * 10_000 + labels)
    if table == "sentences":
        y = sentences.texts(tl.profile.current()).labels
        return sentences.few_of(y, sentences.rows_of(seed, len(y)).train, labels, seed)
    rows = cells.rows_of_shift(seed, kind)[0] if table == "shift" else cells.rows_of(seed)
    return cells.few_of(torch.from_numpy(_defective()), rows.train, labels, seed)


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
    holm = tl.stats.holm({name: p for name, p in known.items() if p is not None})
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
    return [table for table, it in TABLES.items() if it.path.is_file() and not it.missing(p)]


def main() -> None:
    """Write ``book/results/contrasts.csv`` from all tables of the protocol that are whole."""
    p = tl.profile.current()
    tables = whole(p)
    if not tables:
        raise SystemExit("no table of the protocol is whole; run python -m benchmarks cells, for one.")
    commit, diff = experiment.revision(dirty=False)
    path = TABLES["cells"].path.with_name(f"{NAME}.csv")
    note = experiment.make_note(TABLES["cells"], p, commit, diff, torch.get_num_threads())
    note |= {"command": "python -m benchmarks.contrasts", "script": experiment.script(__name__)}
    note["protocol"] = protocol.digest(protocol.document())
    for old in (path, path.with_suffix(".json")):
        old.unlink(missing_ok=True)
    experiment.put(path, {}, rows(tables), note, seeded=False)
    print(f"{path.name}: contrasts of {', '.join(tables)}")


if __name__ == "__main__":
    main()
