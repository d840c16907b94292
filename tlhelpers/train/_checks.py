"""Checks to run on a network and its loaders before training: each names a bug that raises no error.

They take an image classifier and loaders of ``(x, y)`` and return what they found: an empty list when all is well.
The classifier returns logits ``[B, C]``. Weights, buffers, modes, gradients and random states stay as they were.
What a check cannot work with, labels of another kind or a network that fails, is a finding, too, and no error.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, SequentialSampler

from tlhelpers.data._shortcuts import found_in
from tlhelpers.models._backbones import entering, keeping_modes
from tlhelpers.models._freezing import NORMS
from tlhelpers.train._batches import (
    Batches,
    Fault,
    Part,
    as_input,
    as_tensor,
    fault_of,
    forward_fault,
    label_fault,
    not_finite,
    one_pass,
    output_fault,
    pairs,
    range_fault,
    shares,
    spoiled,
)
from tlhelpers.train._groups import check_groups
from tlhelpers.train._guards import optimizer_fault, still_fault

Wanted = tuple[Any, Any] | None
P = ParamSpec("P")
FEW = 30
"""Images of a part below which labels that are right look shuffled too often."""


@dataclass(frozen=True)
class Finding:
    """What one check found: its ``name``, ``what`` is wrong, with the value, and how to ``fix`` it."""

    name: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what} {self.fix}"


class _Found(Exception):
    """Ends a check with a finding: what follows could not be judged."""

    def __init__(self, name: str, fault: Fault) -> None:
        super().__init__(fault.what)
        self.finding = Finding(name, f"{fault.what}.", fault.cure)


def _told(check: Callable[P, list[Finding]]) -> Callable[P, list[Finding]]:
    """Let a check return what ends it as its finding."""

    @wraps(check)
    def telling(*args: P.args, **kwargs: P.kwargs) -> list[Finding]:
        try:
            return check(*args, **kwargs)
        except _Found as found:
            return [found.finding]

    return telling


def before_training(
    net: nn.Module,
    train: Batches,
    val: Batches | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    transform: Any = None,
    *,
    pretrained: bool = True,
    grouped: bool = False,
    limit: int = 1000,
) -> list[Finding]:
    """Run every check that the arguments allow and return what they found.

    The network is called in train mode once, as the loop will call it. What the later checks could not work with,
    batches that are no pairs ``(x, y)``, labels that are no class indices, or a network that fails, ends the list.

    Args:
        net: a classifier with logits ``[B, C]``, as it is before the first step.
        train, val: batches ``(x [B, 3, H, W] float, y [B] int)``; augmentation may move pixels, not their values.
            Labels of ``train`` may be shares ``[B, C]``, as mixup gives them; the largest of a row is judged.
            Where the network begins with an embedding, inputs may be tokens ``[B, T]``.
        optimizer: the one that will train ``net``.
        transform: what the weights demand, with a normalization step; without it timm's settings are read.
        pretrained: whether the body of ``net`` was trained before; else its rates and features are not judged.
        grouped: whether images of one source were kept in one part; then their order is not judged.
        limit: images read of each loader; copies are looked for among these.

    Raises:
        ValueError: when a loader gives no batch, or ``limit`` is below 1.
    """
    if limit < 1:
        raise ValueError(f"limit={limit}; give the number of images to read, 1 or more.")
    findings: list[Finding] = []
    with untouched(net, train, val):
        try:
            _run_checks(findings, net, train, val, optimizer, transform, pretrained, grouped, limit)
        except _Found as found:
            if found.finding not in findings:
                findings.append(found.finding)
    return findings


def _run_checks(
    findings: list[Finding],
    net: nn.Module,
    train: Batches,
    val: Batches | None,
    optimizer: torch.optim.Optimizer | None,
    transform: Any,
    pretrained: bool,
    grouped: bool,
    limit: int,
) -> None:
    wanted = wanted_statistics(net, transform)
    (x, y), single = _read(train, limit, "train")
    columns = y.shape[1] if shares(y) else None
    y = y.argmax(dim=1) if columns else y
    few = x[:32], y[:32]
    tokens = _takes_tokens(net, x)
    findings += ([] if tokens else check_inputs(x, wanted)) + check_labels(y)
    if not tokens and (not x.is_floating_point() or not torch.isfinite(x).all()):  # what follows would fail
        return
    findings += [] if tokens else _another_type(net, x)
    if label_fault(y):
        return
    _in_train_mode(net, few[0], single)
    if sizes := check_head_size(net, *few):
        findings += [finding for finding in sizes if finding not in findings]
        return
    if columns and columns != (outputs := _logits(net, few[0]).shape[1]):
        what = f"labels are shares of {columns} classes, and the network has {outputs} outputs"
        raise _Found("head_size", Fault(what, "Give a share of each output."))
    if val is not None:
        held, _ = _read(val, limit, "val")
        tokens = _takes_tokens(net, held[0])
        findings += [] if tokens else check_inputs(held[0], wanted)
        if not tokens and (not held[0].is_floating_point() or not torch.isfinite(held[0]).all()):
            return
        findings += check_copies(x, held[0])
        _class_indices(held[1], "the held-out ")
        findings += _label_type(held[1], "the held-out ")
        if fault := range_fault(held[1], _logits(net, few[0]).shape[1]):
            raise _Found("head_size", Fault(f"the held-out {fault.what}", fault.cure))
        findings += check_labels_fit(net, (x, y), held) if pretrained else []
    if not grouped and not tokens:
        read = {"training": (train, y)} | ({} if val is None else {"validation": (val, held[1])})
        orders = (check_order(labels, part) for part, (batches, labels) in read.items() if _in_order(batches))
        findings += next(filter(None, orders), [])  # one is enough
    findings += check_frozen_norms(net)
    if optimizer is not None:
        findings += check_parameters(net, optimizer)
        resting = optimizer_fault(optimizer) is None and still_fault(optimizer) is not None
        findings += check_rates(net, optimizer) if pretrained or resting else []
    findings += check_first_loss(net, *few) + check_steady(net.eval(), few[0])


def _takes_tokens(net: nn.Module, x: torch.Tensor) -> bool:
    """Return whether inputs are whole numbers for a network whose first layer looks them up."""
    first = next((m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Embedding, nn.Linear))), None)
    return isinstance(first, nn.Embedding) and x.dtype in (torch.int32, torch.int64) and x.numel() > 0


def _label_type(y: torch.Tensor, whose: str = "") -> list[Finding]:
    what = f"{whose}labels are {y.dtype}, from {y.min().item()} on."
    fix = "Write y.long(): cross-entropy wants int64; fit does it for you."
    return _unless(y.dtype == torch.int64, "labels", what, fix)


def _another_type(net: nn.Module, x: torch.Tensor) -> list[Finding]:
    kind = next((p.dtype for p in net.parameters() if p.is_floating_point()), x.dtype)
    what = f"pixels are {x.dtype}, and the network computes with {kind}."
    return _unless(x.dtype == kind, "inputs", what, f"Write x.to({kind}) in the transform; fit does it for you.")


def _in_train_mode(net: nn.Module, x: torch.Tensor, single: bool) -> None:
    """Call the network as a training loop does, and on one image where the loader has such a batch."""
    with untouched(net):
        net.train()
        _outputs(net, x, "in train mode ")
        if single and len(x) > 1:
            _outputs(net, x[:1], "in train mode, on a batch of one image such as the loader has, ")


def wanted_statistics(net: nn.Module, transform: Any = None) -> Wanted:
    """Return mean and standard deviation of the first step of ``transform`` that has them, or those timm notes."""
    config = getattr(getattr(net, "net", net), "pretrained_cfg", None) or {}
    if transform is None and {"mean", "std"} <= set(config):
        return config["mean"], config["std"]
    transform = transform or getattr(net, "transform", None)
    return next(((s.mean, s.std) for s in _steps(transform) if hasattr(s, "mean") and hasattr(s, "std")), None)


def _steps(transform: Any) -> Iterator[Any]:
    yield transform
    for step in getattr(transform, "transforms", []):
        yield from _steps(step)


@_told
def check_inputs(x: torch.Tensor, statistics: Wanted) -> list[Finding]:
    """Undo the normalization that the weights demand: pixels ``[B, 3, H, W]`` must come out between 0 and 1."""
    x = _tensor(x, "inputs")
    if not x.is_floating_point():
        fix = "Convert them with v2.ToDtype(torch.float32, scale=True), then normalize as the weights demand."
        return [Finding("inputs", f"pixels are {x.dtype}, not floats.", fix)]
    if not x.numel():
        return [Finding("inputs", f"the batch is empty: its shape is {tuple(x.shape)}.", "Look at the loader.")]
    if rows := not_finite(x):
        return [Finding("inputs", f"in the batch {rows}.", "Look at the files of these rows.")]
    if statistics is None:
        return []
    mean, std = (torch.as_tensor(values, dtype=x.dtype).reshape(-1) for values in statistics)
    if x.ndim != 4 or x.shape[1] != len(mean):
        what = f"images have shape {tuple(x.shape)}, and the weights' normalization has {len(mean)} channels."
        return [Finding("inputs", what, _channels_fix(x, len(mean)))]
    low, high = (end.item() for end in (x * std.view(1, -1, 1, 1) + mean.view(1, -1, 1, 1)).aminmax())
    inside = low >= -0.05 and high <= 1.05
    what = f"with the weights' normalization undone, pixels run from {low:.2f} to {high:.2f}, not from 0 to 1."
    fix = "Take the transform from the weights; check ToTensor or ToDtype."
    narrow = (
        f"{fix} Or these pictures fill little of the range, as dark or pale ones do, or 12 bits in 16-bit files: "
        "look at one; if so, stretch the whole set by one scale."
    )
    return _unless(inside and high - low > 0.6, "inputs", what, narrow if inside else fix)


def _channels_fix(x: torch.Tensor, wanted: int) -> str:
    if x.ndim != 4:
        return f"Give [B, {wanted}, H, W]."
    if x.shape[3] == wanted:
        return "The channels stand last: write x.permute(0, 3, 1, 2)."
    own = "If the first layer was changed for them, give a transform with statistics of its own."
    if x.shape[1] == 1:
        return f"Open gray images as RGB, or write x.expand(-1, {wanted}, -1, -1). {own}"
    if x.shape[1] == wanted + 1:
        return f"Open the images as RGB, or leave the last channel out, x[:, :{wanted}]. {own}"
    return own


@_told
def check_head_size(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> list[Finding]:
    """Compare the outputs of ``net`` with the labels: every label needs one, and few should stand idle."""
    x, y = _matched(x, y)
    out, classes = _answer(net, x), int(y.max()) + 1
    what = f"the outputs have shape {tuple(out.shape)}, and labels go up to {classes - 1}."
    if fault := output_fault(out, len(out)):
        return [Finding("head_size", what, fault.cure)]
    fine = classes <= out.shape[1] <= max(4 * classes, classes + 20)
    fix = "Replace the head of the source task by one with an output a class."
    if classes == out.shape[1] + 1 and y.min() >= 1:
        fix = "Labels seem to be counted from 1: write y - 1."
    return _unless(fine, "head_size", what, fix)


@_told
def check_labels(y: torch.Tensor, batch: int = 32) -> list[Finding]:
    """Look for labels that are no class, for a class without images, a rare one, and for batches of one class."""
    y = _tensor(y, "labels")
    if fault := label_fault(y):
        return [Finding("labels", f"{fault.what}.", fault.cure)]
    findings, y = _label_type(y), y.long()
    if int(y.max()) > 10 * len(y) + 1000:  # one count a class would not fit into memory
        what = f"labels go up to {int(y.max())}, among {len(y)} images."
        fix = "Number the classes from 0: names, y = np.unique(y, return_inverse=True)."
        return [*findings, Finding("labels", what, fix)]
    shares = torch.bincount(y).double() / len(y)
    what = f"shares of the classes: {', '.join(f'{share:.1%}' for share in shares.tolist()[:10])}."
    many = len(y) >= 10 * len(shares)  # among few, a class may be absent by chance
    even = (shares.min() > 0 or not many) and shares.max() <= 0.9
    findings += _unless(bool(even), "labels", what, "Weigh the classes; judge by AUROC or balanced accuracy.")
    mixed = len(y) <= 2 * batch or len(y[:batch].unique()) > 1
    what = f"the first {batch} labels are all {y[0].item()}: images come class by class."
    return findings + _unless(mixed, "labels", what, "Shuffle the training loader.")


@_told
def check_order(y: torch.Tensor, part: str = "training") -> list[Finding]:
    """Ask whether place in the list tells the labels ``[N]``, which stand in the order of the files.

    What it finds, and what it cannot, :func:`tlhelpers.data.shortcuts` tells, which sees file names, too.
    """
    y = _tensor(y, "labels")
    if fault := label_fault(y):
        return [Finding("order", f"{fault.what}.", fault.cure)]
    fix = (
        "Images of one source may stand together: keep each source in one part, as tl.data.parts(..., "
        "ties=source) does. If you do, say grouped=True."
    )
    return [Finding("order", f"in {part}, {shortcut}.", fix) for shortcut in found_in(y.numpy())]


def _in_order(batches: Batches) -> bool:
    """Return whether batches come in the order of a list, as far as can be known."""
    if not isinstance(batches, DataLoader):
        return True
    sampler = batches.sampler if batches.batch_sampler is None else getattr(batches.batch_sampler, "sampler", None)
    return isinstance(sampler, SequentialSampler)


@_told
def check_copies(x: torch.Tensor, other: torch.Tensor, threshold: float = 0.999) -> list[Finding]:
    """Look for images that stand in both parts: as they are, mirrored, or turned by quarters.

    Thumbnails of 32 x 32 pixels are compared by their correlation, so a copy that was saved again is found, too.
    Inputs that are no images ``[B, C, H, W]`` are not compared.
    """
    x, other = _tensor(x, "inputs"), _tensor(other, "inputs")
    if x.ndim != 4 or other.ndim != 4 or not len(x) or not len(other):
        return []
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


@_told
def check_labels_fit(net: nn.Module, train: Part, held: Part, k: int = 5) -> list[Finding]:
    """Ask whether images that look alike to ``net`` share their labels more often than shuffled labels would.

    The ``k`` training images nearest to each held-out one must agree with it by 2 standard deviations more than
    after a shuffle of the held-out labels, and than after one of the training labels. About 3 in 100 shuffled
    lists pass all the same. Agreement 3 standard deviations *below* both tells of classes in another order; where
    either part has fewer than 30 images, nothing else is told. Where one has a single class, there is nothing to
    ask.

    Right labels fail where images are few, and where features say little of them. Measured on the nine tasks of
    :data:`tlhelpers.data.IMAGE_TASKS`, 24 splits each, EfficientNet-Lite0 at 64 pixels: on seven of them there was
    no false alarm with 100 training images and 200, 100, 50 or 30 held-out ones, and 3 in 100 with 30 in both
    parts. Damage in solar cells of other modules, which these features show weakly, failed in 6, 8, 10 and 12 of
    24 splits and in 17; how a photograph was turned, which they hardly show at all, in 21 or more.
    """
    (x, y), (x_held, y_held) = (_matched(*part) for part in (train, held))
    if len(y.unique()) < 2 or len(y_held.unique()) < 2:
        return []
    a, b = _features(net, x), _features(net, x_held)
    mean, std = a.mean(dim=0), a.std(dim=0).clamp_min(1e-6)
    a, b = (nn.functional.normalize((f - mean) / std, dim=1) for f in (a, b))
    near = (b @ a.T).topk(min(k, len(a)), dim=1).indices
    rng = torch.Generator().manual_seed(0)
    chance = torch.stack([_agreement(near, y, mixed) for mixed in _shuffled(y_held, rng)])
    # Neighbors are shared: a few training images decide for many held-out ones, which the shuffle above overlooks.
    of_train = torch.stack([_agreement(near, mixed, y_held) for mixed in _shuffled(y, rng)])
    share = _agreement(near, y, y_held)
    z = [((share - null.mean()) / null.std().clamp_min(1e-9)).item() for null in (chance, of_train)]
    what = f"similar images share the label in {share:.0%} of the cases, shuffled labels in {chance.mean():.0%}."
    if max(z) < -3:
        swapped = "That is less than chance: is a class called 0 here and 1 there? Compare class_to_idx."
        return [Finding("labels_fit", what, swapped)]
    shifted = (
        "Look at ten images with their labels: is the list off by one? If they are right, the network sees too "
        "little of these classes, or there are too few images to tell."
    )
    return _unless(min(z) > 2 or min(len(y), len(y_held)) < FEW, "labels_fit", what, shifted)


def _agreement(near: torch.Tensor, y: torch.Tensor, y_held: torch.Tensor) -> torch.Tensor:
    """Return the share of neighbors, ``[N, k]`` of training images, that have the label of a held-out image."""
    return (y[near] == y_held[:, None]).double().mean()


def _shuffled(y: torch.Tensor, rng: torch.Generator, times: int = 200) -> Iterator[torch.Tensor]:
    for _ in range(times):
        yield y[torch.randperm(len(y), generator=rng)]


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
    if fault := optimizer_fault(optimizer):
        return [Finding("parameters", f"{fault.what}.", fault.cure)]
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
    """Compare the rate of the last layer with the highest below it, which should be lower by ``factor``.

    Where the rates of all that is trained are 0, that is the finding.
    """
    if optimizer_fault(optimizer):  # check_parameters tells of it
        return []
    if fault := still_fault(optimizer):
        return [Finding("rates", f"{fault.what}.", fault.cure)]
    inside = {id(p) for p in _head(net).parameters()}
    rate = [(id(p) in inside, g["lr"]) for g in optimizer.param_groups for p in g["params"] if p.requires_grad]
    head, body = ([lr for of_head, lr in rate if of_head == which] for which in (True, False))
    if not head or not body or max(body) * factor <= max(head) * (1 + 1e-6):
        return []
    what = f"pretrained layers learn at {max(body):g}, the new head at {max(head):g}."
    return [Finding("rates", what, "Lower the backbone's rate, or keep one rate that validation chose.")]


@_told
def check_first_loss(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> list[Finding]:
    """Compare the loss before the first step with ln C, that of a head which knows nothing."""
    x, y = _matched(x, y)
    logits = _logits(net, x)
    if fault := range_fault(y, logits.shape[1]):
        raise _Found("head_size", fault)
    loss, chance = nn.functional.cross_entropy(logits, y).item(), math.log(logits.shape[1])
    what = f"the loss before training is {loss:.2f}, and ln {logits.shape[1]} is {chance:.2f}."
    return _unless(loss < 1.6 * chance, "first_loss", what, "Look at the scale of inputs and of head weights.")


@_told
def check_steady(net: nn.Module, x: torch.Tensor) -> list[Finding]:
    """Predict three images or more with ``net`` in the mode it is in: twice, and the first two alone."""
    x = _tensor(x, "inputs")
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
    """Put back the state of ``net``, its modes, and the random generators, those of the loaders included.

    Its state is every parameter and buffer, also one that no ``state_dict`` holds or that is replaced meanwhile.
    """
    buffers = [(module, dict(module._buffers)) for module in net.modules()]
    tensors = [*net.parameters(), *net.buffers()]
    values = [(tensor, tensor.detach().clone()) for tensor in tensors if not nn.parameter.is_lazy(tensor)]
    drawn = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    orders = [(order, order.get_state()) for loader in loaders for order in _generators(loader)]
    try:
        with keeping_modes(net):
            yield
    finally:
        for module, held in buffers:
            module._buffers.update(held)
        with torch.no_grad():
            for tensor, value in values:
                tensor.copy_(value)
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        torch.set_rng_state(drawn[2])
        for device, state_of in enumerate(on_gpu):
            torch.cuda.set_rng_state(state_of, device)
        for order, position in orders:
            order.set_state(position)


def _generators(loader: Any) -> list[torch.Generator]:
    """Return the generators that a loader and its samplers draw from."""
    batches = getattr(loader, "batch_sampler", None)
    sources = [loader, getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None)]
    found = [getattr(source, "generator", None) for source in sources]
    return list({id(g): g for g in found if isinstance(g, torch.Generator)}.values())


def _read(batches: Batches, limit: int, name: str) -> tuple[Part, bool]:
    """Return the first images and labels, and whether a batch held one image only."""
    if one_pass(batches):
        what = f"{name} is a {type(batches).__name__}: what is read of it here, training would miss"
        raise _Found("batches", Fault(what, f"Give list({name}), or a DataLoader."))
    xs, ys, single, rows = [], [], False, 0
    try:
        for x, y in pairs(batches, name):
            xs.append(x.cpu())
            ys.append(y.cpu())
            rows += len(x)
            single = single or len(x) == 1
            if rows >= limit:
                break
    except ValueError as error:
        fault = fault_of(error)
        raise _Found("labels" if re.search(": (labels|inputs have)", fault.what) else "batches", fault) from error
    except (RuntimeError, TypeError) as error:  # as a loader says that puts rows together
        said = (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")
        cure = "Let the transform give tensors of one size: v2.Resize, v2.CenterCrop, v2.ToImage, v2.ToDtype."
        raise _Found("batches", Fault(f"{name} fails at batch {len(xs) + 1}: {said}", cure)) from error
    if not xs:
        raise ValueError("the loader gave no batch; is the data set empty?")
    for what, parts in (("inputs", xs), ("labels", ys)):
        shapes = sorted({tuple(part.shape[1:]) for part in parts})
        if len(shapes) > 1:
            fault = Fault(f"{what} of {name} have rows of shape {shapes[0]} and {shapes[1]}", "Bring all to one.")
            raise _Found(what, fault)
    return (torch.cat(xs)[:limit], torch.cat(ys)[:limit]), single


def _tensor(values: Any, what: str) -> torch.Tensor:
    try:
        return as_tensor(values, what).cpu()
    except ValueError as error:
        raise _Found(what, fault_of(error)) from error


def _matched(x: Any, y: Any) -> Part:
    """Return images and class indices, one an image."""
    x, y = _tensor(x, "inputs"), _class_indices(y)
    if x.ndim == 0 or len(x) != len(y):
        fault = Fault(
            f"inputs have shape {tuple(x.shape)} and labels {tuple(y.shape)}", "Give one label an image."
        )
        raise _Found("labels", fault)
    return x, y


def _class_indices(y: Any, whose: str = "") -> torch.Tensor:
    y = _tensor(y, "labels")
    if fault := label_fault(y):
        raise _Found("labels", Fault(f"{whose}{fault.what}", fault.cure))
    return y.long()


def _head(net: nn.Module) -> nn.Module:
    own = getattr(net, "head", None)
    if isinstance(own, nn.Module) and next(own.parameters(), None) is not None:
        return own
    return next((m for m in reversed(list(net.modules())) if isinstance(m, nn.Linear)), nn.Identity())


@torch.no_grad()
def _answers(net: nn.Module, x: torch.Tensor, how: str = "") -> list[Any]:
    outs = []
    for part in x.split(64):
        try:
            out = net(as_input(part, net))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a network says as it fails is the finding
            fault = forward_fault(net, part, error)
            raise _Found("forward", Fault(f"{how}{fault.what}", fault.cure)) from error
        if not isinstance(out, torch.Tensor) or out.ndim == 0 or len(out) != len(part):
            fault = output_fault(out, len(part)) or Fault("the network gives no logits", "Give logits [B, C].")
            raise _Found("forward", Fault(f"{how}{fault.what}", fault.cure))
        outs.append(out)
    return outs


def _outputs(net: nn.Module, x: torch.Tensor, how: str = "") -> torch.Tensor:
    outs = torch.cat([out.float().cpu() for out in _answers(net, x, how)])
    if torch.isfinite(x).all() and not torch.isfinite(outs).all():
        name = spoiled(net)
        cure = (
            f"Load the weights anew: {name!r} holds some." if name else "Look at the scale of inputs and weights."
        )
        raise _Found("forward", Fault(f"{how}the network gives NaN or infinity for {len(x)} finite inputs", cure))
    return outs


def _answer(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with untouched(net):
        return _outputs(net.eval(), x)


def _logits(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    out = _answer(net, x)
    if fault := output_fault(out, len(x)):
        raise _Found("head_size", fault)
    return out


def _features(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return what enters the head, or the logits where there is none."""
    with entering(_head(net)) as entered:
        logits = _logits(net, x)
    return (torch.cat(entered).float().cpu() if entered else logits).flatten(1)
