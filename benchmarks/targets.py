"""What training gives on many small targets, beside the scores that were to foretell it: the run of chapter 04.

Thirteen targets with 100 labels each. The arm ``scores`` holds the scores of the training set; ``scratch``,
``frozen`` and ``tuned`` what training gave; an arm ``from ...`` what a linear head gives on the features of one
of several sources, beside the scores of that source. Resumable: a cell that stands in the CSV is not run again.
``python -m benchmarks.targets``
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tlhelpers as tl
from benchmarks import grid, recipes
from tlhelpers.data import TextSet, TextSplits
from tlhelpers.models import Encoder
from tlhelpers.profile import Profile

NAME, COMMAND = "targets", "python -m benchmarks.targets"
ARMS = ("scores", "scratch", "frozen", "tuned")
# Chosen by validation AUROC on seed 100, which the table does not hold; see choose_rate.
TEXT_RATE, TEXT_EPOCHS, TEXT_TOKENS = 5e-5, 3, 40


def settings() -> Profile:
    """Return the profile for 100 labels: small batches, small images, no flips (a flipped 6 is no digit)."""
    return dataclasses.replace(
        tl.profile.current(), image_data="targets", image_size=tl.data.CROP_SIDE, batch_size=10
    )


def sentences(domain: str, seed: int) -> TextSplits:
    """Return sentences of one domain, as many as a picture task has images; no document is in two parts."""
    return tl.data.split_texts(tl.data.load_texts(domain), tl.data.TRAIN, tl.data.VAL, tl.data.TEST, seed)


def all_scores(X: np.ndarray, y: np.ndarray, source: np.ndarray | None = None) -> dict[str, float]:
    """Return every score of chapter 04 that features ``[N, D]`` of training data allow.

    Args:
        source: the source head's probabilities ``[N, Z]``, when the source has a head.
    """
    classes = len(np.unique(y))
    return {
        "knn": tl.look.above_chance(tl.look.knn_probe(X, y), classes),
        "probe": tl.look.above_chance(tl.look.linear_probe(X, y), classes),
        "logme": tl.look.logme(X, y),
        "leep": tl.look.leep(source, y) if source is not None else float("nan"),
    }


def image_scores(task: str, seed: int) -> dict[str, float]:
    """Return the scores of one image task, from its training images alone."""
    p = settings()
    net = tl.models.load(p.backbone, image_size=p.image_size)
    X, y = tl.look.extract(net, tl.data.IMAGE_TASKS[task](seed).train)
    with torch.no_grad():
        source = net.head.cpu()(X).softmax(dim=1).double()
    return all_scores(X.numpy(), y.numpy(), (source / source.sum(dim=1, keepdim=True)).numpy())


class Classifier(nn.Module):
    """A sentence encoder, the mean over its tokens, and a linear head."""

    def __init__(self, encoder: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``[B, 2]`` for token numbers and mask ``[B, 2, T]``."""
        ids, mask = x.unbind(dim=1)
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.head(tl.models.mean_pool(states, mask))


def batches(part: TextSet, encoder: Encoder, size: int, seed: int | None = None) -> DataLoader:
    """Return batches of ``(token numbers and mask [B, 2, T], labels [B])``, shuffled when there is a seed."""
    tokens = encoder.tokenizer(
        part.texts, padding=True, truncation=True, max_length=TEXT_TOKENS, return_tensors="pt"
    )
    x = torch.stack([tokens["input_ids"], tokens["attention_mask"]], dim=1)

    def together(rows: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        found = torch.stack([row for row, _ in rows])
        longest = int(found[:, 1].sum(dim=1).max())
        return found[:, :, :longest], torch.stack([label for _, label in rows])

    order = None if seed is None else torch.Generator().manual_seed(seed)
    pairs = TensorDataset(x, torch.from_numpy(part.labels))
    return DataLoader(pairs, size, shuffle=seed is not None, generator=order, collate_fn=together)


def text_head(splits: TextSplits, encoder: Encoder, seed: int) -> tuple[nn.Linear, pd.DataFrame]:
    """Train a head on frozen features, as :func:`benchmarks.recipes.fit_head` does for images."""
    features = [tl.models.encode(part.texts, encoder) for part in splits[:2]]
    labels = [torch.from_numpy(part.labels) for part in splits[:2]]
    head = nn.Linear(features[0].shape[1], 2)
    order = torch.Generator().manual_seed(seed)
    history = tl.train.fit(
        head,
        DataLoader(TensorDataset(features[0], labels[0]), settings().batch_size, shuffle=True, generator=order),
        [(features[1], labels[1])],
        torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.01),
        epochs=60,
        class_weights=tl.train.class_weights(splits.train.labels),
        patience=10,
    )
    return head, history


def text_frozen(splits: TextSplits, seed: int) -> recipes.Run:
    """Train a new head on the frozen encoder."""
    tl.seed_everything(seed)
    encoder = tl.models.load_encoder()
    head, history = text_head(splits, encoder, seed)
    return judged(Classifier(encoder.model, head), encoder, history, splits.test)


def text_tuned(splits: TextSplits, seed: int, rate: float = TEXT_RATE) -> recipes.Run:
    """Train the head first, then the whole encoder, slowly."""
    tl.seed_everything(seed)
    encoder = tl.models.load_encoder()
    head, _ = text_head(splits, encoder, seed)
    net = Classifier(encoder.model, head)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.01)
    train = batches(splits.train, encoder, settings().batch_size, seed)
    history = tl.train.fit(
        net,
        train,
        batches(splits.val, encoder, 64),
        optimizer,
        TEXT_EPOCHS,
        scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=TEXT_EPOCHS * len(train)),
        class_weights=tl.train.class_weights(splits.train.labels),
        monitor="auroc",
        keep_start=True,
    )
    return judged(net, encoder, history, splits.test)


def text_scratch(splits: TextSplits, seed: int) -> recipes.Run:
    """Count words and fit a logistic regression, with the penalty that validation chooses: nothing pretrained."""
    tried = {}
    for C in (0.1, 1.0, 10.0, 100.0):
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        model = make_pipeline(words, LogisticRegression(C=C, max_iter=1000, class_weight="balanced"))
        model.fit(splits.train.texts, splits.train.labels)
        found = tl.stats.scores(model.predict_proba(splits.val.texts), splits.val.labels)
        tried[C] = found["auroc"], found["accuracy"], model
    _, accuracy, model = max(tried.values(), key=lambda one: one[0])
    result = tl.stats.scores(model.predict_proba(splits.test.texts), splits.test.labels)
    return recipes.Run(nn.Identity(), pd.DataFrame({"val_accuracy": [accuracy]}), result)


def judged(net: Classifier, encoder: Encoder, history: pd.DataFrame, test: TextSet) -> recipes.Run:
    """Return the run with its scores on the test set."""
    return recipes.Run(net, history, tl.stats.scores(*tl.train.predict_proba(net, batches(test, encoder, 64))))


def choose_rate() -> pd.DataFrame:
    """Return the best validation AUROC of three rates on a seed that is not in the table."""
    rows = [
        {"rate": rate, "domain": domain}
        | {"val_auroc": float(text_tuned(sentences(domain, 100), 100, rate).history["val_auroc"].max())}
        for domain in ("movies", "tweets")
        for rate in (2e-5, 5e-5, 1e-4)
    ]
    return pd.DataFrame(rows).pivot_table(index="rate", columns="domain", values="val_auroc")


@torch.no_grad()
def by_layer(texts: list[str], encoder: Encoder) -> list[np.ndarray]:
    """Return what :func:`tlhelpers.models.encode` gives for each layer ``[N, D]``, in one pass for all of them."""
    found: list[list[np.ndarray]] = []
    for start in range(0, len(texts), 50):
        tokens = encoder.tokenizer(
            texts[start : start + 50], padding=True, truncation=True, max_length=64, return_tensors="pt"
        )
        states = encoder.model(**tokens, output_hidden_states=True).hidden_states
        found.append([tl.models.mean_pool(layer, tokens["attention_mask"]).numpy() for layer in states])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


Described = dict[str, tuple[np.ndarray, np.ndarray]]


@lru_cache(maxsize=1)
def described(task: str, seed: int) -> tuple[Described, np.ndarray, np.ndarray]:
    """Return what each source makes of a task: features of train and test part; and the labels of both."""
    if task in tl.data.TEXT_DOMAINS:
        splits = sentences(task, seed)
        train, test, encoder = splits.train, splits.test, tl.models.load_encoder()
        words = TfidfVectorizer(sublinear_tf=True).fit(train.texts)
        found = {"word counts": (words.transform(train.texts).toarray(), words.transform(test.texts).toarray())}
        layers = [by_layer(part.texts, encoder) for part in (train, test)]
        found |= {f"layer {number}": (layers[0][number], layers[1][number]) for number in (0, 2, 4, 6)}
        return found, train.labels, test.labels
    p, splits = settings(), tl.data.IMAGE_TASKS[task](seed)
    parts = splits.train, splits.test
    found = {"pixels": tuple(tl.data.pixels(part) for part in parts)}
    fresh = tl.models.load(p.backbone, pretrained=False, image_size=p.image_size, seed=seed)
    found["random network"] = tuple(tl.look.extract(fresh, part)[0].numpy() for part in parts)
    stages = [tl.look.pooled(tl.models.load(p.backbone, image_size=p.image_size), part)[0] for part in parts]
    found |= {name: (stages[0][name], stages[1][name]) for name in tl.data.CUTS}
    return found, splits.train.labels, splits.test.labels


def from_source(task: str, source: str, seed: int) -> dict[str, float]:
    """Return the scores of one source on the training part, and what a linear head on it gives on test data."""
    found, y, y_test = described(task, seed)
    X, X_test = found[source]
    head = tl.look.linear_classifier().fit(X, y)
    return all_scores(X, y) | tl.stats.scores(head.predict_proba(X_test), y_test)


IMAGE_ARMS: dict[str, Callable[..., recipes.Run]] = {
    "scratch": recipes.scratch,
    "frozen": recipes.frozen,
    "tuned": recipes.two_stage,
}
TEXT_ARMS: dict[str, Callable[..., recipes.Run]] = {
    "scratch": text_scratch,
    "frozen": text_frozen,
    "tuned": text_tuned,
}


def cells(p: Profile) -> list[dict[str, Any]]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    tasks = [*tl.data.IMAGE_TASKS, *tl.data.TEXT_DOMAINS]
    return [
        {"task": task, "arm": arm, "seed": seed}
        for seed in p.seeds
        for task in tasks
        for arm in [*ARMS, *(f"from {source}" for source in sources(task))]
    ]


def sources(task: str) -> tuple[str, ...]:
    """Return the sources whose features a task is tried on, from none to all of the pretrained network."""
    if task in tl.data.TEXT_DOMAINS:
        return "word counts", "layer 0", "layer 2", "layer 4", "layer 6"
    return "pixels", "random network", *tl.data.CUTS


def run(task: str, arm: str, seed: int) -> recipes.Run:
    """Run one cell; an arm that trains no network by steps has no epochs to watch."""
    if arm not in IMAGE_ARMS:
        if arm.startswith("from "):
            found = from_source(task, arm.removeprefix("from "), seed)
        elif task in tl.data.IMAGE_TASKS:
            found = image_scores(task, seed)
        else:
            train = sentences(task, seed).train
            found = all_scores(tl.models.encode(train.texts, tl.models.load_encoder()).numpy(), train.labels)
        return recipes.Run(nn.Identity(), pd.DataFrame({"val_accuracy": [float("nan")]}), found)
    if task in tl.data.IMAGE_TASKS:
        return IMAGE_ARMS[arm](tl.data.IMAGE_TASKS[task](seed), settings(), seed)
    return TEXT_ARMS[arm](sentences(task, seed), seed)


def main() -> None:
    """Run what is missing."""
    grid.fill(NAME, COMMAND, cells(tl.profile.current()), run)


if __name__ == "__main__":
    main()
