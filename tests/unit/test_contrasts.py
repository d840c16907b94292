"""Contrasts: what they compare is on the same items, comes from whole tables, and is made again to the digit."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import tlhelpers as tl
from benchmarks import contrasts, pieces, protocol
from benchmarks import experiment as bench
from benchmarks.contrasts import Archive, Contrast
from benchmarks.experiment import Experiment, Row
from tlhelpers.profile import Profile
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
    # Items hold log odds where the order counts, and right or wrong where the share does.
    own = [roc_auc_score(run.labels, run.a) if measure == "auroc" else run.a.mean() for run in runs]
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
    few = [set(contrasts.TABLES["cells"][1](500, seed).tolist()) for seed in final]
    assert all(len(part) == 500 for part in few)
    common = np.mean([len(a & b) / 500 for n, a in enumerate(few) for b in few[n + 1 :]])
    assert 0.1 < common < 0.5


# A table of our own, with answers that are known

RIGHT = {"pixels": 0.2, "scratch": 0.5, "random": 0.4, "frozen": 0.8, "last stages": 0.85}


def answered(p: Profile, arm: str, labels: int, setting: float, seed: int) -> Row:
    """A run whose middle setting is the best and which is right on as many items as its arm."""
    plan = pieces.PLAN
    if seed in plan.tuning_seeds:
        nothing = dict.fromkeys(tl.stats.METRICS, float("nan"))
        return nothing | {"validation": 0.9 if setting == plan.arms[arm]["search"][1] else 0.5}
    groups = np.repeat(np.arange(8), 20)
    right = np.random.default_rng((seed, labels, len(arm))).random(160) < RIGHT[arm]
    scores = dict.fromkeys(tl.stats.METRICS, float(right.mean()))
    return scores | {
        "validation": 0.7,
        "items": {"group": groups.astype(np.uint8), "score": right.astype(np.uint8)},
    }


NOTE = {"commit": "abc", "profile": "offline", "protocol": pieces.PLAN.digest, "known": "row"}


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """The table of the pieces, filled by :func:`answered`."""
    monkeypatch.setattr(bench, "REGISTRY", {})
    monkeypatch.setattr(bench, "book_folder", lambda: tmp_path)
    made = bench.planned("tried_pieces", pieces.PLAN, answered, bf16=lambda cell: False, check=[])
    monkeypatch.setattr(contrasts, "TABLES", {"pieces": (made, pieces.few)})
    bench.fill(made, tl.profile.current(), NOTE)
    return made


class TestATableOfOurOwn:
    def test_differences_and_scores_are_those_of_its_items(self, filled: Experiment) -> None:
        assert contrasts.whole(tl.profile.current()) == ["pieces"]
        rows = {(row["plus"], row["minus"], row["labels"]): row for row in contrasts.rows(["pieces"])}
        assert len(rows) == len(list(contrasts.possible("pieces")))
        stored = filled.stored()

        def mean(arm: str) -> float:
            of_arm = [row for row in stored if row["arm"] == arm and row["labels"] == "400" and row["accuracy"]]
            assert len(of_arm) == 6
            return float(np.mean([float(row["accuracy"]) for row in of_arm]))

        gap = rows["frozen", "scratch", 400]
        assert gap["mean"] == pytest.approx(mean("frozen") - mean("scratch"), abs=1e-4)
        assert 0.2 < gap["low"] < gap["mean"] < gap["high"] < 0.4 and gap["splits"] == 6 and gap["p"] < 0.01
        assert rows["frozen", "", 400]["mean"] == pytest.approx(mean("frozen"), abs=1e-4)
        assert all(row["endpoint"] == "" for row in rows.values()), "the pieces have no endpoint of their own"

    def test_holms_p_counts_the_endpoints_of_tables_that_are_not_whole(
        self, filled: Experiment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = {Contrast("pieces", 400, "frozen", "scratch"): "one 400"}
        others = {Contrast("cells", labels, "frozen", "scratch"): f"two {labels}" for labels in (25, 100, 500)}
        monkeypatch.setattr(contrasts, "asked", lambda: asked | others)
        row = next(row for row in contrasts.rows(["pieces"]) if row["endpoint"] == "one 400")
        left = 1 + len(others) + 1  # and the endpoint of two tables
        assert row["holm"] == pytest.approx(left * row["p"])

    def test_one_cell_that_is_missing_stops_all(self, filled: Experiment) -> None:
        lines = filled.path.read_text().splitlines()
        filled.path.write_text("\n".join(lines[:-1]) + "\n")
        assert contrasts.whole(tl.profile.current()) == []
        with pytest.raises(SystemExit, match="tried_pieces lacks 1 cell"):
            Archive("pieces")

    def test_arms_that_were_tested_on_other_items_are_not_compared(self, filled: Experiment) -> None:
        archive = Archive("pieces")
        name = next(key for key in archive.held if "arm=frozen|labels=400" in key and key.endswith("group"))
        archive.held[name] = archive.held[name][::-1]
        with pytest.raises(ValueError, match="tested on other items"):
            archive.runs(Contrast("pieces", 400, "frozen", "scratch"))

    def test_a_run_by_another_protocol_is_refused_before_it_starts(self, filled: Experiment) -> None:
        for path in (filled.path.with_suffix(".json"),):
            path.write_text(path.read_text().replace(pieces.PLAN.digest, "0ld0ld00"))
        with pytest.raises(SystemExit, match="holds rows of protocol 0ld0ld00"):
            bench.fill(filled, tl.profile.current(), NOTE)

    def test_a_cell_that_is_run_again_replaces_its_items(self, filled: Experiment) -> None:
        cell = {"arm": "frozen", "labels": 400, "setting": 0.001, "seed": 810}
        before = len(Archive("pieces").held)
        bench.put_items(filled.path, cell, {"group": np.zeros(3, np.uint8), "score": np.ones(3, np.uint8)})
        held = Archive("pieces").held
        assert len(held) == before and len(held[f"{bench.items_key(cell)}|score"]) == 3
