"""Plans for the rates of a whole network: a stored run of chapter 07.

Each plan's rate is chosen by the mean validation AUROC of the protocol's tuning draws, whose modules are never
tested; the constant rate is that of the plan that differs from it in nothing but the schedule. The final splits
are those of one regrouping. Head first or not is asked in the tables ``solar_cells`` and ``crystal_shift``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import torch
from timm.optim import param_groups_layer_decay

import tlhelpers as tl
from benchmarks import cells, engine, parts
from benchmarks.experiment import Cell, Experiment, Row, holds
from benchmarks.rate_maps import LABELS, ROUNDS, SEEDS, STEPS_A_ROUND
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile

NAME = "plans_of_rates"
RATES = (1e-4, 3e-4, 1e-3)
WARMUP = 8
ULMFIT, TIMM = 1 / 2.6, 0.75  # Howard & Ruder (2018); timm's default
PER_EPOCH = 3  # stages that gradual unfreezing adds: after four of five rounds the whole network is trained
PLANS = ("constant", "uniform", "discriminative", "layer-wise", "gradual")


def groups(net: Backbone, plan: str, rate: float) -> list[dict[str, Any]]:
    """Return the parameter groups of a plan, ``rate`` being that of the head."""
    if plan == "layer-wise":
        scaled = param_groups_layer_decay(net.net, weight_decay=0.01, layer_decay=TIMM)
        # timm leaves the scale to its own schedulers; PyTorch's would ignore it.
        return [{**group, "lr": rate * group["lr_scale"]} for group in scaled]
    decay = ULMFIT if plan == "discriminative" else 1.0
    return tl.train.param_groups(net, head_lr=rate, backbone_lr=rate * decay, layer_decay=decay)


def tune(p: Profile, plan: str, rate: float, seed: int) -> tuple[Backbone, pd.DataFrame]:
    """Train the whole network by a plan, BatchNorm held; return it as of its best round, and all rounds."""
    pool, rows, few = cells.pool(p), cells.rows_of(seed), cells.few(LABELS, seed)
    tl.seed_everything(seed)
    net = pool.net(seed)
    tl.models.freeze_norms(tl.models.unfreeze(net))
    optimizer = torch.optim.AdamW(groups(net, plan, rate), weight_decay=0.01)
    tl.train.check_groups(net, optimizer)
    views = engine.views(pool.x[few])
    batches = engine.Drawn(views, pool.y[few], pool.rules["batch"], STEPS_A_ROUND, seed)
    falling = None if plan == "constant" else tl.train.warmup_cosine(optimizer, ROUNDS * STEPS_A_ROUND, WARMUP)
    history = tl.train.fit(
        net,
        batches,
        parts.in_order((pool.x[rows.val], pool.y[rows.val]), engine.CHUNK),
        optimizer,
        ROUNDS,
        batch_scheduler=falling,
        class_weights=tl.train.class_weights(pool.y[few].numpy()),
        monitor="auroc",
        before_epoch=partial(tl.models.unfreeze_from_top, net, per_epoch=PER_EPOCH) if plan == "gradual" else None,
    )
    return net, history


def run(p: Profile, plan: str, rate: float, seed: int) -> Row:
    """Run one plan at one rate; a tuning draw is validated only."""
    net, history = tune(p, plan, rate, seed)
    pool, rows = cells.pool(p), cells.rows_of(seed)
    kept, loss = history[history["best"]].iloc[0], history["val_loss"].to_numpy()
    row = {
        "val_auroc": kept["val_auroc"],
        "kept_epoch": kept["epoch"],
        "rise": max([0.0, *(loss[i] - loss[:i].min() for i in range(1, len(loss)))]),
    }
    if not len(rows.test):
        return row | dict.fromkeys(tl.stats.METRICS, float("nan"))
    test = parts.in_order((pool.x[rows.test], pool.y[rows.test]), engine.CHUNK)
    return row | tl.stats.scores(*tl.train.predict_proba(net, test))


def choose(runs: pd.DataFrame) -> dict[str, float]:
    """Return the rate of each plan with the best mean validation AUROC over the tuning draws."""
    tried = runs[runs["seed"].isin(cells.CELLS.tuning_seeds)]
    means = tried.groupby(["plan", "rate"])["val_auroc"].mean().unstack("plan")
    best = {str(plan): float(means[plan].idxmax()) for plan in means}
    return best | {"constant": best["uniform"]}


def grid(p: Profile) -> list[Cell]:
    """Return the cells that choose the rates and, when those are there, the others, split by split."""
    first = [
        {"plan": plan, "rate": rate, "seed": seed}
        for seed in cells.CELLS.tuning_seeds
        for plan in PLANS
        if plan != "constant"
        for rate in RATES
    ]
    stored = EXPERIMENT.stored()
    if not all(any(holds(row, cell) for row in stored) for cell in first):
        return first
    rates = choose(tl.book.results(NAME))
    return first + [{"plan": plan, "rate": rates[plan], "seed": seed} for seed in SEEDS for plan in PLANS]


EXPERIMENT = Experiment(
    NAME,
    grid,
    run,
    check=[{"plan": "uniform", "rate": 3e-4, "seed": cells.CELLS.tuning_seeds[0]}],
    score="val_auroc",
)
