"""The strategies that chapters 01 and 05 compare, each as one function of data and seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import pandas as pd
import torch
from torch import nn

import tlhelpers as tl
from tlhelpers.data import ImageSet, Splits
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile


class Run(NamedTuple):
    """What one run leaves: the network, its epochs, its scores on the test set."""

    net: nn.Module
    history: pd.DataFrame
    scores: dict[str, float]

    @property
    def row(self) -> dict[str, float]:
        """The scores, and the best validation accuracy of any epoch: what a report without a test would quote."""
        return self.scores | {"watched_accuracy": float(self.history["val_accuracy"].max())}


HEAD_RATE, BACKBONE_RATE = 1e-3, 1e-4
MIN_STEPS = 80  # as many as 500 images give in five passes


def passes(p: Profile, labels: int) -> int:
    """Return the epochs of a run: those of the profile, or more where a few labels would mean a few steps."""
    return max(p.epochs, -(-MIN_STEPS // -(-labels // p.batch_size)))


def small_cnn(num_classes: int = 2, width: int = 16) -> nn.Sequential:
    """Return four convolution blocks and a linear head, for images ``[B, 3, S, S]``.

    On 500 images it beats a randomly initialized EfficientNet, so it is the fairer baseline.
    """
    blocks: list[nn.Module] = []
    channels = 3
    for number, out in enumerate((width, 2 * width, 4 * width, 8 * width)):
        blocks += [
            nn.Conv2d(channels, out, 3, stride=2 if number == 0 else 1, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        channels = out
    return nn.Sequential(
        *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(channels, num_classes)
    )


def scratch(splits: Splits, p: Profile, seed: int) -> Run:
    """Train :func:`small_cnn` from random weights."""
    tl.seed_everything(seed)
    net = small_cnn(len(splits.train.classes)).to(p.device)
    transform = tl.models.preprocessing(p.image_size, (0.5,) * 3, (0.5,) * 3)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    return tune(net, transform, splits, p, seed, optimizer, epochs=5 * passes(p, len(splits.train)))


def pretrained(splits: Splits, p: Profile, seed: int) -> Backbone:
    """Load the backbone of the profile with a new head."""
    net = tl.models.load(p.backbone, len(splits.train.classes), image_size=p.image_size, seed=seed)
    return net.to(p.device)


def fit_head(net: Backbone, splits: Splits, p: Profile, seed: int, weighted: bool = True) -> pd.DataFrame:
    """Stage 1: train the head on features that were computed once; the rest of ``net`` stays as it is."""
    tl.models.freeze(net)
    train, val = (tl.look.extract(net, part) for part in splits[:2])
    weights = tl.train.class_weights(splits.train.labels) if weighted else None
    return tl.train.fit_head(
        net.head, train, val, seed=seed, lr=HEAD_RATE, batch_size=p.batch_size, class_weights=weights
    )


def fit_head_drifting(net: Backbone, splits: Splits, p: Profile, seed: int, weighted: bool = True) -> None:
    """Stage 1 with a fault: no gradient below the head, but all of ``net`` in train mode, so that norms move."""
    tl.models.freeze(net)
    train = tl.data.loader(splits.train, net.transform, p.batch_size, shuffle=True, seed=seed, cache=True)
    val = tl.data.loader(splits.val, net.transform, 2 * p.batch_size, cache=True)
    optimizer = torch.optim.AdamW(net.head.parameters(), lr=HEAD_RATE, weight_decay=0.01)
    weights = tl.train.class_weights(splits.train.labels) if weighted else None
    # The plain network knows nothing of frozen stages, so its train() wakes every BatchNorm.
    tl.train.fit(net.net, train, val, optimizer, p.epochs, class_weights=weights)


def frozen(splits: Splits, p: Profile, seed: int) -> Run:
    """Feature extraction: a new head on the frozen backbone."""
    tl.seed_everything(seed)
    net = pretrained(splits, p, seed)
    history = fit_head(net, splits, p, seed)
    return Run(net, history, report(net, splits.test, p))


def two_stage(splits: Splits, p: Profile, seed: int, keep_start: bool = True) -> Run:
    """Head first, then everything, slowly, with BatchNorm held (LP-FT, Kumar et al. 2022)."""
    tl.seed_everything(seed)
    net = pretrained(splits, p, seed)
    fit_head(net, splits, p, seed)
    tl.models.freeze_norms(tl.models.unfreeze(net))
    optimizer = torch.optim.AdamW(tl.train.param_groups(net, head_lr=HEAD_RATE, backbone_lr=BACKBONE_RATE))
    tl.train.check_groups(net, optimizer)
    return tune(net, net.transform, splits, p, seed, optimizer, keep_start=keep_start)


def full(splits: Splits, p: Profile, seed: int, rate: float = HEAD_RATE) -> Run:
    """Tune everything at once from the start, head and backbone at the rate of a new head."""
    tl.seed_everything(seed)
    net = pretrained(splits, p, seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.01)
    return tune(net, net.transform, splits, p, seed, optimizer)


def full_fast(splits: Splits, p: Profile, seed: int) -> Run:
    """Tune everything at once from the start, at a rate that suits random weights only."""
    return full(splits, p, seed, rate=10 * HEAD_RATE)


def cosine(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Return a schedule that lowers every rate along a cosine to zero."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)


def tune(
    net: nn.Module,
    transform: Callable,
    splits: Splits,
    p: Profile,
    seed: int,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int | None = None,
    weighted: bool = True,
    schedule: Callable[[torch.optim.Optimizer, int], torch.optim.lr_scheduler.LRScheduler] = cosine,
    **options: Any,
) -> Run:
    """Train what ``optimizer`` holds on augmented images, with a schedule, and score the test set.

    Args:
        schedule: from the optimizer and the number of steps.
        options: those of :func:`tlhelpers.train.fit`.
    """
    epochs = epochs or passes(p, len(splits.train))
    train = tl.data.loader(
        splits.train, transform, p.batch_size, shuffle=True, augment=augmentation(p), seed=seed, cache=True
    )
    val = tl.data.loader(splits.val, transform, 2 * p.batch_size, cache=True)
    history = tl.train.fit(
        net,
        train,
        val,
        optimizer,
        epochs,
        batch_scheduler=schedule(optimizer, epochs * len(train)),
        class_weights=tl.train.class_weights(splits.train.labels) if weighted else None,
        **options,
    )
    return Run(net, history, report(net, splits.test, p, transform))


def augmentation(p: Profile) -> Callable | None:
    """Return the random changes that leave a label alone: flips for a cell, none for a chest."""
    return tl.data.augment_cells() if p.image_data == "elpv" else None


def report(net: nn.Module, test: ImageSet, p: Profile, transform: Callable | None = None) -> dict[str, float]:
    """Return the scores of ``net`` on the test set."""
    loader = tl.data.loader(test, transform or cast(Backbone, net).transform, 2 * p.batch_size)
    probabilities, labels = tl.train.predict_proba(net, loader)
    return tl.stats.scores(probabilities, labels)


STRATEGIES: dict[str, Callable[[Splits, Profile, int], Run]] = {
    "scratch": scratch,
    "frozen": frozen,
    "two-stage": two_stage,
    "full": full,
    "full-fast": full_fast,
}
AT_MOST_LABELS_ONLY = ("full", "full-fast")
