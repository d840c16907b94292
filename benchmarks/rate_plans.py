"""Plans for the rates of a whole network, and head first or not under a shift: the stored runs of chapter 09.

Rates are chosen by validation AUROC on seed 100, which is never scored in the chapter. Task ``cells`` trains and
tests on solar cells of both kinds; ``mono`` trains on cells of one crystal and is tested on those and, as
``ood_...``, on cells of many crystals; ``poly`` is the reverse. Resumable: a cell that stands in the CSV is not
run again. ``python -m benchmarks.rate_plans``
"""

from __future__ import annotations

import copy
import dataclasses
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from timm.optim import param_groups_layer_decay

import tlhelpers as tl
from benchmarks import grid, recipes
from tlhelpers.data import ImageSet, Splits
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile

NAME, COMMAND = "rate_plans", "python -m benchmarks.rate_plans"
RATES = (3e-4, 1e-3, 3e-3)
HEAD_FIRST_RATES = (1e-4, 3e-4, 1e-3)
CHOICE_SEED = 100
SIDE, LABELS, VAL, TEST, EPOCHS, WARMUP = 64, 250, 200, 1000, 5, 8
CHOICE_VAL, SHIFT_TEST = 300, 500
ULMFIT, TIMM = 1 / 2.6, 0.75  # Howard & Ruder (2018); timm's default
PER_EPOCH = 3  # stages that gradual unfreezing adds: after four of five epochs the whole network is trained
PLANS = ("constant", "uniform", "discriminative", "layer-wise", "gradual", "head first")
SHIFT_PLANS = ("probe", "uniform", "head first")
SHIFTS = ("mono", "poly")


def settings(seed: int) -> Profile:
    """Return the profile with small images and few labels; the seed of the choice has more to validate on."""
    p = dataclasses.replace(tl.profile.current(), image_size=SIDE)
    val = CHOICE_VAL if seed == CHOICE_SEED else VAL
    return dataclasses.replace(p, n_train=LABELS, n_val=val, n_test=TEST, epochs=EPOCHS)


def kinds() -> np.ndarray:
    """Return ``mono`` or ``poly`` for every image of ELPV, ``[N]``, as ``data.load`` orders them."""
    table = Path(str(files("elpv_dataset"))) / "data" / "labels.csv"
    return np.genfromtxt(table, dtype=str)[:, 2]


@lru_cache(maxsize=1)
def parts(task: str, seed: int) -> tuple[Splits, ImageSet | None]:
    """Return the splits of a task, and test images of the other kind when the task is one of a shift."""
    p, whole = settings(seed), tl.data.load(tl.profile.current().image_data)
    if task == "cells":
        return tl.data.split(whole, p.n_train, p.n_val, p.n_test, seed), None
    here, there = (whole.take(kinds() == kind) for kind in (task, *(k for k in SHIFTS if k != task)))
    return tl.data.split(here, LABELS, VAL, SHIFT_TEST, seed), tl.data.subset(there, SHIFT_TEST, seed)


def groups(net: Backbone, plan: str, rate: float) -> list[dict[str, Any]]:
    """Return the parameter groups of a plan, ``rate`` being that of the head."""
    if plan == "layer-wise":
        found = param_groups_layer_decay(net.net, weight_decay=0.01, layer_decay=TIMM)
        # timm leaves the scale to its own schedulers; PyTorch's would ignore it.
        return [{**group, "lr": rate * group["lr_scale"]} for group in found]
    decay = ULMFIT if plan == "discriminative" else 1.0
    return tl.train.param_groups(net, head_lr=rate, backbone_lr=rate * decay, layer_decay=decay)


def tune(net: Backbone, splits: Splits, p: Profile, seed: int, plan: str, rate: float) -> recipes.Run:
    """Train the whole network by a plan, epoch by epoch; leave it with the weights of its best one."""
    optimizer = torch.optim.AdamW(groups(net, plan, rate))
    tl.train.check_groups(net, optimizer)
    train = tl.data.loader(
        splits.train, net.transform, p.batch_size, True, recipes.augmentation(p), seed, keep=True
    )
    val = tl.data.loader(splits.val, net.transform, 2 * p.batch_size, keep=True)
    steps = EPOCHS * len(train)
    constant = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    schedule = constant if plan == "constant" else tl.train.warmup_cosine(optimizer, steps, WARMUP)
    weights = tl.train.class_weights(splits.train.labels)
    rows = []
    best, best_weights = np.inf, copy.deepcopy(net.state_dict())
    if plan == "head first":  # what stage 1 left is worth keeping
        found = tl.train.evaluate(net, val)
        rows.append(pd.DataFrame([{"epoch": 0} | {f"val_{name}": value for name, value in found.items()}]))
        best = found["loss"]
    for epoch in range(1, EPOCHS + 1):
        if plan == "gradual":
            tl.models.unfreeze_from_top(net, epoch, PER_EPOCH)
        row = tl.train.fit(net, train, val, optimizer, 1, schedule, weights).assign(epoch=epoch)
        rows.append(row)
        if row["val_loss"].item() < best:
            best, best_weights = row["val_loss"].item(), copy.deepcopy(net.state_dict())
    history = pd.concat(rows, ignore_index=True)
    last = recipes.report(net, splits.test, p)["auroc"] if seed != CHOICE_SEED else float("nan")
    net.load_state_dict(best_weights)
    return recipes.Run(net, history, {"last_auroc": last})


def run(task: str, plan: str, rate: float, seed: int) -> recipes.Run:
    """Run one plan at one rate; on the seed of the choice nothing is scored but the validation set."""
    p, (splits, elsewhere) = settings(seed), parts(task, seed)
    tl.seed_everything(seed)
    net = recipes.pretrained(splits, p, seed)
    if plan in ("probe", "head first"):
        history = recipes.fit_head(net, splits, p, seed)
    last: dict[str, float] = {"last_auroc": float("nan")}
    if plan != "probe":
        tl.models.freeze_norms(tl.models.unfreeze(net))
        _, history, last = tune(net, splits, p, seed, plan, rate)
    kept = history.loc[history["val_loss"].idxmin()]
    loss = history["val_loss"].to_numpy()
    rise = max((b - loss[:i].min() for i, b in enumerate(loss) if i), default=0.0)
    found = {"val_loss": kept["val_loss"], "val_auroc": kept["val_auroc"], "kept_epoch": kept["epoch"]}
    found |= {"last_val_loss": loss[-1], "rise": max(rise, 0.0)} | last
    unscored = dict.fromkeys(tl.stats.METRICS, float("nan"))
    found |= unscored if seed == CHOICE_SEED else recipes.report(net, splits.test, p)
    other = recipes.report(net, elsewhere, p) if elsewhere is not None else unscored
    found |= {f"ood_{name}": value for name, value in other.items()}
    return recipes.Run(net, history, {name: float(value) for name, value in found.items()})


def choose(runs: pd.DataFrame) -> dict[str, float]:
    """Return the rate of each plan with the best validation AUROC on the seed of the choice.

    A constant rate is that of the plan that differs from it in nothing but the schedule.
    """
    tried = runs[(runs["seed"] == CHOICE_SEED) & (runs["task"] == "cells")]
    found = {plan: float(part.loc[part["val_auroc"].idxmax(), "rate"]) for plan, part in tried.groupby("plan")}
    return found | {"constant": found["uniform"], "probe": recipes.HEAD_RATE}


def choice_cells() -> list[dict[str, Any]]:
    """Return the cells that choose the rates."""
    return [
        {"task": "cells", "plan": plan, "rate": rate, "seed": CHOICE_SEED}
        for plan in PLANS
        if plan != "constant"
        for rate in (HEAD_FIRST_RATES if plan == "head first" else RATES)
    ]


def cells(p: Profile, chosen: dict[str, float]) -> list[dict[str, Any]]:
    """Return the cells at the chosen rates, seed by seed, so that an unfinished run holds whole seeds."""
    return [
        {"task": task, "plan": plan, "rate": chosen[plan], "seed": seed}
        for seed in p.seeds
        for task in ("cells", *SHIFTS)
        for plan in (PLANS if task == "cells" else SHIFT_PLANS)
    ]


def main() -> None:
    """Run what is missing."""
    runs = grid.fill(NAME, COMMAND, choice_cells(), run)
    grid.fill(NAME, COMMAND, cells(tl.profile.current(), choose(runs)), run)


if __name__ == "__main__":
    main()
