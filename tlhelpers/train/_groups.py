"""Learning rates by stage, one parameter group each, and by step: warm-up and cosine."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from torch import nn

from tlhelpers.models._backbones import Backbone


def param_groups(
    net: Backbone, *, head_lr: float, backbone_lr: float, layer_decay: float = 1.0, weight_decay: float = 0.01
) -> list[dict[str, Any]]:
    """Return parameter groups for an optimizer that hold every trained parameter exactly once, stem included.

    Args:
        head_lr: learning rate of the new head.
        backbone_lr: learning rate of the stage next to the head.
        layer_decay: factor from one stage to the one below it; 1 gives all stages the same rate. Howard & Ruder
            (2018) divide by 2.6 a layer, a decay of 0.38.
        weight_decay: for weights; biases and normalization parameters (one dimension) get none.

    Raises:
        ValueError: when a rate is not positive, ``layer_decay`` is outside (0, 1], ``weight_decay`` is negative,
            ``net`` has no stages, or nothing is trained.
    """
    if not hasattr(net, "stages"):
        raise ValueError(
            f"net is a {type(net).__name__}, which has no stages; give a Backbone, such as tl.models.load returns."
        )
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay={weight_decay}: give 0 or more, such as 0.01.")
    for name, rate in (("head_lr", head_lr), ("backbone_lr", backbone_lr)):
        if not 0 < rate < math.inf:
            raise ValueError(f"{name}={rate}: a learning rate is positive; freeze a part to leave it alone.")
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay={layer_decay}: give a number above 0 and at most 1.")
    stages = list(net.stages.values())
    result: list[dict[str, Any]] = []
    for below, stage in enumerate(reversed(stages)):
        rate = head_lr if stage.name == "head" else backbone_lr * layer_decay ** (below - 1)
        trained = [p for p in stage.parameters if p.requires_grad]
        for kind, chosen, shrink in (
            ("weights", [p for p in trained if p.ndim > 1], weight_decay),
            ("biases and norms", [p for p in trained if p.ndim <= 1], 0.0),
        ):
            if chosen:
                result.append(
                    {"name": f"{stage.name} {kind}", "params": chosen, "lr": rate, "weight_decay": shrink}
                )
    if not result:
        raise ValueError("no parameter is trained; unfreeze a stage first.")
    held = {id(p) for group in result for p in group["params"]}
    beside = [name for name, p in net.named_parameters() if p.requires_grad and id(p) not in held]
    if beside:
        raise ValueError(
            f"{len(beside)} trained parameter(s) are in no stage, first {beside[0]!r}; add a group for them, or "
            "put the module that holds them into net.net."
        )
    result.reverse()
    return result


def check_groups(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Do nothing when ``optimizer`` holds every trained parameter of ``net`` exactly once.

    Raises:
        ValueError: naming the first parameter that is missing or held twice, and how many more there are.
    """
    held = Counter(id(p) for group in optimizer.param_groups for p in group["params"])
    trained = {name: id(p) for name, p in net.named_parameters() if p.requires_grad}
    missing = [name for name, key in trained.items() if not held[key]]
    twice = [name for name, key in trained.items() if held[key] > 1]
    if missing:
        raise ValueError(
            f"the optimizer misses {len(missing)} trained parameter(s), first {missing[0]!r}: they get "
            "gradients but never move. Add them to a group, or freeze them."
        )
    if twice:
        raise ValueError(
            f"the optimizer holds {len(twice)} parameter(s) twice, first {twice[0]!r}: "
            "each step would move them twice. Keep each in one group."
        )


def warmup_cosine(
    optimizer: torch.optim.Optimizer, steps: int, warmup: int = 0
) -> torch.optim.lr_scheduler.LambdaLR:
    """Return a schedule that raises every rate in a line to its peak, then lowers it along a cosine to zero.

    Step it after each batch. Each group keeps its own peak, the rate it had when this was called. The first of
    ``warmup`` steps is taken at ``1 / warmup`` of the peak, the last of them at the peak (Goyal et al. 2017);
    then comes half a cosine (Loshchilov & Hutter 2017).

    Args:
        steps: of the whole run, warm-up included.
        warmup: steps until the peak; 0 starts there.

    Raises:
        ValueError: when there is no step, a number is no whole one, or ``warmup`` is negative or leaves no step
            for the cosine; when a rate is not the one that an earlier schedule of this optimizer began with.
    """
    if not 1 <= steps < math.inf or steps != int(steps):
        raise ValueError(f"steps={steps}; give the number of batches of the run, a whole one of 1 or more.")
    if 0 < warmup < 1:
        raise ValueError(f"warmup={warmup}: give a number of steps; for a share write round({warmup} * steps).")
    if not 0 <= warmup < steps or warmup != int(warmup):
        raise ValueError(f"warmup={warmup}: give a number of steps from 0 to {steps - 1}, of {steps} in all.")

    for number, group in enumerate(optimizer.param_groups):
        peak = group.get("initial_lr", group["lr"])  # torch takes it again, whatever the rate is now
        if group["lr"] != peak:
            raise ValueError(
                f"parameter group {number} was under a schedule before: its rate is {group['lr']:g} now and was "
                f"{peak:g}, so its peak is not clear. Make a new optimizer; or, for every group, set group['lr'] "
                "and call group.pop('initial_lr')."
            )

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / (steps - warmup), 1.0)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    schedule.total_steps = steps  # type: ignore[attr-defined]  # fit sees by it whether it is stepped as planned
    return schedule
