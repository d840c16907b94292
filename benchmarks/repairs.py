"""What each repair of the two-stage pipeline is worth: put one fault back, keep the rest, score the test set.

The run without a fault is strategy ``two-stage`` of ``benchmarks.strategies``. Resumable: a cell that stands in
the CSV is not run again. ``python -m benchmarks.repairs``
"""

from __future__ import annotations

from typing import Any

import torch

import tlhelpers as tl
from benchmarks import grid, recipes
from tlhelpers.data import Splits
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile

NAME, COMMAND = "repairs", "python -m benchmarks.repairs"
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LISTING = ("stage 1", "drift", "statistics", "stem", "unweighted")
VARIANTS: dict[str, tuple[str, ...]] = {
    "BatchNorm moves": ("drift",),
    "ImageNet statistics": ("statistics",),
    "stem left out": ("stem",),
    "classes not weighted": ("unweighted",),
    "all four faults": LISTING,
    "one rate for all": ("one rate",),
}


def two_stage(splits: Splits, p: Profile, seed: int, faults: tuple[str, ...]) -> recipes.Run:
    """Run both stages with the named faults put back.

    ``drift`` lets the BatchNorm statistics move in stage 2; ``stage 1`` trains the head as the listing does, over
    a few passes and with BatchNorm moving; ``statistics`` normalizes with ImageNet's mean and standard deviation
    whatever the weights demand; ``stem`` leaves the stem out of the optimizer of stage 2; ``unweighted`` treats
    every image alike however rare its class; ``one rate`` gives the backbone the rate of the head.
    """
    tl.seed_everything(seed)
    net = recipes.pretrained(splits, p, seed)
    if "statistics" in faults:
        net.transform = tl.models.preprocessing(p.image_size, *IMAGENET)
    weighted = "unweighted" not in faults
    if "stage 1" in faults:
        drifting_stage_1(net, splits, p, seed, weighted)
    else:
        recipes.fit_head(net, splits, p, seed, weighted)
    tl.models.freeze_norms(tl.models.unfreeze(net), "drift" not in faults)
    backbone = recipes.HEAD_RATE if "one rate" in faults else recipes.BACKBONE_RATE
    groups = tl.train.param_groups(net, head_lr=recipes.HEAD_RATE, backbone_lr=backbone)
    if "stem" in faults:
        groups = [group for group in groups if not group["name"].startswith("stem")]
    optimizer = torch.optim.AdamW(groups)
    return recipes.tune(net, net.transform, splits, p, seed, optimizer, weighted=weighted, keep_start=True)


def drifting_stage_1(net: Backbone, splits: Splits, p: Profile, seed: int, weighted: bool) -> None:
    """Train the head as the seed's listing does: no gradient below it, but all of ``net`` in train mode."""
    tl.models.freeze(net)
    train = tl.data.loader(splits.train, net.transform, p.batch_size, shuffle=True, seed=seed, keep=True)
    val = tl.data.loader(splits.val, net.transform, 2 * p.batch_size, keep=True)
    optimizer = torch.optim.AdamW(net.head.parameters(), lr=recipes.HEAD_RATE, weight_decay=0.01)
    weights = tl.train.class_weights(splits.train.labels) if weighted else None
    # The plain network knows nothing of frozen stages, so its train() wakes every BatchNorm.
    tl.train.fit(net.net, train, val, optimizer, p.epochs, class_weights=weights)


def cells(p: Profile) -> list[dict[str, Any]]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    return [{"variant": variant, "seed": seed} for seed in p.seeds for variant in VARIANTS]


def run(variant: str, seed: int) -> recipes.Run:
    """Run one cell."""
    p = tl.profile.current()
    return two_stage(recipes.cut(p, p.n_train, seed), p, seed, VARIANTS[variant])


def main() -> None:
    """Run what is missing."""
    grid.fill(NAME, COMMAND, cells(tl.profile.current()), run)


if __name__ == "__main__":
    main()
