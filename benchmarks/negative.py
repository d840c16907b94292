"""Where a source hurts: five families of transfer, each beside the same method without its source. Chapter 11.

``words``: a head for one domain of sentences, with and without the head of another domain. ``features``: a linear
head on a frozen ImageNet network, on one with random weights, on plain pixels. ``inputs``: the same frozen
network, fed wrongly. ``pretraining``: a small network pretrained on true labels, on shuffled labels, or not.
``whole``: all of the large network tuned, from both starts. Every row holds the scores on test items and, as
``val``, the balanced accuracy on validation items. Resumable: a block that stands in the CSV is not run again.
``python -m benchmarks.negative``
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from torch import nn
from tqdm import tqdm

import tlhelpers as tl
from benchmarks import recipes
from tlhelpers.data import ImageSet, Splits

NAME, COMMAND = "negative", "python -m benchmarks.negative"
COUNTS = (25, 50, 100, 250, 500)
PENALTIES = np.logspace(0, 5, 11)
TRAIN, VAL, TEST = 500, 200, 400
SIDE = tl.data.CROP_SIDE
Row = dict[str, Any]


def scored(val: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> Row:
    """Return the scores of decision values ``[N]`` or ``[N, C]`` on validation and test items."""

    def probabilities(decision: np.ndarray) -> np.ndarray:
        return softmax(decision if decision.ndim == 2 else np.stack([-decision, decision], axis=1), axis=1)

    (d_val, y_val), (d_test, y_test) = val, test
    chosen = float(balanced_accuracy_score(y_val, probabilities(d_val).argmax(axis=1)))
    return {"val": chosen} | tl.stats.scores(probabilities(d_test), y_test)


# Words

POOL, SENTENCES = 1800, 1200  # of a domain; of them in the source
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


@cache
def described(domain: str) -> tuple[tl.data.TextSet, np.ndarray]:
    """Return the sentences of a domain (:data:`POOL` of them) and their features, each of length sqrt(D)."""
    known = tl.data.load_texts(domain)
    documents = np.random.default_rng(0).permutation(np.unique(known.groups))
    rank = np.argsort(documents)[np.searchsorted(np.unique(known.groups), known.groups)]
    some = known.take(np.argsort(rank, kind="stable")[:POOL])
    folder = Path(__file__).resolve().parents[1] / "_build" / "features"
    X = tl.models.encode(some.texts, tl.models.load_encoder(), cache=folder).numpy().astype(float)
    return some, X / np.linalg.norm(X, axis=1, keepdims=True) * np.sqrt(X.shape[1])


def head(X: np.ndarray, t: np.ndarray, y: np.ndarray) -> RidgeCV:
    """Return a ridge regression of targets ``t [N]``; classes ``y`` weigh alike, leave-one-out sets penalty."""
    return RidgeCV(alphas=PENALTIES).fit(X, t, sample_weight=compute_sample_weight("balanced", y))


def sources(target: str) -> Iterator[tuple[str, str]]:
    """Return the sources of a target as domain and what is done to its labels."""
    others = [domain for domain in tl.data.TEXT_DOMAINS if domain != target]
    yield from ((domain, "true") for domain in others)
    yield from ((others[0], kind) for kind in ("shuffled", "inverted"))


def words(target: str, seed: int) -> Iterator[Row]:
    """Learn a domain alone, pulled toward another domain's head, and pooled with its sentences."""
    known, X_all = described(target)
    place = {sentence: row for row, sentence in enumerate(known.texts)}
    parts = tl.data.split_texts(known, TRAIN, VAL, 1000, seed)
    (X, y), val, test = ((X_all[[place[s] for s in part.texts]], part.labels) for part in parts)
    order = np.random.default_rng(seed).permutation(len(y))
    X, y = X[order], y[order]
    for domain, kind in sources(target):
        theirs, X_source = described(domain)
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(theirs))[:SENTENCES]
        X_source, y_source = X_source[rows], theirs.labels[rows]
        if kind != "true":
            y_source = rng.permutation(y_source) if kind == "shuffled" else 1 - y_source
        source = head(X_source, 2.0 * y_source - 1, y_source)
        name = domain if kind == "true" else f"{domain}, {kind}"
        whole = {"family": "words", "target": target, "source": name, "seed": seed}
        alone = scored((source.predict(val[0]), val[1]), (source.predict(test[0]), test[1]))
        yield whole | {"method": "source head", "labels": 0} | alone
        for count in COUNTS:
            few, labels = X[:count], y[:count]
            tried = []
            for strength in STRENGTHS:
                rest = head(few, 2.0 * labels - 1 - strength * source.predict(few), labels)
                decide = [strength * source.predict(Z) + rest.predict(Z) for Z in (val[0], test[0])]
                found = scored((decide[0], val[1]), (decide[1], test[1]))
                tried.append(found | {"strength": strength})
            best = max(tried, key=lambda one: one["val"])
            both = np.concatenate([labels, y_source])
            pooled = head(np.concatenate([few, X_source]), 2.0 * both - 1, both)
            mixed = scored((pooled.predict(val[0]), val[1]), (pooled.predict(test[0]), test[1]))
            if domain == next(sources(target))[0] and kind == "true":
                yield whole | {"source": "none", "method": "alone", "labels": count} | tried[0]
            yield whole | {"method": "pulled", "labels": count} | tried[-1]
            yield whole | {"method": "weighed", "labels": count} | best
            yield whole | {"method": "pooled", "labels": count} | mixed


# Frozen features


def digits(seed: int) -> Splits:
    """Return handwritten digits of 8 by 8 pixels, asked which they are."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = [np.ascontiguousarray(image) for image in (found.images * 255 / 16).round().astype(np.uint8)]
    return tl.data.split(ImageSet(images, found.target, tuple("0123456789")), TRAIN, VAL, TEST, seed)


def photos(seed: int) -> Splits:
    """Return crops of six color photos, asked from which each comes; the parts share no pixel."""
    rng = np.random.default_rng(seed)

    def draw(count: int, left: float, right: float) -> ImageSet:
        labels = rng.permutation(np.arange(count) % len(tl.data.PHOTOS))
        names = [tl.data.PHOTOS[label] for label in labels]
        images = [tl.data.crop(tl.data.photo(name), left, right, rng)[0] for name in names]
        return ImageSet(images, labels, tl.data.PHOTOS)

    return Splits(draw(TRAIN, 0.0, 0.4), draw(VAL, 0.4, 0.6), draw(TEST, 0.6, 1.0))


def task(name: str, seed: int) -> Splits:
    """Return the parts of a task; however few of the first training images one takes, every class is there."""
    splits = {"digits": digits, "photos": photos}[name](seed)
    return splits._replace(train=tl.data.subset(splits.train, TRAIN, seed))


def judged(X: np.ndarray, y: np.ndarray, val: tuple, test: tuple) -> Row:
    """Return the scores of a ridge classifier on standardized features; leave-one-out sets its penalty."""
    model = make_pipeline(StandardScaler(), RidgeClassifierCV(PENALTIES, class_weight="balanced")).fit(X, y)
    return scored(*((model.decision_function(Z), labels) for Z, labels in (val, test)))


def curve(whole: Row, described: list[np.ndarray], splits: Splits) -> Iterator[Row]:
    """Return the rows of one set of features ``[N, D]`` of train, validation and test part."""
    y = splits.train.labels
    for count in (count for count in COUNTS if count <= len(y)):
        found = judged(
            described[0][:count], y[:count], (described[1], splits.val.labels), (described[2], splits.test.labels)
        )
        yield whole | {"method": "frozen", "labels": count} | found


def features(target: str, seed: int) -> Iterator[Row]:
    """Learn a linear head on plain pixels, on a random network and on two stages of the pretrained one."""
    splits = task(target, seed)
    whole = {"family": "features", "target": target, "seed": seed}
    yield from curve(whole | {"source": "pixels"}, [tl.data.pixels(part) for part in splits], splits)
    p = tl.profile.current()
    for pretrained in (True, False):
        net = tl.models.load(p.backbone, pretrained=pretrained, image_size=SIDE, seed=seed)
        parts = [tl.look.pooled(net, part)[0] for part in splits]
        for stage in ("blocks.4", "top"):
            source = f"{'ImageNet' if pretrained else 'random'}, {stage}"
            yield from curve(whole | {"source": source}, [part[stage] for part in parts], splits)


# Wrong inputs

IMAGENET = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def mistakes(train: torch.Tensor) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Return the ways to feed images ``[N, 3, S, S]`` from 0 to 1 to a network that wants mean 0.5, deviation 0.5.

    Args:
        train: the training images, for statistics of our own.
    """
    mean, std = train.mean((0, 2, 3)).view(3, 1, 1), train.std((0, 2, 3)).view(3, 1, 1)
    return {
        "right": lambda x: (x - 0.5) / 0.5,
        "ImageNet statistics": lambda x: (x - IMAGENET[0]) / IMAGENET[1],
        "own statistics": lambda x: (x - mean) / std,
        "0 to 255": lambda x: (255 * x - 0.5) / 0.5,
        "channels reversed": lambda x: (x.flip(1) - 0.5) / 0.5,
        "negative": lambda x: (0.5 - x) / 0.5,
        "16 pixels": lambda x: (nn.functional.interpolate(x, 16, mode="area") - 0.5) / 0.5,
    }


@torch.no_grad()
def top(net: tl.models.Backbone, x: torch.Tensor) -> np.ndarray:
    """Return what enters the head for images ``[N, 3, S, S]``."""
    batches = (batch.contiguous(memory_format=torch.channels_last) for batch in x.split(64))
    return torch.cat([net.features(batch) for batch in batches]).numpy()


def inputs(target: str, seed: int) -> Iterator[Row]:
    """Learn a linear head on the frozen network, with right and with wrong preprocessing in all three parts."""
    parts = task(target, seed)
    splits = Splits(*(part.take(np.arange(size)) for part, size in zip(parts, (250, 100, 300), strict=True)))
    net = tl.models.load(tl.profile.current().backbone, image_size=SIDE)
    net.to(memory_format=torch.channels_last).eval()
    plain = tl.models.preprocessing(SIDE, (0.0,) * 3, (1.0,) * 3)
    images = [torch.stack([plain(image) for image, _ in part]) for part in splits]
    for name, change in mistakes(images[0]).items():
        whole = {"family": "inputs", "target": target, "source": name, "seed": seed}
        yield from curve(whole, [top(net, change(part)) for part in images], splits)


# Pretraining

SMALL = 32  # pixels
STEPS = 100


def gray(images: list[np.ndarray]) -> torch.Tensor:
    """Return images as ``[N, 3, 32, 32]`` around zero."""
    transform = tl.models.preprocessing(SMALL, (0.5,) * 3, (0.5,) * 3)
    return torch.stack([transform(tl.data.open_rgb(image).convert("L").convert("RGB")) for image in images])


def train(net: nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int, seed: int) -> float:
    """Train all weights at the rate of :func:`benchmarks.recipes.scratch`; return the accuracy in training."""
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    net.train()
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < min(32, len(y)):
            order = torch.randperm(len(y))
        batch, order = order[:32], order[32:]
        loss = nn.functional.cross_entropy(net(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    net.eval()
    with torch.no_grad():
        return float((net(x).argmax(dim=1) == y).float().mean())


def pretrained(source: str, seed: int) -> tuple[nn.Sequential, float]:
    """Return :func:`benchmarks.recipes.small_cnn` after its source task, and its accuracy there in training."""
    from sklearn.datasets import load_digits

    torch.manual_seed(seed)
    if source == "none":
        return recipes.small_cnn(5).to(memory_format=torch.channels_last), float("nan")
    found = load_digits()
    low = found.target < 5
    x, y = gray(list((found.images[low] * 255 / 16).round().astype(np.uint8))), found.target[low]
    if source.endswith("shuffled"):
        y = np.random.default_rng(seed).permutation(y)
    net = recipes.small_cnn(int(y.max()) + 1).to(memory_format=torch.channels_last)
    steps = 1200 if source.endswith("shuffled") else 400
    return net, train(net, x, torch.from_numpy(y), steps, seed)


def pretraining(target: str, seed: int) -> Iterator[Row]:
    """Tell the digits 5 to 9 apart with a small network, pretrained or not: tuned, and frozen under a new head."""
    from sklearn.datasets import load_digits

    found = load_digits()
    high = found.target > 4
    images = list((found.images[high] * 255 / 16).round().astype(np.uint8))
    splits = tl.data.split(ImageSet(images, found.target[high] - 5, tuple("56789")), 250, 150, TEST, seed)
    splits = splits._replace(train=tl.data.subset(splits.train, 250, seed))
    x, x_val, x_test = (gray(list(part.images)) for part in splits)
    y = torch.from_numpy(splits.train.labels)
    for source in ("none", "digits 0-4", "digits 0-4, shuffled"):
        start, memory = pretrained(source, seed)
        whole = {
            "family": "pretraining",
            "target": target,
            "source": source,
            "seed": seed,
            "source accuracy": memory,
        }
        with torch.no_grad():
            described = [start[:-1].eval()(part).numpy() for part in (x, x_val, x_test)]
        for count in (25, 100, 250):
            few = described[0][:count], splits.train.labels[:count]
            frozen = judged(*few, (described[1], splits.val.labels), (described[2], splits.test.labels))
            yield whole | {"method": "frozen", "labels": count} | frozen
            net = recipes.small_cnn(5).to(memory_format=torch.channels_last)
            net[:-1].load_state_dict(start[:-1].state_dict())
            torch.manual_seed(seed)
            net[-1].reset_parameters()
            train(net, x[:count], y[:count], STEPS, seed)
            with torch.no_grad():
                decide = [net(part).numpy() for part in (x_val, x_test)]
            tuned = scored((decide[0], splits.val.labels), (decide[1], splits.test.labels))
            yield whole | {"method": "tuned", "labels": count} | tuned


# The whole network


def whole(target: str, seed: int) -> Iterator[Row]:
    """Train all of the large network on 100 images at once, from ImageNet weights and from random ones."""
    splits = task(target, seed)
    splits = splits._replace(train=tl.data.subset(splits.train, 100, seed))
    p = dataclasses.replace(
        tl.profile.current(), image_data="targets", image_size=SIDE, batch_size=10
    )  # no flips: a flipped 6 is no digit
    for source in ("ImageNet", "random"):
        tl.seed_everything(seed)
        net = tl.models.load(
            p.backbone, len(splits.train.classes), pretrained=source == "ImageNet", image_size=SIDE, seed=seed
        )
        optimizer = torch.optim.AdamW(net.parameters(), lr=recipes.HEAD_RATE, weight_decay=0.01)
        run = recipes.tune(net, net.transform, splits, p, seed, optimizer)
        val = float(run.history.loc[run.history["best"], "val_balanced_accuracy"].iloc[0])
        key = {
            "family": "whole",
            "target": target,
            "source": source,
            "seed": seed,
            "method": "tuned",
            "labels": 100,
        }
        yield key | {"val": val} | run.scores


FAMILIES: dict[str, tuple[Callable[[str, int], Iterator[Row]], tuple[str, ...]]] = {
    "features": (features, ("digits", "photos")),
    "words": (words, ("tweets", "products")),
    "pretraining": (pretraining, ("digits 5-9",)),
    "inputs": (inputs, ("photos",)),
    "whole": (whole, ("digits",)),
}


def main() -> None:
    """Run the blocks that are missing, seed by seed."""
    path = tl.book.folder() / f"{NAME}.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    there = {(row["family"], row["target"], row["seed"]) for row in rows}
    blocks = [
        (family, target, seed)
        for seed in tl.profile.current().seeds
        for family, (_, names) in FAMILIES.items()
        for target in names
        if (family, target, seed) not in there and (family != "whole" or seed < 3)
    ]
    blocks.sort(key=lambda block: block[0] == "whole")  # the dear ones last
    for family, target, seed in tqdm(blocks, unit="block"):
        start = time.perf_counter()
        found = list(FAMILIES[family][0](target, seed))
        seconds = (time.perf_counter() - start) / len(found)
        rows += [row | {"seconds": seconds} for row in found]
        tl.book.save(NAME, pd.DataFrame(rows), COMMAND)


if __name__ == "__main__":
    main()
