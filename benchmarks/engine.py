"""Many small trainings, fast: tensors in memory, what is frozen computed once, norms folded, bf16 where it pays.

None of it changes what is learned: folding is algebra, cached features are those of a frozen network, and
bfloat16 is used only where it was measured to be faster and to give the same features.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import pandas as pd
import torch
from timm.layers import pad_same
from torch import nn

import tlhelpers as tl
from benchmarks import parts
from benchmarks.parts import Part, in_order
from tlhelpers.data import ImageSet
from tlhelpers.look import Suffix
from tlhelpers.models import Backbone
from tlhelpers.train import device_of, has_bf16, to_device

AGREES = 0.01
SMALL = 64  # pixels of the pictures by which precisions are compared
CHUNK = 64  # images of a pass without a gradient
VIEWS = 4  # a square that is flipped across, up and down, or both


# Inputs


def pixels(images: ImageSet, transform: Callable) -> torch.Tensor:
    """Return the images as a network takes them, ``[N, 3, S, S]``."""
    return torch.cat([x for x, _ in tl.data.loader(images, transform, CHUNK)])


def views(x: torch.Tensor) -> list[torch.Tensor]:
    """Return images ``[N, 3, S, S]`` as they are, mirrored, upside down, and both: all that flips can give."""
    return [x, x.flip(3), x.flip(2), x.flip((2, 3))]


class Drawn:
    """Batches of one round, drawn from as many passes over a part as it takes; each reading is a new round.

    Args:
        views: the part's inputs ``[N, ...]`` in each view that augmentation may choose; one for no augmentation.
        labels: ``[N]``.
        size: rows of a batch.
        steps: batches of a round.
        seed: of the order and of the views.
    """

    def __init__(self, views: list[torch.Tensor], labels: torch.Tensor, size: int, steps: int, seed: int) -> None:
        self.views, self.labels, self.size, self.steps = views, labels, size, steps
        self.order = torch.Generator().manual_seed(seed)
        self.left = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Part]:
        for _ in range(self.steps):
            while len(self.left) < self.size:
                self.left = torch.cat([self.left, torch.randperm(len(self.labels), generator=self.order)])
            rows, self.left = self.left.split([self.size, len(self.left) - self.size])
            which = torch.randint(len(self.views), (self.size,), generator=self.order)
            x = torch.stack(
                [self.views[view][row] for view, row in zip(which.tolist(), rows.tolist(), strict=True)]
            )
            yield x, self.labels[rows]


# What is frozen


@lru_cache(maxsize=1)
def precision(device: str) -> torch.dtype:
    """Return bfloat16 where a frozen pass of the packaged network is faster in it and gives the same features.

    The same is: off by at most :data:`AGREES` of their norm, on pieces of photographs. Where the machine lacks
    bfloat16 it is float32 without a try.
    """
    if not has_bf16(device):
        return torch.float32
    net = tl.models.load("efficientnet_lite0", 2, image_size=SMALL).to(device).eval()
    x = pixels(tl.data.pieces(tl.data.photographs(), 4, 0, seed=0), net.transform)
    exact, rough = (features(net, x, dtype) for dtype in (torch.float32, torch.bfloat16))
    if float((exact - rough).norm() / exact.norm()) > AGREES:
        return torch.float32
    faster = faster_in_bf16(device, lambda dtype: features(net, x, dtype))
    return torch.bfloat16 if faster else torch.float32


def faster_in_bf16(device: str, work: Callable[[torch.dtype], object]) -> bool:
    """Whether the machine has bfloat16 and does some work in it in at most 0.8 of the time of float32."""
    if not has_bf16(device):
        return False
    taken = {}
    for dtype in (torch.float32, torch.bfloat16):
        times = []
        for _ in range(8):
            start = time.perf_counter()
            work(dtype)
            times.append(time.perf_counter() - start)
        taken[dtype] = min(times)
    return taken[torch.bfloat16] < 0.8 * taken[torch.float32]


def features(net: Backbone | Suffix, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return what enters the head ``[N, width]`` float32 for inputs ``[N, ...]``, in eval mode."""
    with _computing(net, dtype):
        return parts.features_of(net, x, CHUNK).float()


def prefix(net: Backbone, x: torch.Tensor, stage: str, dtype: torch.dtype) -> torch.Tensor:
    """Return what enters a stage ``[N, ...]`` for inputs ``[N, 3, S, S]``, in eval mode."""
    device, entered = device_of(net), []
    handle = (
        net.stage(stage)
        .modules[0]
        .register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0].float().cpu()))
    )
    try:
        with torch.no_grad(), _computing(net, dtype), tl.models.evaluating(net):
            for part in x.split(CHUNK):
                net(to_device(part, device))
    finally:
        handle.remove()
    return torch.cat(entered)


def _computing(net: nn.Module, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(device_of(net).type, torch.bfloat16, enabled=dtype == torch.bfloat16)


@torch.no_grad()
def calibrate(net: nn.Module, x: torch.Tensor) -> None:
    """Set the BatchNorm statistics of a network to those of inputs ``[N, ...]``, layer by layer in one pass.

    Random weights with statistics that fit no input let the signal fade with the depth; a fair control has them.
    The network is left in eval mode.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    device = device_of(net)
    net.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    mixed = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]  # each batch like the whole
    for part in mixed.split(CHUNK):
        if len(part) > 1:
            net(to_device(part, device))
    net.eval()
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum


# What is trained


@contextmanager
def folded(net: nn.Module, x: torch.Tensor) -> Iterator[None]:
    """Compute each BatchNorm that is in eval mode as part of the convolution before it.

    With held statistics ``norm(conv(x, w)) = conv(x, s * w) + b`` where ``s = gamma / sqrt(var + eps)`` and
    ``b = beta - mean * s``. All parameters stay and get the gradients they had; a fifth of the time is saved.

    Args:
        x: one input of the network, by which convolutions and norms that follow each other are found.
    """
    pairs = _pairs(net, x)
    for conv, norm in pairs:
        conv.forward = partial(_folded, conv, norm)  # type: ignore[method-assign]
        norm.forward = partial(_after, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for pair in pairs:
            for module in pair:
                del module.forward


def _pairs(net: nn.Module, x: torch.Tensor) -> list[tuple[nn.Conv2d, nn.Module]]:
    made: dict[int, tuple[nn.Conv2d, torch.Tensor]] = {}  # the tensors are held, so that no address is used twice
    pairs: list[tuple[nn.Conv2d, nn.Module]] = []

    def after(conv: nn.Conv2d, _: object, out: torch.Tensor) -> None:
        made[id(out)] = conv, out

    def before(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if not norm.training and id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][0], norm))

    handles = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(after))
        elif isinstance(module, nn.BatchNorm2d):
            handles.append(module.register_forward_pre_hook(before))
    try:
        with torch.no_grad():
            net(to_device(x, device_of(net)))
    finally:
        for handle in handles:
            handle.remove()
    return pairs


def _folded(conv: nn.Conv2d, norm: Any, x: torch.Tensor) -> torch.Tensor:
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    if conv.bias is not None:
        shift = shift + conv.bias * scale
    padding = conv.padding
    if type(conv).__name__ == "Conv2dSame":  # timm pads these by the size of what comes in
        x, padding = pad_same(x, [*conv.kernel_size], [*conv.stride], [*conv.dilation]), (0, 0)
    weight = conv.weight * scale[:, None, None, None]
    return nn.functional.conv2d(x, weight, shift, conv.stride, padding, conv.dilation, conv.groups)


def _after(norm: Any, x: torch.Tensor) -> torch.Tensor:
    """What timm's norms do behind the normalization; plain ones do nothing more."""
    return norm.act(norm.drop(x)) if hasattr(norm, "act") else x


def fit(
    net: nn.Module,
    train: Drawn,
    val: Part,
    groups: list[dict[str, Any]],
    *,
    rounds: int,
    measure: str,
    weights: torch.Tensor | None,
    schedule: str = "cosine",
) -> pd.DataFrame:
    """Train for ``rounds`` readings of ``train`` and keep the one with the best validation ``measure``.

    Args:
        groups: of parameters, for AdamW with a weight decay of 0.01.
        weights: of the classes ``[C]``.
        schedule: ``cosine`` warms up over a twentieth of the steps and falls to zero; ``constant`` does neither.
    """
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    steps = rounds * len(train)
    falling = tl.train.warmup_cosine(optimizer, steps, max(1, steps // 20)) if schedule == "cosine" else None
    return tl.train.fit(
        net,
        train,
        in_order(val, CHUNK),
        optimizer,
        rounds,
        batch_scheduler=falling,
        class_weights=weights,
        monitor=measure,
    )
