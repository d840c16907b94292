"""Tidy settings for the Trainer: on the packaged encoder, and on a small DistilBERT with reviews like IMDB's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, DataCollatorForLanguageModeling, Trainer

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
    model, tokenizer = tl.train.masked_lm("minilm", 0)
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
