"""How far each stage moves when the network is tuned, by three recipes: a stored run of chapter 05.

Each row holds, beside the scores on the test set, the linear CKA of every stage with that of the pretrained
network: on the test cells (``cells:STAGE``) and on pieces of photographs (``photos:STAGE``). The recipe ``random``
is the floor: a network that never saw a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

import tlhelpers as tl
from benchmarks import recipes
from benchmarks.experiment import Cell, Experiment, Row
from tlhelpers.data import Splits
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile


def random(splits: Splits, p: Profile, seed: int) -> recipes.Run:
    """Return the network with random weights, untrained."""
    net = tl.models.load(
        p.backbone, len(splits.train.classes), pretrained=False, image_size=p.image_size, seed=seed
    ).to(p.device)
    history = pd.DataFrame({"val_accuracy": [float("nan")]})
    return recipes.Run(net, history, recipes.report(net, splits.test, p))


RECIPES: dict[str, Callable[[Splits, Profile, int], recipes.Run]] = {
    # The best tuned epoch, even where the start was better: untouched would count as left alone by tuning.
    "two-stage": partial(recipes.two_stage, keep_start=False),
    "full": recipes.full,
    "full-fast": recipes.full_fast,
    "random": random,
}


def moved(tuned: Backbone, splits: Splits, p: Profile, seed: int) -> Row:
    """Return the CKA with the pretrained network for each stage and kind of picture."""
    start = recipes.pretrained(splits, p, seed)
    photos = tl.data.pieces(tl.data.photographs(), 60, side=0, seed=seed)
    alike: Row = {}
    for kind, images in (("cells", splits.test), ("photos", photos)):
        (before, _), (after, _) = (tl.look.pooled(net, images) for net in (start, tuned))
        alike |= {f"{kind}:{stage}": tl.look.cka(before[stage], after[stage]) for stage in before}
    return alike


def cells(p: Profile) -> list[Cell]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    return [{"recipe": recipe, "seed": seed} for seed in p.seeds for recipe in RECIPES]


def run(p: Profile, recipe: str, seed: int) -> Row:
    """Run one cell."""
    splits = tl.data.splits(p, seed)
    tuned = RECIPES[recipe](splits, p, seed)
    assert isinstance(tuned.net, Backbone)
    return tuned.row | moved(tuned.net, splits, p, seed)


Experiment("layers", cells, run, check=[{"recipe": "random", "seed": 1}])
