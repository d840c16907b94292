"""The training loop: fit, watch the validation set, keep the best weights."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Iterable
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
from tlhelpers.models._freezing import NORMS
from tlhelpers.train._batches import (
    Batches,
    Fault,
    Part,
    as_input,
    label_fault,
    pairs,
    refused,
)
from tlhelpers.train._guards import (
    check_calls,
    check_moving,
    check_optimizer,
    check_sets,
    checked_weights,
    fitting,
    logits_of,
    loss_fault,
    moves,
    one_number,
    probability_fault,
    rows_and_labels,
    targets,
    whole,
    whole_from_one,
)
from tlhelpers.train._schedules import (
    MONITORS,
    can_raise,
    check_group_count,
    check_schedules,
    rates_of,
    step,
    step_with,
    warn_of_fall,
)

__all__ = ["class_weights", "device_of", "evaluate", "fit", "fit_head", "predict_proba", "to_device"]


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
            batch, labels, outputs or weights that do not fit, an optimizer that moves nothing here, as one whose
            rates are all 0 without a schedule, a penalty that is no function or gives no number, or a schedule
            that is of another optimizer, of other groups, for other steps, used up, or for another direction of
            the monitor.
        RuntimeError: when the network fails on a batch, with the likely cause.
        FloatingPointError: when the loss is not finite, naming epoch and batch.

    Warns:
        UserWarning: when ``batch_scheduler`` lets a rate fall a thousandfold within an epoch or two, and much of
            the run is still to come; when ``scheduler`` plans many more steps than there are epochs; when ``val``
            is ``train``.
    """
    if monitor not in MONITORS:
        raise ValueError(f"monitor={monitor!r}; give one of {', '.join(MONITORS)}.")
    epochs = whole_from_one(epochs, "epochs")
    if patience is not None:
        patience = whole_from_one(patience, "patience", ", or None, which never stops early")
    check_sets(train, val, epochs, keep_start)
    check_calls(penalty, before_epoch)
    check_optimizer(net, optimizer)
    check_schedules(scheduler, batch_scheduler, optimizer, train, epochs, monitor)
    schedule = scheduler if scheduler is not None else batch_scheduler
    lifted = can_raise(schedule)
    if not lifted and before_epoch is None:
        check_moving(optimizer)
    device = device_of(net)
    weights = None if class_weights is None else checked_weights(class_weights).to(device)
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
                if schedule is not None:
                    check_group_count(schedule, optimizer)
                if epoch == 1 and not lifted:  # it may have set the rates
                    check_moving(optimizer)
            rates.append([rates_of(optimizer)])
            train_loss = _epoch(net, train, weights, optimizer, epoch, batch_scheduler, penalty, rates[-1])
            if batch_scheduler is not None and not told:
                told = warn_of_fall(batch_scheduler, rates, epochs)
        watched = evaluate(net, val)
        if epoch and scheduler is not None:
            step_with(scheduler, watched[monitor])
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
        logits = logits_of(net, x, where)
        y = targets(y, logits.shape[1], where, soft=True).to(
            device, logits.dtype if y.is_floating_point() else None
        )
        loss = nn.functional.cross_entropy(logits, y, weight=fitting(weights, logits))
        total_loss = loss if penalty is None else loss + one_number(penalty())
        if not torch.isfinite(total_loss):
            raise FloatingPointError(loss_fault(total_loss, loss, optimizer, x, f"epoch {epoch}, batch {number}"))
        if not total_loss.requires_grad or not moves(optimizer):
            raise ValueError(
                f"no parameter that the optimizer holds is trained in epoch {epoch}, so no step would move one; "
                "unfreeze a part, and make the optimizer from what is trained."
            )
        optimizer.zero_grad(set_to_none=True)
        total_loss.backward()
        optimizer.step()
        if batch_scheduler is not None:
            step(batch_scheduler)
            rates.append(rates_of(optimizer))
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
            logits = logits_of(net, as_input(x, net), where).float().cpu()
            if not torch.isfinite(logits.softmax(dim=1)).all():
                raise ValueError(f"{where}: probabilities hold NaN or infinity; {probability_fault(net, x)}")
            outputs.append(logits)
            labels.append(y.cpu())
    if not outputs:
        raise ValueError("the loader gave no batch; is the set empty? A generator is, once it was read.")
    return torch.cat(outputs), torch.cat(labels)


def evaluate(net: nn.Module, batches: Batches) -> dict[str, float]:
    """Return ``loss`` (unweighted cross-entropy), ``accuracy``, ``balanced_accuracy`` and ``auroc``.

    Raises:
        ValueError: as :func:`predict_proba`; when labels are not class indices ``[B]`` of its outputs, or hold one
            class only.
        RuntimeError: as :func:`predict_proba`.
    """
    logits, labels = _logits(net, batches)
    labels = targets(labels, logits.shape[1], "the set to predict")
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
        seed: of the order of the batches, a whole number.
        batch_size: where the head holds BatchNorm, a last batch of one row is left out of each epoch.
        class_weights: ``[C]``, as for :func:`fit`.

    Returns:
        What :func:`fit` returns.

    Raises:
        ValueError: as :func:`fit`; when there are not as many labels as rows of features, or no row at all; when
            ``seed`` or ``batch_size`` is no whole number, or ``lr`` is not positive.
        RuntimeError, FloatingPointError: as :func:`fit`.
    """
    if val is train:
        warnings.warn("val is train: no score of this run tells of other images. Split off a part.", stacklevel=2)
    number, size = whole(seed), whole_from_one(batch_size, "batch_size")
    if number is None or not -(2**63) <= number < 2**64:
        raise ValueError(f"seed={seed!r}; give a whole number, such as 0.")
    if lr is None or isinstance(lr, str) or not 0 < lr < math.inf:
        raise ValueError(f"lr={lr!r}: a learning rate is positive; 0 would train nothing. Give one such as 1e-3.")
    train, val = rows_and_labels(train, "train"), rows_and_labels(val, "val")
    rows, normed = len(train[0]), any(isinstance(module, NORMS) for module in head.modules())
    batches = DataLoader(
        TensorDataset(*train),
        size,
        shuffle=True,
        generator=torch.Generator().manual_seed(number),
        # A last batch of one row gives BatchNorm nothing to normalize with.
        drop_last=normed and rows > size and rows % size == 1,
    )
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=weight_decay)
    try:
        return fit(head, batches, [val], optimizer, epochs, class_weights=class_weights, patience=patience)
    except (RuntimeError, ValueError) as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"the head holds BatchNorm, which cannot learn from one row, and train has {rows} row(s) in batches "
            f"of {size}; give two rows or more, and batch_size=2 or more."
        ) from error


def class_weights(labels: Iterable[Any], n_classes: int | None = None) -> torch.Tensor:
    """Return weights ``[C]`` inverse to the class counts of ``labels [N]``, with mean 1 over the images.

    Args:
        labels: class indices in any container.
        n_classes: C; one more than the highest label when ``None``.

    Raises:
        ValueError: when a class has no example, or a label is no class index below ``n_classes``, or one far
            above the number of labels.
    """
    rows = labels.cpu().numpy() if isinstance(labels, torch.Tensor) else labels
    rows = rows if isinstance(rows, np.ndarray) and rows.ndim else in_order(rows, "labels")
    most = 10 * len(rows) + 1000  # more would leave classes without an example, and take long to count
    if n_classes is None:
        found = {row: int(label) for row, label in enumerate(rows) if np.ndim(label) == 0 and _is_whole(label)}
        highest = max(found, key=lambda row: found[row], default=None)
        known = 1 if highest is None else 1 + found[highest]
        if highest is not None and known > most:
            raise ValueError(
                f"label {found[highest]} of row {highest} is no class number, among {len(rows)} labels; number "
                "the classes from 0: names, labels = np.unique(labels, return_inverse=True)."
            )
    else:
        known = whole_from_one(n_classes, "n_classes")
        if known > most:
            raise ValueError(f"n_classes={known} for {len(rows)} labels; every class needs at least one example.")
    numbers = class_numbers(rows, len(rows), [str(k) for k in range(known)], "rows")
    counts = np.bincount(numbers, minlength=known)
    if (counts == 0).any() or len(counts) < 2:
        shown = str(counts.tolist())
        if len(counts) > 10:
            empty = np.flatnonzero(counts == 0)
            shown = f"{counts.tolist()[:10]} ..., and {len(empty)} of {len(counts)} are 0, first class {empty[0]}"
        raise ValueError(f"class counts are {shown}; every class needs at least one example.")
    return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32)


def _is_whole(label: object) -> bool:
    return isinstance(label, (int, np.integer)) or (
        isinstance(label, torch.Tensor) and not label.is_floating_point()
    )
