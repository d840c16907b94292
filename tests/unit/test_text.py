"""Sentences with labels and documents, and one vector for each from a frozen encoder."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import tlhelpers as tl
from tlhelpers import fetch
from tlhelpers.data import TextSet
from tlhelpers.models import Encoder


@pytest.fixture
def ratings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a rating file for the domain products and load it."""

    def load(lines: list[str]) -> TextSet:
        monkeypatch.setattr(fetch, "folder", lambda: tmp_path)
        (tmp_path / "products.txt").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
        return tl.data.load_texts.__wrapped__("products")

    return load


def sentences(documents: list[int]) -> TextSet:
    n = len(documents)
    return TextSet([f"sentence {i}" for i in range(n)], np.arange(n) % 2, np.array(documents))


def test_the_four_domains_have_the_sizes_that_the_book_tells() -> None:
    found = {domain: len(tl.data.load_texts(domain)) for domain in tl.data.TEXT_DOMAINS}
    assert found == {"movies": 10070, "products": 2977, "tweets": 3432, "editorials": 2931}
    for domain in tl.data.TEXT_DOMAINS:
        assert set(tl.data.load_texts(domain).labels.tolist()) == {0, 1}


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
    monkeypatch.setattr(fetch, "folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"movies\.txt is missing.*make setup"):
        tl.data.load_texts.__wrapped__("movies")


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


def test_padding_does_not_enter_the_mean() -> None:
    states = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [99.0, 99.0]]])
    found = tl.models.mean_pool(states, torch.tensor([[1, 1, 0]]))
    assert found.tolist() == [[2.0, 4.0]]


class Letters:
    """A tokenizer of letters: one token a letter, padded with zero."""

    def __call__(self, texts: list[str], max_length: int, **_: object):
        ids = [[ord(c) for c in t][:max_length] for t in texts]
        longest = max(map(len, ids))
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in ids])

        class Batch(dict):
            def to(self, device: str) -> Batch:
                return self

        return Batch(input_ids=padded, attention_mask=(padded > 0).long())


class Echo(nn.Module):
    """A model whose first states are the letters and whose last are their negatives."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, output_hidden_states: bool):
        assert not torch.is_grad_enabled() and not self.training
        states = input_ids[..., None].float()
        return SimpleNamespace(hidden_states=(states, -states))


def test_each_sentence_gets_its_own_vector_whatever_the_batch() -> None:
    texts = ["b", "abc", "aa", "dddddd", "c"]
    expected = [[-float(np.mean([ord(c) for c in t]))] for t in texts]
    for batch_size in (1, 2, 5):
        found = tl.models.encode(texts, Encoder(Echo(), Letters()), batch_size=batch_size)
        assert found.tolist() == expected and found.dtype == torch.float32


def test_layer_and_length_are_obeyed() -> None:
    found = tl.models.encode(["abz"], Encoder(Echo(), Letters()), max_length=2, layer=0)
    assert found.tolist() == [[97.5]]


def test_the_encoder_is_left_in_its_mode() -> None:
    model = Echo().train()
    tl.models.encode(["a"], Encoder(model, Letters()))
    assert model.training


def test_nothing_to_encode_is_told() -> None:
    with pytest.raises(ValueError, match="no text to encode"):
        tl.models.encode([], Encoder(Echo(), Letters()))


def test_the_packaged_encoder_places_like_beside_like() -> None:
    encoder = tl.models.load_encoder()
    found = tl.models.encode(
        ["The film was a delight.", "I loved this movie.", "The invoice is due on Friday."], encoder
    )
    assert found.shape == (3, 384) and not encoder.model.training
    near, far = torch.cosine_similarity(found[0], found[1:])
    assert near > far + 0.2


def test_a_damaged_encoder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "ENCODER_SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"model\.safetensors: checksum mismatch"):
        tl.models.load_encoder()


def test_kept_vectors_are_read_again_and_belong_to_texts_weights_and_settings(tmp_path: Path) -> None:
    model = nn.Module()
    model.scale = nn.Parameter(torch.ones(1))
    model.forward = lambda input_ids, attention_mask, output_hidden_states: SimpleNamespace(
        hidden_states=(input_ids[..., None].float() * model.scale,)
    )
    encoder = Encoder(model, Letters())
    first = tl.models.encode(["ab", "c"], encoder, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    model.forward = None  # whatever is computed now fails
    assert torch.equal(tl.models.encode(["ab", "c"], encoder, cache=tmp_path), first)
    for change in ({"texts": ["ab", "d"]}, {"max_length": 1}):
        with pytest.raises(TypeError):
            tl.models.encode(**({"texts": ["ab", "c"], "encoder": encoder, "cache": tmp_path} | change))
    model.scale.data += 1
    with pytest.raises(TypeError):
        tl.models.encode(["ab", "c"], encoder, cache=tmp_path)


def test_texts_without_labels_are_none_of_those_that_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, pool = tl.data.text_splits(3), tl.data.unlabeled_texts(3)
    p = tl.profile.current()
    assert [len(part) for part in parts] == [p.text_train, p.text_val, p.text_test]
    assert len(pool) == len(set(pool)) == p.text_unlabeled
    assert not set(pool) & {*parts.val.texts, *parts.test.texts}
    assert set(pool) & set(parts.train.texts)


def test_fewer_labels_leave_the_sentences_that_judge_as_they_are() -> None:
    few, many = tl.data.text_splits(1, train=20), tl.data.text_splits(1)
    assert len(few.train) == 20
    assert few.val.texts == many.val.texts and few.test.texts == many.test.texts
