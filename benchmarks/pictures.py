"""The arms that tables on pictures compare, each from prepared inputs, a setting and a seed to scores.

What an arm needs is computed once a process: pixels, frozen features, what enters the stages that it trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

import tlhelpers as tl
from benchmarks import engine, parts, recipes
from benchmarks.experiment import Cell
from benchmarks.parts import Outcome, Rows
from tlhelpers.look import Suffix
from tlhelpers.models import Backbone

SHARE = 1 / 2  # "last stages" trains at least this much of all parameters; what lies below stays frozen
FROZEN_PASSES = ("frozen", "last stages", "two-stage", "moving")
SMALL = 32  # side of the pictures that the arm "pixels" sees


@dataclass
class Pool:
    """Pictures of a table, and what several arms make of them, each when it is first asked for.

    Attributes:
        x: prepared pictures ``[N, 3, S, S]``.
        y: class numbers ``[N]``.
        classes: how many.
        backbone: its name in the profile.
        device: where networks are trained.
        flips: whether a picture may be flipped.
        rules: of the table, in the protocol.
    """

    x: torch.Tensor
    y: torch.Tensor
    classes: int
    backbone: str
    device: str
    flips: bool
    rules: Mapping[str, Any]
    made: dict[object, Any] = field(default_factory=dict)

    @property
    def side(self) -> int:
        """Pixels of a side."""
        return self.x.shape[-1]

    @property
    def dtype(self) -> torch.dtype:
        """Precision of passes without a gradient."""
        return engine.precision(self.device)

    def net(self, seed: int, pretrained: bool = True) -> Backbone:
        """Load a network with a new head."""
        net = tl.models.load(self.backbone, self.classes, pretrained, image_size=self.side, seed=seed)
        return net.to(self.device)

    def features(self) -> torch.Tensor:
        """Frozen features of the whole pool ``[N, width]``."""
        if "features" not in self.made:
            self.made["features"] = engine.features(self.net(0).eval(), self.x, self.dtype)
        return self.made["features"]

    def entering(self) -> tuple[list[torch.Tensor], str]:
        """What enters the first stage that "last stages" trains, for each view of each picture; and that stage."""
        if "entering" not in self.made:
            net = self.net(0).eval()
            stage = parts.stage_from(net, SHARE)
            views = engine.views(self.x) if self.flips else [self.x]
            self.made["entering"] = [engine.prefix(net, view, stage, self.dtype) for view in views], stage
        return self.made["entering"]

    def random(self, rows: Rows, seed: int) -> torch.Tensor:
        """Features ``[N, width]`` of random weights, BatchNorm calibrated; a new draw for each seed."""
        key = "random", seed
        if key not in self.made:
            for old in [key for key in self.made if isinstance(key, tuple) and key[0] == "random"]:
                del self.made[old]
            net = self.net(seed, pretrained=False)
            engine.calibrate(net, self.x[rows.train])
            used = np.unique(np.concatenate(rows))
            found = torch.zeros(len(self.x), net.width)
            found[used] = engine.features(net, self.x[used], torch.float32)
            self.made[key] = found
        return self.made[key]

    def small(self) -> np.ndarray:
        """Gray pictures of 32 by 32 pixels, ``[N, 1024]``."""
        if "small" not in self.made:
            gray = nn.functional.adaptive_avg_pool2d(self.x.mean(1, keepdim=True), SMALL)
            self.made["small"] = gray.flatten(1).numpy()
        return self.made["small"]

    def statistics(self) -> np.ndarray:
        """Eight numbers of each picture's brightness, ``[N, 8]``: what can be known without looking at shapes."""
        if "statistics" not in self.made:
            gray = self.x.mean(1).flatten(1).numpy()
            low, quarter, middle, upper, high = np.quantile(gray, (0.01, 0.25, 0.5, 0.75, 0.99), axis=1)
            dark = (gray < (middle - 0.5 * (high - low))[:, None]).mean(axis=1)
            numbers = [gray.mean(1), gray.std(1), low, quarter, middle, upper, high, dark]
            self.made["statistics"] = np.stack(numbers, axis=1)
        return self.made["statistics"]


def in_bf16(cell: Cell) -> bool:
    """Tell whether a cell computes frozen passes in bfloat16, where that is faster and agrees."""
    return cell["arm"] in FROZEN_PASSES and engine.precision(tl.profile.current().device) == torch.bfloat16


def run(pool: Pool, rows: Rows, few: np.ndarray, arm: str, setting: float, seed: int) -> Outcome:
    """Train an arm on the rows ``few`` of the training part, at a setting."""
    if arm in ("statistics", "pixels"):
        table = pool.statistics() if arm == "statistics" else pool.small()
        return _linear(pool, rows, few, table, setting)
    tl.seed_everything(seed)
    if arm == "scratch":
        return _scratch(pool, rows, few, setting, seed)
    if arm in ("frozen", "random"):
        x = pool.features() if arm == "frozen" else pool.random(rows, seed)
        net = pool.net(seed)
        history = _head(pool, net, rows, few, x, setting, seed)
        return _outcome(pool, net.head, rows, x, history)
    return _tuned(pool, rows, few, arm, setting, seed)


def _weights(pool: Pool, few: np.ndarray) -> torch.Tensor:
    return tl.train.class_weights(pool.y[few].numpy(), pool.classes)


def _linear(pool: Pool, rows: Rows, few: np.ndarray, x: np.ndarray, C: float) -> Outcome:
    y = pool.y.numpy()
    model = tl.look.linear_classifier(C).fit(x[few], y[few])
    watched = tl.stats.scores(model.predict_proba(x[rows.val]), y[rows.val])[pool.rules["measure"]]
    return Outcome(watched, 0, model.predict_proba(x[rows.test]) if len(rows.test) else None)


def _drawn(pool: Pool, views: list[torch.Tensor], few: np.ndarray, steps: int, seed: int) -> engine.Drawn:
    return engine.Drawn([view[few] for view in views], pool.y[few], pool.rules["batch"], steps, seed)


def _outcome(pool: Pool, net: nn.Module, rows: Rows, x: torch.Tensor, history: pd.DataFrame) -> Outcome:
    best = history.query("best").iloc[0]
    watched, kept = float(best[f"val_{pool.rules['measure']}"]), int(best["epoch"])
    if not len(rows.test):
        return Outcome(watched, kept, None)
    test = parts.in_order((x[rows.test], pool.y[rows.test]), engine.CHUNK)
    return Outcome(watched, kept, tl.train.predict_proba(net, test)[0])


def fit_head(pool: Pool, net: Backbone, rows: Rows, few: np.ndarray, rate: float, seed: int) -> pd.DataFrame:
    """Train the head of a network on frozen features; return its rounds."""
    return _head(pool, net, rows, few, pool.features(), rate, seed)


def _head(
    pool: Pool, net: Backbone, rows: Rows, few: np.ndarray, x: torch.Tensor, rate: float, seed: int
) -> pd.DataFrame:
    rules = pool.rules["head"]
    return engine.fit(
        net.head,
        _drawn(pool, [x], few, rules["steps"], seed),
        (x[rows.val], pool.y[rows.val]),
        [{"params": list(net.head.parameters()), "lr": rate}],
        rounds=rules["rounds"],
        measure=pool.rules["measure"],
        weights=_weights(pool, few),
        schedule="constant",
    )


def _scratch(pool: Pool, rows: Rows, few: np.ndarray, rate: float, seed: int) -> Outcome:
    net = recipes.small_cnn(pool.classes).to(memory_format=torch.channels_last).to(pool.device)
    rules = pool.rules["scratch"]
    views = engine.views(pool.x[few]) if pool.flips else [pool.x[few]]
    history = engine.fit(
        net,
        engine.Drawn(views, pool.y[few], pool.rules["batch"], rules["steps"], seed),
        (pool.x[rows.val], pool.y[rows.val]),
        [{"params": list(net.parameters()), "lr": rate}],
        rounds=rules["rounds"],
        measure=pool.rules["measure"],
        weights=_weights(pool, few),
    )
    return _outcome(pool, net, rows, pool.x, history)


def _tuned(pool: Pool, rows: Rows, few: np.ndarray, arm: str, rate: float, seed: int) -> Outcome:
    _, trained, x, history = tuned(pool, rows, few, arm, rate, seed)
    return _outcome(pool, trained, rows, x, history)


def tuned(
    pool: Pool, rows: Rows, few: np.ndarray, arm: str, rate: float, seed: int
) -> tuple[Backbone, nn.Module, torch.Tensor, pd.DataFrame]:
    """Train an arm that changes the network; return it, the part that was trained, its inputs, its rounds."""
    net, rules = pool.net(seed), pool.rules
    if arm != "full":
        fit_head(pool, net, rows, few, rules["head"]["rate"], seed)
    tl.models.freeze_norms(tl.models.unfreeze(net), arm != "moving")
    trained: nn.Module = net
    if arm == "last stages":
        entering, stage = pool.entering()
        trained, x = Suffix(net, stage, pool.side), entering[0]
        batches = _drawn(pool, entering, few, rules["tuned"]["steps"], seed)
    else:
        x = pool.x
        views = engine.views(x[few]) if pool.flips else [x[few]]
        batches = engine.Drawn(views, pool.y[few], rules["batch"], rules["tuned"]["steps"], seed)
    head = rate if arm == "full" else rules["head"]["rate"]
    groups = tl.train.param_groups(net, head_lr=head, backbone_lr=rate)
    with nullcontext() if arm == "moving" else engine.folded(trained, x[:1]):
        history = engine.fit(
            trained,
            batches,
            (x[rows.val], pool.y[rows.val]),
            groups,
            rounds=rules["tuned"]["rounds"],
            measure=rules["measure"],
            weights=_weights(pool, few),
        )
    return net, trained, x, history
