"""What is saved is loaded: the head, the tokenizer, the names and the length; what new texts are said to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import AutoTokenizer, BertConfig, BertModel

import tlhelpers as tl
from tlhelpers.data import TextSet
from tlhelpers.train import _text_saving

TEXTS = TextSet(
    ["free money now", "see you at noon", "win a prize", "lunch is ready"], [0, 1, 0, 1], None, ("spam", "ham")
)
LONG = [*TEXTS.texts, "money " * 40]


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """Write an encoder of one layer for 32 tokens, with MiniLM's tokenizer."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(**sizes, max_position_embeddings=32)).save_pretrained(tmp_path / "start")
    AutoTokenizer.from_pretrained(tl.models.encoder_weights("minilm")).save_pretrained(tmp_path / "start")
    return tmp_path / "start"


@pytest.fixture
def pair(start: Path) -> tuple[Any, Any]:
    return tl.train.text_classifier(start, 0, TEXTS.classes)


class TestSaved:
    """The same answers, before and after."""

    def test_a_trained_one_says_the_same_after_reloading(self, tmp_path: Path, pair: Any) -> None:
        model, tokenizer = pair
        arguments = tl.train.trainer_settings(tl.profile.current(), tmp_path / "steps", learning_rate=1e-2)
        with pytest.warns(UserWarning, match="stand in train"):
            work = tl.train.build_trainer(model, tokenizer, TEXTS, TEXTS, arguments, max_length=12)
        work.train()
        before = tl.train.predict_texts(model, tokenizer, LONG)
        card_path = tl.train.save_text_classifier(tmp_path / "mine", model, tokenizer, accuracy=np.float32(0.5))
        again, its, card = tl.train.load_text_classifier(tmp_path / "mine")
        assert np.array_equal(tl.train.predict_texts(again, its, LONG), before)
        assert card == json.loads(card_path.read_text()) and not again.training
        assert (card["classes"], card["max_length"], card["accuracy"]) == (["spam", "ham"], 12, 0.5)
        assert again.config.id2label == {0: "spam", 1: "ham"}
        assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "start", "steps"]

    def test_as_a_start_it_gives_a_new_head_with_new_names(self, tmp_path: Path, start: Path, pair: Any) -> None:
        torch.nn.init.ones_(pair[0].classifier.weight)
        tl.train.save_text_classifier(tmp_path / "mine", *pair, 12)
        found, expected = (tl.train.text_classifier(place, 1)[0] for place in (tmp_path / "mine", start))
        assert torch.equal(found.classifier.weight, expected.classifier.weight)
        assert found.config.id2label == {0: "negative", 1: "positive"}

    @pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini", "._card.json"])
    def test_what_a_desktop_leaves_is_passed_over(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b"1")
        _text_saving._check_place(tmp_path)
        (tmp_path / ".gitignore").write_text("*")  # somebody's
        with pytest.raises(ValueError, match=r"holds other files \(\.gitignore\)"):
            _text_saving._check_place(tmp_path)

    def test_an_earlier_save_is_replaced_and_other_files_are_not(self, tmp_path: Path, pair: Any) -> None:
        tl.train.save_text_classifier(tmp_path / "mine", *pair, 12)
        tl.train.save_text_classifier(tmp_path / "mine", *pair, 10)
        assert tl.train.load_text_classifier(tmp_path / "mine")[2]["max_length"] == 10
        (tmp_path / "mine" / "notes.txt").write_text("mine")
        with pytest.raises(ValueError, match=r"holds other files \(notes\.txt\).*of its own"):
            tl.train.save_text_classifier(tmp_path / "mine", *pair, 12)
        assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
        with pytest.raises(ValueError, match="is a file"):
            tl.train.save_text_classifier(tmp_path / "mine" / "notes.txt", *pair, 12)

    @pytest.mark.parametrize(
        ("spoil", "notes", "message"),
        [
            (
                lambda m: setattr(m, "classifier", torch.nn.Sequential(torch.nn.Linear(16, 2))),
                {},
                "head was changed",
            ),
            (
                lambda m: m.classifier.register_forward_hook(lambda *a: a[-1] + torch.tensor([0.0, 2.0])),
                {},
                "other ans",
            ),
            (lambda m: torch.nn.init.constant_(m.classifier.bias, float("nan")), {}, "NaN"),
            (
                lambda m: setattr(m.config, "id2label", {0: "LABEL_0", 1: "LABEL_1"}),
                {},
                "LABEL_0.*give them names",
            ),
            (lambda m: setattr(m.config, "id2label", {0: "a", 1: "b", 2: "c"}), {}, "3 classes"),
            (lambda m: None, {"net": object()}, "note 'net' is a object that a card cannot hold"),
            (lambda m: None, {"classes": ["a"]}, "the card has its own 'classes'"),
            (lambda m: None, {"max_length": None}, "max_length is not known"),
            (lambda m: None, {"max_length": 48}, "positions for 32"),
        ],
    )
    def test_what_no_file_can_hold_is_told_and_nothing_is_left(
        self, tmp_path: Path, pair: Any, spoil: Any, notes: dict[str, Any], message: str
    ) -> None:
        spoil(pair[0])
        with pytest.raises(ValueError, match=message):
            tl.train.save_text_classifier(tmp_path / "mine", *pair, **({"max_length": 12} | notes))
        assert [path.name for path in tmp_path.iterdir()] == ["start"]

    def test_an_adapter_is_merged_first(self, tmp_path: Path, pair: Any) -> None:
        model, tokenizer = pair
        lora = get_peft_model(model, LoraConfig(task_type=TaskType.SEQ_CLS, target_modules=["query"]))
        with pytest.raises(ValueError, match=r"adapter \(LoRA\).*merge_and_unload"):
            tl.train.save_text_classifier(tmp_path / "mine", lora, tokenizer, 12)
        merged = lora.merge_and_unload()
        tl.train.save_text_classifier(tmp_path / "mine", merged, tokenizer, 12)
        again, its, _ = tl.train.load_text_classifier(tmp_path / "mine")
        expected = tl.train.predict_texts(merged, tokenizer, LONG, 12)
        assert np.allclose(tl.train.predict_texts(again, its, LONG), expected, atol=1e-6)


class TestLoaded:
    """A folder that is not whole is told."""

    @pytest.mark.parametrize(
        ("spoil", "error", "message"),
        [
            (
                lambda f: (f / "card.json").unlink(),
                FileNotFoundError,
                r"holds no card\.json.*save_text_classifier",
            ),
            (lambda f: (f / "card.json").write_text("{}"), ValueError, "is no card of a classifier"),
            (lambda f: (f / "model.safetensors").unlink(), FileNotFoundError, "copy the whole folder"),
            (lambda f: (f / "config.json").write_text("{}"), ValueError, r"config\.json: checksum mismatch"),
        ],
    )
    def test_by_file(self, tmp_path: Path, pair: Any, spoil: Any, error: type[Exception], message: str) -> None:
        tl.train.save_text_classifier(tmp_path / "mine", *pair, 12)
        spoil(tmp_path / "mine")
        with pytest.raises(error, match=message):
            tl.train.load_text_classifier(tmp_path / "mine")


class TestPredicted:
    """Probabilities of new texts."""

    def test_they_do_not_depend_on_the_batch_and_leave_the_model_as_it_was(self, pair: Any) -> None:
        model, tokenizer = pair
        model.train()
        model.bert.eval()
        before, state = [module.training for module in model.modules()], torch.get_rng_state()
        one, all_at_once = (tl.train.predict_texts(model, tokenizer, LONG, 12, size) for size in (1, 64))
        assert one.shape == (5, 2) and one.dtype == np.float32
        assert np.allclose(one, all_at_once, atol=1e-6) and np.allclose(one.sum(1), 1)
        assert [module.training for module in model.modules()] == before
        assert torch.equal(torch.get_rng_state(), state)

    def test_without_a_length_a_model_reads_all_it_can(self, pair: Any) -> None:
        found, expected = tl.train.predict_texts(*pair, LONG), tl.train.predict_texts(*pair, LONG, 32)
        assert np.array_equal(found, expected)

    @pytest.mark.parametrize(
        ("texts", "message"),
        [
            ("free money", "texts is one string"),
            ([], "no text to predict"),
            (["a", None], "text of row 1 is missing"),
            (["a", ""], "text of row 1 is blank"),
        ],
    )
    def test_what_is_no_text_is_told(self, pair: Any, texts: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.train.predict_texts(*pair, texts)
