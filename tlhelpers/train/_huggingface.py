"""Hugging Face's Trainer with tidy settings, for the texts of the book.

``text_classifier`` and ``masked_lm`` load a model, ``tokenized`` prepares texts, ``trainer_settings`` fills
TrainingArguments and ``build_trainer`` puts them together. Training, evaluation and checkpoints are the Trainer's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
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
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging

from tlhelpers import stats
from tlhelpers._machine import has_bf16
from tlhelpers._seed import seed_everything
from tlhelpers.data._hub import asking_hub
from tlhelpers.data._texts import TextSet
from tlhelpers.models._encoders import encoder_weights
from tlhelpers.profile import Profile

CLASSES = ("negative", "positive")


def text_classifier(start: str | Path, seed: int, classes: Sequence[str] = CLASSES) -> tuple[Any, Any]:
    """Return a pretrained model with a new classification head, and its tokenizer.

    Args:
        start: where to take the encoder from: a folder, ``minilm``, or a name on the hub.
        seed: of the head's random weights.
        classes: names by class index; the config keeps them, so that predictions carry names.

    Raises:
        tlhelpers.data.HubError: when the weights must be downloaded and cannot be.
    """
    names = dict(enumerate(classes))
    numbers = {name: number for number, name in names.items()}
    seed_everything(seed)
    return _load(AutoModelForSequenceClassification, start, id2label=names, label2id=numbers)


def masked_lm(start: str | Path, seed: int) -> tuple[Any, Any]:
    """Return a pretrained model with the head that guesses masked words, and its tokenizer.

    Weights that were saved without that head, as MiniLM's, get a new one; its large matrix is the embedding's,
    which they have.

    Args:
        start: where to take the encoder from: a folder, ``minilm``, or a name on the hub.
        seed: of the weights that are new.

    Raises:
        tlhelpers.data.HubError: when the weights must be downloaded and cannot be.
    """
    seed_everything(seed)
    return _load(AutoModelForMaskedLM, start)


def _load(kind: Any, start: str | Path, **options: Any) -> tuple[Any, Any]:
    with asking_hub(str(start)):
        place = encoder_weights(str(start))
        return kind.from_pretrained(place, **options), AutoTokenizer.from_pretrained(place)


def tokenized(texts: TextSet | Sequence[str], tokenizer: Any, max_length: int) -> Dataset:
    """Return token numbers of each text, not padded, and ``labels`` where there are any.

    Args:
        max_length: tokens kept of a text.

    Raises:
        ValueError: when there is no text.
    """
    strings = texts.texts if isinstance(texts, TextSet) else list(texts)
    if not strings:
        raise ValueError("there is no text to prepare.")
    tokens = dict(tokenizer(strings, truncation=True, max_length=max_length))
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
    train: TextSet | Sequence[str],
    val: TextSet | Sequence[str],
    arguments: TrainingArguments,
    *,
    max_length: int,
    collator: Any = None,
) -> Trainer:
    """Return a Trainer that pads to the longest text of a batch, selects on ``val`` and shows one bar.

    Args:
        arguments: what :func:`trainer_settings` returned.
        max_length: tokens kept of a text.
        collator: makes batches; pads when left out. Texts without labels need one that makes labels.

    Raises:
        ValueError: when a set is empty.
    """
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=tokenized(train, tokenizer, max_length),
        eval_dataset=tokenized(val, tokenizer, max_length),
        processing_class=tokenizer,
        data_collator=collator or DataCollatorWithPadding(tokenizer),
        compute_metrics=trainer_metrics if isinstance(val, TextSet) else None,
        callbacks=[ProgressBar()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def evaluate_trainer(trainer: Trainer, texts: TextSet, max_length: int) -> dict[str, float]:
    """Return the scores of :func:`tlhelpers.stats.scores` on labeled texts.

    Raises:
        ValueError: when there is no text.
    """
    output = trainer.predict(tokenized(texts, trainer.processing_class, max_length))
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
