"""Plans for the rates of a whole network, and head first or not under a shift: the stored runs of chapter 09.

Rates are chosen by validation AUROC on seed 100, which is never scored in the chapter. Task ``cells`` trains and
tests on solar cells of both kinds; ``mono`` trains on cells of one crystal and is tested on those and, as
``ood_...``, on cells of many crystals; ``poly`` is the reverse.
"""

from __future__ import annotations

import copy
import dataclasses
from functools import lru_cache, partial
from typing import Any

import pandas as pd
import torch
from timm.optim import param_groups_layer_decay

import tlhelpers as tl
from benchmarks import recipes
from benchmarks.experiment import Cell, Experiment, Row, holds
from tlhelpers.data import ImageSet, Splits
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile

NAME = "rate_plans"
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


def settings(p: Profile, seed: int) -> Profile:
    """Return the profile with small images and few labels; the seed of the choice has more to validate on."""
    val = CHOICE_VAL if seed == CHOICE_SEED else VAL
    return dataclasses.replace(p, image_size=SIDE, n_train=LABELS, n_val=val, n_test=TEST, epochs=EPOCHS)


@lru_cache(maxsize=1)
def images(p: Profile, task: str, seed: int) -> tuple[Splits, ImageSet | None]:
    """Return the splits of a task, and test images of the other kind when the task is one of a shift."""
    whole = tl.data.load(p.image_data)
    if task == "cells":
        return tl.data.split(whole, p.n_train, p.n_val, p.n_test, seed), None
    here, there = (whole.take(tl.data.cell_kinds() == kind) for kind in (task, *(k for k in SHIFTS if k != task)))
    return tl.data.split(here, LABELS, VAL, SHIFT_TEST, seed), tl.data.subset(there, SHIFT_TEST, seed)


def groups(net: Backbone, plan: str, rate: float) -> list[dict[str, Any]]:
    """Return the parameter groups of a plan, ``rate`` being that of the head."""
    if plan == "layer-wise":
        scaled = param_groups_layer_decay(net.net, weight_decay=0.01, layer_decay=TIMM)
        # timm leaves the scale to its own schedulers; PyTorch's would ignore it.
        return [{**group, "lr": rate * group["lr_scale"]} for group in scaled]
    decay = ULMFIT if plan == "discriminative" else 1.0
    return tl.train.param_groups(net, head_lr=rate, backbone_lr=rate * decay, layer_decay=decay)


def constant(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Return a schedule that changes nothing."""
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)


def tune(
    net: Backbone, splits: Splits, p: Profile, seed: int, plan: str, rate: float
) -> tuple[pd.DataFrame, dict[str, torch.Tensor]]:
    """Train the whole network by a plan; leave it with the weights of its best epoch, return those of its last."""
    optimizer = torch.optim.AdamW(groups(net, plan, rate))
    tl.train.check_groups(net, optimizer)
    images, last_batch = len(splits.train), len(splits.train) % p.batch_size
    # The loader drops a last batch of one image.
    steps_left = EPOCHS * (-(-images // p.batch_size) - (images > p.batch_size and last_batch == 1))
    last: dict[str, torch.Tensor] = {}

    def keep_last(*_: object) -> None:
        nonlocal steps_left
        steps_left -= 1
        if not steps_left:
            last.update(copy.deepcopy(net.state_dict()))

    optimizer.register_step_post_hook(keep_last)
    run = recipes.tune(
        net,
        net.transform,
        splits,
        p,
        seed,
        optimizer,
        epochs=EPOCHS,
        schedule=constant if plan == "constant" else partial(tl.train.warmup_cosine, warmup=WARMUP),
        keep_start=plan == "head first",  # what stage 1 left is worth keeping
        before_epoch=partial(tl.models.unfreeze_from_top, net, per_epoch=PER_EPOCH) if plan == "gradual" else None,
    )
    return run.history, last


def run(p: Profile, task: str, plan: str, rate: float, seed: int) -> Row:
    """Run one plan at one rate; on the seed of the choice nothing is scored but the validation set."""
    p = settings(p, seed)
    splits, elsewhere = images(p, task, seed)
    tl.seed_everything(seed)
    net = recipes.pretrained(splits, p, seed)
    last: dict[str, torch.Tensor] = {}
    if plan in ("probe", "head first"):
        history = recipes.fit_head(net, splits, p, seed)
    if plan != "probe":
        tl.models.freeze_norms(tl.models.unfreeze(net))
        history, last = tune(net, splits, p, seed, plan, rate)
    unscored = dict.fromkeys(tl.stats.METRICS, float("nan"))
    scores = unscored if seed == CHOICE_SEED else recipes.report(net, splits.test, p)
    other = recipes.report(net, elsewhere, p) if elsewhere is not None else unscored
    last_auroc = float("nan")
    if last and seed != CHOICE_SEED:
        net.load_state_dict(last)
        last_auroc = recipes.report(net, splits.test, p)["auroc"]
    kept, loss = history.loc[history["val_loss"].idxmin()], history["val_loss"].to_numpy()
    row = {
        "val_loss": kept["val_loss"],
        "val_auroc": kept["val_auroc"],
        "kept_epoch": kept["epoch"],
        "last_val_loss": loss[-1],
        "rise": max([0.0, *(loss[i] - loss[:i].min() for i in range(1, len(loss)))]),
        "last_auroc": last_auroc,
        **scores,
        **{f"ood_{name}": value for name, value in other.items()},
    }
    return recipes.Run(net, history, row).row


def choose(runs: pd.DataFrame) -> dict[str, float]:
    """Return the rate of each plan with the best validation AUROC on the seed of the choice.

    A constant rate is that of the plan that differs from it in nothing but the schedule.
    """
    tried = runs[(runs["seed"] == CHOICE_SEED) & (runs["task"] == "cells")]
    best = {plan: float(part.loc[part["val_auroc"].idxmax(), "rate"]) for plan, part in tried.groupby("plan")}
    return best | {"constant": best["uniform"], "probe": recipes.HEAD_RATE}


def choice_cells() -> list[Cell]:
    """Return the cells that choose the rates."""
    return [
        {"task": "cells", "plan": plan, "rate": rate, "seed": CHOICE_SEED}
        for plan in PLANS
        if plan != "constant"
        for rate in (HEAD_FIRST_RATES if plan == "head first" else RATES)
    ]


def cells(p: Profile) -> list[Cell]:
    """Return the cells that choose the rates and, when those are there, the others, seed by seed."""
    first = choice_cells()
    stored = EXPERIMENT.stored()
    if not all(any(holds(row, cell) for row in stored) for cell in first):
        return first
    rates = choose(tl.book.results(NAME))
    return first + [
        {"task": task, "plan": plan, "rate": rates[plan], "seed": seed}
        for seed in p.seeds
        for task in ("cells", *SHIFTS)
        for plan in (PLANS if task == "cells" else SHIFT_PLANS)
    ]


EXPERIMENT = Experiment(NAME, cells, run, check=[{"task": "mono", "plan": "probe", "rate": 1e-3, "seed": 2}])
