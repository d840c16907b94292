"""Two tasks beside the pieces and the cells, for the matrix of chapter 15: turned surfaces, and digits.

The tables ``textures`` and ``digits``, which an amendment added to the protocol.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

import tlhelpers as tl
from benchmarks import engine, parts, pictures, pieces, protocol
from benchmarks.experiment import Row, planned
from benchmarks.parts import Outcome, Rows
from benchmarks.pictures import Pool
from tlhelpers.profile import Profile

TEXTURES, DIGITS = protocol.plan("textures"), protocol.plan("digits")


def right(outcome: Outcome, y: np.ndarray, group: np.ndarray) -> Row:
    """Return the row of a run, with which test items it got right and the group of each."""
    row: Row = outcome.row(y)
    if outcome.chances is not None:
        found = (outcome.chances.argmax(axis=1) == y).astype(np.uint8)
        row["items"] = {"group": group.astype(np.uint16), "score": found}
    return row


def run_textures(p: Profile, arm: str, labels: int, setting: float, seed: int) -> Row:
    """Run one cell of the table ``textures``."""
    pool, rows, _ = pieces.split(p, seed, TEXTURES.name)
    outcome = pictures.run(pool, rows, rows.train[:labels], arm, setting, seed)
    # Each split cuts new pieces, so no two of them share a test item.
    first = 0 if seed in TEXTURES.tuning_seeds else TEXTURES.final_seeds.index(seed) * len(rows.test)
    return right(outcome, pool.y[rows.test].numpy(), first + np.arange(len(rows.test)))


@lru_cache(maxsize=1)
def pool(p: Profile) -> Pool:
    """Return all digits, prepared."""
    images = tl.data.handwritten_digits()
    net = tl.models.load(p.backbone, len(images.classes), image_size=DIGITS.rules["image_size"])
    x = engine.pixels(images, net.transform)
    return Pool(x, torch.from_numpy(images.labels), len(images.classes), p.backbone, p.device, False, DIGITS.rules)


@lru_cache(maxsize=1)
def values() -> np.ndarray:
    """Return which digit each picture shows ``[N]``."""
    return tl.data.handwritten_digits().labels


def rows_of(seed: int) -> Rows:
    """Return the digits of each part."""
    return parts.rows_alone(DIGITS, seed, len(values()))


def few_textures(labels: int, seed: int) -> np.ndarray:
    """Return numbers for the pieces that a run of ``textures`` learns from; each split cuts its own."""
    return seed * 10_000 + np.arange(labels)


def few_digits(labels: int, seed: int) -> np.ndarray:
    """Return the digits that a run of ``digits`` learns from."""
    return parts.few_of(values(), rows_of(seed).train, labels, seed)


def run_digits(p: Profile, arm: str, labels: int, setting: float, seed: int) -> Row:
    """Run one cell of the table ``digits``."""
    rows = rows_of(seed)
    outcome = pictures.run(pool(p), rows, few_digits(labels, seed), arm, setting, seed)
    return right(outcome, values()[rows.test], rows.test)


TURNED = planned(
    "turned_surfaces",
    TEXTURES,
    run_textures,
    bf16=pictures.in_bf16,
    check=[{"arm": "frozen", "labels": 30, "setting": 0.001, "seed": 881}],
)
WRITTEN = planned(
    "written_digits",
    DIGITS,
    run_digits,
    bf16=pictures.in_bf16,
    check=[{"arm": "frozen", "labels": 100, "setting": 0.001, "seed": 901}],
)
