"""What each repair of the two-stage pipeline is worth: put one fault back, keep the rest, measure on the test set.

Resumable: a cell that stands in the CSV is not run again. ``python -m benchmarks.repairs``
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

import tlhelpers as tl
from benchmarks import recipes
from tlhelpers.backbones import Backbone
from tlhelpers.data import Splits
from tlhelpers.profile import Profile

NAME, COMMAND = "repairs", "python -m benchmarks.repairs"
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FAULTS = ("drift", "statistics", "stem", "unweighted")
VARIANTS: dict[str, tuple[str, ...]] = {
    "repaired": (),
    "BatchNorm drifts": ("drift",),
    "ImageNet statistics": ("statistics",),
    "stem left out": ("stem",),
    "classes not weighted": ("unweighted",),
    "all four faults": FAULTS,
}


def run(splits: Splits, p: Profile, seed: int, faults: tuple[str, ...]) -> recipes.Run:
    """Run both stages with the named faults put back.

    ``drift`` lets the BatchNorm statistics of the frozen backbone move in stage 1; ``statistics`` normalizes
    with ImageNet's mean and standard deviation whatever the weights demand; ``stem`` leaves the stem out of
    the optimizer of stage 2; ``unweighted`` treats every image alike however rare its class.
    """
    tl.profile.seed_everything(seed)
    net = recipes.pretrained(splits, p, seed)
    if "statistics" in faults:
        net.transform = tl.backbones.preprocessing(p.image_size, *IMAGENET)
    weighted = "unweighted" not in faults
    if "drift" in faults:
        _drifting_stage_1(net, splits, p, seed, weighted)
    else:
        recipes.fit_head(net, splits, p, seed, weighted)
    tl.freezing.thaw(net)
    groups = tl.rates.groups(net, head=recipes.HEAD_RATE, backbone=recipes.BACKBONE_RATE)
    if "stem" in faults:
        groups = [group for group in groups if not group["name"].startswith("stem")]
    optimizer = torch.optim.AdamW(groups)
    return recipes._train(net, net.transform, splits, p, seed, optimizer, p.epochs, weighted=weighted)


class _Drifting(nn.Module):
    """The network as the seed's listing trains it: no gradient below the head, but all in train mode."""

    def __init__(self, net: Backbone) -> None:
        super().__init__()
        self.plain = net.net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.plain(x)


def _drifting_stage_1(net: Backbone, splits: Splits, p: Profile, seed: int, weighted: bool) -> None:
    tl.freezing.freeze(net)
    train = tl.data.loader(splits.train, net.transform, p.batch_size, shuffle=True, seed=seed, keep=True)
    val = tl.data.loader(splits.val, net.transform, 2 * p.batch_size, keep=True)
    optimizer = torch.optim.AdamW(net.head.parameters(), lr=recipes.HEAD_RATE, weight_decay=0.01)
    weights = tl.training.class_weights(splits.train.labels) if weighted else None
    tl.training.fit(_Drifting(net), train, val, optimizer, p.epochs, class_weights=weights)


def cells(p: Profile) -> list[tuple[int, str]]:
    """Return (seed, variant), seed by seed, so that an unfinished run holds whole seeds."""
    return [(seed, variant) for seed in p.seeds for variant in VARIANTS]


def main(run: Callable[..., recipes.Run] = run) -> None:
    p = tl.profile.current()
    path = tl.results.folder() / f"{NAME}.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    done = {(row["seed"], row["variant"]) for row in rows}
    for seed, variant in tqdm([cell for cell in cells(p) if cell not in done], unit="run"):
        start = time.perf_counter()
        found = run(recipes.cut(p, p.n_train, seed), p, seed, VARIANTS[variant])
        seconds = time.perf_counter() - start
        rows.append({"variant": variant, "seed": seed, **found.scores, "seconds": seconds})
        tl.results.save(NAME, pd.DataFrame(rows), COMMAND)


if __name__ == "__main__":
    main()
