"""Backbone rate x head rate, and the first steps with and without warm-up: the stored runs of chapter 09.

The first stages are frozen and their activations computed once, so that a run takes seconds. Resumable: a cell
that stands in the CSV is not run again. ``python -m benchmarks.rate_maps``
"""

from __future__ import annotations

import dataclasses
import time
from functools import lru_cache
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

import tlhelpers as tl
from benchmarks import grid, recipes
from tlhelpers.data import Splits
from tlhelpers.look import Suffix
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile

NAME, COMMAND = "rate_maps", "python -m benchmarks.rate_maps"
STEPS_NAME = "rate_steps"
RATES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
SIDE, LABELS, VAL, TEST, EPOCHS = 64, 250, 400, 1000, 6
STEPS, WARMUP, STEP_RATE = 24, 12, 1e-3


def settings() -> Profile:
    """Return the profile with small images and few labels, so that a grid is affordable."""
    p = tl.profile.current()
    return dataclasses.replace(
        p,
        image_size=SIDE,
        n_train=min(LABELS, p.n_train),
        n_val=VAL if p.n_val >= 200 else p.n_val,
        n_test=min(TEST, p.n_test),
    )


def splits_of(p: Profile, seed: int) -> Splits:
    """Return the splits of a seed."""
    return tl.data.split(tl.data.load(p.image_data), p.n_train, p.n_val, p.n_test, seed)


def cut(net: Backbone) -> str:
    """Return the last stage from which on, head included, at least a quarter of all parameters lie."""
    total = sum(p.numel() for p in net.parameters())
    above = 0
    for name, stage in reversed(net.stages.items()):
        above += sum(p.numel() for p in stage.parameters)
        if above >= total / 4:
            return name
    raise AssertionError("all stages together hold all parameters")


Parts = tuple[tuple[torch.Tensor, torch.Tensor], ...]


@lru_cache(maxsize=1)
def cached(seed: int) -> tuple[str, Parts, torch.Tensor]:
    """Return the first tuned stage, what enters it in each part of the data with the labels, and class weights."""
    p = settings()
    splits = splits_of(p, seed)
    net = recipes.pretrained(splits, p, seed)
    stage = cut(net)
    parts = tuple(tl.look.prefix(net, part, stage) for part in splits)
    return stage, parts, tl.train.class_weights(splits.train.labels)


def suffix(seed: int) -> tuple[Suffix, Parts, torch.Tensor]:
    """Return the tuned part of a fresh network, BatchNorm held, with its data and class weights."""
    p = settings()
    stage, parts, weights = cached(seed)
    tl.seed_everything(seed)
    net = tl.models.load(p.backbone, len(weights), image_size=SIDE, seed=seed)
    tl.models.freeze_norms(net)
    return Suffix(net, stage, SIDE), parts, weights


def batches(part: tuple[torch.Tensor, torch.Tensor], size: int, seed: int | None = None) -> DataLoader:
    """Return batches of activations and labels, shuffled when there is a seed."""
    order = None if seed is None else torch.Generator().manual_seed(seed)
    return DataLoader(TensorDataset(*part), size, shuffle=seed is not None, generator=order)


def run(backbone: float, head: float, seed: int) -> recipes.Run:
    """Tune the last stages and a fresh head, each at its rate, along a cosine; score the best epoch."""
    p = settings()
    net, (train, val, test), weights = suffix(seed)
    optimizer = torch.optim.AdamW(tl.train.param_groups(net.net, head_lr=head, backbone_lr=backbone))
    tl.train.check_groups(net, optimizer)
    loader = batches(train, p.batch_size, seed)
    history = tl.train.fit(
        net,
        loader,
        batches(val, 200),
        optimizer,
        EPOCHS,
        scheduler=tl.train.warmup_cosine(optimizer, EPOCHS * len(loader)),
        class_weights=weights,
    )
    best = history[history["best"]].iloc[0]
    scores = tl.stats.scores(*tl.train.predict_proba(net, batches(test, 200)))
    watched = {f"val_{name}": float(best[f"val_{name}"]) for name in ("loss", "auroc")}
    return recipes.Run(net, history, scores | watched | {"best_epoch": float(best["epoch"])})


def cells(p: Profile) -> list[dict[str, Any]]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    return [{"backbone": b, "head": h, "seed": seed} for seed in p.seeds for b in RATES for h in RATES]


def fit_head(net: Suffix, train: tuple, val: tuple, weights: torch.Tensor, seed: int) -> None:
    """Train the head alone, as stage 1 does, on features that the frozen rest gives once."""
    net.eval()
    with torch.no_grad():
        x, x_val = (pooled(net, part[0]) for part in (train, val))
    optimizer = torch.optim.AdamW(net.net.head.parameters(), lr=recipes.HEAD_RATE, weight_decay=0.01)
    loader = batches((x, train[1]), settings().batch_size, seed)
    tl.train.fit(net.net.head, loader, [(x_val, val[1])], optimizer, 60, class_weights=weights, patience=10)


def pooled(net: Suffix, activations: torch.Tensor) -> torch.Tensor:
    """Return what enters the head, ``[N, width]``, for the activations that enter the suffix."""
    caught: list[torch.Tensor] = []
    handle = net.net.head.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].flatten(1)))
    try:
        net(activations)
    finally:
        handle.remove()
    return caught[0]


def first_steps(warmup: int, seed: int, steps: int = STEPS) -> pd.DataFrame:
    """Return the validation loss after each of the first steps of stage 2, step 0 being the trained head."""
    net, (train, val, _), weights = suffix(seed)
    fit_head(net, train, val, weights, seed)
    optimizer = torch.optim.AdamW(tl.train.param_groups(net.net, head_lr=STEP_RATE, backbone_lr=STEP_RATE))
    schedule = tl.train.warmup_cosine(optimizer, 2 * steps, warmup)
    criterion = nn.CrossEntropyLoss(weight=weights)
    loader = batches(train, settings().batch_size, seed)
    stream = (batch for _ in range(EPOCHS) for batch in loader)
    rows = []
    for step in range(steps + 1):
        rate = 0.0
        if step:
            x, y = next(stream)
            rate = schedule.get_last_lr()[0]
            net.train()
            optimizer.zero_grad()
            criterion(net(x), y).backward()
            optimizer.step()
            schedule.step()
        found = tl.train.evaluate(net, batches(val, 200))
        rows.append({"warmup": warmup, "seed": seed, "step": step, "rate": rate, "val_loss": found["loss"]})
    return pd.DataFrame(rows)


def steps_of_all(seeds: tuple[int, ...]) -> None:
    """Store the first steps of every seed with and without warm-up."""
    path = tl.book.folder() / f"{STEPS_NAME}.csv"
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame({"seed": [], "warmup": []})
    for seed in tqdm(seeds, unit="seed"):
        for warmup in (0, WARMUP):
            if ((rows["seed"] == seed) & (rows["warmup"] == warmup)).any():
                continue
            start = time.perf_counter()
            found = first_steps(warmup, seed)
            found["seconds"] = (time.perf_counter() - start) / len(found)
            rows = found if rows.empty else pd.concat([rows, found])
            tl.book.save(STEPS_NAME, rows, COMMAND)


def main() -> None:
    """Run what is missing."""
    grid.fill(NAME, COMMAND, cells(tl.profile.current()), run)
    steps_of_all(tl.profile.current().seeds)


if __name__ == "__main__":
    main()
