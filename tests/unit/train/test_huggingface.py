"""Tidy settings for the Trainer: on the packaged encoder, and on a small DistilBERT with reviews like IMDB's."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DataCollatorForLanguageModeling,
    GPT2Config,
    GPT2Model,
    Trainer,
)

import tlhelpers as tl
from tlhelpers.data import TextSet, _hub
from tlhelpers.train import _huggingface
from tools import smoke

PRAISE = ["A lovely film.", "Bright and moving.", "Funny and warm.", "I loved it."]
BLAME = ["A dull film.", "Slow and tired.", "Awful and cold.", "I hated it."]
TEXTS = TextSet(PRAISE + BLAME, np.array([1] * 4 + [0] * 4), np.arange(8))


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Profile smoke, with nothing on the hub but what a test puts into the folder."""
    monkeypatch.setenv("TLHELPERS_PROFILE", "smoke")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    _hub.reviews.cache_clear()
    yield tmp_path
    _hub.reviews.cache_clear()


def tuned(folder: Path, capfd: pytest.CaptureFixture[str], **changes: object) -> tuple[Trainer, str]:
    model, tokenizer = tl.train.text_classifier("minilm", 0)
    arguments = tl.train.trainer_settings(
        tl.profile.current(), folder, num_train_epochs=2, per_device_train_batch_size=4, **changes
    )
    work = tl.train.build_trainer(model, tokenizer, TEXTS, TEXTS, arguments, max_length=48)
    capfd.readouterr()
    work.train()
    return work, "".join(capfd.readouterr())


def test_a_training_prints_nothing_and_is_told_by_epoch(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    work, printed = tuned(tmp_path, capfd, learning_rate=3e-4)
    assert printed == ""
    found = tl.train.trainer_history(work)
    assert found["epoch"].tolist() == [1, 2]
    assert found[["train_loss", "val_loss", "val_accuracy", "val_auroc"]].notna().all(axis=None)
    assert found["best"].sum() == 1
    assert found.loc[found["best"], "val_accuracy"].item() == found["val_accuracy"].max()
    scores = tl.train.evaluate_trainer(work, TEXTS, 48)
    assert scores["accuracy"] == pytest.approx(found["val_accuracy"].max())


def test_the_best_epoch_is_kept_and_not_the_last(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    work, _ = tuned(tmp_path, capfd, learning_rate=3e-4, metric_for_best_model="loss", greater_is_better=True)
    losses = tl.train.trainer_history(work)["val_loss"]
    again = work.evaluate()["eval_loss"]
    # Asked for the greatest loss, it hands that epoch back, whichever it is.
    assert again == pytest.approx(losses.max(), rel=1e-3)


def test_one_bar_shows_the_whole_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_huggingface, "tqdm", partial(_huggingface.tqdm, disable=False))
    _, printed = tuned(tmp_path, capfd)
    assert "step" in printed and "4/4" in printed and "val_accuracy" in printed
    assert "shards" not in printed and "{'" not in printed


def test_the_seed_decides_the_new_head_and_only_that() -> None:
    (one, _), (same, _), (other, _) = (tl.train.text_classifier("minilm", seed) for seed in (0, 0, 1))
    assert torch.equal(one.classifier.weight, same.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    body = [list(model.base_model.parameters()) for model in (one, other)]
    assert all(torch.equal(a, b) for a, b in zip(*body, strict=True))
    assert one.config.id2label == {0: "negative", 1: "positive"}


def test_token_numbers_are_cut_but_not_padded() -> None:
    _, tokenizer = tl.train.text_classifier("minilm", 0)
    found = tl.train.tokenized(
        TextSet(["One two.", "One two three four."], np.array([0, 1]), np.arange(2)), tokenizer, 4
    )
    assert [len(row) for row in found["input_ids"]] == [4, 4]
    assert [len(row) for row in tl.train.tokenized(["One.", "One two three."], tokenizer, 48)["input_ids"]] == [
        4,
        6,
    ]
    assert list(found["labels"]) == [0, 1]
    assert "labels" not in tl.train.tokenized(["One."], tokenizer, 48).column_names


def test_no_text_and_no_training_are_told(tmp_path: Path) -> None:
    model, tokenizer = tl.train.text_classifier("minilm", 0)
    arguments = tl.train.trainer_settings(tl.profile.current(), tmp_path)
    with pytest.raises(ValueError, match="no text"):
        tl.train.tokenized([], tokenizer, 48)
    with pytest.raises(ValueError, match=r"no evaluation.*trainer\.train\(\)"):
        tl.train.trainer_history(tl.train.build_trainer(model, tokenizer, TEXTS, TEXTS, arguments, max_length=48))


def test_an_own_setting_replaces_ours(tmp_path: Path) -> None:
    p = tl.profile.current()
    ours = tl.train.trainer_settings(p, tmp_path)
    theirs = tl.train.trainer_settings(p, tmp_path, learning_rate=0.5, bf16=False)
    assert ours.learning_rate == p.text_rate and theirs.learning_rate == 0.5
    assert ours.bf16 == tl.train.has_bf16(p.device) and not theirs.bf16


@pytest.mark.parametrize("found", [{"avx512_bf16": True}, {"amx_bf16": True}, {"avx2": True}, {}])
def test_bf16_is_used_where_the_processor_has_it(found: dict[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert tl.train.has_bf16("cpu") == any("bf16" in name for name in found)


def test_pretraining_goes_on_without_labels(tmp_path: Path) -> None:
    torch.manual_seed(8)
    state = torch.get_rng_state()
    model, tokenizer = tl.train.masked_lm("minilm", 0)
    assert torch.equal(torch.get_rng_state(), state)
    before = model.base_model.encoder.layer[0].attention.self.query.weight.clone()
    arguments = tl.train.trainer_settings(
        tl.profile.current(),
        tmp_path,
        num_train_epochs=2,
        per_device_train_batch_size=4,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
    )
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.3)
    texts = TEXTS.texts
    tl.train.build_trainer(model, tokenizer, texts, texts, arguments, max_length=48, collator=collator).train()
    assert not torch.equal(before, model.base_model.encoder.layer[0].attention.self.query.weight)
    model.base_model.save_pretrained(tmp_path / "adapted")
    tokenizer.save_pretrained(tmp_path / "adapted")
    started, _ = tl.train.text_classifier(tmp_path / "adapted", 0)
    query = started.base_model.encoder.layer[0].attention.self.query.weight
    assert torch.equal(query, model.base_model.encoder.layer[0].attention.self.query.weight)


def test_the_full_profile_takes_model_and_reviews_from_the_hub(full: Path) -> None:
    smoke.write_distilbert(full)
    smoke.write_reviews(full)
    p = tl.profile.current()
    parts, pool = tl.data.text_splits(p, 0), tl.data.unlabeled_texts(p, 0)
    assert [len(part) for part in parts] == [p.text_train, p.text_val, p.text_test]
    assert all("train film" in one for one in parts.train.texts + parts.val.texts)
    assert all("test film" in one for one in parts.test.texts)
    assert len(pool) == p.text_unlabeled and all("unsupervised" in one for one in pool)
    model, tokenizer = tl.train.text_classifier(p.text_model, 0)
    assert type(model).__name__ == "DistilBertForSequenceClassification"
    arguments = tl.train.trainer_settings(
        p, full / "steps", learning_rate=3e-3, num_train_epochs=15, per_device_train_batch_size=8
    )
    work = tl.train.build_trainer(model, tokenizer, parts.train, parts.val, arguments, max_length=p.text_length)
    work.train()
    assert tl.train.evaluate_trainer(work, parts.test, p.text_length)["accuracy"] > 0.9


def test_a_set_that_is_too_small_is_told(full: Path) -> None:
    smoke.write_reviews(full, 50)
    with pytest.raises(ValueError, match="more than the 50 labeled texts of stanfordnlp/imdb"):
        tl.data.text_splits(tl.profile.current(), 0)
    with pytest.raises(ValueError, match="has no part 'dev'; it has train, test, unsupervised"):
        _hub.reviews(smoke.REVIEWS, "dev")


def test_a_missing_hub_gives_one_sentence_and_the_way_to_go_on(full: Path) -> None:
    way = r"neither downloaded nor to be had.*TLHELPERS_PROFILE=offline"
    for ask in (
        lambda: tl.train.text_classifier(smoke.TEXT_MODEL, 0),
        lambda: tl.data.text_splits(tl.profile.current(), 0),
        lambda: tl.models.load_encoder(smoke.TEXT_MODEL),
    ):
        with pytest.raises(tl.data.HubError, match=way) as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_an_encoder_from_the_hub_describes_texts(full: Path) -> None:
    smoke.write_distilbert(full)
    found = tl.models.load_encoder(smoke.TEXT_MODEL)
    assert type(found.model) is type(AutoModel.from_config(found.model.config))
    vectors = tl.models.encode(PRAISE, found)
    assert vectors.shape == (4, 48) and vectors.isfinite().all()


TALK = TextSet([*TEXTS.texts, "So so."], [1] * 4 + [0] * 4 + [2], None, ("bad", "good", "neither"))
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def small(folder: Path, **changes: object) -> Path:
    """Write a classifier of one layer, with a head of ones, and MiniLM's tokenizer."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**(SIZES | {"max_position_embeddings": 32} | changes)))
    torch.nn.init.ones_(model.classifier.weight)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tl.models.encoder_weights("minilm")).save_pretrained(folder)
    return folder


def built(folder: Path, model: Any, tokenizer: Any, *sets: Any, **changes: Any) -> Trainer:
    arguments = tl.train.trainer_settings(tl.profile.current(), folder)
    return tl.train.build_trainer(model, tokenizer, *sets, arguments, **({"max_length": 16} | changes))


class TestHead:
    """A new head is new, whatever the start was trained for."""

    @pytest.mark.parametrize("labels", [1, 2, 3, 5])
    def test_it_is_the_same_whatever_head_the_start_has(self, tmp_path: Path, labels: int) -> None:
        with_head = small(tmp_path / "head", num_labels=labels, problem_type="multi_label_classification")
        model, tokenizer = tl.models.load_encoder(with_head)
        model.save_pretrained(tmp_path / "bare")
        tokenizer.save_pretrained(tmp_path / "bare")
        found, expected = (tl.train.text_classifier(tmp_path / n, 3, TALK.classes)[0] for n in ("head", "bare"))
        assert all(torch.equal(weight, expected.state_dict()[n]) for n, weight in found.state_dict().items())
        assert found.classifier.weight.shape == (3, 16) and found.classifier.weight.std() > 0
        assert found.config.problem_type is None and not found.training
        assert found.config.id2label == {0: "bad", 1: "good", 2: "neither"}
        assert found.name_or_path == str(with_head)

    @pytest.mark.parametrize(
        ("seed", "classes", "expected"),
        [(0, ("negative", "positive"), "956dc67d32782f8d"), (3, "abc", "a8c32a0c0bcf71e7")],
    )
    def test_that_of_the_packaged_encoder_is_that_of_the_stored_runs(
        self, seed: int, classes: Sequence[str], expected: str
    ) -> None:
        torch.manual_seed(8)
        state = torch.get_rng_state()
        model, _ = tl.train.text_classifier("minilm", seed, list(classes))
        assert torch.equal(torch.get_rng_state(), state)
        digest = hashlib.sha256()
        for name, weight in model.state_dict().items():
            digest.update(name.encode() + weight.numpy().tobytes())
        assert digest.hexdigest()[:16] == expected

    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            ("ab", "classes is one string"),
            (["one"], "two or more"),
            (["spam", "spam "], "two have one name"),
            (["spam", ""], "class number 1, counted from 0, has no name"),
        ],
    )
    def test_classes_are_two_names_or_more(self, classes: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.train.text_classifier("minilm", 0, classes)


class TestFit:
    """What does not go together is told before training, with both numbers and the cure."""

    @pytest.fixture
    def pair(self, tmp_path: Path) -> tuple[Any, Any]:
        return tl.train.text_classifier(small(tmp_path / "small"), 0)

    @pytest.mark.parametrize(
        ("sets", "changes", "message"),
        [
            (
                (TALK, TALK),
                {},
                r"2 outputs \('negative', 'positive'\), but the texts have 3 classes.*classes=texts",
            ),
            ((TEXTS, TALK), {}, r"train has the classes .*'positive'\), val \('bad'"),
            ((TEXTS, PRAISE), {}, "one of train and val has labels"),
            ((PRAISE, PRAISE), {}, "need a collator that makes labels"),
            ((PRAISE, "abc"), {}, "texts is one string"),
            ((TEXTS, TEXTS), {"max_length": 33}, "max_length=33, but the model has positions for 32"),
            ((TEXTS, TEXTS), {"max_length": 1024}, r"max_length=1024.* 512 tokens \(model_max_length\)"),
            ((TEXTS, TEXTS), {"max_length": 2}, "leaves no token of a text"),
        ],
    )
    def test_sets_and_lengths(self, tmp_path: Path, pair: Any, sets: Any, changes: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            built(tmp_path, *pair, *sets, **changes)

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (
                lambda m, t: t.add_tokens(["stent"]),
                "30523 tokens.* 30522 rows; call model.resize_token_embeddings",
            ),
            (lambda m, t: setattr(t, "pad_token", None), "no token to pad with"),
            (lambda m, t: setattr(m.config, "pad_token_id", 5), "token 5 pads, the tokenizer pads with 0"),
            (lambda m, t: setattr(m.config, "problem_type", "regression"), "problem_type='regression'"),
            (lambda m, t: setattr(m, "classifier", torch.nn.Linear(16, 7)), r"logits of shape \(2, 7\)"),
            (
                lambda m, t: setattr(m.config, "id2label", {0: "positive", 1: "negative"}),
                r"numbers its classes \('positive', 'negative'\), but the texts \('negative', 'positive'\)",
            ),
        ],
    )
    def test_models_and_tokenizers(self, tmp_path: Path, pair: Any, spoil: Any, message: str) -> None:
        model, tokenizer = pair
        spoil(model, tokenizer)
        with pytest.raises(ValueError, match=message):
            built(tmp_path, model, tokenizer, TEXTS, TEXTS)

    def test_a_model_of_another_kind(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"logits of shape \(2, 5, 30522\) .*text_classifier"):
            built(tmp_path, *tl.train.masked_lm(small(tmp_path / "small"), 0), TEXTS, TEXTS)

    def test_an_evaluation_asks_the_same(self, tmp_path: Path, pair: Any) -> None:
        work = built(tmp_path, *pair, TEXTS, TEXTS)
        with pytest.raises(ValueError, match=r"2 outputs .* 3 classes"):
            tl.train.evaluate_trainer(work, TALK, 16)
        with pytest.raises(ValueError, match="list without labels; give a TextSet"):
            tl.train.evaluate_trainer(work, PRAISE, 16)
        with pytest.raises(ValueError, match="positions for 32"):
            tl.train.evaluate_trainer(work, TEXTS, 48)

    def test_gpt2_without_a_padding_token_learns(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        GPT2Model(GPT2Config(vocab_size=30522, n_embd=16, n_layer=1, n_head=2)).save_pretrained(tmp_path / "gpt")
        words = AutoTokenizer.from_pretrained(tl.models.encoder_weights("minilm"))
        words.pad_token, words.eos_token = None, "[SEP]"
        words.save_pretrained(tmp_path / "gpt")
        model, tokenizer = tl.train.text_classifier(tmp_path / "gpt", 0)
        assert model.config.pad_token_id == tokenizer.pad_token_id == words.eos_token_id
        built(tmp_path, model, tokenizer, TEXTS, TEXTS)
        model.config.pad_token_id = None
        with pytest.raises(
            ValueError, match=r"cannot answer for two texts at once .*model\.config\.pad_token_id ="
        ):
            built(tmp_path, model, tokenizer, TEXTS, TEXTS)


class TestTold:
    """What is done, but told."""

    def told(self, tmp_path: Path, train: TextSet, val: TextSet, **changes: Any) -> list[str]:
        model = tl.train.text_classifier(small(tmp_path / "small"), 0, changes.pop("classes", TEXTS.classes))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            built(tmp_path, *model, train, val, **changes)
        return [str(one.message) for one in caught if issubclass(one.category, UserWarning)]

    def test_nothing_where_all_is_well(self, tmp_path: Path) -> None:
        parts = TEXTS.take([0, 1, 4, 5]), TEXTS.take([2, 3, 6, 7])
        assert self.told(tmp_path, *parts) == []
        assert self.told(tmp_path, *(TextSet(part.texts, part.labels) for part in parts)) == []

    def test_a_text_of_both_sets(self, tmp_path: Path) -> None:
        val = TextSet(["So so.", " A  lovely film."], [0, 1], [20, 21])
        (found,) = self.told(tmp_path, TEXTS, val)
        assert "1 of 2 texts of val stand in train, too, first row 1" in found

    @pytest.mark.parametrize("names", [("Ann", "Bo"), (7, 8)])
    def test_a_document_of_both_sets(self, tmp_path: Path, names: tuple[Any, Any]) -> None:
        train = TextSet(TEXTS.texts, TEXTS.labels, [names[0]] * 8)
        (found,) = self.told(tmp_path, train, TextSet(["So so.", "Meh."], [0, 1], names))
        assert "1 of 2 texts of val are of groups that train has, too" in found

    def test_a_class_that_val_lacks_where_nothing_is_evaluated(self, tmp_path: Path) -> None:
        model = tl.train.text_classifier(small(tmp_path / "small"), 0)
        val = TextSet(["So so.", "Meh."], [0, 0])
        arguments = tl.train.trainer_settings(
            tl.profile.current(), tmp_path, eval_strategy="no", load_best_model_at_end=False
        )
        with pytest.warns(UserWarning, match=r"val holds no text of \['positive'\]"):
            tl.train.build_trainer(*model, TEXTS, val, arguments, max_length=16)

    def test_texts_that_are_cut(self, tmp_path: Path) -> None:
        long = TextSet(["word " * 30, *TEXTS.texts[1:]], TEXTS.labels)
        (found,) = self.told(tmp_path, long, TextSet(["So so.", "Meh."], [0, 1]))
        assert "1 of 8 training texts are longer than max_length=16" in found and "the longest 32" in found

    def test_classes_of_other_names(self, tmp_path: Path) -> None:
        val = TextSet(["So so.", "Meh."], [0, 1])
        (found,) = self.told(tmp_path, TEXTS, val, classes=("ham", "spam"))
        assert "the model names its classes ('ham', 'spam'), but the texts ('negative', 'positive')" in found


class TestParts:
    """What is put together is what is asked for, and can be judged."""

    @pytest.mark.parametrize("part", ["train", "val"])
    def test_a_class_that_a_set_lacks_is_refused(self, tmp_path: Path, part: str) -> None:
        model = tl.train.text_classifier(small(tmp_path / "small"), 0)
        parts = {"train": TEXTS, "val": TEXTS} | {part: TextSet(["So so.", "Meh."], [0, 0])}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ValueError, match=rf"{part} holds no text of \['positive'\]"):
                built(tmp_path, *model, parts["train"], parts["val"])

    def test_what_is_no_model_tokenizer_or_arguments_is_named(self, tmp_path: Path) -> None:
        model, tokenizer = tl.train.text_classifier(small(tmp_path / "small"), 0)
        arguments = tl.train.trainer_settings(tl.profile.current(), tmp_path)
        for parts, message in (
            ((tokenizer, model, TEXTS, TEXTS, arguments), "model and tokenizer are swapped"),
            ((model, tokenizer, TEXTS, TEXTS, {}), "arguments is a dict; give TrainingArguments"),
            (("minilm", tokenizer, TEXTS, TEXTS, arguments), "model is a str, no network"),
            ((model, "minilm", TEXTS, TEXTS, arguments), "tokenizer is a str; give"),
        ):
            with pytest.raises(ValueError, match=message):
                tl.train.build_trainer(*parts, max_length=16)
