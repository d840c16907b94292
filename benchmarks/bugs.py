"""A working pipeline with one bug at a time, and what each bug does to the score: the stored run of chapter 11.

Bugs of the inputs, the labels and the splits are measured on frozen features, which every image gets once for each
way of preparing it; bugs of the training loop need the network and have 200 labels. Solar modules stay together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torchvision.transforms import v2

import tlhelpers as tl
from benchmarks import parts, recipes
from benchmarks.experiment import Cell, Experiment, Row
from benchmarks.parts import Part
from tlhelpers.data import ImageSet, Splits
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile

SIZE = 128  # pixels
TUNED_LABELS, TUNED_EPOCHS = 200, 6
OWNED = 1000  # images of a project that copies some of them
CACHED_SEEDS, TUNED_SEEDS = tuple(range(20, 40)), tuple(range(20, 25))
CANDIDATES = (1, 3, 10, 30, 100, 300, 1000)


@cache
def images(p: Profile) -> ImageSet:
    """Return all images."""
    return tl.data.load(p.image_data)


def cut(p: Profile, seed: int) -> dict[str, np.ndarray]:
    """Return the indices of the images in the train, validation and test part of a seed, modules apart."""
    everything = parts.numbered(images(p).labels, images(p).classes)
    groups = tl.data.load_groups(p.image_data)
    splits = tl.data.split(everything, p.n_train, p.n_val, p.n_test, seed, groups=groups)
    return {name: parts.numbers(part) for name, part in splits._asdict().items()}


@cache
def transforms(p: Profile) -> dict[str, Callable]:
    """Return the ways to prepare an image: as the weights ask, and three that raise no error."""
    right: Any = fresh(p).transform
    # Two numbers from the training images of one seed, for all seeds: pictures are prepared once.
    train = images(p).take(cut(p, CACHED_SEEDS[0])["train"])
    grays = [np.asarray(tl.data.open_rgb(image).convert("L")) / 255 for image in train.images]
    mean = float(np.mean([gray.mean() for gray in grays]))
    std = float(np.sqrt(np.mean([((gray - mean) ** 2).mean() for gray in grays])))
    raw = [*right.transforms[:-2], v2.ToDtype(torch.float32, scale=False), right.transforms[-1]]
    return {
        "right": right,
        "ImageNet": tl.models.preprocessing(SIZE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "own": tl.models.preprocessing(SIZE, (mean,) * 3, (std,) * 3),
        "0 to 255": v2.Compose(raw),
        "mirrored": v2.Compose([*right.transforms, v2.functional.horizontal_flip]),
    }


def fresh(p: Profile, seed: int = 0) -> Backbone:
    """Return the pretrained network with a new head."""
    return tl.models.load(p.backbone, len(images(p).classes), image_size=SIZE, seed=seed).to(p.device)


@cache
def features(p: Profile, kind: str) -> np.ndarray:
    """Return frozen features ``[N, width]`` of all images prepared in one way."""
    net = fresh(p)
    net.transform = transforms(p)[kind]
    return tl.look.extract(net, images(p))[0].numpy()


def judge() -> Pipeline:
    """Return the classifier on frozen features, as in chapter 01."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))


def _scores(model: Any, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    return tl.stats.scores(model.predict_proba(x), y)


def normalization(p: Profile, seed: int) -> Iterator[Row]:
    """Train and judge on inputs prepared one way, or train on the right ones and serve others."""
    y, part = images(p).labels, cut(p, seed)
    train, test = part["train"], part["test"]
    right = judge().fit(features(p, "right")[train], y[train])
    for kind in ("right", "ImageNet", "own", "0 to 255"):
        x = features(p, kind)
        yield {"variant": f"{kind}, throughout", **_scores(judge().fit(x[train], y[train]), x[test], y[test])}
        yield {"variant": f"{kind}, when served", **_scores(right, x[test], y[test])}


def labels(p: Profile, seed: int) -> Iterator[Row]:
    """Shift or swap the training labels; the test labels stay right."""
    x, y, part = features(p, "right"), images(p).labels, cut(p, seed)
    train, test = part["train"], part["test"]
    by_class = train[np.argsort(y[train], kind="stable")]
    # A split by module deals out the classes in turn; in that order the neighbor's label is no random one.
    mixed = np.random.default_rng(seed).permutation(train)
    for variant, index, given in (
        ("right", train, y[train]),
        ("classes in another order", train, 1 - y[train]),
        ("off by one, sorted by class", by_class, np.roll(y[by_class], 1)),
        ("off by one, shuffled", mixed, np.roll(y[mixed], 1)),
    ):
        yield {"variant": variant, **_scores(judge().fit(x[index], given), x[test], y[test])}


def in_modules(p: Profile, seed: int, *sizes: int) -> list[np.ndarray]:
    """Return the images of whole modules, in a drawn order, so many or a few more each; the rest comes last."""
    of_image = tl.data.load_groups(p.image_data)
    groups = np.arange(len(images(p))) if of_image is None else np.asarray(of_image)
    order = np.random.default_rng(seed).permutation(np.unique(groups)).tolist()
    found = []
    for size in sizes:
        some: list[int] = []
        while len(some) < size:
            some += np.flatnonzero(groups == order.pop()).tolist()
        found.append(np.array(some))
    return [*found, np.flatnonzero(np.isin(groups, order))]


def copies(p: Profile, seed: int) -> Iterator[Row]:
    """Mirror some 1,000 images before or after four fifths of them become the training part.

    ``reported`` is the AUROC on the held-out fifth, ``auroc`` that on modules nobody has seen. Between a split by
    module and one of the copies stands one of single cells: torn modules flatter, and copies add to it.
    """
    y, n = images(p).labels, len(images(p))
    rng = np.random.default_rng(seed)
    train, held, fresh = in_modules(p, seed, OWNED * 4 // 5, OWNED // 5)
    owned = rng.permutation(np.concatenate([train, held]))
    x = np.concatenate([features(p, "right"), features(p, "mirrored")])  # image i has its mirror image at n + i
    doubled = rng.permutation(np.concatenate([owned, owned + n]))
    share = len(train)
    cuts = {
        "modules, then copy": (np.concatenate([train, train + n]), held),
        "cells, then copy": (np.concatenate([owned[:share], owned[:share] + n]), owned[share:]),
        "copy, then split": (doubled[: 2 * share], doubled[2 * share :]),
    }
    models = {"linear": judge, "nearest": lambda: KNeighborsClassifier(5, weights="distance", metric="cosine")}
    for variant, (rows, others) in cuts.items():
        for name, make in models.items():
            model = make().fit(x[rows], y[rows % n])
            reported = _scores(model, x[others], y[others % n])["auroc"]
            yield {"variant": f"{variant}: {name}", **_scores(model, x[fresh], y[fresh]), "reported": reported}


class Heads(nn.Module):
    """Linear heads side by side; each is a parameter of its own, so that it can have its own rate."""

    def __init__(self, rows: list[nn.Parameter]) -> None:
        super().__init__()
        self.rows = nn.ParameterList(rows)

    @property
    def weights(self) -> torch.Tensor:
        """All heads, ``[heads, width]``."""
        return torch.stack(list(self.rows))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a logit a head, ``[B, heads]``."""
        return x @ self.weights.T


def each_alone(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the sum of the losses of the heads: the gradient of each is that of its own loss."""
    truth = y[:, None].expand_as(logits)
    return nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=0).sum()


def candidate_heads(x: np.ndarray, y: np.ndarray, seed: int, heads: int = 40, epochs: int = 25) -> np.ndarray:
    """Train many linear heads at once on 200 features; return the weights ``[heads * epochs, width + 1]``.

    Their rates, weight decays and starts are drawn at random, as in a search over settings.
    """
    generator = torch.Generator().manual_seed(seed)
    xs, ys = torch.from_numpy(x), torch.from_numpy(y).float()
    rates = 10 ** (-4 + 2 * torch.rand(heads, generator=generator))
    decays = 10 ** (-4 + 4 * torch.rand(heads, generator=generator))
    net = Heads([nn.Parameter(0.03 * torch.randn(x.shape[1], generator=generator)) for _ in range(heads)])
    groups = [
        {"params": [row], "lr": float(rate), "weight_decay": float(decay)}
        for row, rate, decay in zip(net.rows, rates, decays, strict=True)
    ]
    optimizer = torch.optim.AdamW(groups)
    steps = -(-len(xs) // 40)
    stream = parts.drawn((xs, ys), 40, epochs * steps, generator)
    after_each: list[torch.Tensor] = []
    for _ in range(epochs):
        parts.take_steps(net, optimizer, islice(stream, steps), loss=each_alone)
        after_each.append(net.weights.detach())
    return torch.cat(after_each).numpy()


def aurocs(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the AUROC of each column of ``scores [N, K]`` (Mann & Whitney 1947)."""
    positive, n = y == 1, len(y)
    k = int(positive.sum())
    return (rankdata(scores, axis=0)[positive].sum(axis=0) - k * (k + 1) / 2) / (k * (n - k))


def selection(p: Profile, seed: int) -> Iterator[Row]:
    """Choose among more and more candidates by their score on 100 images, and look at that on fresh ones.

    All three come from modules that the training images are not from.

    ``reported`` is the AUROC on the 100 images named ``test``, ``auroc`` that on images that nobody has seen, of
    the candidate with the best AUROC; ``reported_accuracy`` and ``accuracy`` are those of the most accurate one.
    Means over 20 draws of the images and of the order of the candidates.
    """
    y, part = images(p).labels, cut(p, seed)
    train, others = part["train"][:TUNED_LABELS], np.concatenate([part["val"], part["test"]])
    x = features(p, "right")
    x = StandardScaler().fit(x[train]).transform(x).astype(np.float32) / np.float32(np.sqrt(x.shape[1]))
    heads = candidate_heads(x[train], y[train], seed)
    logits = x @ heads.T
    judges = {"auroc": aurocs, "accuracy": lambda z, truth: ((z > 0) == truth[:, None]).mean(axis=0)}
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for _ in range(20):
        val, test, fresh = np.split(rng.permutation(others), [100, 200])
        order = rng.permutation(len(heads))
        on = {m: {"val": f(logits[val], y[val]), "test": f(logits[test], y[test])} for m, f in judges.items()}
        for n in CANDIDATES:
            for where in ("test", "val"):
                row: Row = {"variant": f"{n} candidates, chosen on {where}"}
                for metric, reported in (("auroc", "reported"), ("accuracy", "reported_accuracy")):
                    best = order[:n][on[metric][where][order[:n]].argmax()]
                    row[metric] = float(judges[metric](logits[fresh][:, [best]], y[fresh])[0])
                    row[reported] = float(on[metric]["test"][best])
                rows.append(row)
    yield from pd.DataFrame(rows).groupby("variant", sort=False).mean().reset_index().to_dict("records")


def labeled(p: Profile, index: np.ndarray) -> Part:
    """Return frozen features and labels of some images."""
    return torch.from_numpy(features(p, "right")[index]), torch.from_numpy(images(p).labels[index])


def fit_head(net: Backbone, p: Profile, seed: int, train: np.ndarray, val: np.ndarray, epochs: int = 60) -> None:
    """Train the head of ``net`` on cached features and keep its best epoch."""
    weights = tl.train.class_weights(images(p).labels[train])
    tl.train.fit_head(
        net.head, labeled(p, train), labeled(p, val), seed=seed, epochs=epochs, class_weights=weights
    )


def mode(p: Profile, seed: int) -> Iterator[Row]:
    """Serve a network in train mode, in batches of different make, beside the same network in eval mode."""
    tl.seed_everything(seed)
    part, y = cut(p, seed), images(p).labels
    test = part["test"]
    net = fresh(p, seed)
    fit_head(net, p, seed, part["train"], part["val"])
    shuffled = np.random.default_rng(seed).permutation(test)
    by_class = test[np.argsort(y[test], kind="stable")]
    start = {key: value.clone() for key, value in net.state_dict().items()}
    served = (("eval", test, 32), ("batches of 32", shuffled, 32), ("sorted by class", by_class, 32),
              ("one at a time", test[:: len(test) // 250], 1))  # fmt: skip
    for variant, index, size in served:
        net.load_state_dict(start)
        net.net.train(variant != "eval")
        batches = tl.data.loader(images(p).take(index), net.transform, size)
        with torch.no_grad():
            out = [net.net(x.to(p.device, memory_format=torch.channels_last)).cpu() for x, _ in batches]
        yield {"variant": variant, **tl.stats.scores(torch.cat(out).softmax(dim=1).numpy(), y[index])}


def drift(p: Profile, seed: int) -> Iterator[Row]:
    """Train a head on a backbone without gradients whose BatchNorm stands still, or moves.

    ``another head`` was trained on the still backbone, as for a second task, and is judged after the drift.
    """
    part, y = cut(p, seed), images(p).labels
    splits = Splits(*(images(p).take(index) for index in part.values()))

    def judged(head: nn.Module, x: torch.Tensor) -> Row:
        return tl.stats.scores(*tl.train.predict_proba(head, [(x, torch.from_numpy(y[part["test"]]))]))

    tl.seed_everything(seed)
    still = fresh(p, seed)
    fit_head(still, p, seed, part["train"], part["val"], p.epochs)
    yield {"variant": "held", **judged(still.head, labeled(p, part["test"])[0])}
    tl.seed_everything(seed)
    net = fresh(p, seed)
    recipes.fit_head_drifting(net, splits, p, seed)
    moved = tl.look.extract(net, splits.test)[0]
    yield {"variant": "moving", **judged(net.head, moved)}
    yield {"variant": "another head", **judged(still.head, moved)}


TUNED = ("working", "one rate, 1e-3", "one rate, 1e-2", "stem left out", "optimizer first")


def quarter_warmup(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Return a schedule that warms up over a quarter of the steps."""
    return tl.train.warmup_cosine(optimizer, steps, warmup=steps // 4)


def tune(p: Profile, variant: str, seed: int) -> recipes.Run:
    """Run both stages with 200 labels and one bug of the optimizer; return test scores and epochs of stage 2."""
    tl.seed_everything(seed)
    part = cut(p, seed)
    part["train"] = part["train"][:TUNED_LABELS]
    net = fresh(p, seed)
    if variant == "optimizer first":  # its optimizers hold the parameters of the head that was thrown away
        net.head.requires_grad_(False)
    else:
        fit_head(net, p, seed, part["train"], part["val"])
    tl.models.freeze_norms(net)
    if variant.startswith("one rate"):
        groups: list[Row] = [{"params": list(net.parameters()), "lr": float(variant.split(", ")[1])}]
    else:
        groups = tl.train.param_groups(net, head_lr=recipes.HEAD_RATE, backbone_lr=recipes.BACKBONE_RATE)
    if variant == "stem left out":
        groups = [group for group in groups if not group["name"].startswith("stem")]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    splits = Splits(*(images(p).take(index) for index in part.values()))
    return recipes.tune(
        net, net.transform, splits, p, seed, optimizer, epochs=TUNED_EPOCHS, schedule=quarter_warmup
    )


def optimizer(p: Profile, seed: int) -> Iterator[Row]:
    """Tune with a working optimizer and with four that are not."""
    for variant in TUNED:
        start = time.perf_counter()
        run = tune(p, variant, seed)
        kept = run.history[run.history["best"]].iloc[0]
        yield {
            "variant": variant,
            **run.scores,
            "first_loss": run.history["train_loss"].iloc[0],
            "last_loss": run.history["train_loss"].iloc[-1],
            "kept_epoch": int(kept["epoch"]),
            "seconds": time.perf_counter() - start,
        }


BUGS: dict[str, tuple[Callable[[Profile, int], Iterator[Row]], tuple[int, ...]]] = {
    "normalization": (normalization, CACHED_SEEDS),
    "labels": (labels, CACHED_SEEDS),
    "copies": (copies, CACHED_SEEDS),
    "selection": (selection, CACHED_SEEDS),
    "mode": (mode, TUNED_SEEDS),
    "drift": (drift, TUNED_SEEDS),
    "optimizer": (optimizer, TUNED_SEEDS),
}


def cells(p: Profile) -> list[Cell]:
    """Return the blocks, bug by bug on the first seed before the second."""
    return [
        {"bug": bug, "seed": seed} for seed in CACHED_SEEDS for bug, (_, seeds) in BUGS.items() if seed in seeds
    ]


def run(p: Profile, bug: str, seed: int) -> Iterator[Row]:
    """Run one block."""
    return BUGS[bug][0](replace(p, image_size=SIZE), seed)


Experiment("planted_bugs", cells, run, check=[{"bug": "labels", "seed": 21}], score="accuracy")
