"""What the loop is given: checked at the door, and batch by batch, so that it learns from what was meant."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from tlhelpers.train._batches import (
    Batches,
    Fault,
    Part,
    as_tensor,
    asked,
    label_fault,
    length,
    not_finite,
    one_pass,
    output_fault,
    range_fault,
    refused,
    shares,
    spoiled,
)
from tlhelpers.train._schedules import demands_of, rates_of


def whole(value: Any) -> int | None:
    """Return a whole number of any kind, 3.0 and those of numpy and torch included, as int; else ``None``."""
    if isinstance(value, (np.generic, np.ndarray, torch.Tensor)) and np.ndim(value) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else None


def whole_from_one(value: Any, name: str, besides: str = "") -> int:
    """Return ``value`` as int.

    Args:
        besides: what else may be given, for the message.

    Raises:
        ValueError: when it is no whole number, or below 1.
    """
    number = whole(value)
    if number is None or number < 1:
        shown = repr(value) if isinstance(value, str) else value
        raise ValueError(f"{name}={shown}; give 1 or more{', a whole number' if number is None else ''}{besides}.")
    return number


def check_sets(train: Batches, val: Batches, epochs: int, keep_start: bool) -> None:
    for name, batches, passes in (("train", train, epochs), ("val", val, epochs + keep_start)):
        if one_pass(batches) and (passes > 1 or val is train):
            raise ValueError(
                f"{name} is a {type(batches).__name__}, which can be read once, and the run of {epochs} epoch(s) "
                f"reads it again; give list({name}), or a DataLoader."
            )
        if isinstance(batches, DataLoader) and length(batches) == 0 and length(batches.dataset):
            raise ValueError(
                f"{name} gives no batch: its {length(batches.dataset)} rows fill no batch of "
                f"{batches.batch_size}, and drop_last=True drops the rest; take smaller batches."
            )
    if length(val) == 0 and length(train) != 0:
        raise ValueError("the loader gave no batch; is the set empty? It is that of val.")
    if val is train:
        warnings.warn(
            "val is train, the same batches: no score of this run tells how the network does on other images. "
            "Split off a part for val.",
            stacklevel=3,
        )


def optimizer_fault(optimizer: Any) -> Fault | None:
    """Return why something cannot be stepped as an optimizer, or ``None``."""
    groups, step = getattr(optimizer, "param_groups", None), getattr(optimizer, "step", None)
    if not isinstance(optimizer, type) and isinstance(groups, list) and callable(step):
        return None
    what = f"optimizer={optimizer!r:.60} is no optimizer"
    if isinstance(optimizer, type):
        what = f"optimizer is the class {optimizer.__name__}, not yet called"
    return Fault(what, "Make one: torch.optim.AdamW(net.parameters(), lr=1e-3).")


def still_fault(optimizer: torch.optim.Optimizer) -> Fault | None:
    """Return why no step would move a trained parameter, as every rate of one is 0, or ``None``."""
    trained = [g.get("lr") for g in optimizer.param_groups if any(p.requires_grad for p in g["params"])]
    if not trained or any(rate is None or float(rate) != 0 for rate in trained):
        return None
    return Fault(
        "the learning rates of the optimizer are all 0, so no step would move a weight; a schedule that has "
        "finished leaves that",
        'Set group["lr"] of each of optimizer.param_groups, or make a new optimizer.',
    )


def check_moving(optimizer: torch.optim.Optimizer) -> None:
    if fault := still_fault(optimizer):
        raise refused(fault)


def check_calls(penalty: Any, before_epoch: Any) -> None:
    if penalty is not None and not callable(penalty):
        raise ValueError(
            f"penalty is a {type(penalty).__name__}, a value of one moment; give a function that works it out "
            "anew at each step, as penalty=lambda: ewc(net, start, importance, strength)."
        )
    if penalty is not None and (demanded := _demanded(penalty)):
        raise ValueError(
            f"the penalty demands {', '.join(demanded)}, and fit calls it without arguments; give a function that "
            "holds them, as penalty=lambda: ewc(net, start, importance, strength)."
        )
    if before_epoch is not None and not callable(before_epoch):
        raise ValueError(
            f"before_epoch is a {type(before_epoch).__name__}; give a function of the epoch's number, as "
            "before_epoch=lambda epoch: ..."
        )


def _demanded(function: Callable[..., object]) -> list[str]:
    try:
        return demands_of(function)
    except (TypeError, ValueError):  # some built-in functions do not tell their arguments
        return []


def check_optimizer(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    if fault := optimizer_fault(optimizer):
        raise refused(fault)
    ours = {id(p) for p in net.parameters()}
    if not any(id(p) in ours for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            "the optimizer holds no parameter of this network, so no step would move it; make it from "
            "net.parameters(), after the network."
        )
    if demanded := demands_of(optimizer.step):
        raise ValueError(
            f"{type(optimizer).__name__}.step demands {', '.join(demanded)}, which this loop does not have; take "
            "another optimizer, such as AdamW."
        )


def checked_weights(class_weights: Any) -> torch.Tensor:
    weights = as_tensor(class_weights, "class_weights").float()
    if weights.ndim != 1 or not torch.isfinite(weights).all() or (weights < 0).any() or not (weights > 0).any():
        raise ValueError(
            f"class_weights are {weights.tolist()}; give one finite weight of 0 or more a class, as "
            "tl.train.class_weights does."
        )
    return weights


def logits_of(net: nn.Module, x: torch.Tensor, where: str) -> torch.Tensor:
    out = asked(net, x, where)
    if fault := output_fault(out, len(x)):
        raise refused(fault, where)
    return out


def targets(y: torch.Tensor, classes: int, where: str, soft: bool = False) -> torch.Tensor:
    """Return class indices ``[B]`` int64, or shares ``[B, C]`` where these are taken."""
    if y.dtype == torch.int64 and y.ndim == 1 and len(y) and y.min() >= 0 and y.max() < classes:
        return y
    if soft and shares(y):
        if y.shape[1] != classes:
            cure = "Give a share of each output."
            raise refused(Fault(f"labels have shape {tuple(y.shape)} for {classes} outputs", cure), where)
        return y
    if fault := label_fault(y):
        raise refused(fault, where)
    y = y.long()
    if fault := range_fault(y, classes):
        raise refused(fault, where)
    return y


def fitting(weights: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor | None:
    if weights is None:
        return None
    if len(weights) != logits.shape[1]:
        raise ValueError(f"there are {len(weights)} class_weights for {logits.shape[1]} outputs; give one each.")
    return weights.to(logits.dtype)


def one_number(value: Any) -> torch.Tensor:
    if isinstance(value, torch.Tensor) and value.numel() != 1:
        raise ValueError(f"the penalty has shape {tuple(value.shape)}; return one number, such as its sum.")
    if isinstance(value, torch.Tensor):
        return value.reshape(())
    try:
        return torch.as_tensor(float(value))
    except (TypeError, ValueError) as error:
        what = "None, as a function without return does" if value is None else f"a {type(value).__name__}"
        raise ValueError(
            f"the penalty gives {what}; return one number that depends on the weights, such as ewc(...)."
        ) from error


def loss_fault(
    total: torch.Tensor, loss: torch.Tensor, optimizer: torch.optim.Optimizer, x: torch.Tensor, when: str
) -> str:
    rates = ", ".join(f"{rate:.1e}" for rate in rates_of(optimizer)[:4])
    said = f"the loss is {total.item()} in {when}; learning rates {rates}."
    said += " Lower the rate, or look for NaN in the inputs."
    if rows := not_finite(x):
        return f"{said} Here {rows}."
    return f"{said} Here it is the penalty." if torch.isfinite(loss) else said


def probability_fault(net: nn.Module, x: torch.Tensor) -> str:
    if rows := not_finite(x):
        return f"{rows}. Look at their files."
    name = spoiled(net)
    return (
        f"{name!r} of the network holds some. Train anew, at a lower rate." if name else "lower the learning rate."
    )


def moves(optimizer: torch.optim.Optimizer) -> bool:
    return any(p.requires_grad for group in optimizer.param_groups for p in group["params"])


def rows_and_labels(part: Any, name: str) -> Part:
    """Return rows ``[N, ...]`` and labels as tensors, in their order; tensors as they are.

    Raises:
        ValueError: when they are not two, not as many, none, or hold NaN or infinity.
    """
    if not isinstance(part, (tuple, list)) or len(part) != 2:
        raise ValueError(f"{name} is a {type(part).__name__}; give two, features [N, D] and labels [N].")
    x, y = as_tensor(part[0], f"features of {name}"), as_tensor(part[1], f"labels of {name}")
    if x.ndim < 2 or y.ndim == 0 or len(x) != len(y) or not len(x):
        raise ValueError(
            f"{name} has features of shape {tuple(x.shape)} and labels of shape {tuple(y.shape)}; give [N, D] and "
            "[N], one label a row, and one row or more."
        )
    if rows := not_finite(x):
        raise ValueError(f"features of {name}: {rows}; look at the images of these rows.")
    return x, y
