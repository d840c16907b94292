"""The protocol of the stored comparisons, ``protocol.yml``: read, checked, and turned into cells.

A table under the protocol has cells of two kinds. Those with a seed of its tuning draws choose the setting of each
arm by validation scores alone; when all are there, the others run at the settings that were chosen.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

PATH = Path(__file__).with_name("protocol.yml")
MOST_ENDPOINTS = 10
SEARCHED = "validation"  # the column by which settings are chosen
Cell = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What the protocol says of one table: ``rules``, and what follows from them."""

    name: str
    rules: Mapping[str, Any]

    @property
    def arms(self) -> Mapping[str, Mapping[str, Any]]:
        """Search and numbers of labels of each arm."""
        return self.rules["arms"]

    @property
    def tuning_seeds(self) -> list[int]:
        """Seeds of the draws that choose settings and are never tested."""
        return list(self.rules["tuning"]["draws"])

    @property
    def final_seeds(self) -> list[int]:
        """Seeds of the final splits, ten times the regrouping and the fold."""
        final = self.rules["final"]
        return [10 * regrouping + fold for regrouping in final["regroupings"] for fold in range(final["folds"])]

    @property
    def kinds(self) -> list[dict[str, str]]:
        """The column and values of a table that asks its question twice, as from either kind of cell."""
        return [{"kind": kind} for kind in self.rules.get("kinds", [])] or [{}]

    @property
    def digest(self) -> str:
        """Eight figures that stand for the rules of this table and those of all."""
        return digest({"rules": document()["rules"], self.name: self.rules})

    def check(self, cell: Cell) -> None:
        """Do nothing for a cell that the protocol names.

        Raises:
            ValueError: naming what it does not name.
        """
        arm = self.arms.get(cell["arm"])
        if arm is None:
            raise ValueError(
                f"table {self.name}: the protocol names no arm {cell['arm']!r}; there are {', '.join(self.arms)}."
            )
        tuning = cell["seed"] in self.tuning_seeds
        if not tuning and cell["seed"] not in self.final_seeds:
            raise ValueError(
                f"table {self.name}: seed {cell['seed']} is neither a tuning draw {self.tuning_seeds} nor a final "
                f"split {self.final_seeds} of the protocol."
            )
        labels = [self.rules["tuning"]["labels"]] if tuning else arm["labels"]
        if cell["labels"] not in labels:
            raise ValueError(
                f"table {self.name}: {cell['arm']} is planned with {labels} labels, not with {cell['labels']}."
            )

    def check_scores(self, cell: Cell, row: Mapping[str, Any], measures: Sequence[str]) -> None:
        """Do nothing for a row that may be stored.

        Raises:
            ValueError: when a tuning draw was tested, or a final split was not.
        """
        tested = [name for name in measures if not math.isnan(float(row.get(name, math.nan)))]
        tuning = cell["seed"] in self.tuning_seeds
        if tuning and tested:
            raise ValueError(
                f"table {self.name}, {cell}: a tuning draw has test scores ({', '.join(tested)}); the protocol "
                "lets it be validated only."
            )
        if not tuning and len(tested) < len(measures):
            raise ValueError(f"table {self.name}, {cell}: a final split lacks test scores.")

    def cells(self, stored: Sequence[Mapping[str, str]]) -> list[Cell]:
        """Return the cells that choose settings and, when those are there, all others, split by split.

        Args:
            stored: rows of the table as far as it is filled.
        """
        tried = {arm: self._tried(arm, stored) for arm in self.arms}
        search = [
            {**kind, "arm": arm, "labels": self.rules["tuning"]["labels"], "setting": setting, "seed": seed}
            for seed in self.tuning_seeds
            for kind in self.kinds
            for arm, settings in tried.items()
            for setting in settings
        ]
        chosen = self.chosen(stored)
        if set(chosen) < set(self.arms):
            return search
        counts = sorted({count for arm in self.arms.values() for count in arm["labels"]}, reverse=True)
        return search + [
            {**kind, "arm": arm, "labels": labels, "setting": chosen[arm], "seed": seed}
            for seed in self.final_seeds
            for kind in self.kinds
            for labels in counts
            for arm in self.arms
            if labels in self.arms[arm]["labels"]
        ]

    def chosen(self, stored: Sequence[Mapping[str, str]]) -> dict[str, float]:
        """Return the setting of each arm whose search is done."""
        found = {}
        for arm in self.arms:
            means = self._means(arm, stored)
            settings = self._tried(arm, stored)
            if set(settings) <= set(means):
                found[arm] = _best(settings, means)
        return found

    def _means(self, arm: str, stored: Sequence[Mapping[str, str]]) -> dict[float, float]:
        """Return the mean validation score of each setting that ran on every tuning draw."""
        scores: dict[float, dict[object, float]] = {}
        for row in stored:
            if row["arm"] == arm and int(row["seed"]) in self.tuning_seeds:
                draw = int(row["seed"]), row.get("kind")
                scores.setdefault(float(row["setting"]), {})[draw] = float(row[SEARCHED])
        return {
            setting: float(np.mean(list(of_draw.values())))
            for setting, of_draw in scores.items()
            if len(of_draw) == len(self.tuning_seeds) * len(self.kinds)
        }

    def _tried(self, arm: str, stored: Sequence[Mapping[str, str]]) -> list[float]:
        """Return the settings of an arm, with the one beyond when an edge of the first ones won."""
        settings = [float(setting) for setting in self.arms[arm]["search"]]
        means = self._means(arm, stored)
        if not set(settings) <= set(means):
            return settings
        best = _best(settings, means)
        if best == settings[0]:
            return [float(f"{best * best / settings[1]:.3g}"), *settings]
        if best == settings[-1]:
            return [*settings, float(f"{best * best / settings[-2]:.3g}")]
        return settings


def _best(settings: Sequence[float], means: Mapping[float, float]) -> float:
    """Return the setting with the highest mean, of equals the one nearest to the middle."""
    middle = (len(settings) - 1) / 2
    return max(settings, key=lambda setting: (means[setting], -abs(settings.index(setting) - middle)))


@lru_cache
def document(path: Path = PATH) -> Mapping[str, Any]:
    """Return the protocol.

    Raises:
        ValueError: when it contradicts itself; see :func:`check`.
    """
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    check(found)
    return found


def tables(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the rules of each table of a protocol as they were when it was written or added to it."""
    added: dict[str, Mapping[str, Any]] = {}
    for change in found["amendments"]:
        if change["table"] not in found["tables"]:
            added.setdefault(change["table"], change["rules"])
    return {**found["tables"], **added}


def plan(table: str, path: Path = PATH) -> Plan:
    """Return what the protocol says of a table, with its amendments.

    Raises:
        KeyError: when it does not name the table.
    """
    known = tables(document(path))
    if table not in known:
        raise KeyError(f"the protocol names no table {table!r}; there are {', '.join(known)}.")
    rules = dict(known[table])
    if changes := [change for change in document(path)["amendments"] if change["table"] == table]:
        rules["amendments"] = changes
        for change in changes:
            rules |= change.get("rules", {})
    return Plan(table, rules)


def check(found: Mapping[str, Any]) -> None:
    """Do nothing for a protocol that can be followed.

    Raises:
        ValueError: when a seed is in two places, an arm is searched over fewer settings than the others, there are
            more endpoints than ten, one asks for what no arm gives, or an amendment lacks its date, its reason or,
            where it adds a table, its rules.
    """
    for change in found["amendments"]:
        new = ["rules"] if change.get("table") not in found["tables"] else []
        if missing := [key for key in ("date", "table", "reason", *new) if not change.get(key)]:
            raise ValueError(f"an amendment lacks its {' and '.join(missing)}: {dict(change)}.")
    used: dict[int, str] = {}
    for name, table in tables(found).items():
        own = Plan(name, table)
        for seed in [*own.tuning_seeds, *own.final_seeds]:
            if seed in used:
                raise ValueError(
                    f"the protocol uses seed {seed} in {used[seed]} and in {name}; give each its own."
                )
            used[seed] = name
        if len(sizes := {len(arm["search"]) for arm in table["arms"].values()}) > 1:
            raise ValueError(f"table {name}: arms are searched over {sorted(sizes)} settings; give each as many.")
    if len(found["endpoints"]) > MOST_ENDPOINTS:
        raise ValueError(f"the protocol has {len(found['endpoints'])} endpoints; at most {MOST_ENDPOINTS} decide.")
    for name, endpoint in found["endpoints"].items():
        places = [(endpoint["table"], labels) for labels in endpoint["labels"]]
        if less := endpoint.get("less"):
            places.append((less["table"], less["labels"]))
        for table, labels in places:
            for arm in (endpoint["plus"], endpoint["minus"]):
                arms = found["tables"].get(table, {}).get("arms", {})
                if labels not in arms.get(arm, {}).get("labels", []):
                    raise ValueError(f"endpoint {name} asks for {arm} with {labels} labels; {table} has none.")


def digest(value: object) -> str:
    """Return eight figures that stand for a value of lists, dictionaries, strings and numbers."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:8]


# Splits


def folds(groups: np.ndarray, strata: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Deal groups out into folds, each stratum evenly; return the groups of each.

    Args:
        groups: the groups ``[G]``.
        strata: of each group ``[G]``.
    """
    rng = np.random.default_rng(seed)
    dealt: list[list[Any]] = [[] for _ in range(count)]
    at = 0
    for stratum in np.unique(strata):
        for group in rng.permutation(groups[strata == stratum]).tolist():
            dealt[at % count].append(group)
            at += 1
    return [np.array(sorted(fold)) for fold in dealt]


def some(groups: np.ndarray, strata: np.ndarray, counts: Mapping[str, int], seed: int) -> np.ndarray:
    """Draw so many groups of each stratum."""
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(np.sort(groups[strata == stratum]))[:count] for stratum, count in counts.items()]
    return np.sort(np.concatenate(drawn))
