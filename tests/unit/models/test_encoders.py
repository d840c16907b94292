"""One vector for each sentence from a frozen encoder, which is left as it was."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers.normalizers import Replace
from torch import nn
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5Model,
)

import tlhelpers as tl
from tlhelpers.data import TextSet
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


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return tl.models.load_encoder()


def small(folder: Path, **changes: object) -> Path:
    """Write a BERT of one layer, with MiniLM's tokenizer, as ``save_pretrained`` does."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(**(sizes | {"max_position_embeddings": 32} | changes))).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tl.models.encoder_weights("minilm")).save_pretrained(folder)
    return folder


class TestTexts:
    """What is encoded are rows of texts, in their order."""

    def test_rows_come_in_their_order_whatever_holds_them(self) -> None:
        texts = ["b", "abc", "aa"]
        expected = tl.models.encode(texts, Encoder(Echo(), Letters()))
        for rows in (
            pd.Series(texts, index=[2, 0, 1]),
            pd.Series(texts, index=[9, 9, 4]),
            tuple(texts),
            np.array(texts),
            (text for text in texts),
            TextSet(texts, [0, 1, 0]),
        ):
            assert torch.equal(tl.models.encode(rows, Encoder(Echo(), Letters())), expected)

    @pytest.mark.parametrize(
        ("texts", "message"),
        [
            ("abc", "texts is one string"),
            (["a", float("nan")], "text of row 1 is missing"),
            (["a", None], "text of row 1 is missing"),
            (["a", "  "], "text of row 1 is blank"),
            (["a", 5], "text of row 1 is '5'"),
            (pd.DataFrame({"t": ["a"]}), "texts is a table"),
        ],
    )
    def test_what_is_no_text_is_told_by_row(self, texts: object, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.models.encode(texts, Encoder(Echo(), Letters()))


class TestLimits:
    """A model reads what it was made for."""

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"max_length": 1024}, "max_length=1024.* 512 tokens"),
            ({"max_length": 2}, "max_length=2 leaves no token of a text, as 2 are special"),
            ({"max_length": 12.0}, "max_length is 12.0; give a whole number"),
            ({"layer": 7}, r"layer=7, but the model has 6; give 0 \(the embedding\) to 6"),
            ({"layer": -8}, "layer=-8"),
            ({"batch_size": 0}, "batch_size is 0"),
            ({"encoder": "minilm"}, "encoder is a str; give what load_encoder returned"),
        ],
    )
    def test_more_is_told_with_both_numbers(self, minilm: Encoder, changes: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.models.encode(**({"texts": ["a"], "encoder": minilm} | changes))

    def test_positions_are_counted_even_where_the_tokenizer_allows_more(self, tmp_path: Path) -> None:
        encoder = tl.models.load_encoder(small(tmp_path / "mine"))
        assert tl.models.encode(["word " * 50], encoder, max_length=32).shape == (1, 16)
        with pytest.raises(ValueError, match="max_length=33, but the model has positions for 32 tokens"):
            tl.models.encode(["a"], encoder, max_length=33)

    def test_roberta_counts_positions_from_behind_its_padding(self) -> None:
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        model = RobertaModel(RobertaConfig(vocab_size=9, max_position_embeddings=34, **sizes))
        assert _encoders.positions_of(model) == 32

    def test_another_tokenizer_is_told(self, tmp_path: Path) -> None:
        model, tokenizer = tl.models.load_encoder(small(tmp_path / "mine"))
        tokenizer.add_tokens(["defibrillator", "stent"])
        with pytest.raises(ValueError, match=r"30524 tokens.* 30522 rows; call model\.resize_token_embeddings"):
            tl.models.encode(["a"], Encoder(model, tokenizer), max_length=8)
        model.resize_token_embeddings(40_000)
        with pytest.warns(UserWarning, match="30524 tokens, and the model's embedding 40000 rows"):
            tl.models.encode(["a"], Encoder(model, tokenizer), max_length=8)

    def test_gpt2_without_a_padding_token_is_read_alike_in_any_batch(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        GPT2Model(GPT2Config(vocab_size=30522, n_embd=16, n_layer=1, n_head=2)).save_pretrained(tmp_path)
        words = AutoTokenizer.from_pretrained(tl.models.encoder_weights("minilm"))
        words.pad_token, words.eos_token = None, "[SEP]"
        words.save_pretrained(tmp_path)
        encoder = tl.models.load_encoder(tmp_path)
        assert encoder.tokenizer.pad_token == "[SEP]"
        encoder.tokenizer.padding_side = "left"
        alone, beside = (tl.models.encode(t, encoder)[0] for t in (["a b"], ["a b", "a b c d e"]))
        assert torch.allclose(alone, beside, atol=1e-6) and encoder.tokenizer.padding_side == "left"
        encoder.tokenizer.pad_token = None
        with pytest.raises(ValueError, match=r"no token to pad with; set tokenizer\.pad_token"):
            tl.models.encode(["a"], encoder)

    def test_a_model_that_reads_no_texts_alone_is_told(self, minilm: Encoder) -> None:
        torch.manual_seed(0)
        pair = T5Model(T5Config(vocab_size=30522, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2))
        for model, message in ((pair, "T5Model cannot read texts alone"), (nn.Linear(2, 2), "own tokenizer")):
            with pytest.raises(ValueError, match=message):
                tl.models.encode(["a"], Encoder(model, minilm.tokenizer), max_length=8)

    def test_texts_that_are_cut_are_told_unless_that_was_asked_for(self) -> None:
        encoder, long = Encoder(Echo(), Letters()), ["a" * 80] * 2 + ["b"] * 8
        with pytest.warns(UserWarning, match="2 of 10 texts fill the 64 tokens that are read"):
            found = tl.models.encode(long, encoder)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert torch.equal(tl.models.encode(long, encoder, max_length=64), found)
            tl.models.encode([*long, *["b"] * 12], encoder)

    def test_lengths_are_those_of_whole_texts(self, minilm: Encoder) -> None:
        texts = ["a film", "word " * 600, "a"]
        assert tl.models.text_lengths(texts, minilm.tokenizer).tolist() == [4, 602, 3]


class TestPlaces:
    """Where a model is sought, and what is wrong with a folder."""

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("./mine", "does not exist, seen from"),
            ("runs/2026/mine", "does not exist, seen from"),
            ("/nowhere/mine", "does not exist, seen from"),
            ("~/nowhere/mine", "does not exist, seen from"),
            (Path("mine"), "does not exist, seen from"),
        ],
    )
    def test_a_path_that_is_not_there_is_told_as_a_path(self, name: str | Path, message: str) -> None:
        for ask in (tl.models.load_encoder, lambda place: tl.train.text_classifier(place, 0)):
            with pytest.raises(FileNotFoundError, match=message):
                ask(name)

    @pytest.mark.parametrize("name", ["my model", "a:b", "owner/"])
    def test_what_can_be_no_name_is_told(self, name: str) -> None:
        with pytest.raises(ValueError, match="can be no name on the Hugging Face hub"):
            tl.models.load_encoder(name)

    def test_the_packaged_one_has_one_spelling(self) -> None:
        with pytest.raises(ValueError, match="no model 'MiniLM'; the packaged one is 'minilm'"):
            tl.models.load_encoder("MiniLM")

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda f: (f / "config.json").unlink(), "holds no config.json"),
            (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), r"pytorch_model\.bin, a format"),
            (lambda f: (f / "model.safetensors").unlink(), "holds no weights"),
            (lambda f: (f / "model.safetensors").write_bytes(b"abc"), "are damaged"),
            (lambda f: (f / "config.json").write_text("{"), "is here, but cannot be loaded: .*valid JSON"),
            (lambda f: [(f / n).unlink() for n in ("tokenizer.json", "tokenizer_config.json")], "no tokenizer"),
            (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer"),
            (lambda f: (f / "adapter_config.json").write_text("{}"), r"adapter.*merge_and_unload"),
            (lambda f: shutil.copytree(f, f / "checkpoint-8") and (f / "config.json").unlink(), "checkpoint-8"),
        ],
    )
    def test_a_folder_that_holds_no_whole_model_is_told(self, tmp_path: Path, spoil, message: str) -> None:
        spoil(small(tmp_path / "mine"))
        with pytest.raises(ValueError, match=message):
            tl.models.load_encoder(tmp_path / "mine")

    def test_weights_of_another_model_are_told_and_not_drawn_anew(self, tmp_path: Path) -> None:
        folder, other = small(tmp_path / "mine"), small(tmp_path / "other", hidden_size=8)
        shutil.copy(other / "model.safetensors", folder)
        with pytest.raises(ValueError, match=r"do not fit its config\.json, which says bert.*first embeddings"):
            tl.models.load_encoder(folder)

    def test_code_that_comes_along_is_not_run(self, tmp_path: Path) -> None:
        folder = small(tmp_path / "mine")
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "own", "auto_map": {"AutoConfig": "code.Own", "AutoModel": "code.Own"}}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "code.py").write_text("raise SystemExit('run')")
        with pytest.raises(ValueError, match="brings its own code, which is not run here"):
            tl.models.load_encoder(folder)


class TestKept:
    """Vectors on the disk are those of this model, this tokenizer, and whole."""

    TEXTS = ("one two three four five six seven eight", "short")

    def test_a_changed_tokenizer_or_config_is_computed_anew(self, tmp_path: Path) -> None:
        model, tokenizer = tl.models.load_encoder(small(tmp_path / "small"))

        def found() -> torch.Tensor:
            kept = tl.models.encode(self.TEXTS, Encoder(model, tokenizer), max_length=6, cache=tmp_path / "kept")
            assert torch.equal(kept, tl.models.encode(self.TEXTS, Encoder(model, tokenizer), max_length=6))
            return kept

        first = found()
        assert len(list((tmp_path / "kept").iterdir())) == 1
        tokenizer.truncation_side = "left"
        assert not torch.equal(found(), first)
        tokenizer.backend_tokenizer.normalizer = Replace("eight", "one")
        found()
        model.config.layer_norm_eps *= 2
        found()
        assert len(list((tmp_path / "kept").iterdir())) == 4

    @pytest.mark.parametrize("length", [0, 4, 40])
    def test_a_file_cut_off_is_computed_anew(self, tmp_path: Path, length: int) -> None:
        encoder = tl.models.load_encoder(small(tmp_path / "small"))
        first = tl.models.encode(self.TEXTS, encoder, max_length=6, cache=tmp_path / "kept")
        (file,) = (tmp_path / "kept").iterdir()
        whole = file.read_bytes()
        file.write_bytes(whole[:length])
        assert torch.equal(tl.models.encode(self.TEXTS, encoder, max_length=6, cache=tmp_path / "kept"), first)
        assert list((tmp_path / "kept").iterdir()) == [file] and file.read_bytes() == whole
