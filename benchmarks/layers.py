"""How far each stage moves when the network is tuned, by three recipes: a stored run of chapter 04.

The splits are those of one regrouping of the protocol, so modules stay together; exploratory. Each row holds the
scores on the test modules, and the linear CKA (debiased) of every stage with that of the pretrained network: on
the test cells (``cells:STAGE``) and on pieces of photographs (``photos:STAGE``); 0 where training left a stage
that makes the same of every picture. The recipe ``random`` is the floor: a network that never saw a picture, its
BatchNorm calibrated.
"""

from __future__ import annotations

import numpy as np

import tlhelpers as tl
from benchmarks import cells, engine, pictures
from benchmarks.experiment import Cell, Experiment, Row
from benchmarks.rate_maps import SEEDS
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile

RECIPES = {
    # name: (arm of the protocol, rate)
    "two-stage": ("two-stage", 1e-4),
    "full": ("full", 3e-4),
    "full-fast": ("full", 1e-2),
    "random": ("random", 0.0),
}
LABELS, PIECES = 500, 60


def network(p: Profile, recipe: str, seed: int) -> Backbone:
    """Return the network that a recipe leaves."""
    pool, rows, (arm, rate) = cells.pool(p), cells.rows_of(seed), RECIPES[recipe]
    if arm == "random":
        net = pool.net(seed, pretrained=False)
        engine.calibrate(net, pool.x[rows.train])
        return net.eval()
    tl.seed_everything(seed)
    return pictures.tuned(pool, rows, cells.few(LABELS, seed), arm, rate, seed)[0].eval()


def alike(p: Profile, tuned: Backbone, seed: int) -> Row:
    """Return the CKA with the pretrained network for each stage and kind of picture."""
    start = cells.pool(p).net(seed).eval()
    test = tl.data.load(p.image_data).take(cells.rows_of(seed).test)
    photos = tl.data.pieces(tl.data.photographs(), PIECES, side=0, seed=seed)
    found: Row = {}
    for kind, images in (("cells", test), ("photos", photos)):
        before, after = (tl.look.pooled(net, images)[0] for net in (start, tuned))
        found |= {f"{kind}:{stage}": kept(before[stage], after[stage]) for stage in before}
    return found


def kept(before: np.ndarray, after: np.ndarray) -> float:
    """Return the debiased CKA of two descriptions; 0 where training left one that is the same for all images."""
    if np.ptp(after, axis=0).max() <= 1e-6 * np.abs(after).max():
        return 0.0
    return tl.look.cka(before, after, debiased=True)


def run(p: Profile, recipe: str, seed: int) -> Row:
    """Run one cell."""
    net = network(p, recipe, seed)
    test = tl.data.load(p.image_data).take(cells.rows_of(seed).test)
    chances, y = tl.train.predict_proba(net, tl.data.loader(test, net.transform, engine.CHUNK))
    return tl.stats.scores(chances, y) | alike(p, net, seed)


def grid(p: Profile) -> list[Cell]:
    """Return the cells split by split, so that an unfinished run holds whole splits."""
    return [{"recipe": recipe, "seed": seed} for seed in SEEDS for recipe in RECIPES]


Experiment("moved_stages", grid, run, check=[{"recipe": "random", "seed": 711}])
