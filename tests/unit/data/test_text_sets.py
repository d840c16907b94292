"""Sentences with labels, kept beside the document they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tlhelpers as tl
from tlhelpers.data import TextSet, _fetch, _texts


@pytest.fixture
def ratings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a rating file for the domain products and load it."""

    def load(lines: list[str]) -> TextSet:
        monkeypatch.setattr(_fetch, "folder", lambda: tmp_path)
        (tmp_path / "products.txt").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
        return _texts._rated.__wrapped__("products")

    return load


def sentences(documents: list[int]) -> TextSet:
    n = len(documents)
    return TextSet([f"sentence {i}" for i in range(n)], np.arange(n) % 2, np.array(documents))


def test_the_four_domains_have_the_sizes_that_the_book_tells() -> None:
    found = {domain: len(tl.data.load_texts(domain)) for domain in tl.data.TEXT_DOMAINS}
    assert found == {"movies": 10070, "products": 2977, "tweets": 3432, "editorials": 2931}
    for domain in tl.data.TEXT_DOMAINS:
        assert set(tl.data.load_texts(domain).labels.tolist()) == {0, 1}


def test_no_caller_can_spoil_the_sentences_for_another() -> None:
    first = tl.data.load_texts("movies")
    first.labels[:] = 0
    first.groups[:] = 0
    first.texts.reverse()
    again = tl.data.load_texts("movies")
    assert again.labels.any() and again.groups.any() and again.texts == first.texts[::-1]


def test_the_sign_of_a_clear_rating_is_the_label(ratings) -> None:
    found = ratings(["1_1\t-0.5\tBroke.", "1_2\t0.49\tArrived.", "2_1\t3.1\tSuperb."])
    assert found.texts == ["Broke.", "Superb."]
    assert found.labels.tolist() == [0, 1] and found.labels.dtype == np.int64
    assert found.groups.tolist() == [1, 2]


def test_a_repeated_sentence_counts_once(ratings) -> None:
    found = ratings(["1_1\t-2\tDo not buy.", "7_4\t-3\tDo not buy.", "8_1\t1\tDo."])
    assert found.texts == ["Do not buy.", "Do."] and found.groups.tolist() == [1, 8]


def test_a_tabulator_within_a_sentence_stays(ratings) -> None:
    assert ratings(["1_1\t2\tgood\tvalue", "1_2\t-2\tbad"]).texts[0] == "good\tvalue"


def test_an_unknown_domain_is_told_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no domain 'hotels'; there are movies, products, tweets, editorials"):
        tl.data.load_texts("hotels")


def test_missing_data_are_told_with_the_command_that_fetches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fetch, "folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"movies\.txt is missing.*make setup"):
        _texts._rated.__wrapped__("movies")


def test_a_set_needs_a_label_and_a_document_for_each_text() -> None:
    with pytest.raises(ValueError, match="2 texts, 1 labels and 2 groups"):
        TextSet(["a", "b"], np.array([1]), np.array([1, 2]))


def test_take_keeps_text_label_and_document_together() -> None:
    found = sentences([4, 4, 5]).take([2, 0])
    assert (found.texts, found.labels.tolist(), found.groups.tolist()) == (
        ["sentence 2", "sentence 0"],
        [0, 0],
        [5, 4],
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_document_lies_in_two_parts(seed: int) -> None:
    parts = tl.data.split_texts(sentences([i // 7 for i in range(350)]), train=100, val=40, test=60, seed=seed)
    assert [len(part) for part in parts] == [100, 40, 60]
    documents = [set(part.groups.tolist()) for part in parts]
    assert not documents[0] & documents[1] | documents[0] & documents[2] | documents[1] & documents[2]


def test_a_split_is_decided_by_its_seed() -> None:
    whole = sentences(list(range(50)))
    first, again, other = (tl.data.split_texts(whole, 20, 10, 10, seed) for seed in (0, 0, 1))
    assert first.train.texts == again.train.texts != other.train.texts


def test_too_few_documents_are_told() -> None:
    with pytest.raises(ValueError, match="need more documents than the 2 there are"):
        tl.data.split_texts(sentences([0] * 20 + [1] * 20), 10, 10, 10, seed=0)


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(ValueError, match="val=0"):
        tl.data.split_texts(sentences([1, 2, 3]), 1, 0, 1, seed=0)


def test_texts_without_labels_are_none_of_those_that_judge() -> None:
    p = tl.profile.current()
    parts, pool = tl.data.text_splits(p, 3), tl.data.unlabeled_texts(p, 3)
    assert [len(part) for part in parts] == [p.text_train, p.text_val, p.text_test]
    assert len(pool) == len(set(pool)) == p.text_unlabeled
    assert not set(pool) & {*parts.val.texts, *parts.test.texts}
    assert set(pool) & set(parts.train.texts)


def test_fewer_labels_leave_the_sentences_that_judge_as_they_are() -> None:
    p = tl.profile.current()
    few, many = tl.data.text_splits(p, 1, train=20), tl.data.text_splits(p, 1)
    assert len(few.train) == 20
    assert few.val.texts == many.val.texts and few.test.texts == many.test.texts
