"""Contrasts: what they compare is on the same items, comes from whole tables, and is made again to the digit."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import tlhelpers as tl
from benchmarks import contrasts, protocol
from benchmarks.contrasts import Archive, Contrast
from tlhelpers.stats import Interval

STORED = Path(__file__).parents[2] / "book" / "results" / "contrasts.csv"
WHOLE = contrasts.whole(tl.profile.current())


def stored() -> list[dict[str, str]]:
    """Rows of the stored table."""
    if not STORED.is_file():
        return []
    with STORED.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_only_whole_tables_are_compared() -> None:
    assert {row["table"] for row in stored()} == set(WHOLE)


@pytest.mark.parametrize("table", WHOLE)
def test_the_stored_contrasts_of_a_table_follow_from_its_items(table: str) -> None:
    archive = Archive(table)
    rows = [row for row in stored() if row["table"] == table and not row["part"].startswith("minus")]
    assert len(rows) == len(list(contrasts.possible(table)))
    for row in rows[:: max(len(rows) // 5, 1)]:
        asked = Contrast(table, int(row["labels"]), row["plus"], row["minus"], row["part"])
        found, shared = contrasts.contrast(archive, asked)
        expected = [float(row[name]) for name in ("mean", "low", "high")]
        assert [found.mean, found.low, found.high] == pytest.approx(expected, abs=1e-4)
        assert shared == pytest.approx(float(row["shared"]), abs=1e-4)


@pytest.mark.parametrize("table", WHOLE)
def test_items_give_the_scores_of_their_row(table: str) -> None:
    archive = Archive(table)
    arms = [arm for arm, it in archive.plan.arms.items()][:3]
    labels = min(archive.plan.arms[arms[0]]["labels"])
    kinds = archive.plan.kinds
    rows = [row for row in archive.rows if row["arm"] == arms[0] and int(row["labels"]) == labels]
    measure = archive.plan.rules["measure"]
    runs = archive.runs(Contrast(table, labels, arms[0]))
    final = [row for row in rows if int(row["seed"]) in archive.plan.final_seeds]
    assert len(runs) == len(final) == len(archive.plan.final_seeds) * len(kinds)
    own = [
        tl.stats.scores(np.stack([1 - run.a, run.a], 1), run.labels)["auroc"]
        if measure == "auroc"
        else run.a.mean()
        for run in runs
    ]
    assert sorted(own) == pytest.approx(sorted(float(row[measure]) for row in final), abs=2e-3)  # half precision


def test_each_endpoint_is_asked_of_a_contrast_that_its_table_allows() -> None:
    asked = contrasts.asked()
    assert 10 <= len(asked) <= 20
    for each in asked:
        assert each in set(contrasts.possible(each.table)), each


def test_two_independent_contrasts_are_subtracted_with_their_errors_put_together() -> None:
    near, far = Interval(0.10, 0.07, 0.13, 6), Interval(0.02, -0.02, 0.06, 9)
    found = contrasts.both(near, far)
    assert found.mean == pytest.approx(-0.08) and found.n == 6
    assert found.high - found.mean == pytest.approx(0.05)  # 3, 4, 5
    assert found.p == pytest.approx(0.0017, abs=2e-4)


def test_splits_share_less_of_their_training_items_than_they_have() -> None:
    final = protocol.plan("cells").final_seeds
    few = [set(contrasts._few("cells", "", 500, seed).tolist()) for seed in final]
    assert all(len(part) == 500 for part in few)
    common = np.mean([len(a & b) / 500 for n, a in enumerate(few) for b in few[n + 1 :]])
    assert 0.1 < common < 0.5
