"""Six ways to a sentiment classifier: the stored run of chapters 06 and 10.

Each row holds, beside the scores on the target's test set, those on 500 sentences of each other domain
(``products:auroc``), what was trained and stored (``trainable`` parameters, ``disk`` bytes, ``train_seconds``),
and for an arm that changes the transformer the linear CKA of each layer with that of the pretrained one
(``cka:movies:3``). Resumable: a cell that stands in the CSV is not run again. ``python -m benchmarks.texts``;
``python -m benchmarks.texts choose`` shows the validation scores behind LoRA's rate.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from peft import LoraConfig, TaskType, get_peft_model
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from torch import nn
from transformers import DataCollatorForLanguageModeling

import tlhelpers as tl
from benchmarks import grid, recipes, targets
from tlhelpers.data import TextSet, TextSplits
from tlhelpers.models import Encoder
from tlhelpers.profile import Profile

NAME, COMMAND = "texts", "python -m benchmarks.texts"
LABELS = (500,)
BATCH = 16
ARMS = ("words", "frozen", "full", "lora", "adapted frozen", "adapted full")
LORA_RATE = 3e-3  # chosen by validation accuracy on seed 100, which the table does not hold; see choose
ADAPT_RATE, ADAPT_EPOCHS = 1e-4, 1  # not searched
ELSEWHERE, MOVED = 500, 200
MIN_STEPS = 100  # few labels need more passes: Mosbach et al. (2021), Zhang et al. (2021)


@lru_cache(maxsize=1)
def elsewhere() -> dict[str, TextSet]:
    """Return the same few sentences of each domain that is not the target."""
    rng = np.random.default_rng(0)
    others = [domain for domain in tl.data.TEXT_DOMAINS if domain != tl.profile.current().text_data]
    everything = {domain: tl.data.load_texts(domain) for domain in others}
    return {domain: found.take(rng.permutation(len(found))[:ELSEWHERE]) for domain, found in everything.items()}


def report(judge: Any, splits: TextSplits) -> dict[str, float]:
    """Return the scores of ``judge(texts) -> scores`` on the test set and, by name, on every other domain."""
    found = dict(judge(splits.test))
    for domain, texts in elsewhere().items():
        found |= {f"{domain}:{name}": value for name, value in judge(texts).items()}
    return found


def moved(model: nn.Module, tokenizer: Any, splits: TextSplits) -> dict[str, float]:
    """Return the CKA of each layer with the pretrained encoder's, on texts of the target and of editorials."""
    start, tuned = tl.models.load_encoder(tl.profile.current().text_model), Encoder(model.cpu().eval(), tokenizer)
    found = {}
    for kind, part in (("movies", splits.test), ("editorials", elsewhere()["editorials"])):
        texts = part.texts[:MOVED]
        pairs = zip(targets.by_layer(texts, start), targets.by_layer(texts, tuned), strict=True)
        for layer, (before, after) in enumerate(pairs):
            found[f"cka:{kind}:{layer}"] = tl.look.cka(torch.from_numpy(before), torch.from_numpy(after))
    return found


def linear(
    pipelines: dict[float, Pipeline], X: dict[str, Any], splits: TextSplits
) -> tuple[Pipeline, float, float]:
    """Fit each pipeline and return the one that validation likes best, its accuracy there, and the seconds."""
    start, tried = time.perf_counter(), []
    for model in pipelines.values():
        model.fit(X["train"], splits.train.labels)
        found = tl.stats.scores(model.predict_proba(X["val"]), splits.val.labels)
        tried.append((found["accuracy"], model))
    accuracy, model = max(tried, key=lambda one: one[0])
    return model, accuracy, time.perf_counter() - start


def words(splits: TextSplits, seed: int) -> recipes.Run:
    """Weigh words and pairs of words by TF-IDF and fit a logistic regression: nothing pretrained."""
    tried = {
        C: make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            LogisticRegression(C=C, max_iter=1000, class_weight="balanced"),
        )
        for C in (0.1, 1.0, 10.0, 100.0)
    }
    X = {"train": splits.train.texts, "val": splits.val.texts}
    model, accuracy, seconds = linear(tried, X, splits)
    scores = report(lambda part: tl.stats.scores(model.predict_proba(part.texts), part.labels), splits)
    vocabulary, weights = model[0].vocabulary_, model[1].coef_
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "words.json").write_text(json.dumps({word: int(at) for word, at in vocabulary.items()}))
        np.savez(Path(folder, "weights.npz"), idf=model[0].idf_, coef=weights, intercept=model[1].intercept_)
        disk = size(Path(folder))
    extra = {"trainable": weights.size + 1, "disk": disk, "train_seconds": seconds}
    return recipes.Run(nn.Identity(), pd.DataFrame({"val_accuracy": [accuracy]}), scores | extra)


def frozen(splits: TextSplits, seed: int, encoder: Encoder | None = None, before: float = 0.0) -> recipes.Run:
    """Fit a logistic regression on the mean over the tokens of a frozen encoder."""
    encoder = encoder or tl.models.load_encoder(tl.profile.current().text_model)
    length, start = tl.profile.current().text_length, time.perf_counter()

    def embed(part: TextSet) -> np.ndarray:
        return tl.models.encode(part.texts, encoder, max_length=length).numpy()

    X = {name: embed(part) for name, part in (("train", splits.train), ("val", splits.val))}
    model, accuracy, _ = linear({C: tl.look.linear_classifier(C) for C in (1e-3, 1e-2, 1e-1, 1.0)}, X, splits)
    seconds = time.perf_counter() - start
    scores = report(lambda part: tl.stats.scores(model.predict_proba(embed(part)), part.labels), splits)
    with tempfile.TemporaryDirectory() as folder:
        scale, head = model[0], model[1]
        np.savez(Path(folder, "head.npz"), mean=scale.mean_, std=scale.scale_, w=head.coef_, b=head.intercept_)
        disk = size(Path(folder))
    extra = {"trainable": head.coef_.size + 1, "disk": disk, "train_seconds": seconds + before}
    changes = moved(encoder.model, encoder.tokenizer, splits) if before else {}
    return recipes.Run(encoder.model, pd.DataFrame({"val_accuracy": [accuracy]}), scores | extra | changes)


def tuned(
    splits: TextSplits,
    seed: int,
    rate: float | None = None,
    start: Path | None = None,
    lora: LoraConfig | None = None,
    before: float = 0.0,
) -> recipes.Run:
    """Tune all weights or LoRA's with the Trainer, from the pretrained encoder or from an adapted one.

    Few labels are passed over more often, so that no run has fewer than :data:`MIN_STEPS` steps.
    """
    model, tokenizer = tl.train.text_classifier(seed, start)
    encoder = model.base_model
    if lora:
        model = get_peft_model(model, lora)
    rate = rate or tl.profile.current().text_rate
    with tempfile.TemporaryDirectory() as folder:
        arguments = tl.train.trainer_settings(
            folder,
            learning_rate=rate,
            num_train_epochs=epochs(len(splits.train)),
            per_device_train_batch_size=BATCH,
            seed=seed,
        )
        work = tl.train.build_trainer(model, tokenizer, splits.train, splits.val, arguments)
        began = time.perf_counter()
        work.train()
        seconds = time.perf_counter() - began
        model.save_pretrained(Path(folder, "final"))
        disk = size(Path(folder, "final"))
    scores = report(lambda part: tl.train.evaluate_trainer(work, part), splits)
    trainable = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    extra = {"trainable": trainable, "disk": disk, "train_seconds": seconds + before}
    return recipes.Run(model, tl.train.trainer_history(work), scores | extra | moved(encoder, tokenizer, splits))


def epochs(labels: int) -> int:
    """Return the passes over so many training texts: the profile's, or what :data:`MIN_STEPS` need."""
    return max(tl.profile.current().text_epochs, -(-MIN_STEPS // -(-labels // BATCH)))


def lora_config() -> LoraConfig:
    """Return LoRA on queries and values, rank 8 (Hu et al. 2022)."""
    return LoraConfig(task_type=TaskType.SEQ_CLS, r=8, lora_alpha=16, lora_dropout=0.1)


def size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@lru_cache(maxsize=1)
def adapted(seed: int, rate: float = ADAPT_RATE) -> tuple[tempfile.TemporaryDirectory, float]:
    """Go on pretraining without labels on texts of the target's domain; return the folder and the seconds.

    Masked language modeling as in Devlin et al. (2019), on the domain as in Gururangan et al. (2020).
    """
    model, tokenizer = tl.train.masked_lm(seed)
    texts = tl.data.unlabeled_texts(seed)
    folder = tempfile.TemporaryDirectory()
    arguments = tl.train.trainer_settings(
        Path(folder.name, "steps"),
        learning_rate=rate,
        num_train_epochs=ADAPT_EPOCHS,
        seed=seed,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
    )
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    work = tl.train.build_trainer(model, tokenizer, texts, texts[:1], arguments, collator)
    began = time.perf_counter()
    work.train()
    seconds = time.perf_counter() - began
    model.base_model.save_pretrained(folder.name)
    tokenizer.save_pretrained(folder.name)
    return folder, seconds


def cells(p: Profile) -> list[dict[str, Any]]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    return [{"arm": arm, "labels": labels, "seed": seed} for seed in p.seeds for labels in LABELS for arm in ARMS]


def run(arm: str, labels: int, seed: int) -> recipes.Run:
    """Run one cell."""
    splits = tl.data.text_splits(seed, labels)
    if arm.startswith("adapted"):
        folder, seconds = adapted(seed)
        if arm == "adapted full":
            return tuned(splits, seed, start=Path(folder.name), before=seconds)
        return frozen(splits, seed, tl.models.load_encoder(folder.name), seconds)
    if arm == "lora":
        return tuned(splits, seed, LORA_RATE, lora=lora_config())
    return {"words": words, "frozen": frozen, "full": tuned}[arm](splits, seed)


def choose() -> pd.DataFrame:
    """Return validation scores of three rates for LoRA, on a seed that is not in the table."""
    rows = []
    for rate in (3e-4, 1e-3, 3e-3):
        history = tuned(tl.data.text_splits(100), 100, rate, lora=lora_config()).history
        best = history.query("best").iloc[0]
        rows.append({"rate": rate, **best[["val_accuracy", "val_auroc", "val_loss"]]})
    return pd.DataFrame(rows)


def main() -> None:
    """Run what is missing."""
    grid.fill(NAME, COMMAND, cells(tl.profile.current()), run)


if __name__ == "__main__":
    if sys.argv[1:] == ["choose"]:
        print(choose().to_string())
    else:
        main()
