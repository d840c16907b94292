"""Where a source hurts: five families of transfer, each beside the same method without its source. Chapter 13.

``words``: a head for one domain of sentences, with and without the head of another domain. ``features``: a linear
head on a frozen ImageNet network, on one with random weights, on plain pixels. ``drawn``: the same on random
weights whose BatchNorm nobody calibrated, the stronger rival, as the attacks on the headlines found.
``inputs``: the same frozen network, fed wrongly. ``pretraining``: a small network pretrained on true labels, on
shuffled labels, or not. ``whole``: all of the large network tuned, from both starts. Every row holds the scores on
test items and, as ``val``, the balanced accuracy on validation items.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import torch
from scipy.special import softmax
from sklearn.linear_model import RidgeCV
from sklearn.metrics import balanced_accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from torch import nn

import tlhelpers as tl
from benchmarks import engine, parts, recipes
from benchmarks.experiment import ROOT, Cell, Experiment, Row
from benchmarks.parts import PENALTIES
from tlhelpers.data import IMAGE_TASKS, Splits, TextSet
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile

COUNTS = (25, 50, 100, 250, 500)
SIZES = TRAIN, VAL, TEST = (500, 200, 400)
SEEDS, SIDE = range(20, 25), 128
Known = tuple[np.ndarray, np.ndarray]


def scored(val: Known, test: Known) -> Row:
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
def described(domain: str) -> tuple[TextSet, np.ndarray]:
    """Return the sentences of a domain (:data:`POOL` of them) and their features, each of length sqrt(D)."""
    known = tl.data.load_texts(domain)
    documents = np.random.default_rng(0).permutation(np.unique(known.groups))
    rank = np.argsort(documents)[np.searchsorted(np.unique(known.groups), known.groups)]
    some = known.take(np.argsort(rank, kind="stable")[:POOL])
    kept = ROOT / "_build" / "features"
    X = tl.models.encode(some.texts, tl.models.load_encoder(), cache=kept).numpy().astype(float)
    return some, X / np.linalg.norm(X, axis=1, keepdims=True) * np.sqrt(X.shape[1])


def head(X: np.ndarray, t: np.ndarray, y: np.ndarray) -> RidgeCV:
    """Return a ridge regression of targets ``t [N]``; classes ``y`` weigh alike, leave-one-out sets penalty."""
    return RidgeCV(alphas=PENALTIES).fit(X, t, sample_weight=compute_sample_weight("balanced", y))


def sources(target: str) -> Iterator[tuple[str, str]]:
    """Return the sources of a target as domain and what is done to its labels."""
    others = [domain for domain in tl.data.TEXT_DOMAINS if domain != target]
    yield from ((domain, "true") for domain in others)
    yield from ((others[0], kind) for kind in ("shuffled", "inverted"))


def words(p: Profile, target: str, seed: int) -> Iterator[Row]:
    """Learn a domain alone, pulled toward another domain's head, and pooled with its sentences."""
    known, X_all = described(target)
    place = {sentence: row for row, sentence in enumerate(known.texts)}
    splits = tl.data.split_texts(known, TRAIN, VAL, 1000, seed)
    (X, y), val, test = ((X_all[[place[s] for s in part.texts]], part.labels) for part in splits)
    order = np.random.default_rng(seed).permutation(len(y))
    X, y = X[order], y[order]
    truth = val[1], test[1]

    def predicted(model: RidgeCV) -> list[np.ndarray]:
        return [model.predict(Z) for Z in (val[0], test[0])]

    for number, (domain, kind) in enumerate(sources(target)):
        theirs, X_source = described(domain)
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(theirs))[:SENTENCES]
        X_source, y_source = X_source[rows], theirs.labels[rows]
        if kind != "true":
            y_source = rng.permutation(y_source) if kind == "shuffled" else 1 - y_source
        source = head(X_source, 2.0 * y_source - 1, y_source)
        of_source = predicted(source)
        name = domain if kind == "true" else f"{domain}, {kind}"
        yield {"source": name, "method": "source head", "labels": 0} | scored(*zip(of_source, truth, strict=True))
        for count in COUNTS:
            few, labels = X[:count], y[:count]
            by_strength = []
            for strength in STRENGTHS:
                rest = head(few, 2.0 * labels - 1 - strength * source.predict(few), labels)
                decisions = [strength * a + b for a, b in zip(of_source, predicted(rest), strict=True)]
                by_strength.append(scored(*zip(decisions, truth, strict=True)) | {"strength": strength})
            both = np.concatenate([labels, y_source])
            pooled = head(np.concatenate([few, X_source]), 2.0 * both - 1, both)
            if not number:  # without a source, whichever it is
                yield {"source": "none", "method": "alone", "labels": count} | by_strength[0]
            key = {"source": name, "labels": count}
            yield key | {"method": "pulled"} | by_strength[-1]
            yield key | {"method": "weighed"} | max(by_strength, key=lambda scores: scores["val"])
            yield key | {"method": "pooled"} | scored(*zip(predicted(pooled), truth, strict=True))


# Frozen features


def task(name: str, seed: int) -> Splits:
    """Return the parts of a task; however few of the first training images one takes, every class is there."""
    options = {"shuffle": True} if name == "photos" else {}  # else the photos would come in turn
    splits = IMAGE_TASKS[name](seed, sizes=SIZES, **options)
    return splits._replace(train=tl.data.subset(splits.train, TRAIN, seed))


def judged(X: np.ndarray, y: np.ndarray, val: Known, test: Known) -> Row:
    """Return the scores of a ridge classifier."""
    model = parts.ridge().fit(X, y)
    return scored(*((model.decision_function(Z), labels) for Z, labels in (val, test)))


def curve(source: str, X: list[np.ndarray], splits: Splits) -> Iterator[Row]:
    """Return the rows of one set of features ``[N, D]`` of train, validation and test part."""
    y, val, test = splits.train.labels, (X[1], splits.val.labels), (X[2], splits.test.labels)
    for count in (count for count in COUNTS if count <= len(y)):
        scores = judged(X[0][:count], y[:count], val, test)
        yield {"source": source, "method": "frozen", "labels": count} | scores


def features(p: Profile, target: str, seed: int) -> Iterator[Row]:
    """Learn a linear head on plain pixels, on a random network and on two stages of the pretrained one."""
    splits = task(target, seed)
    yield from curve("pixels", [tl.data.pixels(part) for part in splits], splits)
    for pretrained in (True, False):
        net = tl.models.load(p.backbone, pretrained=pretrained, image_size=SIDE, seed=seed).to(p.device)
        if not pretrained:
            engine.calibrate(net, engine.pixels(splits.train, net.transform))
        yield from two_stages("ImageNet" if pretrained else "random", net, splits)


def two_stages(source: str, net: Backbone, splits: Splits) -> Iterator[Row]:
    """Learn a linear head on the middle stage of a network, and on the last one below its head."""
    by_stage = [tl.look.pooled(net, part)[0] for part in splits]
    names = list(net.stages)
    for stage in (names[len(names) // 2], names[-2]):
        yield from curve(f"{source}, {stage}", [part[stage] for part in by_stage], splits)


def drawn(p: Profile, target: str, seed: int) -> Iterator[Row]:
    """Learn a linear head on the random network of :func:`features` as it was drawn."""
    net = tl.models.load(p.backbone, pretrained=False, image_size=SIDE, seed=seed).to(p.device)
    yield from two_stages("random as drawn", net, task(target, seed))


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


def inputs(p: Profile, target: str, seed: int) -> Iterator[Row]:
    """Learn a linear head on the frozen network, with right and with wrong preprocessing in all three parts."""
    whole = task(target, seed)
    splits = Splits(*(part.take(np.arange(size)) for part, size in zip(whole, (250, 100, 300), strict=True)))
    net = tl.models.load(p.backbone, image_size=SIDE).to(p.device)
    plain = tl.models.preprocessing(SIDE, (0.0,) * 3, (1.0,) * 3)
    images = [torch.stack([plain(image) for image, _ in (part[i] for i in range(len(part)))]) for part in splits]
    for name, change in mistakes(images[0]).items():
        yield from curve(name, [parts.features_of(net, change(part), 64).numpy() for part in images], splits)


# Pretraining

SMALL = 32  # pixels
STEPS = 100


def gray(images: list) -> torch.Tensor:
    """Return images as ``[N, 3, 32, 32]`` around zero."""
    transform = tl.models.preprocessing(SMALL, (0.5,) * 3, (0.5,) * 3)
    return torch.stack([transform(tl.data.open_rgb(image).convert("L").convert("RGB")) for image in images])


def train(net: nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int, seed: int) -> float:
    """Train all weights at the rate of :func:`benchmarks.recipes.scratch`; return the accuracy in training."""
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    net.train()
    stream = parts.drawn((x, y), 32, steps, only_full=True)
    parts.take_steps(net, optimizer, stream, schedule=recipes.cosine(optimizer, steps))
    net.eval()
    return float((logits(net, x).argmax(axis=1) == y.numpy()).mean())


@torch.no_grad()
def logits(net: nn.Module, x: torch.Tensor) -> np.ndarray:
    """Return what a network gives for all inputs at once."""
    return net(x).numpy()


def pretrained(source: str, seed: int) -> tuple[nn.Sequential, float]:
    """Return :func:`benchmarks.recipes.small_cnn` after its source task, and its accuracy there in training."""
    torch.manual_seed(seed)
    if source == "none":
        return recipes.small_cnn(5).to(memory_format=torch.channels_last), float("nan")
    low, shuffled = tl.data.handwritten_digits(0, 4), source.endswith("shuffled")
    y = np.random.default_rng(seed).permutation(low.labels) if shuffled else low.labels
    net = recipes.small_cnn(5).to(memory_format=torch.channels_last)
    return net, train(net, gray(list(low.images)), torch.from_numpy(y), 1200 if shuffled else 400, seed)


def pretraining(p: Profile, target: str, seed: int) -> Iterator[Row]:
    """Tell the digits 5 to 9 apart with a small network, pretrained or not: tuned, and frozen under a new head."""
    splits = tl.data.split(tl.data.handwritten_digits(5, 9), 250, 150, TEST, seed)
    splits = splits._replace(train=tl.data.subset(splits.train, 250, seed))
    x, x_val, x_test = (gray(list(part.images)) for part in splits)
    labels, val, test = (part.labels for part in splits)
    for source in ("none", "digits 0-4", "digits 0-4, shuffled"):
        start, memory = pretrained(source, seed)
        of_source = {"source": source, "source accuracy": memory}
        Z, Z_val, Z_test = (logits(start[:-1].eval(), part) for part in (x, x_val, x_test))
        for count in (25, 100, 250):
            frozen = judged(Z[:count], labels[:count], (Z_val, val), (Z_test, test))
            yield of_source | {"method": "frozen", "labels": count} | frozen
            net = recipes.small_cnn(5).to(memory_format=torch.channels_last)
            net[:-1].load_state_dict(start[:-1].state_dict())
            torch.manual_seed(seed)
            head = net[-1]
            assert isinstance(head, nn.Linear)
            head.reset_parameters()
            train(net, x[:count], torch.from_numpy(labels[:count]), STEPS, seed)
            tuned = scored((logits(net, x_val), val), (logits(net, x_test), test))
            yield of_source | {"method": "tuned", "labels": count} | tuned


# The whole network


def whole(p: Profile, target: str, seed: int) -> Iterator[Row]:
    """Train all of the large network on 100 images at once, from ImageNet weights and from random ones."""
    splits = task(target, seed)
    splits = splits._replace(train=tl.data.subset(splits.train, 100, seed))
    # No flips: a flipped 6 is no digit.
    p = dataclasses.replace(p, image_data="targets", image_size=SIDE, batch_size=10)
    for source in ("ImageNet", "random"):
        tl.seed_everything(seed)
        net = tl.models.load(
            p.backbone, len(splits.train.classes), pretrained=source == "ImageNet", image_size=SIDE, seed=seed
        ).to(p.device)
        optimizer = torch.optim.AdamW(net.parameters(), lr=recipes.HEAD_RATE, weight_decay=0.01)
        run = recipes.tune(net, net.transform, splits, p, seed, optimizer)
        val = float(run.history.loc[run.history["best"], "val_balanced_accuracy"].iloc[0])
        yield {"source": source, "method": "tuned", "labels": 100, "val": val} | run.scores


FAMILIES: dict[str, tuple[Callable[[Profile, str, int], Iterator[Row]], tuple[str, ...]]] = {
    "features": (features, ("digits", "photos")),
    "words": (words, ("tweets", "products")),
    "pretraining": (pretraining, ("digits 5-9",)),
    "inputs": (inputs, ("photos",)),
    "whole": (whole, ("digits",)),
    "drawn": (drawn, ("digits", "photos")),
}


def cells(p: Profile) -> list[Cell]:
    """Return the blocks seed by seed, the dear ones last and of three seeds only."""
    blocks = [
        {"family": family, "target": target, "seed": seed}
        for seed in SEEDS
        for family, (_, targets) in FAMILIES.items()
        for target in targets
        if family != "whole" or seed < SEEDS[3]
    ]
    return sorted(blocks, key=lambda block: block["family"] == "whole")


def run(p: Profile, family: str, target: str, seed: int) -> Iterator[Row]:
    """Run one block."""
    return FAMILIES[family][0](p, target, seed)


Experiment(
    "harmful_sources",
    cells,
    run,
    check=[{"family": "words", "target": "tweets", "seed": 21}],
    score="accuracy",
)
