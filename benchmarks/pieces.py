"""Gray pieces of photographs: the near task in pictures, with few labels and many. The table of the protocol.

Each split draws eight photographs and a line through each of them. Pieces to train on and to watch are cut on one
side of the line and pieces to test on from the other; the second fold changes sides. Settings are chosen on other
pictures.
"""

from __future__ import annotations

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


@lru_cache(maxsize=1)
def split(p: Profile, seed: int, table: str = PLAN.name) -> tuple[Pool, Rows, np.ndarray]:
    """Return the pieces of a split, the rows of its parts, and the number of the photograph of each piece."""
    plan = protocol.plan(table)
    rules, tuning = plan.rules, seed in plan.tuning_seeds
    names = rules["tuning"]["pictures"] if tuning else rules["final"]["pictures"]
    line, fold = (seed, 0) if tuning else divmod(seed, 10)
    chosen = np.random.default_rng(line).permutation(len(names))[: rules["final"]["each"]]
    photos = {names[number]: picture(names[number]) for number in sorted(chosen.tolist())}
    most = max(count for arm in plan.arms.values() for count in arm["labels"]) // len(photos)
    each = {"train": most, "val": rules["val_each"], "test": 0 if tuning else rules["test_each"]}
    # One call a side: what is drawn later does not change what was drawn before, so fewer labels lie among more.
    how = rules.get("cut", {})

    def cut_from(count: int, side: int) -> ImageSet:
        shares, turned = how.get("shares", (0.3, 0.5)), how.get("turned", False)
        return tl.data.pieces(photos, count, side, line, shares, turned=turned)

    cut = cut_from(each["train"] + each["val"], side=fold)
    parts = [_each(cut, 0, most), _each(cut, most, most + each["val"])]
    if each["test"]:
        parts.append(cut_from(each["test"], side=1 - fold))
    net = tl.models.load(p.backbone, len(photos), image_size=rules["image_size"])
    x = torch.cat([engine.pixels(part, net.transform) for part in parts])
    y = torch.from_numpy(np.concatenate([part.labels for part in parts]))
    edges = np.cumsum([0, *(len(part) for part in parts)])
    rows = [np.arange(*pair) for pair in pairwise(edges)]
    of_piece = np.sort(chosen)[y.numpy()]
    pool = Pool(x, y, len(photos), p.backbone, p.device, False, rules)
    return pool, Rows(*rows, *[np.empty(0, np.int64)] * (3 - len(rows))), of_piece


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
