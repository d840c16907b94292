"""Backbone rate x head rate, and the first steps with and without warm-up: the stored runs of chapter 07.

The upper half of the parameters is trained, on cached activations of the stages below, so a run takes seconds.
The splits are those of one regrouping of the protocol: modules stay together, and each cell is tested once.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch
from torch import nn

import tlhelpers as tl
from benchmarks import cells, engine, parts, pictures
from benchmarks.experiment import Cell, Experiment, Row
from benchmarks.parts import Rows
from tlhelpers.look import Suffix
from tlhelpers.profile import Profile

RATES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
LABELS, ROUNDS, STEPS_A_ROUND = 250, 5, 16
SEEDS = [seed for seed in cells.CELLS.final_seeds if seed // 10 == cells.CELLS.rules["final"]["regroupings"][0]]
STEPS, WARMUP, STEP_RATE = 24, 12, 1e-3


def fresh(p: Profile, seed: int) -> tuple[Suffix, list[torch.Tensor], Rows, np.ndarray]:
    """Return the trained part of a network with a new head, BatchNorm held; what enters it; rows to train on."""
    pool, rows = cells.pool(p), cells.rows_of(seed)
    tl.seed_everything(seed)
    net = pool.net(seed)
    tl.models.freeze_norms(net)
    entering, stage = pool.entering()
    return Suffix(net, stage, pool.side), entering, rows, cells.few(LABELS, seed)


def grid(p: Profile) -> list[Cell]:
    """Return the cells split by split, so that an unfinished run holds whole splits."""
    return [{"backbone": b, "head": h, "seed": seed} for seed in SEEDS for b in RATES for h in RATES]


def run(p: Profile, backbone: float, head: float, seed: int) -> Row:
    """Tune the last stages and a fresh head, each at its rate, along a cosine; score the best round."""
    pool = cells.pool(p)
    net, entering, rows, few = fresh(p, seed)
    groups = tl.train.param_groups(net.net, head_lr=head, backbone_lr=backbone)
    with engine.folded(net, entering[0][:1]):
        history = engine.fit(
            net,
            engine.Drawn([view[few] for view in entering], pool.y[few], pool.rules["batch"], STEPS_A_ROUND, seed),
            (entering[0][rows.val], pool.y[rows.val]),
            groups,
            rounds=ROUNDS,
            measure="auroc",
            weights=tl.train.class_weights(pool.y[few].numpy()),
        )
    best = history[history["best"]].iloc[0]
    test = parts.in_order((entering[0][rows.test], pool.y[rows.test]), engine.CHUNK)
    kept = {"val_loss": best["val_loss"], "val_auroc": best["val_auroc"], "best_epoch": best["epoch"]}
    return tl.stats.scores(*tl.train.predict_proba(net, test)) | kept


def step_grid(p: Profile) -> list[Cell]:
    """Return the cells of the first steps."""
    return [{"warmup": warmup, "seed": seed} for seed in cells.CELLS.final_seeds for warmup in (0, WARMUP)]


def first_steps(p: Profile, warmup: int, seed: int) -> list[Row]:
    """Return the validation loss after each of the first steps of stage 2, step 0 being the trained head."""
    pool = cells.pool(p)
    net, entering, rows, few = fresh(p, seed)
    weights = tl.train.class_weights(pool.y[few].numpy())
    pictures.fit_head(pool, net.net, rows, few, pool.rules["head"]["rate"], seed)
    optimizer = torch.optim.AdamW(tl.train.param_groups(net.net, head_lr=STEP_RATE, backbone_lr=STEP_RATE))
    schedule = tl.train.warmup_cosine(optimizer, 2 * STEPS, warmup)
    weighted = nn.CrossEntropyLoss(weights.to(p.device))
    val = parts.in_order((entering[0][rows.val], pool.y[rows.val]), engine.CHUNK)
    order = torch.Generator().manual_seed(seed)
    stream = parts.drawn((entering[0][few], pool.y[few]), pool.rules["batch"], STEPS, order)
    curve: list[Row] = [{"step": 0, "rate": 0.0, "val_loss": tl.train.evaluate(net, val)["loss"]}]
    for step, batch in enumerate(islice(stream, STEPS), start=1):
        rate = schedule.get_last_lr()[0]
        net.train()
        parts.take_steps(net, optimizer, [batch], schedule=schedule, loss=weighted)
        curve.append({"step": step, "rate": rate, "val_loss": tl.train.evaluate(net, val)["loss"]})
    return curve


Experiment("maps_of_rates", grid, run, check=[{"backbone": 1e-4, "head": 1e-3, "seed": SEEDS[1]}])
Experiment("first_steps", step_grid, first_steps, check=[{"warmup": WARMUP, "seed": SEEDS[1]}], score="val_loss")
