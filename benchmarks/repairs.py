"""What each repair of the two-stage pipeline is worth: put one fault back, keep the rest, score the test set.

The run without a fault is strategy ``two-stage`` of ``benchmarks.strategies``.
"""

from __future__ import annotations

import torch

import tlhelpers as tl
from benchmarks import recipes
from benchmarks.experiment import Cell, Experiment, Row
from tlhelpers.data import Splits
from tlhelpers.profile import Profile

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
    stage_1 = recipes.fit_head_drifting if "stage 1" in faults else recipes.fit_head
    stage_1(net, splits, p, seed, weighted)
    tl.models.freeze_norms(tl.models.unfreeze(net), "drift" not in faults)
    backbone = recipes.HEAD_RATE if "one rate" in faults else recipes.BACKBONE_RATE
    groups = tl.train.param_groups(net, head_lr=recipes.HEAD_RATE, backbone_lr=backbone)
    if "stem" in faults:
        groups = [group for group in groups if not group["name"].startswith("stem")]
    optimizer = torch.optim.AdamW(groups)
    return recipes.tune(net, net.transform, splits, p, seed, optimizer, weighted=weighted, keep_start=True)


def cells(p: Profile) -> list[Cell]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    return [{"variant": variant, "seed": seed} for seed in p.seeds for variant in VARIANTS]


def run(p: Profile, variant: str, seed: int) -> Row:
    """Run one cell."""
    return two_stage(tl.data.splits(p, seed), p, seed, VARIANTS[variant]).row


Experiment("repairs", cells, run, check=[{"variant": "classes not weighted", "seed": 3}])
