"""Checks to run on a network and its loaders before training: each names a bug that raises no error.

They take an image classifier and loaders of ``(x, y)`` and return what they found: an empty list when all is well.
The classifier returns logits ``[B, C]``. Weights, buffers, modes, gradients and random states stay as they were.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from tlhelpers._machine import device_of, to_device
from tlhelpers.models._backbones import entering, keeping_modes
from tlhelpers.models._freezing import NORMS
from tlhelpers.train._groups import check_groups

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
Part = tuple[torch.Tensor, torch.Tensor]
Wanted = tuple[Any, Any] | None


@dataclass(frozen=True)
class Finding:
    """What one check found: its ``name``, ``what`` is wrong, with the value, and how to ``fix`` it."""

    name: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what} {self.fix}"


def before_training(
    net: nn.Module,
    train: Batches,
    val: Batches | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    transform: Any = None,
    *,
    pretrained: bool = True,
    limit: int = 1000,
) -> list[Finding]:
    """Run every check that the arguments allow and return what they found.

    Args:
        net: a classifier with logits ``[B, C]``, as it is before the first step.
        train, val: batches ``(x [B, 3, H, W] float, y [B] int)``; augmentation may move pixels, not their values.
        optimizer: the one that will train ``net``.
        transform: what the weights demand, with a normalization step; without it timm's settings are read.
        pretrained: whether the body of ``net`` was trained before; else its rates and features are not judged.
        limit: images read of each loader; copies are looked for among these.

    Raises:
        ValueError: when a loader gives no batch.
    """
    with untouched(net, train, val):
        x, y = _read(train, limit)
        few = x[:32], y[:32]
        findings = check_inputs(x, wanted_statistics(net, transform)) + check_labels(y)
        known = x.is_floating_point() and not y.is_floating_point() and y.min() >= 0
        sizes = check_head_size(net, *few) if known else findings
        if sizes:  # what follows would fail on these
            return findings + [finding for finding in sizes if finding not in findings]
        if val is not None:
            held = _read(val, limit)
            findings += check_inputs(held[0], wanted_statistics(net, transform)) + check_copies(x, held[0])
            findings += check_labels_fit(net, (x, y), held) if pretrained else []
        findings += check_frozen_norms(net)
        if optimizer is not None:
            findings += check_parameters(net, optimizer) + (check_rates(net, optimizer) if pretrained else [])
        return findings + check_first_loss(net, *few) + check_steady(net.eval(), few[0])


def wanted_statistics(net: nn.Module, transform: Any = None) -> Wanted:
    """Return mean and standard deviation of the first step of ``transform`` that has them, or those timm notes."""
    config = getattr(getattr(net, "net", net), "pretrained_cfg", None) or {}
    if transform is None and {"mean", "std"} <= set(config):
        return config["mean"], config["std"]
    transform = transform or getattr(net, "transform", None)
    steps = [transform, *getattr(transform, "transforms", [])]
    return next(((s.mean, s.std) for s in steps if hasattr(s, "mean") and hasattr(s, "std")), None)


def check_inputs(x: torch.Tensor, statistics: Wanted) -> list[Finding]:
    """Undo the normalization that the weights demand: pixels ``[B, 3, H, W]`` must come out between 0 and 1."""
    if not x.is_floating_point() or not torch.isfinite(x).all():
        return [Finding("inputs", f"the batch is {x.dtype} or holds NaN.", "Convert it; look at the files.")]
    if statistics is None:
        return []
    mean, std = (torch.as_tensor(values, dtype=x.dtype).view(1, -1, 1, 1) for values in statistics)
    low, high = (end.item() for end in (x * std + mean).aminmax())
    fine = low >= -0.05 and high <= 1.05 and high - low > 0.6
    what = f"with the weights' normalization undone, pixels run from {low:.2f} to {high:.2f}, not from 0 to 1."
    return _unless(fine, "inputs", what, "Take the transform from the weights; check ToTensor or ToDtype.")


def check_head_size(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> list[Finding]:
    """Compare the outputs of ``net`` with the labels: every label needs one, and few should stand idle."""
    out, classes = _logits(net, x), int(y.max()) + 1
    fine = out.ndim == 2 and classes <= out.shape[1] <= max(4 * classes, classes + 20)
    what = f"the outputs have shape {tuple(out.shape)}, and labels go up to {classes - 1}."
    return _unless(fine, "head_size", what, "Replace the head of the source task by one with an output a class.")


def check_labels(y: torch.Tensor, batch: int = 32) -> list[Finding]:
    """Look for labels that are no class, for a class without images, a rare one, and for batches of one class."""
    if y.is_floating_point() or y.min() < 0:
        what = f"labels are {y.dtype} and start at {y.min().item()}."
        return [Finding("labels", what, "Give whole numbers from 0 to C - 1.")]
    shares = torch.bincount(y).double() / len(y)
    what = f"shares of the classes: {', '.join(f'{share:.1%}' for share in shares.tolist()[:10])}."
    many = len(y) >= 10 * len(shares)  # among few, a class may be absent by chance
    even = (shares.min() > 0 or not many) and shares.max() <= 0.9
    findings = _unless(bool(even), "labels", what, "Weigh the classes; judge by AUROC or balanced accuracy.")
    mixed = len(y) <= 2 * batch or len(y[:batch].unique()) > 1
    what = f"the first {batch} labels are all {y[0].item()}: images come class by class."
    return findings + _unless(mixed, "labels", what, "Shuffle the training loader.")


def check_copies(x: torch.Tensor, other: torch.Tensor, threshold: float = 0.999) -> list[Finding]:
    """Look for images that stand in both parts: as they are, mirrored, or turned by quarters.

    Thumbnails of 32 x 32 pixels are compared by their correlation, so a copy that was saved again is found, too.
    """
    grays = [nn.functional.adaptive_avg_pool2d(part.float().mean(dim=1), 32) for part in (x, other)]
    centered = [gray - gray.mean(dim=(1, 2), keepdim=True) for gray in grays]
    a, b = (gray / gray.flatten(1).norm(dim=1).clamp_min(1e-9)[:, None, None] for gray in centered)
    turned = [torch.rot90(t, k, (1, 2)) for t in (b, b.flip(2)) for k in range(4)]
    best, twin = torch.stack([a.flatten(1) @ t.flatten(1).T for t in turned]).amax(dim=0).max(dim=0)
    copied = (best > threshold).nonzero().flatten().tolist()
    if not copied:
        return []
    what = (
        f"{len(copied)} of {len(b)} held-out images are in training, first {copied[0]} as {int(twin[copied[0]])}."
    )
    return [Finding("copies", what, "Split before you copy or augment, and by patient, machine or site.")]


def check_labels_fit(net: nn.Module, train: Part, held: Part, k: int = 5) -> list[Finding]:
    """Ask whether images that look alike to ``net`` share their labels more often than shuffled labels would."""
    (x, y), (x_held, y_held) = train, held
    a, b = _features(net, x), _features(net, x_held)
    mean, std = a.mean(dim=0), a.std(dim=0).clamp_min(1e-6)
    a, b = (nn.functional.normalize((f - mean) / std, dim=1) for f in (a, b))
    near = y[(b @ a.T).topk(min(k, len(a)), dim=1).indices]
    rng = torch.Generator().manual_seed(0)
    shuffled = [y_held[torch.randperm(len(y_held), generator=rng)] for _ in range(200)]
    chance = torch.stack([(near == labels[:, None]).double().mean() for labels in shuffled])
    share = (near == y_held[:, None]).double().mean()
    z = ((share - chance.mean()) / chance.std().clamp_min(1e-9)).item()
    what = f"similar images share the label in {share:.0%} of the cases, shuffled labels in {chance.mean():.0%}."
    swapped = "That is less than chance: is a class called 0 here and 1 there? Compare class_to_idx."
    shifted = "Look at ten images with their labels: is the list off by one?"
    return _unless(z > 2, "labels_fit", what, swapped if z < -4 else shifted)


def check_frozen_norms(net: nn.Module) -> list[Finding]:
    """Call ``train()`` as a training loop does, and look for BatchNorm layers that are frozen and move anyway."""
    with untouched(net):
        net.train()
        norms = [(name, m) for name, m in net.named_modules() if isinstance(m, NORMS) and m.track_running_stats]
        awake = [k for k, m in norms if m.training and m.weight is not None and not m.weight.requires_grad]
    if not awake:
        return []
    what = f"train() wakes {len(awake)} frozen BatchNorm layers, first {awake[0]!r}: their statistics will move."
    return [Finding("frozen_norms", what, "Put them in eval mode after every train() call.")]


def check_parameters(net: nn.Module, optimizer: torch.optim.Optimizer) -> list[Finding]:
    """Compare what ``optimizer`` holds with what ``net`` trains (:func:`check_groups`)."""
    findings = []
    try:
        check_groups(net, optimizer)
    except ValueError as error:
        findings.append(Finding("parameters", str(error), "Make the optimizer from all trained parameters."))
    ours = {id(p) for p in net.parameters()}
    held = [p for group in optimizer.param_groups for p in group["params"]]
    strangers = sum(id(p) not in ours for p in held)
    still = sum(id(p) in ours and not p.requires_grad for p in held)
    what = f"the optimizer holds {strangers} tensor(s) that are not in the network."
    findings += _unless(strangers == 0, "parameters", what, "Make it after the last layer was replaced.")
    what = f"the optimizer holds {still} frozen tensor(s), which no step will move."
    return findings + _unless(still == 0, "parameters", what, "Unfreeze them, or leave them out.")


def check_rates(net: nn.Module, optimizer: torch.optim.Optimizer, factor: float = 3) -> list[Finding]:
    """Compare the rate of the last layer with the highest below it, which should be lower by ``factor``."""
    inside = {id(p) for p in _head(net).parameters()}
    rate = [(id(p) in inside, g["lr"]) for g in optimizer.param_groups for p in g["params"] if p.requires_grad]
    head, body = ([lr for of_head, lr in rate if of_head == which] for which in (True, False))
    if not head or not body or max(body) * factor <= max(head) * (1 + 1e-6):
        return []
    what = f"pretrained layers learn at {max(body):g}, the new head at {max(head):g}."
    return [Finding("rates", what, "Give the backbone a rate 10 to 100 times lower.")]


def check_first_loss(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> list[Finding]:
    """Compare the loss before the first step with ln C, that of a head which knows nothing."""
    logits = _logits(net, x)
    loss, chance = nn.functional.cross_entropy(logits, y).item(), math.log(logits.shape[1])
    what = f"the loss before training is {loss:.2f}, and ln {logits.shape[1]} is {chance:.2f}."
    return _unless(loss < 1.6 * chance, "first_loss", what, "Look at the scale of inputs and of head weights.")


def check_steady(net: nn.Module, x: torch.Tensor) -> list[Finding]:
    """Predict three images or more with ``net`` in the mode it is in: twice, and the first two alone."""
    with untouched(net):
        first, again, alone = (_outputs(net, part) for part in (x, x, x[:2]))
    pairs = ("two calls", first, again), ("images in a large and a small batch", first[:2], alone)
    for what, one, other in pairs:
        apart = (one - other).abs().max().item()
        if not apart < 1e-3 * max(1.0, one.abs().max().item()):
            fix = "Call eval() before you predict, and keep batch statistics and dropout out of it."
            return [Finding("steady", f"outputs for {what} differ by {apart:.2g}.", fix)]
    return []


def _unless(fine: bool, name: str, what: str, fix: str) -> list[Finding]:
    return [] if fine else [Finding(name, what, fix)]


@contextmanager
def untouched(net: nn.Module, *loaders: Any) -> Iterator[None]:
    """Put back the state of ``net``, its modes, and the random generators, those of the loaders included."""
    state = {key: value.detach().clone() for key, value in net.state_dict().items()}
    drawn = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    generators = [getattr(loader, "generator", None) for loader in loaders]
    orders = [(order, order.get_state()) for order in generators if isinstance(order, torch.Generator)]
    try:
        with keeping_modes(net):
            yield
    finally:
        net.load_state_dict(state)
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        torch.set_rng_state(drawn[2])
        for device, state_of in enumerate(on_gpu):
            torch.cuda.set_rng_state(state_of, device)
        for order, position in orders:
            order.set_state(position)


def _read(batches: Batches, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
    xs, ys = [], []
    for x, y in batches:
        xs.append(x.cpu())
        ys.append(y.cpu())
        if sum(map(len, xs)) >= limit:
            break
    if not xs:
        raise ValueError("the loader gave no batch; is the data set empty?")
    return torch.cat(xs)[:limit], torch.cat(ys)[:limit]


def _head(net: nn.Module) -> nn.Module:
    return next((m for m in reversed(list(net.modules())) if isinstance(m, nn.Linear)), nn.Identity())


@torch.no_grad()
def _outputs(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    device = device_of(net)
    return torch.cat([net(to_device(part, device)).float().cpu() for part in x.split(64)])


def _logits(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with untouched(net):
        return _outputs(net.eval(), x)


def _features(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return what enters the last linear layer, or the logits where there is none."""
    with entering(_head(net)) as entered:
        logits = _logits(net, x)
    return (torch.cat(entered).float().cpu() if entered else logits).flatten(1)
