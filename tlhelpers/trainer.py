"""Hugging Face's Trainer with tidy settings, for the texts of the book.

``classifier`` and ``masked_lm`` load a model, ``dataset`` prepares texts, ``settings`` fills TrainingArguments and
``build`` puts them together. Training, evaluation and checkpoints are the Trainer's own.
"""

from __future__ import annotations

import tempfile
import warnings
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

from tlhelpers import hub, measures, profile, text
from tlhelpers.text import TextSet

CLASSES = ("negative", "positive")
# peft 0.21 still asks for the old name of a setting; the reader can do nothing about it.
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)


def classifier(seed: int, start: str | Path | None = None, classes: Sequence[str] = CLASSES) -> tuple[Any, Any]:
    """Return a pretrained model with a new classification head, and its tokenizer.

    Args:
        seed: of the head's random weights.
        start: a folder or name to take the encoder from, when not the profile's.
        classes: names by class index; the config keeps them, so that predictions carry names.

    Raises:
        tlhelpers.hub.HubError: when the weights must be downloaded and cannot be.
    """
    names = dict(enumerate(classes))
    numbers = {name: number for number, name in names.items()}
    profile.seed_everything(seed)
    return _load(AutoModelForSequenceClassification, start, id2label=names, label2id=numbers)


def masked_lm(seed: int, start: str | Path | None = None) -> tuple[Any, Any]:
    """Return a pretrained model with the head that guesses masked words, and its tokenizer.

    Weights that were saved without that head, as MiniLM's, get a new one; its large matrix is the embedding's,
    which they have.

    Args:
        seed: of the weights that are new.
        start: a folder or name to take the encoder from, when not the profile's.

    Raises:
        tlhelpers.hub.HubError: when the weights must be downloaded and cannot be.
    """
    profile.seed_everything(seed)
    return _load(AutoModelForMaskedLM, start)


def _load(kind: Any, start: str | Path | None, **options: Any) -> tuple[Any, Any]:
    name = str(start or profile.current().text_model)
    with hub.asking(name):
        place = text.weights(name)
        return kind.from_pretrained(place, **options), AutoTokenizer.from_pretrained(place)


def dataset(texts: TextSet | Sequence[str], tokenizer: Any, max_length: int | None = None) -> Dataset:
    """Return token numbers of each text, not padded, and ``labels`` where there are any.

    Args:
        max_length: tokens kept of a text; the profile's ``text_length`` when left out.

    Raises:
        ValueError: when there is no text.
    """
    strings = texts.texts if isinstance(texts, TextSet) else list(texts)
    if not strings:
        raise ValueError("there is no text to prepare.")
    tokens = dict(tokenizer(strings, truncation=True, max_length=max_length or profile.current().text_length))
    return Dataset.from_dict(tokens | ({"labels": texts.labels} if isinstance(texts, TextSet) else {}))


def has_bf16() -> bool:
    """Return whether this machine computes in bfloat16 faster than in float32: most GPUs since 2020, few CPUs."""
    if profile.current().device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return profile.current().device == "cpu" and bool(
        capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    )


def settings(folder: str | Path | None = None, **changes: Any) -> TrainingArguments:
    """Return TrainingArguments that print nothing, report to nobody and keep the epoch that validates best.

    Args:
        folder: where checkpoints go; a new temporary folder when left out.
        changes: any argument of TrainingArguments; it replaces ours.
    """
    p = profile.current()
    ours: dict[str, Any] = {
        "num_train_epochs": p.text_epochs,
        "per_device_train_batch_size": p.batch_size,
        "per_device_eval_batch_size": 64,
        "learning_rate": p.text_rate,
        "weight_decay": 0.01,
        "warmup_steps": 0.1,  # below 1 it is a share of all steps
        "train_sampling_strategy": "group_by_length",
        "bf16": has_bf16(),
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


class Bar(TrainerCallback):
    """One progress bar for a whole training; the Trainer's own leave one behind for each evaluation."""

    def __init__(self) -> None:
        self.bar: Any = None

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        logging.disable_progress_bar()  # that of each checkpoint
        self.bar = tqdm(total=state.max_steps, unit="step", leave=False, disable=not profile.current().progress)

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        self.bar.update(1)

    def on_evaluate(
        self, args: TrainingArguments, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        if self.bar is not None and metrics and "eval_accuracy" in metrics:
            self.bar.set_postfix(val_accuracy=f"{metrics['eval_accuracy']:.3f}")

    def on_train_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        self.bar.close()
        if profile.current().progress:
            logging.enable_progress_bar()


def metrics(predicted: EvalPrediction) -> dict[str, float]:
    """Return the scores of :func:`tlhelpers.measures.scores` for logits ``[N, C]`` and labels ``[N]``."""
    logits = torch.from_numpy(np.asarray(predicted.predictions, dtype=np.float32))
    return measures.scores(logits.softmax(dim=1).numpy(), np.asarray(predicted.label_ids))


def build(
    model: Any,
    tokenizer: Any,
    train: TextSet | Sequence[str],
    val: TextSet | Sequence[str],
    arguments: TrainingArguments | None = None,
    collator: Any = None,
) -> Trainer:
    """Return a Trainer that pads to the longest text of a batch, selects on ``val`` and shows one bar.

    Args:
        arguments: what :func:`settings` returned; its defaults when left out.
        collator: makes batches; pads when left out. Texts without labels need one that makes labels.

    Raises:
        ValueError: when a set is empty.
    """
    trainer = Trainer(
        model=model,
        args=arguments or settings(),
        train_dataset=dataset(train, tokenizer),
        eval_dataset=dataset(val, tokenizer),
        processing_class=tokenizer,
        data_collator=collator or DataCollatorWithPadding(tokenizer),
        compute_metrics=metrics if isinstance(val, TextSet) else None,
        callbacks=[Bar()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def evaluate(trainer: Trainer, texts: TextSet) -> dict[str, float]:
    """Return the scores of :func:`tlhelpers.measures.scores` on labeled texts.

    Raises:
        ValueError: when there is no text.
    """
    output = trainer.predict(dataset(texts, trainer.processing_class))
    return metrics(EvalPrediction(output.predictions, np.asarray(output.label_ids)))


def history(trainer: Trainer) -> pd.DataFrame:
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
    found = pd.DataFrame(rows).drop_duplicates("epoch")
    key = "val_accuracy" if "val_accuracy" in found else "val_loss"
    best = found[key].idxmax() if key == "val_accuracy" else found[key].idxmin()
    found["best"] = found.index == best
    return found.reset_index(drop=True)
