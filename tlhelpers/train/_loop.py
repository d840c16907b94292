"""The training loop: fit, watch the validation set, keep the best weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from tlhelpers import stats
from tlhelpers._machine import device_of, to_device
from tlhelpers.models._backbones import evaluating

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
MONITORS = {"loss": -1, "accuracy": 1, "balanced_accuracy": 1, "auroc": 1}


def fit(
    net: nn.Module,
    train: Batches,
    val: Batches,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    *,
    batch_scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    class_weights: torch.Tensor | None = None,
    patience: int | None = None,
    monitor: str = "loss",
    keep_start: bool = False,
    penalty: Callable[[], torch.Tensor] | None = None,
    before_epoch: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Train ``net``, where it lies, with cross-entropy; leave it with the weights of its best validation epoch.

    Args:
        train, val: batches ``(x [B, ...] float32, y [B] int64)``.
        batch_scheduler: stepped after each batch.
        class_weights: ``[C]``, weight of each class in the training loss.
        patience: stop after so many epochs without a better ``monitor``; ``None`` never stops early.
        monitor: ``loss``, ``accuracy``, ``balanced_accuracy`` or ``auroc``, on the validation set.
        keep_start: whether the weights before the first step are a candidate, as epoch 0. Say so when they
            are worth keeping, as after a first stage; new weights are not.
        penalty: called at each step; what it returns, a number that depends on the weights, is added to the loss
            that trains, not to those that are reported, as :func:`ewc`.
        before_epoch: called with the number of each epoch, from 1, once the network is in train mode and before its
            first batch: the place to unfreeze, or to hold layers in eval mode.

    Returns:
        One row an epoch: ``epoch`` (from 1, or from 0), ``train_loss`` (mean over its images; NaN in epoch 0),
        ``val_loss``, ``val_accuracy``, ``val_balanced_accuracy``, ``val_auroc``, ``seconds``, and ``best``.

    Raises:
        ValueError: for an unknown monitor, no epoch, no patience, or an empty training set.
        FloatingPointError: when the loss is not finite, naming epoch and batch.
    """
    if monitor not in MONITORS:
        raise ValueError(f"monitor={monitor!r}; give one of {', '.join(MONITORS)}.")
    for name, number in (("epochs", epochs), ("patience", patience)):
        if number is not None and number < 1:
            raise ValueError(f"{name}={number}; give 1 or more.")
    device = device_of(net)
    criterion = nn.CrossEntropyLoss(weight=None if class_weights is None else class_weights.to(device))
    rows: list[dict[str, float]] = []
    best, best_score, best_weights = 0, -np.inf, copy.deepcopy(net.state_dict())
    bar = tqdm(total=epochs, unit="epoch", leave=False)
    for epoch in range(0 if keep_start else 1, epochs + 1):
        start = time.perf_counter()
        train_loss = float("nan")
        if epoch:
            net.train()  # frozen stages of a Backbone stay in eval mode
            if before_epoch is not None:
                before_epoch(epoch)
            train_loss = _epoch(net, train, criterion, optimizer, epoch, batch_scheduler, penalty)
        watched = evaluate(net, val)
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
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    batch_scheduler: torch.optim.lr_scheduler.LRScheduler | None,
    penalty: Callable[[], torch.Tensor] | None,
) -> float:
    device, total, count = device_of(net), 0.0, 0
    for number, (x, y) in enumerate(batches, start=1):
        x, y = to_device(x, device), y.to(device)
        loss = criterion(net(x), y)
        total_loss = loss if penalty is None else loss + penalty()
        if not torch.isfinite(total_loss):
            rates = ", ".join(f"{group['lr']:.1e}" for group in optimizer.param_groups[:4])
            raise FloatingPointError(
                f"the loss is {total_loss.item()} in epoch {epoch}, batch {number}; learning rates {rates}. "
                "Lower the rate, or look for NaN in the inputs."
            )
        optimizer.zero_grad(set_to_none=True)
        total_loss.backward()
        optimizer.step()
        if batch_scheduler is not None:
            batch_scheduler.step()
        total += loss.item() * len(y)
        count += len(y)
    if count == 0:
        raise ValueError("the training loader gave no batch; is the training set empty?")
    return total / count


def predict_proba(net: nn.Module, batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    """Return class probabilities ``[N, C]`` and labels ``[N]``, predicted in eval mode.

    Raises:
        ValueError: when there is no batch.
    """
    logits, labels = _logits(net, batches)
    return logits.softmax(dim=1).numpy(), labels.numpy()


@torch.no_grad()
def _logits(net: nn.Module, batches: Batches) -> tuple[torch.Tensor, torch.Tensor]:
    device, outputs, labels = device_of(net), [], []
    with evaluating(net):
        for x, y in batches:
            outputs.append(net(to_device(x, device)).float().cpu())
            labels.append(y.cpu())
    if not outputs:
        raise ValueError("the loader gave no batch; is the set empty?")
    return torch.cat(outputs), torch.cat(labels)


def evaluate(net: nn.Module, batches: Batches) -> dict[str, float]:
    """Return ``loss`` (unweighted cross-entropy), ``accuracy``, ``balanced_accuracy`` and ``auroc``.

    Raises:
        ValueError: when there is no batch, or the labels hold one class only.
    """
    logits, labels = _logits(net, batches)
    loss = nn.functional.cross_entropy(logits, labels).item()
    return {"loss": loss, **stats.scores(logits.softmax(dim=1).numpy(), labels.numpy())}


def fit_head(
    head: nn.Module,
    train: tuple[torch.Tensor, torch.Tensor],
    val: tuple[torch.Tensor, torch.Tensor],
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
        train, val: features ``[N, D]`` and labels ``[N]``, as :func:`tlhelpers.look.extract` returns them.
        seed: of the order of the batches.
        class_weights: ``[C]``, as for :func:`fit`.

    Returns:
        What :func:`fit` returns.

    Raises:
        ValueError, FloatingPointError: as :func:`fit`.
    """
    order = torch.Generator().manual_seed(seed)
    batches = DataLoader(TensorDataset(*train), batch_size, shuffle=True, generator=order)
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=weight_decay)
    return fit(head, batches, [val], optimizer, epochs, class_weights=class_weights, patience=patience)


def class_weights(labels: np.ndarray, n_classes: int | None = None) -> torch.Tensor:
    """Return weights ``[C]`` inverse to the class counts of ``labels [N]``, with mean 1 over the images.

    Raises:
        ValueError: when a class has no example.
    """
    counts = np.bincount(np.asarray(labels), minlength=n_classes or 0)
    if (counts == 0).any() or len(counts) < 2:
        raise ValueError(f"class counts are {counts.tolist()}; every class needs at least one example.")
    return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32)
