"""The training loop: fit, watch the validation set, keep the best weights."""

from __future__ import annotations

import copy
import inspect
import time
import warnings
from collections.abc import Callable, Iterable, Sized
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from tlhelpers import stats
from tlhelpers._machine import device_of, to_device
from tlhelpers._rows import class_numbers, in_order
from tlhelpers.models._backbones import evaluating
from tlhelpers.train._batches import (
    Batches,
    Fault,
    Part,
    as_input,
    as_tensor,
    asked,
    label_fault,
    not_finite,
    one_pass,
    output_fault,
    pairs,
    range_fault,
    refused,
    shares,
    spoiled,
)

__all__ = ["class_weights", "device_of", "evaluate", "fit", "fit_head", "predict_proba", "to_device"]

MONITORS = {"loss": -1, "accuracy": 1, "balanced_accuracy": 1, "auroc": 1}
STEEP = 1000  # a rate that falls so many times within an epoch or two leaves nothing to learn with
CYCLES = (lr_scheduler.CosineAnnealingWarmRestarts, lr_scheduler.CyclicLR)  # these fall on purpose, and rise again


def fit(
    net: nn.Module,
    train: Batches,
    val: Batches,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    *,
    scheduler: lr_scheduler.LRScheduler | None = None,
    batch_scheduler: lr_scheduler.LRScheduler | None = None,
    class_weights: torch.Tensor | None = None,
    patience: int | None = None,
    monitor: str = "loss",
    keep_start: bool = False,
    penalty: Callable[[], torch.Tensor] | None = None,
    before_epoch: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Train ``net``, where it lies, with cross-entropy; leave it with the weights of its best validation epoch.

    Args:
        net: gives logits ``[B, C]``, an output a class, for inputs ``[B, ...]``.
        train, val: batches ``(x [B, ...], y [B])``, read once an epoch: floats, which are brought to the type of
            the network, or whole numbers such as tokens; and class indices of any whole type. In ``train`` labels
            may be shares ``[B, C]``, rows of floats that sum to 1, as mixup gives them.
        scheduler: stepped after each epoch, as ``StepLR(optimizer, 3)`` counts; :class:`ReduceLROnPlateau`, and
            any other whose step demands a value, gets the ``monitor``.
        batch_scheduler: stepped after each batch, as :func:`warmup_cosine` counts. Give one of the two.
        class_weights: ``[C]``, weight of each class in the training loss.
        patience: stop after so many epochs without a better ``monitor``; ``None`` never stops early.
        monitor: ``loss``, ``accuracy``, ``balanced_accuracy`` or ``auroc``, on the validation set.
        keep_start: whether the weights before the first step are a candidate, as epoch 0. Say so when they
            are worth keeping, as after a first stage; new weights are not.
        penalty: called at each step; what it returns, a number that depends on the weights, is added to the loss
            that trains, not to those that are reported, as :func:`ewc`.
        before_epoch: called with the number of each epoch, from 1, once the network is in train mode: the place to
            unfreeze, or to hold layers in eval mode.

    Returns:
        One row an epoch: ``epoch`` (from 1, or from 0), ``train_loss`` (mean over its images; NaN in epoch 0),
        ``val_loss``, ``val_accuracy``, ``val_balanced_accuracy``, ``val_auroc``, ``seconds``, and ``best``.

    Raises:
        ValueError: for an unknown monitor, no epoch, no patience, an empty set, one that can be read once only, a
            batch, labels, outputs or weights that do not fit, an optimizer that moves nothing here, or a schedule
            that is of another optimizer, for other steps, or for another direction of the monitor.
        RuntimeError: when the network fails on a batch, with the likely cause.
        FloatingPointError: when the loss is not finite, naming epoch and batch.

    Warns:
        UserWarning: when ``batch_scheduler`` lets a rate fall a thousandfold within an epoch or two, and much of
            the run is still to come; when ``scheduler`` plans many more steps than there are epochs; when ``val``
            is ``train``.
    """
    if monitor not in MONITORS:
        raise ValueError(f"monitor={monitor!r}; give one of {', '.join(MONITORS)}.")
    for name, number in (("epochs", epochs), ("patience", patience)):
        if number is not None and (not number >= 1 or number != int(number)):
            raise ValueError(f"{name}={number}; give 1 or more.")
    _check_sets(train, val, epochs, keep_start)
    _check_optimizer(net, optimizer)
    _check_schedules(scheduler, batch_scheduler, optimizer, train, epochs, monitor)
    device = device_of(net)
    weights = None if class_weights is None else _checked_weights(class_weights).to(device)
    rows: list[dict[str, float]] = []
    rates: list[list[list[float]]] = []
    told = False
    best, best_score, best_weights = 0, -np.inf, copy.deepcopy(net.state_dict())
    bar = tqdm(total=epochs, unit="epoch", leave=False)
    for epoch in range(0 if keep_start else 1, epochs + 1):
        start = time.perf_counter()
        train_loss = float("nan")
        if epoch:
            net.train()  # frozen stages of a Backbone stay in eval mode
            if before_epoch is not None:
                before_epoch(epoch)
            rates.append([_rates(optimizer)])
            train_loss = _epoch(net, train, weights, optimizer, epoch, batch_scheduler, penalty, rates[-1])
            if batch_scheduler is not None and not told:
                told = _warn_of_fall(batch_scheduler, rates, epochs)
        watched = evaluate(net, val)
        if epoch and scheduler is not None:
            _step(scheduler, watched[monitor])
        rows.append(
            {
                "epoch": epoch,
                "train_loss": train_loss,
                **{f"val_{name}": value for name, value in watched.items()},
                "seconds": time.perf_counter() - start,
            }
        )
        score = MONITORS[monitor] * watched[monitor]
        if score > best_score:
            best, best_score, best_weights = epoch, score, copy.deepcopy(net.state_dict())
        bar.update(epoch > 0)
        bar.set_postfix(train_loss=f"{train_loss:.3f}", val_loss=f"{watched['loss']:.3f}")
        if patience is not None and epoch - best >= patience:
            break
    bar.close()
    net.load_state_dict(best_weights)
    history = pd.DataFrame(rows)
    history["best"] = history["epoch"] == best
    return history


def _check_sets(train: Batches, val: Batches, epochs: int, keep_start: bool) -> None:
    for name, batches, passes in (("train", train, epochs), ("val", val, epochs + keep_start)):
        if one_pass(batches) and (passes > 1 or val is train):
            raise ValueError(
                f"{name} is a {type(batches).__name__}, which can be read once, and the run of {epochs} epoch(s) "
                f"reads it again; give list({name}), or a DataLoader."
            )
        if isinstance(batches, DataLoader) and _length(batches) == 0 and _length(batches.dataset):
            raise ValueError(
                f"{name} gives no batch: its {_length(batches.dataset)} rows fill no batch of "
                f"{batches.batch_size}, and drop_last=True drops the rest; take smaller batches."
            )
    if _length(val) == 0 and _length(train) != 0:
        raise ValueError("the loader gave no batch; is the set empty? It is that of val.")
    if val is train:
        warnings.warn(
            "val is train, the same batches: no score of this run tells how the network does on other images. "
            "Split off a part for val.",
            stacklevel=3,
        )


def _length(batches: object) -> int | None:
    try:
        return len(batches) if isinstance(batches, Sized) else None
    except TypeError:  # a loader of a stream has the method, but no length
        return None


def _check_optimizer(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    ours = {id(p) for p in net.parameters()}
    if not any(id(p) in ours for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            "the optimizer holds no parameter of this network, so no step would move it; make it from "
            "net.parameters(), after the network."
        )
    if demanded := _demanded(optimizer.step):
        raise ValueError(
            f"{type(optimizer).__name__}.step demands {', '.join(demanded)}, which this loop does not have; take "
            "another optimizer, such as AdamW."
        )


def _demanded(step: Callable[..., object]) -> list[str]:
    """Return the names of arguments that ``step`` cannot do without."""
    parameters = inspect.signature(step).parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in variable]
    return [name for name in needed if name != "self"]  # which torch shows once a schedule watches an optimizer


def _parts(schedule: Any) -> list[Any]:
    """Return a schedule and those that it joins."""
    inner = [part for one in getattr(schedule, "_schedulers", []) for part in _parts(one)]
    return [schedule, *inner]


def _check_schedules(
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
    steps = epochs if scheduler is not None else epochs * (_length(train) or 0)
    for name, schedule in (("scheduler", scheduler), ("batch_scheduler", batch_scheduler)):
        if schedule is None:
            continue
        if isinstance(schedule, type) or not callable(getattr(schedule, "step", None)):
            raise ValueError(
                f"{name}={schedule!r} has no step to call; give a schedule, such as StepLR(optimizer, 3)."
            )
        for part in _parts(schedule):
            kind = type(part).__name__
            if getattr(part, "optimizer", optimizer) is not optimizer:
                raise ValueError(
                    f"{name}: the {kind} is made for another optimizer, and would not change the rates of this "
                    f"one; make it from this one, {kind}(optimizer, ...)."
                )
            _check_demands(name, part, part is schedule, monitor)
            total = getattr(part, "total_steps", None)
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


def _check_demands(name: str, schedule: Any, alone: bool, monitor: str) -> None:
    kind, demanded = type(schedule).__name__, _demanded(schedule.step)
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


def _step(schedule: Any, value: float) -> None:
    schedule.step(*([value] if _demanded(schedule.step) else []))


def _rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def _warn_of_fall(schedule: Any, rates: list[list[list[float]]], epochs: int) -> bool:
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


def _checked_weights(class_weights: Any) -> torch.Tensor:
    weights = as_tensor(class_weights, "class_weights").float()
    if weights.ndim != 1 or not torch.isfinite(weights).all() or (weights < 0).any() or not (weights > 0).any():
        raise ValueError(
            f"class_weights are {weights.tolist()}; give one finite weight of 0 or more a class, as "
            "tl.train.class_weights does."
        )
    return weights


def _epoch(
    net: nn.Module,
    batches: Batches,
    weights: torch.Tensor | None,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    batch_scheduler: lr_scheduler.LRScheduler | None,
    penalty: Callable[[], torch.Tensor] | None,
    rates: list[list[float]],
) -> float:
    device, total, count = device_of(net), 0.0, 0
    for number, (x, y) in enumerate(pairs(batches, "train"), start=1):
        where = f"batch {number} of train"
        x = as_input(x, net)
        logits = _logits_of(net, x, where)
        y = _targets(y, logits.shape[1], where, soft=True).to(
            device, logits.dtype if y.is_floating_point() else None
        )
        loss = nn.functional.cross_entropy(logits, y, weight=_fitting(weights, logits))
        total_loss = loss if penalty is None else loss + _number(penalty())
        if not torch.isfinite(total_loss):
            raise FloatingPointError(_not_finite(total_loss, loss, optimizer, x, f"epoch {epoch}, batch {number}"))
        if not total_loss.requires_grad or not _moves(optimizer):
            raise ValueError(
                f"no parameter that the optimizer holds is trained in epoch {epoch}, so no step would move one; "
                "unfreeze a part, and make the optimizer from what is trained."
            )
        optimizer.zero_grad(set_to_none=True)
        total_loss.backward()
        optimizer.step()
        if batch_scheduler is not None:
            batch_scheduler.step()
            rates.append(_rates(optimizer))
        total += loss.item() * len(y)
        count += len(y)
    if count == 0 and epoch > 1:
        raise ValueError(
            f"train gave no batch in epoch {epoch}, but did before: it can be read once only; give a list of its "
            "batches, or a DataLoader."
        )
    if count == 0:
        raise ValueError("the training loader gave no batch; is the training set empty?")
    return total / count


def _moves(optimizer: torch.optim.Optimizer) -> bool:
    return any(p.requires_grad for group in optimizer.param_groups for p in group["params"])


def _logits_of(net: nn.Module, x: torch.Tensor, where: str) -> torch.Tensor:
    out = asked(net, x, where)
    if fault := output_fault(out, len(x)):
        raise refused(fault, where)
    return out


def _targets(y: torch.Tensor, classes: int, where: str, soft: bool = False) -> torch.Tensor:
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


def _fitting(weights: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor | None:
    if weights is None:
        return None
    if len(weights) != logits.shape[1]:
        raise ValueError(f"there are {len(weights)} class_weights for {logits.shape[1]} outputs; give one each.")
    return weights.to(logits.dtype)


def _number(value: Any) -> torch.Tensor:
    if isinstance(value, torch.Tensor) and value.numel() != 1:
        raise ValueError(f"the penalty has shape {tuple(value.shape)}; return one number, such as its sum.")
    return value.reshape(()) if isinstance(value, torch.Tensor) else torch.as_tensor(float(value))


def _not_finite(
    total: torch.Tensor, loss: torch.Tensor, optimizer: torch.optim.Optimizer, x: torch.Tensor, when: str
) -> str:
    rates = ", ".join(f"{rate:.1e}" for rate in _rates(optimizer)[:4])
    said = f"the loss is {total.item()} in {when}; learning rates {rates}."
    said += " Lower the rate, or look for NaN in the inputs."
    if rows := not_finite(x):
        return f"{said} Here {rows}."
    return f"{said} Here it is the penalty." if torch.isfinite(loss) else said


def predict_proba(net: nn.Module, batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    """Return class probabilities ``[N, C]`` and labels ``[N]``, predicted in eval mode.

    Labels are given back as they came, one a row.

    Raises:
        ValueError: when there is no batch, a batch is no pair, outputs are not logits ``[B, C]`` of two classes or
            more, or a probability is not finite.
        RuntimeError: when the network fails on a batch, with the likely cause.
    """
    logits, labels = _logits(net, batches)
    return logits.softmax(dim=1).numpy(), labels.numpy()


@torch.no_grad()
def _logits(net: nn.Module, batches: Batches) -> tuple[torch.Tensor, torch.Tensor]:
    outputs, labels = [], []
    with evaluating(net):
        for number, (x, y) in enumerate(pairs(batches, "those to predict"), start=1):
            where = f"batch {number} of those to predict"
            if y.ndim != 1:
                raise refused(label_fault(y) or Fault(f"labels have shape {tuple(y.shape)}", "Give [B]."), where)
            logits = _logits_of(net, as_input(x, net), where).float().cpu()
            if not torch.isfinite(logits.softmax(dim=1)).all():
                raise ValueError(f"{where}: probabilities hold NaN or infinity; {_why_not_finite(net, x)}")
            outputs.append(logits)
            labels.append(y.cpu())
    if not outputs:
        raise ValueError("the loader gave no batch; is the set empty? A generator is, once it was read.")
    return torch.cat(outputs), torch.cat(labels)


def _why_not_finite(net: nn.Module, x: torch.Tensor) -> str:
    if rows := not_finite(x):
        return f"{rows}. Look at their files."
    name = spoiled(net)
    return (
        f"{name!r} of the network holds some. Train anew, at a lower rate." if name else "lower the learning rate."
    )


def evaluate(net: nn.Module, batches: Batches) -> dict[str, float]:
    """Return ``loss`` (unweighted cross-entropy), ``accuracy``, ``balanced_accuracy`` and ``auroc``.

    Raises:
        ValueError: as :func:`predict_proba`; when labels are not class indices ``[B]`` of its outputs, or hold one
            class only.
        RuntimeError: as :func:`predict_proba`.
    """
    logits, labels = _logits(net, batches)
    labels = _targets(labels, logits.shape[1], "the set to predict")
    loss = nn.functional.cross_entropy(logits, labels).item()
    return {"loss": loss, **stats.scores(logits.softmax(dim=1).numpy(), labels.numpy())}


def fit_head(
    head: nn.Module,
    train: Part,
    val: Part,
    *,
    seed: int,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    batch_size: int = 32,
    epochs: int = 60,
    patience: int | None = 10,
    class_weights: torch.Tensor | None = None,
) -> pd.DataFrame:
    """Stage 1 on cached features: train a head with AdamW until validation stops to improve.

    Args:
        head: gives logits ``[B, C]`` for features ``[B, D]``, such as ``net.head``.
        train, val: features ``[N, D]`` and labels ``[N]``, as :func:`tlhelpers.look.extract` returns them; arrays,
            Series and lists are taken in their order.
        seed: of the order of the batches.
        class_weights: ``[C]``, as for :func:`fit`.

    Returns:
        What :func:`fit` returns.

    Raises:
        ValueError: as :func:`fit`; when there are not as many labels as rows of features, or no row at all.
        FloatingPointError: as :func:`fit`.
    """
    if val is train:
        warnings.warn("val is train: no score of this run tells of other images. Split off a part.", stacklevel=2)
    train, val = rows_and_labels(train, "train"), rows_and_labels(val, "val")
    order = torch.Generator().manual_seed(seed)
    batches = DataLoader(TensorDataset(*train), batch_size, shuffle=True, generator=order)
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=weight_decay)
    return fit(head, batches, [val], optimizer, epochs, class_weights=class_weights, patience=patience)


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


def class_weights(labels: Iterable[Any], n_classes: int | None = None) -> torch.Tensor:
    """Return weights ``[C]`` inverse to the class counts of ``labels [N]``, with mean 1 over the images.

    Args:
        labels: class indices in any container.
        n_classes: C; one more than the highest label when ``None``.

    Raises:
        ValueError: when a class has no example, or a label is no class index below ``n_classes``.
    """
    rows = labels.cpu().numpy() if isinstance(labels, torch.Tensor) else labels
    rows = rows if isinstance(rows, np.ndarray) and rows.ndim else in_order(rows, "labels")
    known = n_classes
    if known is None:
        known = 1 + max((int(label) for label in rows if np.ndim(label) == 0 and _is_whole(label)), default=0)
    numbers = class_numbers(rows, len(rows), [str(k) for k in range(known)], "rows")
    counts = np.bincount(numbers, minlength=known)
    if (counts == 0).any() or len(counts) < 2:
        raise ValueError(f"class counts are {counts.tolist()}; every class needs at least one example.")
    return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32)


def _is_whole(label: object) -> bool:
    return isinstance(label, (int, np.integer)) or (
        isinstance(label, torch.Tensor) and not label.is_floating_point()
    )
