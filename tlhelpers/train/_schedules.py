"""Schedules of learning rates: stepped by the epoch or by the batch, and told where they count the other."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.optim import lr_scheduler

from tlhelpers.train._batches import Batches, length

MONITORS = {"loss": -1, "accuracy": 1, "balanced_accuracy": 1, "auroc": 1}
STEEP = 1000  # a rate that falls so many times within an epoch or two leaves nothing to learn with
FACTORS = (  # these multiply the rate they find, and 0 stays 0
    lr_scheduler.StepLR,
    lr_scheduler.MultiStepLR,
    lr_scheduler.ExponentialLR,
    lr_scheduler.MultiplicativeLR,
    lr_scheduler.PolynomialLR,
    lr_scheduler.ReduceLROnPlateau,
)
CYCLES = (lr_scheduler.CosineAnnealingWarmRestarts, lr_scheduler.CyclicLR)  # these fall on purpose, and rise again


def demands_of(step: Callable[..., object]) -> list[str]:
    """Return the names of arguments that ``step`` cannot do without."""
    parameters = inspect.signature(step).parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in variable]
    return [name for name in needed if name != "self"]  # which torch shows once a schedule watches an optimizer


def _parts(schedule: Any) -> list[Any]:
    """Return a schedule and those that it joins."""
    inner = [part for one in getattr(schedule, "_schedulers", []) for part in _parts(one)]
    return [schedule, *inner]


def check_schedules(
    scheduler: lr_scheduler.LRScheduler | None,
    batch_scheduler: lr_scheduler.LRScheduler | None,
    optimizer: torch.optim.Optimizer,
    train: Batches,
    epochs: int,
    monitor: str,
) -> None:
    if scheduler is not None and batch_scheduler is not None:
        raise ValueError(
            "scheduler and batch_scheduler are both given, and each would overwrite the rates of the other; give "
            "one. SequentialLR and ChainedScheduler of torch join schedules."
        )
    steps = epochs if scheduler is not None else epochs * (length(train) or 0)
    for name, schedule in (("scheduler", scheduler), ("batch_scheduler", batch_scheduler)):
        if schedule is None:
            continue
        if isinstance(schedule, type) or not callable(getattr(schedule, "step", None)):
            raise ValueError(
                f"{name}={schedule!r} has no step to call; give a schedule, such as StepLR(optimizer, 3)."
            )
        check_group_count(schedule, optimizer)
        for part in _parts(schedule):
            kind = type(part).__name__
            if getattr(part, "optimizer", optimizer) is not optimizer:
                raise ValueError(
                    f"{name}: the {kind} is made for another optimizer, and would not change the rates of this "
                    f"one; make it from this one, {kind}(optimizer, ...)."
                )
            _check_demands(name, part, part is schedule, monitor)
            total, taken = getattr(part, "total_steps", None), getattr(part, "last_epoch", 0)
            ends = isinstance(part, (lr_scheduler.OneCycleLR, lr_scheduler.LambdaLR))  # the latter: warmup_cosine
            if (
                ends
                and total is not None
                and part is schedule
                and (
                    taken >= total
                    or (taken > 0 and total - taken < steps and isinstance(part, lr_scheduler.OneCycleLR))
                )
            ):
                raise ValueError(
                    f"{name}: the {kind} has taken {taken} of its {total} steps before, as in an earlier run, and "
                    f"this one takes {steps or 'more'}; make a new optimizer, and a schedule of it, for each run."
                )
            if (
                isinstance(part, lr_scheduler.OneCycleLR)
                and total is not None
                and total < steps
                and part is schedule
            ):
                raise ValueError(
                    f"{name}: the {kind} plans {total} steps, and the run takes {steps}; make it with "
                    f"total_steps={steps}, as {name} is stepped after each {'epoch' if scheduler else 'batch'}."
                )
        planned = getattr(schedule, "total_steps", None) or getattr(schedule, "T_max", None)
        if name == "scheduler" and planned is not None and planned > 2 * epochs:
            warnings.warn(
                f"{type(schedule).__name__} plans {planned} steps, and as scheduler it is stepped after each of "
                f"{epochs} epochs; if it counts batches, give it as batch_scheduler.",
                stacklevel=3,
            )


def check_group_count(schedule: Any, optimizer: torch.optim.Optimizer) -> None:
    """Do nothing when every schedule with a function for each group has one for each.

    Raises:
        ValueError: when a group was added, or taken away, after the schedule was made.
    """
    for part in _parts(schedule):
        functions = getattr(part, "lr_lambdas", None)
        if functions is not None and len(functions) != len(optimizer.param_groups):
            raise _other_groups(part, len(functions), optimizer)


def _other_groups(schedule: Any, known: int, optimizer: torch.optim.Optimizer) -> ValueError:
    return ValueError(
        f"the {type(schedule).__name__} was made for {known} group(s), and the optimizer has "
        f"{len(optimizer.param_groups)} now; make all groups before the schedule, those of parts that are still "
        "frozen, too."
    )


def can_raise(schedule: Any) -> bool:
    """Return whether a schedule may lift a rate of 0."""
    if isinstance(schedule, lr_scheduler.LambdaLR):
        return any(schedule.base_lrs)
    return schedule is not None and not isinstance(schedule, FACTORS)


def _check_demands(name: str, schedule: Any, alone: bool, monitor: str) -> None:
    kind, demanded = type(schedule).__name__, demands_of(schedule.step)
    if not demanded:
        return
    if len(demanded) > 1 or demanded[0] in ("epoch", "epochs", "num_updates"):
        raise ValueError(
            f"{name}: {kind}.step demands {', '.join(demanded)}, which this loop does not give; take a schedule "
            "of torch.optim.lr_scheduler."
        )
    if not alone:
        raise ValueError(f"{name} joins a {kind}, whose step demands a value; give that one alone, as scheduler.")
    if name == "batch_scheduler":
        raise ValueError(
            f"batch_scheduler: {kind}.step demands {demanded[0]}, and a batch has no validated value; give it as "
            "scheduler=, which is stepped after each epoch with the monitor."
        )
    mode, right = getattr(schedule, "mode", None), "min" if MONITORS[monitor] < 0 else "max"
    if mode in ("min", "max") and mode != right:
        better = "falls" if right == "min" else "rises"
        raise ValueError(
            f"scheduler: the {kind} has mode={mode!r}, but monitor={monitor!r} is better when it {better}; make "
            f"it with mode={right!r}."
        )


def step_with(schedule: Any, value: float) -> None:
    step(schedule, *([value] if demands_of(schedule.step) else []))


def step(schedule: Any, *values: float) -> None:
    """Step a schedule.

    Raises:
        ValueError: when it fails as a group was added after it was made.
    """
    try:
        schedule.step(*values)
    except (ValueError, KeyError, IndexError) as error:
        optimizer, known = getattr(schedule, "optimizer", None), getattr(schedule, "base_lrs", None)
        if optimizer is None or known is None or len(known) == len(optimizer.param_groups):
            raise
        raise _other_groups(schedule, len(known), optimizer) from error


def rates_of(optimizer: torch.optim.Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def warn_of_fall(schedule: Any, rates: list[list[list[float]]], epochs: int) -> bool:
    """Warn, after an epoch, of rates that have fallen too far for the rest of the run; return whether they have.

    A schedule that ends at zero falls as far, but in the last steps of the run: that is what tells them apart.

    Args:
        rates: of each group, by epoch and step; those before the epoch's first step come first.
    """
    if any(isinstance(part, CYCLES) for part in _parts(schedule)):
        return False
    before = sum(len(epoch) - 1 for epoch in rates[:-2])
    last = [step for epoch in rates[-2:] for step in epoch[:-1]] + rates[-1][-1:]
    groups = min(map(len, last))  # a group may join on the way
    path = np.array([step[:groups] for step in last])
    peak = np.maximum.accumulate(path, axis=0)
    fallen = (peak > 0) & (STEEP * path <= peak * (1 + 1e-9))
    if not fallen.any():
        return False
    step, group = np.argwhere(fallen)[0]
    taken = before + len(last) - 1
    total = max(taken, round(taken / len(rates) * epochs))
    left = total - before - step
    if left <= 0.1 * total:
        return False
    warnings.warn(
        f"{type(schedule).__name__}, stepped after each batch, let a learning rate fall from "
        f"{peak[step, group]:.1e} to {path[step, group]:.1e} by batch {before + step} of {total}, with {left} "
        f"still to come. If it counts epochs, give it as scheduler=; else make it for {total} steps.",
        stacklevel=3,
    )
    return True
