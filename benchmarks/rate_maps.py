"""Backbone rate x head rate, and the first steps with and without warm-up: the stored runs of chapter 09.

The first stages are frozen and their activations computed once, so that a run takes seconds.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from itertools import islice

import torch
from torch import nn

import tlhelpers as tl
from benchmarks import parts, recipes
from benchmarks.experiment import Cell, Experiment, Row
from benchmarks.parts import Part, batches
from tlhelpers.look import Suffix
from tlhelpers.profile import Profile

RATES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
SIDE, LABELS, VAL, TEST, EPOCHS = 64, 250, 400, 1000, 6
SHARE = 1 / 4  # of all parameters, at least, is tuned
STEPS, WARMUP, STEP_RATE = 24, 12, 1e-3


def settings(p: Profile) -> Profile:
    """Return the profile with small images and few labels, so that a grid is affordable."""
    return dataclasses.replace(
        p,
        image_size=SIDE,
        n_train=min(LABELS, p.n_train),
        n_val=VAL if p.n_val >= 200 else p.n_val,
        n_test=min(TEST, p.n_test),
    )


@lru_cache(maxsize=1)
def cached(p: Profile, seed: int) -> tuple[str, tuple[Part, ...], torch.Tensor]:
    """Return the first tuned stage, what enters it in each part of the data with the labels, and class weights."""
    splits = tl.data.split(tl.data.load(p.image_data), p.n_train, p.n_val, p.n_test, seed)
    net = recipes.pretrained(splits, p, seed)
    stage = parts.stage_from(net, SHARE)
    inputs = tuple(tl.look.prefix(net, part, stage) for part in splits)
    return stage, inputs, tl.train.class_weights(splits.train.labels)


def suffix(p: Profile, seed: int) -> tuple[Suffix, tuple[Part, ...], torch.Tensor]:
    """Return the tuned part of a fresh network, BatchNorm held, with its data and class weights."""
    stage, inputs, weights = cached(p, seed)
    tl.seed_everything(seed)
    net = tl.models.load(p.backbone, len(weights), image_size=SIDE, seed=seed).to(p.device)
    tl.models.freeze_norms(net)
    return Suffix(net, stage, SIDE), inputs, weights


def cells(p: Profile) -> list[Cell]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    return [{"backbone": b, "head": h, "seed": seed} for seed in p.seeds for b in RATES for h in RATES]


def run(p: Profile, backbone: float, head: float, seed: int) -> Row:
    """Tune the last stages and a fresh head, each at its rate, along a cosine; score the best epoch."""
    p = settings(p)
    net, (train, val, test), weights = suffix(p, seed)
    optimizer = torch.optim.AdamW(tl.train.param_groups(net.net, head_lr=head, backbone_lr=backbone))
    tl.train.check_groups(net, optimizer)
    loader = batches(train, p.batch_size, seed)
    history = tl.train.fit(
        net,
        loader,
        batches(val, 200),
        optimizer,
        EPOCHS,
        batch_scheduler=tl.train.warmup_cosine(optimizer, EPOCHS * len(loader)),
        class_weights=weights,
    )
    best = history[history["best"]].iloc[0]
    scores = tl.stats.scores(*tl.train.predict_proba(net, batches(test, 200)))
    kept = {"val_loss": best["val_loss"], "val_auroc": best["val_auroc"], "best_epoch": best["epoch"]}
    return recipes.Run(net, history, scores | kept).row


def step_cells(p: Profile) -> list[Cell]:
    """Return the cells of the first steps."""
    return [{"warmup": warmup, "seed": seed} for seed in p.seeds for warmup in (0, WARMUP)]


def first_steps(p: Profile, warmup: int, seed: int) -> list[Row]:
    """Return the validation loss after each of the first steps of stage 2, step 0 being the trained head."""
    p = settings(p)
    net, (train, val, _), weights = suffix(p, seed)
    cached_train, cached_val = (
        (parts.features_of(net, inputs, len(inputs)), labels) for inputs, labels in (train, val)
    )
    tl.train.fit_head(
        net.net.head, cached_train, cached_val, seed=seed, batch_size=p.batch_size, class_weights=weights
    )
    optimizer = torch.optim.AdamW(tl.train.param_groups(net.net, head_lr=STEP_RATE, backbone_lr=STEP_RATE))
    schedule = tl.train.warmup_cosine(optimizer, 2 * STEPS, warmup)
    weighted = nn.CrossEntropyLoss(weights.to(p.device))
    loader = batches(train, p.batch_size, seed)
    stream = (batch for _ in range(EPOCHS) for batch in loader)
    curve: list[Row] = [{"step": 0, "rate": 0.0, "val_loss": tl.train.evaluate(net, batches(val, 200))["loss"]}]
    for step, batch in enumerate(islice(stream, STEPS), start=1):
        rate = schedule.get_last_lr()[0]
        net.train()
        parts.take_steps(net, optimizer, [batch], schedule=schedule, loss=weighted)
        loss = tl.train.evaluate(net, batches(val, 200))["loss"]
        curve.append({"step": step, "rate": rate, "val_loss": loss})
    return curve


Experiment("rate_maps", cells, run, check=[{"backbone": 1e-4, "head": 1e-3, "seed": 1}])
Experiment("rate_steps", step_cells, first_steps, check=[{"warmup": WARMUP, "seed": 1}], score="val_loss")
