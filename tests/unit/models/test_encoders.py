"""One vector for each sentence from a frozen encoder, which is left as it was."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import tlhelpers as tl
from tlhelpers.models import Encoder, _encoders


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
    monkeypatch.setattr(_encoders, "ENCODER_SHA256", "0" * 64)
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
