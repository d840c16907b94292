"""How far each stage moves when the network is tuned, by three recipes: a stored run of chapter 05.

Each row holds, beside the scores on the test set, the linear CKA of every stage with that of the pretrained
network: on the test cells (``cells:STAGE``) and on pieces of photographs (``photos:STAGE``). The recipe ``random``
is the floor: a network that never saw a picture. Resumable: a cell that stands in the CSV is not run again.
``python -m benchmarks.layers``
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch

import tlhelpers as tl
from benchmarks import grid, recipes
from tlhelpers.data import Splits
from tlhelpers.profile import Profile

NAME, COMMAND = "layers", "python -m benchmarks.layers"


def two_stage(splits: Splits, p: Profile, seed: int) -> recipes.Run:
    """Run :func:`recipes.two_stage`, but keep the best tuned epoch even where the start was better.

    A network handed back untouched would count as one that tuning left alone.
    """
    tl.seed_everything(seed)
    net = recipes.pretrained(splits, p, seed)
    recipes.fit_head(net, splits, p, seed)
    tl.models.freeze_norms(tl.models.unfreeze(net))
    optimizer = torch.optim.AdamW(
        tl.train.param_groups(net, head_lr=recipes.HEAD_RATE, backbone_lr=recipes.BACKBONE_RATE)
    )
    return recipes.tune(net, net.transform, splits, p, seed, optimizer)


def random(splits: Splits, p: Profile, seed: int) -> recipes.Run:
    """Return the network with random weights, untrained."""
    net = tl.models.load(
        p.backbone, len(splits.train.classes), pretrained=False, image_size=p.image_size, seed=seed
    )
    history = pd.DataFrame({"val_accuracy": [float("nan")]})
    return recipes.Run(net, history, recipes.report(net, splits.test, p))


RECIPES = {"two-stage": two_stage, "full": recipes.full, "full-fast": recipes.full_fast, "random": random}


def moved(run: recipes.Run, splits: Splits, p: Profile, seed: int) -> dict[str, float]:
    """Return the CKA with the pretrained network for each stage and kind of picture."""
    start = recipes.pretrained(splits, p, seed)
    photos = tl.data.pieces(tl.data.photographs(), 60, side=0, seed=seed)
    found = {}
    for kind, images in (("cells", splits.test), ("photos", photos)):
        (before, _), (after, _) = (tl.look.pooled(net, images) for net in (start, run.net))
        found |= {f"{kind}:{stage}": tl.look.cka(before[stage], after[stage]) for stage in before}
    return found


def cells(p: Profile) -> list[dict[str, Any]]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    return [{"recipe": recipe, "seed": seed} for seed in p.seeds for recipe in RECIPES]


def run(recipe: str, seed: int) -> recipes.Run:
    """Run one cell."""
    p = tl.profile.current()
    splits = recipes.cut(p, p.n_train, seed)
    tuned = RECIPES[recipe](splits, p, seed)
    return tuned._replace(scores=tuned.scores | moved(tuned, splits, p, seed))


def main() -> None:
    """Run what is missing."""
    grid.fill(NAME, COMMAND, cells(tl.profile.current()), run)


if __name__ == "__main__":
    main()
