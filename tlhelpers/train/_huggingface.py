"""Hugging Face's Trainer with tidy settings, for the texts of the book.

``text_classifier`` and ``masked_lm`` load a model, ``tokenized`` prepares texts, ``trainer_settings`` fills
TrainingArguments and ``build_trainer`` puts them together. Training, evaluation and checkpoints are the Trainer's.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from tqdm import tqdm
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging

from tlhelpers import _rows, stats
from tlhelpers._machine import device_of, has_bf16
from tlhelpers._seed import random_state_kept
from tlhelpers.data._hub import quiet
from tlhelpers.data._texts import TextSet, class_names, plain, strings
from tlhelpers.models._backbones import evaluating
from tlhelpers.models._encoders import (
    check_length,
    check_reading,
    encoder_keys,
    load_pretrained,
    text_lengths,
)
from tlhelpers.profile import Profile

CLASSES = ("negative", "positive")


def text_classifier(start: str | Path, seed: int, classes: Sequence[str] = CLASSES) -> tuple[Any, Any]:
    """Return a pretrained model with a new classification head, and its tokenizer.

    The head is new whatever ``start`` holds, also a head of that size. To go on with one that was trained, save it
    with :func:`save_text_classifier` and read it with :func:`load_text_classifier`.

    Args:
        start: where to take the encoder from: a folder, ``minilm``, or a name on the hub.
        seed: of the head's random weights. PyTorch's own generator is left as it was.
        classes: names by class index, such as ``texts.classes``; the config keeps them, so that predictions carry
            names.

    Raises:
        FileNotFoundError, ValueError: as :func:`tlhelpers.models.load_encoder`; when there are fewer than two
            classes, or two of one name.
        tlhelpers.data.HubError: when the weights must be downloaded and cannot be.
    """
    names = dict(enumerate(class_names(classes)))
    if len(names) < 2:
        raise ValueError(f"classes={tuple(names.values())}; there must be two or more to tell apart.")
    options = {"id2label": names, "label2id": {name: number for number, name in names.items()}}
    kind = AutoModelForSequenceClassification
    with random_state_kept(seed):
        # What the start was trained for, such as several labels at once, goes with its head.
        model, tokenizer, new = load_pretrained(kind, start, problem_type=None, **options)
    encoder = encoder_keys(model)
    if not set(model.state_dict()) - encoder <= new:
        weights = {name: weight for name, weight in model.state_dict().items() if name in encoder}
        place, config = model.name_or_path, model.config
        with quiet(), random_state_kept(seed):
            model = type(model).from_pretrained(None, config=config, state_dict=weights, dtype=model.dtype)
        model.name_or_path = config._name_or_path = place
    return model, tokenizer


def masked_lm(start: str | Path, seed: int) -> tuple[Any, Any]:
    """Return a pretrained model with the head that guesses masked words, and its tokenizer.

    Weights that were saved without that head, as MiniLM's, get a new one; its large matrix is the embedding's,
    which they have.

    Args:
        start: where to take the encoder from: a folder, ``minilm``, or a name on the hub.
        seed: of the weights that are new. PyTorch's own generator is left as it was.

    Raises:
        FileNotFoundError, ValueError: as :func:`tlhelpers.models.load_encoder`.
        tlhelpers.data.HubError: when the weights must be downloaded and cannot be.
    """
    with random_state_kept(seed):
        return load_pretrained(AutoModelForMaskedLM, start)[:2]


def tokenized(texts: TextSet | Iterable[str], tokenizer: Any, max_length: int) -> Dataset:
    """Return token numbers of each text, not padded, and ``labels`` where there are any.

    Args:
        max_length: tokens kept of a text.

    Raises:
        ValueError: when there is no text, or one is missing, blank or no string; when ``max_length`` leaves no
            room for a word, or is more than the tokenizer's model was made for.
    """
    rows = strings(texts)
    if not rows:
        raise ValueError("there is no text to prepare.")
    check_length(tokenizer, max_length)
    tokens = dict(tokenizer(rows, truncation=True, max_length=max_length))
    return Dataset.from_dict(tokens | ({"labels": texts.labels} if isinstance(texts, TextSet) else {}))


def trainer_settings(p: Profile, folder: str | Path | None = None, **changes: Any) -> TrainingArguments:
    """Return TrainingArguments that print nothing, report to nobody and keep the epoch that validates best.

    Args:
        p: batch size, epochs, rate and device.
        folder: where checkpoints go; a new temporary folder when left out.
        changes: any argument of TrainingArguments; it replaces ours.
    """
    ours: dict[str, Any] = {
        "num_train_epochs": p.text_epochs,
        "per_device_train_batch_size": p.batch_size,
        "per_device_eval_batch_size": 64,
        "learning_rate": p.text_rate,
        "weight_decay": 0.01,
        "warmup_steps": 0.1,  # below 1 it is a share of all steps
        "train_sampling_strategy": "group_by_length",
        "bf16": has_bf16(p.device),
        "use_cpu": p.device == "cpu",
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "logging_strategy": "epoch",
        "load_best_model_at_end": True,
        "metric_for_best_model": "accuracy",
        "save_total_limit": 1,
        "save_only_model": True,
        "disable_tqdm": True,
        "report_to": "none",
        "dataloader_pin_memory": p.device == "cuda",
    }
    return TrainingArguments(str(folder or tempfile.mkdtemp(prefix="tlhelpers-")), **(ours | changes))


class ProgressBar(TrainerCallback):
    """One progress bar for a whole training; the Trainer's own leave one behind for each evaluation."""

    def __init__(self) -> None:
        self.bar: Any = None

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        self._shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # that of each checkpoint
        self.bar = tqdm(total=state.max_steps, unit="step", leave=False)

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        self.bar.update(1)

    def on_evaluate(
        self, args: TrainingArguments, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        if self.bar is not None and metrics and "eval_accuracy" in metrics:
            self.bar.set_postfix(val_accuracy=f"{metrics['eval_accuracy']:.3f}")

    def on_train_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        self.bar.close()
        if self._shown:
            logging.enable_progress_bar()


def trainer_metrics(predicted: EvalPrediction) -> dict[str, float]:
    """Return the scores of :func:`tlhelpers.stats.scores` for logits ``[N, C]`` and labels ``[N]``."""
    logits = torch.from_numpy(np.asarray(predicted.predictions, dtype=np.float32))
    return stats.scores(logits.softmax(dim=1).numpy(), np.asarray(predicted.label_ids))


def build_trainer(
    model: Any,
    tokenizer: Any,
    train: TextSet | Iterable[str],
    val: TextSet | Iterable[str],
    arguments: TrainingArguments,
    *,
    max_length: int,
    collator: Any = None,
) -> Trainer:
    """Return a Trainer that pads to the longest text of a batch, selects on ``val`` and shows one bar.

    Args:
        arguments: what :func:`trainer_settings` returned.
        max_length: tokens kept of a text; :func:`predict_texts` and :func:`save_text_classifier` take the same.
        collator: makes batches; pads when left out. Texts without labels need one that makes labels.

    Raises:
        ValueError: when model, tokenizer or arguments are something else; when a set is empty; when one set has
            labels and the other has none; when the classes of both differ, or are not as many as the model's
            outputs; when a set holds no text of one of them; when the model cannot read what the tokenizer makes.

    Warns:
        UserWarning: when both sets share a text or a document; when ``val`` lacks a class, and the arguments ask
            for no evaluation; when more than one training text in ten is cut; when the model names its classes
            otherwise than the texts do.
    """
    _check_parts(model, tokenizer, arguments)
    labeled = isinstance(train, TextSet)
    train, val = (part if isinstance(part, TextSet) else strings(part) for part in (train, val))
    if labeled != isinstance(val, TextSet):
        raise ValueError(
            "one of train and val has labels (a TextSet), the other has none; give both the same kind."
        )
    if not labeled and collator is None:
        raise ValueError(
            "texts without labels need a collator that makes labels, such as DataCollatorForLanguageModeling; to "
            "learn classes, give a TextSet."
        )
    data = [tokenized(part, tokenizer, max_length) for part in (train, val)]
    check_reading(model, tokenizer, max_length)
    if isinstance(train, TextSet) and isinstance(val, TextSet):
        if train.classes != val.classes:
            raise ValueError(f"train has the classes {train.classes}, val {val.classes}; give both the same.")
        _check_outputs(model, tokenizer, train)
        _warn_of_shared(train, val)
        _check_absent("train", train)
        _check_absent("val", val, judged=arguments.eval_strategy != "no")
    _warn_of_cut(train, tokenizer, max_length)
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=data[0],
        eval_dataset=data[1],
        processing_class=tokenizer,
        data_collator=collator or DataCollatorWithPadding(tokenizer),
        compute_metrics=trainer_metrics if labeled else None,
        callbacks=[ProgressBar()],
    )
    trainer.remove_callback(PrinterCallback)
    model.text_length = int(max_length)  # for those who predict with it, or save it
    return trainer


def _check_parts(model: Any, tokenizer: Any, arguments: Any) -> None:
    if isinstance(model, PreTrainedTokenizerBase) and isinstance(tokenizer, torch.nn.Module):
        raise ValueError(
            "model and tokenizer are swapped; give build_trainer(model, tokenizer, train, val, arguments, ...)."
        )
    if not isinstance(model, torch.nn.Module):
        raise ValueError(
            f"model is a {type(model).__name__}, no network; give one such as text_classifier returns, with its "
            "tokenizer."
        )
    if isinstance(tokenizer, torch.nn.Module) or not callable(tokenizer):
        raise ValueError(
            f"tokenizer is a {type(tokenizer).__name__}; give the one that text_classifier returns with its model."
        )
    if not isinstance(arguments, TrainingArguments):
        raise ValueError(
            f"arguments is a {type(arguments).__name__}; give TrainingArguments, as trainer_settings(p) returns."
        )


def _check_outputs(model: Any, tokenizer: Any, texts: TextSet) -> None:
    names = names_of(model)
    cure = "make the model with text_classifier(start, seed, classes=texts.classes)"
    if len(names) != len(texts.classes):
        raise ValueError(
            f"the model has {len(names)} outputs {names[:8]}, but the texts have {len(texts.classes)} classes "
            f"{texts.classes[:8]}; {cure}."
        )
    if names != texts.classes and set(names) == set(texts.classes):
        raise ValueError(f"the model numbers its classes {names}, but the texts {texts.classes}; {cure}.")
    if names != texts.classes and not unnamed(names):
        warnings.warn(
            f"the model names its classes {names[:8]}, but the texts {texts.classes[:8]}, and predictions carry "
            f"the model's names; {cure}.",
            stacklevel=3,
        )
    check_answer(model, tokenizer)


def check_answer(model: Any, tokenizer: Any) -> None:
    """Do nothing when a model gives one number a class; two short texts are asked for, as the first batch will.

    Raises:
        ValueError: when it gives another shape, cannot pad, or its answers are no choice of one class.
    """
    outputs, kind = len(names_of(model)), getattr(model.config, "problem_type", None)
    if kind not in (None, "single_label_classification"):
        raise ValueError(
            f"the model's config has problem_type={kind!r}, but each text has one class; set "
            "model.config.problem_type = 'single_label_classification'."
        )
    pads = getattr(model.config, "pad_token_id", None), tokenizer.pad_token_id
    if pads[0] is not None and pads[0] != pads[1]:
        raise ValueError(
            f"the model's config says that token {pads[0]} pads, the tokenizer pads with {pads[1]}; set "
            "model.config.pad_token_id = tokenizer.pad_token_id, or take the model's own tokenizer."
        )
    batch = tokenizer(["a", "a b c"], padding=True, return_tensors="pt").to(device_of(model))
    try:
        with evaluating(model), torch.no_grad():
            logits = getattr(model(**batch), "logits", None)
    except ValueError as error:
        raise ValueError(
            f"the model cannot answer for two texts at once ({error}); if it lacks a token to pad with, set "
            "model.config.pad_token_id = tokenizer.pad_token_id."
        ) from error
    if logits is None or tuple(logits.shape) != (2, outputs):
        found = "no logits" if logits is None else f"logits of shape {tuple(logits.shape)}"
        raise ValueError(
            f"the model gives {found} for 2 texts and {outputs} classes, where [2, {outputs}] is needed; make it "
            "with text_classifier."
        )


def names_of(model: Any) -> tuple[str, ...]:
    """Return the names of a model's classes, by index, as its config has them.

    Raises:
        ValueError: when it has no config that names classes.
    """
    names = getattr(getattr(model, "config", None), "id2label", None)
    if not names:
        raise ValueError(
            f"a {type(model).__name__} has no config that names classes; make it with text_classifier."
        )
    return tuple(str(names[number]) for number in sorted(names))


def unnamed(names: Sequence[str]) -> bool:
    """Return whether names are the stand-ins of transformers, ``LABEL_0`` and so on."""
    return any(re.fullmatch(r"LABEL_\d+", name) for name in names)


def _warn_of_shared(train: TextSet, val: TextSet) -> None:
    seen = {plain(text): row for row, text in enumerate(train.texts)}
    shared = [row for row, text in enumerate(val.texts) if plain(text) in seen]
    if shared:
        warnings.warn(
            f"{len(shared)} of {len(val)} texts of val stand in train, too, first row {shared[0]} "
            f"({val.texts[shared[0]][:40]!r}); what val says of new texts is too good. "
            "split_texts keeps copies together.",
            stacklevel=3,
        )
    both = _rows.identities([*train.groups, *val.groups])
    ours, theirs = both[: len(train)], both[len(train) :]
    # Where each text is a group of its own, the numbers are those of rows, counted in each set anew.
    if len(set(ours)) == len(ours) and len(set(theirs)) == len(theirs):
        return
    tied = np.flatnonzero(np.isin(theirs, ours))
    if len(tied):
        warnings.warn(
            f"{len(tied)} of {len(val)} texts of val are of groups that train has, too, first "
            f"{val.groups[tied[0]]!r}; split_texts keeps a group on one side. Where both sets number their groups "
            "anew, give them different names.",
            stacklevel=3,
        )


def _check_absent(part: str, texts: TextSet, judged: bool = True) -> None:
    counts = np.bincount(texts.labels, minlength=len(texts.classes))
    if counts.all():
        return
    absent = [texts.classes[number] for number in np.flatnonzero(counts == 0)[:8]]
    told = (
        f"{part} holds no text of {absent}, so such a class is neither learned nor judged there; find "
        "texts of it, or leave the class out."
    )
    if judged:
        raise ValueError(told)
    warnings.warn(told, stacklevel=3)


def _warn_of_cut(texts: TextSet | Sequence[str], tokenizer: Any, max_length: int) -> None:
    lengths = text_lengths(texts, tokenizer)
    cut = int((lengths > max_length).sum())
    if cut > 0.1 * len(lengths):
        warnings.warn(
            f"{cut} of {len(lengths)} training texts are longer than max_length={max_length} tokens, and what "
            f"lies beyond is cut off; half have {np.median(lengths):.0f} or fewer, the longest {lengths.max()}.",
            stacklevel=3,
        )


def evaluate_trainer(trainer: Trainer, texts: TextSet, max_length: int) -> dict[str, float]:
    """Return the scores of :func:`tlhelpers.stats.scores` on labeled texts.

    Raises:
        ValueError: when there is no text, or no labels; when the classes are not as many as the model's outputs;
            when ``max_length`` is more than the model can read.
    """
    if not isinstance(texts, TextSet):
        raise ValueError(f"texts is a {type(texts).__name__} without labels; give a TextSet.")
    data = tokenized(texts, trainer.processing_class, max_length)
    check_reading(trainer.model, trainer.processing_class, max_length)
    _check_outputs(trainer.model, trainer.processing_class, texts)
    output = trainer.predict(data)
    return trainer_metrics(EvalPrediction(output.predictions, np.asarray(output.label_ids)))


def trainer_history(trainer: Trainer) -> pd.DataFrame:
    """Return one row an epoch: ``epoch``, ``train_loss``, ``val_loss``, ``val_accuracy``, and ``best``.

    Raises:
        ValueError: when the trainer has not trained, or has evaluated at other times than after each epoch.
    """
    logs = trainer.state.log_history
    train = {round(row["epoch"]): row["loss"] for row in logs if "loss" in row}
    rows = [
        {"epoch": round(row["epoch"]), "train_loss": train.get(round(row["epoch"]), float("nan"))}
        | {f"val_{name}": row[f"eval_{name}"] for name in ("loss", "accuracy", "auroc") if f"eval_{name}" in row}
        for row in logs
        if "eval_loss" in row
    ]
    if not rows:
        raise ValueError("there is no evaluation to show; call trainer.train() with eval_strategy='epoch' first.")
    history = pd.DataFrame(rows).drop_duplicates("epoch")
    key = "val_accuracy" if "val_accuracy" in history else "val_loss"
    best = history[key].idxmax() if key == "val_accuracy" else history[key].idxmin()
    history["best"] = history.index == best
    return history.reset_index(drop=True)
