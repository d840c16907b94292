"""What a linear probe reads at every stage, on three tasks: a stored run of chapter 04.

Ten draws, since a draw costs seconds; solar modules stay together. The random network is drawn anew each time: for
``random`` its BatchNorm is calibrated on the training images, ``uncalibrated`` leaves it as it was drawn. That
came last, when the attacks on the headlines had found it the stronger rival.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import balanced_accuracy_score

import tlhelpers as tl
from benchmarks import engine, parts
from benchmarks.experiment import Cell, Experiment, Row
from tlhelpers.data import ImageSet
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile

TASKS = ("objects", "textures", "defects")
WEIGHTS = ("pretrained", "random", "uncalibrated")
SEEDS = range(20, 30)
SIDE = 128


def images(task: str, p: Profile, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return training and test images of a task; for photographs, from the two sides of a line through each."""
    if task == "defects":
        groups = tl.data.load_groups(p.image_data)
        splits = tl.data.split(tl.data.load(p.image_data), p.n_train, p.n_val, p.n_test, seed, groups=groups)
        return splits.train, splits.test
    if task == "objects":
        photos = tl.data.photographs()
        return tl.data.pieces(photos, 12, 0, seed), tl.data.pieces(photos, 24, 1, seed)
    photos, shares = tl.data.textures(), (0.2, 0.35)
    train, test = (tl.data.pieces(photos, n, side, seed, shares, turned=True) for side, n in ((0, 12), (1, 24)))
    return train, test


def probe(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    """Return the balanced accuracy of a ridge classifier on test items."""
    return float(balanced_accuracy_score(y_test, parts.ridge().fit(x, y).predict(x_test)))


def network(p: Profile, weights: str, seed: int, train: ImageSet) -> Backbone:
    """Return the backbone in eval mode, pretrained or random; ``random`` calibrates it on some images."""
    net = tl.models.load(p.backbone, pretrained=weights == "pretrained", image_size=SIDE, seed=seed).to(p.device)
    if weights == "random":
        engine.calibrate(net, engine.pixels(train, net.transform))
    return net.eval()


def cells(p: Profile) -> list[Cell]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    return [{"task": task, "weights": weights, "seed": s} for s in SEEDS for weights in WEIGHTS for task in TASKS]


def run(p: Profile, task: str, weights: str, seed: int) -> list[Row]:
    """Return the balanced accuracy on test images for every stage."""
    train, test = images(task, p, seed)
    net = network(p, weights, seed, train)
    (x, y), (x_test, y_test) = (tl.look.pooled(net, part) for part in (train, test))
    return [
        {"stage": stage, "depth": depth, "balanced_accuracy": probe(x[stage], y, x_test[stage], y_test)}
        for depth, stage in enumerate(x)
    ]


Experiment(
    "stage_probes",
    cells,
    run,
    check=[{"task": "textures", "weights": "pretrained", "seed": 27}],
    score="balanced_accuracy",
)
