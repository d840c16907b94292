"""What the loop is given: checked at the door, and batch by batch, so that it learns from what was meant."""

from __future__ import annotations

import warnings
from typing import Any

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


def check_optimizer(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
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
    return value.reshape(()) if isinstance(value, torch.Tensor) else torch.as_tensor(float(value))


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
