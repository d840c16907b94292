"""Gray pieces of photographs: the near task in pictures, with few labels and many. The table of the protocol.

Each split draws eight photographs and a line through each of them. Pieces to train on and to watch are cut on one
side of the line and pieces to test on from the other; the second fold changes sides. Settings are chosen on other
pictures.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from PIL import Image

import tlhelpers as tl
from benchmarks import engine, pictures, protocol
from benchmarks.experiment import Row, planned
from benchmarks.parts import Rows
from benchmarks.pictures import Pool
from tlhelpers.data import ImageSet
from tlhelpers.profile import Profile

PLAN = protocol.plan("pieces")


def picture(name: str) -> np.ndarray:
    """Return one of the pictures that the protocol names, ``[H, W]`` or ``[H, W, 3]``; all come with packages."""
    things = tl.data.photographs()
    if name in things:
        return things[name]
    if name == "officer":
        from matplotlib import cbook

        path = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
        return np.asarray(Image.open(str(path)).convert("RGB"))
    return tl.data.photo({"hubble": "hubble_deep_field"}.get(name, name))


def cut(seed: int, table: str = PLAN.name) -> tuple[ImageSet, Rows]:
    """Return the pieces of a split, labeled with their photographs, and the rows of its parts."""
    plan = protocol.plan(table)
    rules, tuning = plan.rules, seed in plan.tuning_seeds
    line, fold = (seed, 0) if tuning else divmod(seed, 10)
    photos = {name: picture(name) for name in names_of(seed, table)}
    most = math.ceil(max(count for arm in plan.arms.values() for count in arm["labels"]) / len(photos))
    each = {"train": most, "val": rules["val_each"], "test": 0 if tuning else rules["test_each"]}
    how = rules.get("cut", {})

    def cut_from(count: int, side: int) -> ImageSet:
        shares, turned = how.get("shares", (0.3, 0.5)), how.get("turned", False)
        return tl.data.pieces(photos, count, side, line, shares, turned=turned)

    # One call a side: what is drawn later does not change what was drawn before, so fewer labels lie among more.
    known = cut_from(each["train"] + each["val"], side=fold)
    parts = [_each(known, 0, most), _each(known, most, most + each["val"])]
    if each["test"]:
        parts.append(cut_from(each["test"], side=1 - fold))
    edges = np.cumsum([0, *(len(part) for part in parts)])
    rows = [np.arange(*pair) for pair in pairwise(edges)]
    images = [image for part in parts for image in part.images]
    labels = np.concatenate([part.labels for part in parts])
    return ImageSet(images, labels, known.classes), Rows(*rows, *[np.empty(0, np.int64)] * (3 - len(rows)))


def names_of(seed: int, table: str = PLAN.name) -> list[str]:
    """Return the photographs of a split, in the order of the plan."""
    plan = protocol.plan(table)
    tuning = seed in plan.tuning_seeds
    names, line = plan.rules["tuning" if tuning else "final"]["pictures"], seed if tuning else seed // 10
    chosen = np.random.default_rng(line).permutation(len(names))[: plan.rules["final"]["each"]]
    return [names[number] for number in sorted(chosen.tolist())]


@lru_cache(maxsize=1)
def split(p: Profile, seed: int, table: str = PLAN.name) -> tuple[Pool, Rows, np.ndarray]:
    """Return the pieces of a split, the rows of its parts, and the number of the photograph of each piece."""
    rules = protocol.plan(table).rules
    images, rows = cut(seed, table)
    net = tl.models.load(p.backbone, len(images.classes), image_size=rules["image_size"])
    x = engine.pixels(images, net.transform)
    every = rules["tuning" if seed in protocol.plan(table).tuning_seeds else "final"]["pictures"]
    of_class = np.array([every.index(name) for name in images.classes])
    pool = Pool(x, torch.from_numpy(images.labels), len(images.classes), p.backbone, p.device, False, rules)
    return pool, rows, of_class[images.labels]


def _each(images: ImageSet, start: int, stop: int) -> ImageSet:
    """Return the pieces of each class from one place to another, as they were cut, the classes in turn."""
    of_class = [np.flatnonzero(images.labels == label)[start:stop] for label in range(len(images.classes))]
    return images.take(np.stack(of_class, axis=1).ravel())


def few(labels: int, seed: int) -> np.ndarray:
    """Return numbers for the pieces that a run learns from: each split draws new lines, and cuts new pieces."""
    return seed * 10_000 + np.arange(labels)


def run(p: Profile, arm: str, labels: int, setting: float, seed: int) -> Row:
    """Run one cell."""
    pool, rows, of_piece = split(p, seed)
    outcome = pictures.run(pool, rows, rows.train[:labels], arm, setting, seed)
    y = pool.y[rows.test].numpy()
    row: Row = outcome.row(y)
    if outcome.chances is not None:
        right = outcome.chances.argmax(axis=1) == y
        row["items"] = {"group": of_piece[rows.test].astype(np.uint8), "score": right.astype(np.uint8)}
    return row


EXPERIMENT = planned(
    "photo_pieces",
    PLAN,
    run,
    bf16=pictures.in_bf16,
    check=[{"arm": "frozen", "labels": 40, "setting": 0.001, "seed": 801}],
)
