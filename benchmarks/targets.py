"""What training gives on many small targets, beside the scores that were to predict it: the run of chapter 14.

Thirteen targets with 100 labels each, pictures at 128 pixels, solar modules together. The arm ``scores`` holds the
scores of the training set; ``scratch`` and ``frozen`` what training gave; an arm ``from ...`` what a linear head
gives on the features of one of several sources, beside the scores of that source. Nothing is tuned: the question
is where frozen features land, and what they add to a start without them. The random network is drawn anew for each
seed: once with its BatchNorm calibrated on the training images, once as it was drawn, which came last, when the
attacks on the headlines had found it the stronger rival.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import nn

import tlhelpers as tl
from benchmarks import engine, parts, recipes
from benchmarks.experiment import Cell, Experiment, Row
from benchmarks.parts import Part, SentenceClassifier, batches
from tlhelpers.data import TextSet, TextSplits
from tlhelpers.models import Encoder
from tlhelpers.profile import Profile

ARMS = ("scores", "scratch", "frozen")
SEEDS, SIDE = range(20, 23), 128
SENTENCES = (100, 60, 400)  # to train on, to watch, to test on: as many as a picture task has images
TEXT_TOKENS = 40
LAYERS = (0, 2, 4, 6)


def settings(p: Profile) -> Profile:
    """Return the profile for 100 labels: small batches, no flips (a flipped 6 is no digit)."""
    return dataclasses.replace(p, image_data="targets", image_size=SIDE, batch_size=10)


def sentences(domain: str, seed: int) -> TextSplits:
    """Return sentences of one domain; no document is in two parts where the collection numbers them."""
    return tl.data.split_texts(tl.data.load_texts(domain), *SENTENCES, seed)


def all_scores(X: np.ndarray, y: np.ndarray, source: np.ndarray | None = None) -> Row:
    """Return every score of chapter 14 that features ``[N, D]`` of training data allow.

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


def image_scores(p: Profile, task: str, seed: int) -> Row:
    """Return the scores of one image task, from its training images alone."""
    net = tl.models.load(p.backbone, image_size=p.image_size).to(p.device)
    X, y = tl.look.extract(net, parts.pictures_of(task, seed, SENTENCES).train)
    with torch.no_grad():
        source = net.head.cpu()(X).softmax(dim=1).double()
    return all_scores(X.numpy(), y.numpy(), (source / source.sum(dim=1, keepdim=True)).numpy())


def text_scores(p: Profile, task: str, seed: int) -> Row:
    """Return the scores of one text task, from its training sentences alone."""
    train = sentences(task, seed).train
    return all_scores(tl.models.encode(train.texts, tl.models.load_encoder().to(p.device)).numpy(), train.labels)


def labeled(part: TextSet, encoder: Encoder) -> Part:
    """Return sentences as tokens, with their labels."""
    return parts.tokens(part.texts, encoder, TEXT_TOKENS), torch.from_numpy(part.labels)


def text_head(splits: TextSplits, encoder: Encoder, p: Profile, seed: int) -> tuple[nn.Linear, pd.DataFrame]:
    """Train a head on frozen features, as :func:`benchmarks.recipes.fit_head` does for images."""
    train, val = ((tl.models.encode(part.texts, encoder), torch.from_numpy(part.labels)) for part in splits[:2])
    head = nn.Linear(train[0].shape[1], 2)
    weights = tl.train.class_weights(splits.train.labels)
    return head, tl.train.fit_head(
        head, train, val, seed=seed, lr=3e-3, batch_size=p.batch_size, class_weights=weights
    )


def text_frozen(splits: TextSplits, p: Profile, seed: int) -> recipes.Run:
    """Train a new head on the frozen encoder."""
    tl.seed_everything(seed)
    encoder = tl.models.load_encoder().to(p.device)
    head, history = text_head(splits, encoder, p, seed)
    return judged(SentenceClassifier(encoder.model, head), encoder, history, splits.test)


def text_scratch(splits: TextSplits, p: Profile, seed: int) -> recipes.Run:
    """Count words and fit a logistic regression, with the penalty that validation chooses: nothing pretrained."""
    train, val, test = ((part.texts, part.labels) for part in splits)
    model, seen = parts.chosen(parts.word_models(), train, val, "auroc")
    history = pd.DataFrame({"val_accuracy": [seen["accuracy"]]})
    return recipes.Run(nn.Identity(), history, tl.stats.scores(model.predict_proba(test[0]), test[1]))


def judged(net: SentenceClassifier, encoder: Encoder, history: pd.DataFrame, test: TextSet) -> recipes.Run:
    """Return the run with its scores on the test set."""
    predicted = tl.train.predict_proba(net, batches(labeled(test, encoder), 64))
    return recipes.Run(net, history, tl.stats.scores(*predicted))


Described = dict[str, tuple[np.ndarray, ...]]


@lru_cache(maxsize=1)
def described(p: Profile, task: str, seed: int) -> tuple[Described, np.ndarray, np.ndarray]:
    """Return what each source makes of a task: features of train and test part; and the labels of both."""
    if task in tl.data.TEXT_DOMAINS:
        texts = sentences(task, seed)
        pair, encoder = (texts.train, texts.test), tl.models.load_encoder().to(p.device)
        words = TfidfVectorizer(sublinear_tf=True).fit(texts.train.texts)
        made: Described = {"word counts": tuple(words.transform(part.texts).toarray() for part in pair)}
        layers = [parts.by_layer(part.texts, encoder) for part in pair]
        made |= {f"layer {number}": tuple(part[number] for part in layers) for number in LAYERS}
        return made, texts.train.labels, texts.test.labels
    splits = parts.pictures_of(task, seed, SENTENCES)
    images = splits.train, splits.test
    made = {"pixels": tuple(tl.data.pixels(part) for part in images)}
    fresh = tl.models.load(p.backbone, pretrained=False, image_size=p.image_size, seed=seed).to(p.device)
    made["random network, as drawn"] = tuple(tl.look.extract(fresh, part)[0].numpy() for part in images)
    engine.calibrate(fresh, engine.pixels(splits.train, fresh.transform))
    made["random network"] = tuple(tl.look.extract(fresh, part)[0].numpy() for part in images)
    net = tl.models.load(p.backbone, image_size=p.image_size).to(p.device)
    stages = [tl.look.pooled(net, part)[0] for part in images]
    made |= {name: tuple(part[name] for part in stages) for name in parts.every_second_stage(net)}
    return made, splits.train.labels, splits.test.labels


def from_source(p: Profile, task: str, source: str, seed: int) -> Row:
    """Return the scores of one source on the training part, and what a linear head on it gives on test data."""
    made, y, y_test = described(p, task, seed)
    X, X_test = made[source]
    head = tl.look.linear_classifier().fit(X, y)
    return all_scores(X, y) | tl.stats.scores(head.predict_proba(X_test), y_test)


IMAGE_ARMS: dict[str, Callable[..., recipes.Run]] = {
    "scratch": recipes.scratch,
    "frozen": recipes.frozen,
}
TEXT_ARMS: dict[str, Callable[..., recipes.Run]] = {
    "scratch": text_scratch,
    "frozen": text_frozen,
}


@lru_cache(maxsize=1)
def sources(p: Profile) -> tuple[str, ...]:
    """Return the sources of pictures, from none to all of the pretrained network."""
    net = tl.models.load(p.backbone, pretrained=False, image_size=SIDE)
    return "pixels", "random network", "random network, as drawn", *parts.every_second_stage(net)


def cells(p: Profile) -> list[Cell]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    tried = dict.fromkeys(tl.data.IMAGE_TASKS, sources(p))
    tried |= dict.fromkeys(tl.data.TEXT_DOMAINS, ("word counts", *(f"layer {number}" for number in LAYERS)))
    return [
        {"task": task, "arm": arm, "seed": seed}
        for seed in SEEDS
        for task in tried
        for arm in [*ARMS, *(f"from {source}" for source in tried[task])]
    ]


def run(p: Profile, task: str, arm: str, seed: int) -> Row:
    """Run one cell."""
    p, of_text = settings(p), task in tl.data.TEXT_DOMAINS
    if arm == "scores":
        return (text_scores if of_text else image_scores)(p, task, seed)
    if arm.startswith("from "):
        return from_source(p, task, arm.removeprefix("from "), seed)
    if of_text:
        return TEXT_ARMS[arm](sentences(task, seed), p, seed).row
    return IMAGE_ARMS[arm](parts.pictures_of(task, seed, SENTENCES), p, seed).row


Experiment(
    "small_targets",
    cells,
    run,
    check=(
        {"task": "mono or poly", "arm": "frozen", "seed": 21},
        {"task": "tweets", "arm": "frozen", "seed": 22},
    ),
)
