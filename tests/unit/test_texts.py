"""The parts of the stored text runs that need no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import tlhelpers as tl
from benchmarks import text_rates, texts
from tlhelpers.data import TextSet, TextSplits


@pytest.mark.parametrize(("labels", "passes"), [(16, 100), (100, 15), (500, 4), (5000, 3)])
def test_few_labels_get_more_passes_but_not_fewer_steps(labels: int, passes: int) -> None:
    assert texts.epochs(labels) == passes
    assert texts.epochs(labels) * -(-labels // texts.BATCH) >= texts.MIN_STEPS


def test_no_seed_both_chooses_a_rate_and_is_compared() -> None:
    assert not set(text_rates.SEEDS) & set(tl.profile.current().seeds)
    assert 100 in text_rates.SEEDS  # the one that texts.choose takes


def test_the_penalty_is_chosen_on_validation_data() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = {"train": rng.normal(size=(60, 3)) + y[:, None], "val": rng.normal(size=(60, 3)) + y[:, None]}
    part = TextSet(["x"] * 60, y, np.arange(60))
    splits = TextSplits(part, part, part)
    tried = {C: LogisticRegression(C=C) for C in (1e-6, 1.0)}
    kept, accuracy, seconds = texts.linear(tried, X, splits)
    scored = {C: (model.predict(X["val"]) == y).mean() for C, model in tried.items()}
    assert accuracy == pytest.approx(max(scored.values())) and kept is tried[max(scored, key=scored.get)]
    assert seconds > 0


def test_every_other_domain_is_reported_and_the_target_is_not_one() -> None:
    asked = []

    def judge(part: TextSet) -> dict[str, float]:
        asked.append(len(part))
        return {"accuracy": 0.5}

    found = texts.report(judge, tl.data.text_splits(0))
    assert set(found) == {"accuracy", "products:accuracy", "tweets:accuracy", "editorials:accuracy"}
    assert asked == [tl.profile.current().text_test, *[texts.ELSEWHERE] * 3]


def test_an_encoder_that_did_not_move_is_like_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MOVED", 20)
    encoder = tl.models.load_encoder()
    found = texts.moved(encoder.model, encoder.tokenizer, tl.data.text_splits(0))
    assert len(found) == 14 and np.allclose(list(found.values()), 1)


def test_size_counts_every_file_below(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "deep" / "b").write_bytes(b"4567")
    assert texts.size(tmp_path) == 7
