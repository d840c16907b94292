"""The protocol: what it names is run, settings are chosen before a test, and nothing is in two places."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlhelpers as tl
from benchmarks import cells, others, pieces, protocol, sentences
from benchmarks.protocol import Plan

RULES: dict[str, Any] = {
    "measure": "auroc",
    "tuning": {"draws": [91, 92], "labels": 50},
    "final": {"regroupings": [95, 96], "folds": 2},
    "arms": {
        "plain": {"search": [0.01, 0.1, 1.0], "labels": [25, 100], "of": "a rate"},
        "rich": {"search": [0.01, 0.1, 1.0], "labels": [100], "of": "a rate"},
    },
}


@pytest.fixture
def plan() -> Plan:
    return Plan("tried", copy.deepcopy(RULES))


def tuned(arm: str, scores: dict[float, float]) -> list[dict[str, str]]:
    """Rows of both tuning draws, with these mean validation scores."""
    return [
        {"arm": arm, "labels": "50", "setting": f"{setting:g}", "seed": str(seed), "validation": str(score + off)}
        for setting, score in scores.items()
        for seed, off in ((91, 0.01), (92, -0.01))
    ]


class TestCells:
    def test_at_first_there_is_nothing_but_the_search(self, plan: Plan) -> None:
        found = plan.cells([])
        assert len(found) == 2 * 2 * 3 and {cell["seed"] for cell in found} == {91, 92}
        assert {cell["labels"] for cell in found} == {50}

    def test_when_the_search_is_done_each_arm_runs_at_its_best_setting(self, plan: Plan) -> None:
        rows = tuned("plain", {0.01: 0.6, 0.1: 0.8, 1.0: 0.7}) + tuned("rich", {0.01: 0.6, 0.1: 0.9, 1.0: 0.7})
        final = [cell for cell in plan.cells(rows) if cell["seed"] not in (91, 92)]
        assert {cell["seed"] for cell in final} == {950, 951, 960, 961}
        assert len(final) == 4 * 3 and {cell["setting"] for cell in final} == {0.1}
        assert [cell["labels"] for cell in final if cell["arm"] == "rich"] == [100] * 4

    def test_a_best_setting_at_the_edge_extends_the_range_once(self, plan: Plan) -> None:
        rows = tuned("plain", {0.01: 0.6, 0.1: 0.7, 1.0: 0.8}) + tuned("rich", {0.01: 0.6, 0.1: 0.9, 1.0: 0.7})
        assert {cell["setting"] for cell in plan.cells(rows) if cell["arm"] == "plain"} == {0.01, 0.1, 1.0, 10.0}
        rows += tuned("plain", {10.0: 0.85})
        assert plan.chosen(rows) == {"plain": 10.0, "rich": 0.1}
        assert all(cell["setting"] <= 10 for cell in plan.cells(rows))

    def test_of_settings_that_score_the_same_the_middle_one_is_taken(self, plan: Plan) -> None:
        assert plan.chosen(tuned("plain", {0.01: 0.8, 0.1: 0.8, 1.0: 0.8})) == {"plain": 0.1}

    def test_test_scores_choose_nothing(self, plan: Plan) -> None:
        rows = tuned("plain", {0.01: 0.6, 0.1: 0.8, 1.0: 0.7})
        seen = {"arm": "plain", "labels": "100", "setting": "1", "seed": "950", "validation": "0.99"}
        assert plan.chosen([*rows, seen]) == {"plain": 0.1}


class TestChecks:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"arm": "odd"}, "names no arm 'odd'; there are plain, rich"),
            ({"seed": 3}, "seed 3 is neither a tuning draw"),
            ({"labels": 77}, "planned with .* labels, not with 77"),
            ({"seed": 91, "labels": 25}, "not with 25"),
        ],
    )
    def test_a_run_that_the_protocol_does_not_name_is_refused(
        self, plan: Plan, change: dict[str, Any], message: str
    ) -> None:
        cell = {"arm": "plain", "labels": 25, "setting": 0.1, "seed": 950}
        plan.check(cell)
        with pytest.raises(ValueError, match=message):
            plan.check(cell | change)

    def test_a_tuning_draw_is_not_tested_and_a_final_split_is(self, plan: Plan) -> None:
        nothing, all_three = ({name: value for name in tl.stats.METRICS} for value in (math.nan, 0.8))
        plan.check_scores({"seed": 91}, nothing, tl.stats.METRICS)
        plan.check_scores({"seed": 950}, all_three, tl.stats.METRICS)
        with pytest.raises(ValueError, match="tuning draw has test scores"):
            plan.check_scores({"seed": 91}, nothing | {"auroc": 0.7}, tl.stats.METRICS)
        with pytest.raises(ValueError, match="final split lacks test scores"):
            plan.check_scores({"seed": 950}, nothing, tl.stats.METRICS)

    @pytest.mark.parametrize(
        ("place", "value", "message"),
        [
            (("tables", "cells", "tuning", "draws"), [701, 760], "uses seed 760 in cells and in shift"),
            (("tables", "cells", "arms", "frozen", "search"), [0.1], "arms are searched over"),
            (("endpoints", "cells-many", "labels"), [77], "endpoint cells-many asks for two-stage with 77"),
            (("amendments",), [{"table": "cells", "date": "2026-12-01"}], "lacks its reason"),
            (("amendments",), [{"table": "new", "date": "2026-12-01", "reason": "why"}], "lacks its rules"),
        ],
    )
    def test_a_protocol_that_contradicts_itself_is_refused(
        self, place: tuple[str, ...], value: object, message: str
    ) -> None:
        found = copy.deepcopy(dict(protocol.document()))
        spot: Any = found
        for key in place[:-1]:
            spot = spot[key]
        spot[place[-1]] = value
        with pytest.raises(ValueError, match=message):
            protocol.check(found)

    def test_more_than_ten_endpoints_are_refused(self) -> None:
        found = copy.deepcopy(dict(protocol.document()))
        found["endpoints"]["one more"] = found["endpoints"]["cells-many"]
        with pytest.raises(ValueError, match="11 endpoints; at most 10"):
            protocol.check(found)

    def test_the_hash_of_a_table_changes_with_its_rules_and_not_with_those_of_another(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = {name: protocol.plan(name).digest for name in protocol.tables(protocol.document())}
        found = copy.deepcopy(dict(protocol.document()))
        change = {"date": "2026-12-01", "table": "cells", "reason": "tried", "rules": {"image_size": 160}}
        found["amendments"] = [*found["amendments"], change]
        monkeypatch.setattr(protocol, "document", lambda path=protocol.PATH: found)
        after = {name: protocol.plan(name).digest for name in protocol.tables(found)}
        assert {name for name in before if before[name] != after[name]} == {"cells"}
        assert protocol.plan("cells").rules["image_size"] == 160


class TestSplitsOfCells:
    def test_no_module_is_in_two_parts_and_none_of_the_tuning_part_is_tested(self) -> None:
        of_cell, tuning = cells.modules()[0], set(cells.tuning_modules().tolist())
        assert len(tuning) == 11
        for seed in [*cells.CELLS.tuning_seeds, *cells.CELLS.final_seeds]:
            train, val, test = (set(of_cell[part].tolist()) for part in cells.rows_of(seed))
            assert not train & val and not train & test and not val & test
            final = seed in cells.CELLS.final_seeds
            assert bool(test) == final
            assert (train | val | test).isdisjoint(tuning) if final else train | val == tuning

    def test_each_cell_is_tested_once_a_regrouping(self) -> None:
        for regrouping in cells.CELLS.rules["final"]["regroupings"]:
            tested = np.concatenate([cells.rows_of(10 * regrouping + fold).test for fold in range(3)])
            of_cell = cells.modules()[0]
            left = np.flatnonzero(~np.isin(of_cell, cells.tuning_modules()))
            assert sorted(tested.tolist()) == left.tolist()

    @pytest.mark.parametrize("kind", cells.KINDS)
    def test_a_shift_trains_on_one_kind_and_is_tested_on_modules_of_both(self, kind: str) -> None:
        kinds, of_cell = tl.data.cell_kinds(), cells.modules()[0]
        rows, there = cells.rows_of_shift(760, kind)
        assert all((kinds[part] == kind).all() for part in rows) and (kinds[there] != kind).all()
        assert not set(of_cell[rows.train]) & set(of_cell[rows.test])
        assert not set(of_cell[there]) & set(cells.tuning_modules().tolist())


def test_sentences_are_tested_once_a_regrouping_and_never_those_of_the_search() -> None:
    count = 10_000
    tuning = np.concatenate(sentences.rows_of(601, count))
    assert len(tuning) == 2000 and set(tuning) == set(np.concatenate(sentences.rows_of(602, count)))
    for regrouping in (61, 62):
        parts = [sentences.rows_of(10 * regrouping + fold, count) for fold in range(4)]
        tested = np.concatenate([rows.test for rows in parts])
        assert sorted([*tested, *tuning]) == list(range(count))
        for rows in parts:
            assert not set(rows.train) & set(rows.test) and not set(rows.val) & set(rows.test)
            assert len(rows.train) >= 5000


def test_digits_are_tested_once_a_regrouping_and_never_those_of_the_search() -> None:
    plan, count = others.DIGITS, len(others.values())
    tuning = np.concatenate(others.rows_of(901))
    assert len(tuning) == 359 and set(tuning) == set(np.concatenate(others.rows_of(902)))
    for regrouping in plan.rules["final"]["regroupings"]:
        splits = [others.rows_of(10 * regrouping + fold) for fold in range(plan.rules["final"]["folds"])]
        tested = np.concatenate([rows.test for rows in splits])
        assert sorted([*tested, *tuning]) == list(range(count))
        for rows in splits:
            assert len(set(np.concatenate(rows))) == sum(map(len, rows)) == count - len(tuning)
    few = others.few_digits(30, plan.final_seeds[0])
    assert np.bincount(others.values()[few]).tolist() == [3] * 10
    assert set(few) <= set(others.few_digits(100, plan.final_seeds[0]))


def test_a_table_that_an_amendment_adds_is_planned_like_the_others() -> None:
    assert set(protocol.tables(protocol.document())) - set(protocol.document()["tables"]) == {"textures", "digits"}
    rules = others.TEXTURES.rules
    assert not set(rules["tuning"]["pictures"]) & set(rules["final"]["pictures"])
    assert others.TEXTURES.rules["amendments"][0]["reason"]


def test_every_picture_of_the_pieces_can_be_had_and_those_of_the_search_are_others() -> None:
    rules = pieces.PLAN.rules
    tuning, final = rules["tuning"]["pictures"], rules["final"]["pictures"]
    assert not set(tuning) & set(final) and len(final) == 11
    assert all(min(pieces.picture(name).shape[:2]) >= 190 for name in [*tuning, *final])


def test_the_protocol_lies_beside_its_code() -> None:
    assert Path(protocol.__file__).with_name("protocol.yml") == protocol.PATH
