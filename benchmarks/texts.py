"""Six ways to a sentiment classifier: what the stored runs of :mod:`benchmarks.text_ways` are made of.

Each row holds, beside the scores on the target's test set, those on 500 sentences of each other domain
(``products:auroc``), what was trained and stored (``trainable`` parameters, ``disk`` bytes, ``train_seconds``),
and for an arm that changes the transformer the debiased CKA of each layer with that of the pretrained one
(``cka:movies:3``).
"""

from __future__ import annotations

import json
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import TaskType
from sklearn.pipeline import Pipeline
from torch import nn
from transformers import DataCollatorForLanguageModeling

import tlhelpers as tl
from benchmarks import parts, recipes
from benchmarks.experiment import Cell, Row
from tlhelpers.data import TextSet, TextSplits
from tlhelpers.models import Encoder
from tlhelpers.profile import Profile

BATCH = 16
ARMS = ("words", "frozen", "full", "lora", "adapted frozen", "adapted full")
ADAPT_RATE, ADAPT_EPOCHS = 1e-4, 1  # not searched
ELSEWHERE, MOVED = 500, 200
MIN_STEPS = 100  # few labels need more passes: Mosbach et al. (2021), Zhang et al. (2021)


@lru_cache(maxsize=1)
def elsewhere(target: str) -> dict[str, TextSet]:
    """Return the same few sentences of each domain that is not the target."""
    rng = np.random.default_rng(0)
    others = {domain: tl.data.load_texts(domain) for domain in tl.data.TEXT_DOMAINS if domain != target}
    return {domain: texts.take(rng.permutation(len(texts))[:ELSEWHERE]) for domain, texts in others.items()}


def report(judge: Any, splits: TextSplits, p: Profile) -> Row:
    """Return the scores of ``judge(texts) -> scores`` on the test set and, by name, on every other domain."""
    scores = dict(judge(splits.test))
    for domain, texts in elsewhere(p.text_data).items():
        scores |= {f"{domain}:{name}": value for name, value in judge(texts).items()}
    return scores


def moved(model: nn.Module, tokenizer: Any, splits: TextSplits, p: Profile) -> Row:
    """Return the debiased CKA of each layer with the pretrained one's, on texts of the target and editorials."""
    start, tuned = tl.models.load_encoder(p.text_model), Encoder(model.cpu().eval(), tokenizer)
    alike = {}
    for kind, part in (("movies", splits.test), ("editorials", elsewhere(p.text_data)["editorials"])):
        texts = part.texts[:MOVED]
        pairs = zip(parts.by_layer(texts, start), parts.by_layer(texts, tuned), strict=True)
        for layer, (before, after) in enumerate(pairs):
            pair = torch.from_numpy(before), torch.from_numpy(after)
            alike[f"cka:{kind}:{layer}"] = tl.look.cka(*pair, debiased=True)
    return alike


def stored_size(model: Pipeline) -> int:
    """Return the bytes of what a fitted pipeline learned, as files."""
    first, last = model[0], model[1]
    with tempfile.TemporaryDirectory() as folder:
        if hasattr(first, "vocabulary_"):
            words = json.dumps({word: int(at) for word, at in first.vocabulary_.items()})
            Path(folder, "words.json").write_text(words)
            np.savez(Path(folder, "weights.npz"), idf=first.idf_, coef=last.coef_, intercept=last.intercept_)
        else:
            np.savez(Path(folder, "head.npz"), mean=first.mean_, std=first.scale_, w=last.coef_, b=last.intercept_)
        return size(Path(folder))


def judged(model: Pipeline, inputs: Any, seen: Row, seconds: float, splits: TextSplits, p: Profile) -> Row:
    """Return the row of a fitted pipeline whose ``inputs`` are made from texts."""
    scores = report(lambda part: tl.stats.scores(model.predict_proba(inputs(part)), part.labels), splits, p)
    return scores | {
        "trainable": model[1].coef_.size + 1,
        "disk": stored_size(model),
        "train_seconds": seconds,
        "watched_accuracy": seen["accuracy"],
    }


def words(p: Profile, splits: TextSplits) -> Row:
    """Weigh words and pairs of words by TF-IDF and fit a logistic regression: nothing pretrained."""
    start = time.perf_counter()
    train, val = ((part.texts, part.labels) for part in splits[:2])
    model, seen = parts.chosen(parts.word_models(), train, val, "accuracy")
    return judged(model, lambda part: part.texts, seen, time.perf_counter() - start, splits, p)


def frozen(p: Profile, splits: TextSplits, encoder: Encoder, before: float = 0.0) -> Row:
    """Fit a logistic regression on the mean over the tokens of a frozen encoder."""
    start = time.perf_counter()

    def embed(part: TextSet) -> np.ndarray:
        return tl.models.encode(part.texts, encoder, max_length=p.text_length).numpy()

    train, val = ((embed(part), part.labels) for part in splits[:2])
    models = map(tl.look.linear_classifier, (1e-3, 1e-2, 1e-1, 1.0))
    model, seen = parts.chosen(models, train, val, "accuracy")
    seconds = time.perf_counter() - start + before
    changes = moved(encoder.model, encoder.tokenizer, splits, p) if before else {}
    return judged(model, embed, seen, seconds, splits, p) | changes


def tuned(
    p: Profile,
    splits: TextSplits,
    seed: int,
    rate: float,
    start: str | Path | None = None,
    lora: bool = False,
    before: float = 0.0,
) -> recipes.Run:
    """Tune all weights or LoRA's with the Trainer, from the pretrained encoder or from an adapted one.

    Few labels are passed over more often, so that no run has fewer than :data:`MIN_STEPS` steps.
    """
    model, tokenizer = tl.train.text_classifier(start or p.text_model, seed)
    encoder = model.base_model
    if lora:
        model = parts.with_lora(model, task_type=TaskType.SEQ_CLS)
    with tempfile.TemporaryDirectory() as folder:
        arguments = tl.train.trainer_settings(
            p,
            folder,
            learning_rate=rate,
            num_train_epochs=epochs(p, len(splits.train)),
            per_device_train_batch_size=BATCH,
            seed=seed,
        )
        work = tl.train.build_trainer(
            model, tokenizer, splits.train, splits.val, arguments, max_length=p.text_length
        )
        began = time.perf_counter()
        work.train()
        seconds = time.perf_counter() - began
        model.save_pretrained(Path(folder, "final"))
        disk = size(Path(folder, "final"))
    scores = report(lambda part: tl.train.evaluate_trainer(work, part, p.text_length), splits, p)
    trainable = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    scores |= {"trainable": trainable, "disk": disk, "train_seconds": seconds + before}
    scores |= moved(encoder, tokenizer, splits, p)
    return recipes.Run(model, tl.train.trainer_history(work), scores)


def epochs(p: Profile, labels: int) -> int:
    """Return the passes over so many training texts: the profile's, or what :data:`MIN_STEPS` need."""
    return max(p.text_epochs, -(-MIN_STEPS // -(-labels // BATCH)))


def size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def adapt(p: Profile, texts: list[str], seed: int) -> tuple[tempfile.TemporaryDirectory, float]:
    """Go on pretraining without labels; return the folder of the encoder and the seconds.

    Masked language modeling as in Devlin et al. (2019), on the domain as in Gururangan et al. (2020).
    """
    model, tokenizer = tl.train.masked_lm(p.text_model, seed)
    folder = tempfile.TemporaryDirectory()
    arguments = tl.train.trainer_settings(
        p,
        Path(folder.name, "steps"),
        learning_rate=ADAPT_RATE,
        num_train_epochs=ADAPT_EPOCHS,
        seed=seed,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
    )
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    work = tl.train.build_trainer(
        model, tokenizer, texts, texts[:1], arguments, max_length=p.text_length, collator=collator
    )
    began = time.perf_counter()
    work.train()
    seconds = time.perf_counter() - began
    model.base_model.save_pretrained(folder.name)
    tokenizer.save_pretrained(folder.name)
    return folder, seconds


def in_bf16(cell: Cell) -> bool:
    """Tell whether the Trainer has a part in a cell."""
    return cell["arm"] not in ("words", "frozen")
