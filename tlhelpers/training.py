"""The training loop: fit, watch the validation set, keep the best weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from tlhelpers import measures, profile

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
MONITORS = {"loss": -1, "accuracy": 1, "balanced_accuracy": 1, "auroc": 1}


def fit(
    net: nn.Module,
    train: Batches,
    val: Batches,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    class_weights: torch.Tensor | None = None,
    patience: int | None = None,
    monitor: str = "loss",
    start_counts: bool = False,
    device: str | None = None,
    penalty: Callable[[], torch.Tensor] | None = None,
) -> pd.DataFrame:
    """Train ``net`` with cross-entropy and leave it with the weights of its best validation epoch.

    Args:
        train, val: batches ``(x [B, ...] float32, y [B] int64)``.
        scheduler: stepped after each batch.
        class_weights: ``[C]``, weight of each class in the training loss.
        patience: stop after so many epochs without a better ``monitor``; ``None`` never stops early.
        monitor: ``loss``, ``accuracy``, ``balanced_accuracy`` or ``auroc``, on the validation set.
        start_counts: whether the weights before the first step are a candidate, as epoch 0. Say so when they
            are worth keeping, as after a first stage; new weights are not.
        penalty: called at each step; what it returns, a number that depends on the weights, is added to the loss
            that trains, not to those that are reported. See :mod:`tlhelpers.forgetting`.

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
    settings = profile.current()
    device = device or settings.device
    net.to(device)
    criterion = nn.CrossEntropyLoss(weight=None if class_weights is None else class_weights.to(device))
    rows: list[dict[str, float]] = []
    best, best_score, best_weights = 0, -np.inf, copy.deepcopy(net.state_dict())
    bar = tqdm(total=epochs, unit="epoch", leave=False, disable=not settings.progress)
    for epoch in range(0 if start_counts else 1, epochs + 1):
        start = time.perf_counter()
        train_loss = float("nan")
        if epoch:
            train_loss = _epoch(net, train, criterion, optimizer, scheduler, device, epoch, penalty)
        found = evaluate(net, val, device=device)
        rows.append(
            {
                "epoch": epoch,
                "train_loss": train_loss,
                **{f"val_{name}": value for name, value in found.items()},
                "seconds": time.perf_counter() - start,
            }
        )
        score = MONITORS[monitor] * found[monitor]
        if score > best_score:
            best, best_score, best_weights = epoch, score, copy.deepcopy(net.state_dict())
        bar.update(epoch > 0)
        bar.set_postfix(train_loss=f"{train_loss:.3f}", val_loss=f"{found['loss']:.3f}")
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
    scheduler: torch.optim.lr_scheduler.LRScheduler | None,
    device: str,
    epoch: int,
    penalty: Callable[[], torch.Tensor] | None,
) -> float:
    # At every epoch, because evaluation switched the mode; frozen stages stay in eval (see backbones).
    net.train()
    total, count = 0.0, 0
    for number, (x, y) in enumerate(batches, start=1):
        x, y = _to(x, device), y.to(device)
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
        if scheduler is not None:
            scheduler.step()
        total += loss.item() * len(y)
        count += len(y)
    if count == 0:
        raise ValueError("the training loader gave no batch; is the training set empty?")
    return total / count


def _to(x: torch.Tensor, device: str) -> torch.Tensor:
    # Channels last makes convolutions on a CPU three times faster; it exists only for images.
    return x.to(device, memory_format=torch.channels_last) if x.ndim == 4 else x.to(device)


def predict(net: nn.Module, batches: Batches, device: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return class probabilities ``[N, C]`` and labels ``[N]``, predicted in eval mode.

    Raises:
        ValueError: when there is no batch.
    """
    logits, labels = _logits(net, batches, device or profile.current().device)
    return logits.softmax(dim=1).numpy(), labels.numpy()


@torch.no_grad()
def _logits(net: nn.Module, batches: Batches, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    was_training = net.training
    net.to(device).eval()
    outputs, labels = [], []
    try:
        for x, y in batches:
            outputs.append(net(_to(x, device)).float().cpu())
            labels.append(y.cpu())
    finally:
        net.train(was_training)
    if not outputs:
        raise ValueError("the loader gave no batch; is the set empty?")
    return torch.cat(outputs), torch.cat(labels)


def evaluate(net: nn.Module, batches: Batches, device: str | None = None) -> dict[str, float]:
    """Return ``loss`` (unweighted cross-entropy), ``accuracy``, ``balanced_accuracy`` and ``auroc``.

    Raises:
        ValueError: when there is no batch, or the labels hold one class only.
    """
    logits, labels = _logits(net, batches, device or profile.current().device)
    loss = nn.functional.cross_entropy(logits, labels).item()
    return {"loss": loss, **measures.scores(logits.softmax(dim=1).numpy(), labels.numpy())}


def class_weights(labels: np.ndarray, n_classes: int | None = None) -> torch.Tensor:
    """Return weights ``[C]`` inverse to the class counts of ``labels [N]``, with mean 1 over the images.

    Raises:
        ValueError: when a class has no example.
    """
    counts = np.bincount(np.asarray(labels), minlength=n_classes or 0)
    if (counts == 0).any() or len(counts) < 2:
        raise ValueError(f"class counts are {counts.tolist()}; every class needs at least one example.")
    return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32)
