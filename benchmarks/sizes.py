"""Score against input size: frozen features of three tasks, from 64 to 224 pixels. A stored run of chapter 05.

The splits are the final ones of the protocol, with all labels but the largest number left out; validation chooses
the penalty of a linear classifier. Exploratory: the protocol fixed 128 pixels before.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from sklearn.pipeline import Pipeline

import tlhelpers as tl
from benchmarks import cells, engine, others, parts, pieces
from benchmarks.experiment import Cell, Experiment, Row
from benchmarks.parts import Rows
from tlhelpers.data import ImageSet
from tlhelpers.profile import Profile

SIDES = (64, 96, 128, 160, 224)
PENALTIES = (0.001, 0.01, 0.1)
LABELS = {"cells": 500, "pieces": 400, "digits": 400}
SEEDS = {
    "cells": cells.CELLS.final_seeds,
    "pieces": pieces.PLAN.final_seeds,
    "digits": others.DIGITS.final_seeds,
}


@lru_cache(maxsize=len(SIDES))
def described(p: Profile, task: str, side: int) -> np.ndarray:
    """Return frozen features of all cells or all digits at a size ``[N, width]``."""
    images = tl.data.load(p.image_data) if task == "cells" else tl.data.handwritten_digits()
    return features(p, images, side)


def features(p: Profile, images: ImageSet, side: int) -> np.ndarray:
    """Return frozen features at a size ``[N, width]``."""
    net = tl.models.load(p.backbone, image_size=side).to(p.device).eval()
    return engine.features(net, engine.pixels(images, net.transform), torch.float32).numpy()


def cut(p: Profile, task: str, side: int, seed: int) -> tuple[np.ndarray, np.ndarray, Rows]:
    """Return features, labels, and the rows of each part of a split, those to train on thinned out."""
    if task == "cells":
        rows = cells.rows_of(seed)._replace(train=cells.few(LABELS[task], seed))
        return described(p, task, side), cells.defective(), rows
    if task == "digits":
        rows = others.rows_of(seed)._replace(train=others.few_digits(LABELS[task], seed))
        return described(p, task, side), others.values(), rows
    images, rows = pieces.cut(seed)
    return features(p, images, side), images.labels, rows


def run(p: Profile, task: str, side: int, seed: int) -> Row:
    """Run one cell."""
    X, y, rows = cut(p, task, side, seed)
    train, val = ((X[part], y[part]) for part in (rows.train, rows.val))
    models: list[Pipeline] = [tl.look.linear_classifier(C) for C in PENALTIES]
    model, watched = parts.chosen(models, train, val, "auroc")
    scores = tl.stats.scores(model.predict_proba(X[rows.test]), y[rows.test])
    return {"labels": len(rows.train), "validation": watched["auroc"], **scores}


def grid(p: Profile) -> list[Cell]:
    """Return the cells, the sizes of a split together."""
    return [
        {"task": task, "side": side, "seed": seed} for task in LABELS for seed in SEEDS[task] for side in SIDES
    ]


Experiment("input_sizes", grid, run, check=[{"task": "digits", "side": 64, "seed": SEEDS["digits"][0]}])
