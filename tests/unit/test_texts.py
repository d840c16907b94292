"""The parts of the stored text runs that need no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tlhelpers as tl
from benchmarks import sentences, text_ways, texts
from tlhelpers.data import TextSet


@pytest.mark.parametrize(("labels", "passes"), [(16, 100), (100, 15), (500, 4), (5000, 3)])
def test_few_labels_get_more_passes_but_not_fewer_steps(labels: int, passes: int) -> None:
    assert texts.epochs(tl.profile.current(), labels) == passes
    assert texts.epochs(tl.profile.current(), labels) * -(-labels // texts.BATCH) >= texts.MIN_STEPS


def test_splits_of_the_protocol_are_used_once() -> None:
    assert set(text_ways.SEEDS) | set(text_ways.RATE_SEEDS) <= set(sentences.PLAN.final_seeds)
    assert not set(text_ways.SEEDS) & set(text_ways.RATE_SEEDS)


def test_a_split_of_the_protocol_tests_what_it_does_not_train_on() -> None:
    splits = text_ways.cut(tl.profile.current(), text_ways.SEEDS[0])
    assert len(splits.train) == text_ways.LABELS and len(splits.test) > 1000
    known = {" ".join(text.split()) for part in splits[:2] for text in part.texts}
    assert not known & {" ".join(text.split()) for text in splits.test.texts}


def test_every_other_domain_is_reported_and_the_target_is_not_one() -> None:
    asked, p = [], tl.profile.current()

    def judge(part: TextSet) -> dict[str, float]:
        asked.append(len(part))
        return {"accuracy": 0.5}

    found = texts.report(judge, tl.data.text_splits(p, 0), p)
    assert set(found) == {"accuracy", "products:accuracy", "tweets:accuracy", "editorials:accuracy"}
    assert asked == [p.text_test, *[texts.ELSEWHERE] * 3]


def test_an_encoder_that_did_not_move_is_like_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MOVED", 20)
    encoder, p = tl.models.load_encoder(), tl.profile.current()
    found = texts.moved(encoder.model, encoder.tokenizer, tl.data.text_splits(p, 0), p)
    assert len(found) == 14 and np.allclose(list(found.values()), 1)


def test_size_counts_every_file_below(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "deep" / "b").write_bytes(b"4567")
    assert texts.size(tmp_path) == 7
