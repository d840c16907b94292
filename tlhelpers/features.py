"""Frozen features: what stays as it is, all of a backbone or its first stages, is run once."""

from __future__ import annotations

import torch
from torch import nn
from tqdm import tqdm

from tlhelpers import data, freezing, profile
from tlhelpers.backbones import Backbone


def compute(
    net: Backbone, images: data.ImageSet, batch_size: int = 64, device: str | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what enters the head for every image, and the labels, both on the CPU.

    Five epochs over a frozen backbone are five identical passes; one is enough, as in Donahue et al. (2014).
    The whole network is in eval mode meanwhile and back in its former mode after.

    Returns:
        Features ``[N, width]`` float32 and labels ``[N]`` int64, in the order of ``images``.

    Raises:
        ValueError: when ``images`` is empty.
    """
    settings = profile.current()
    device = device or settings.device
    batches = data.loader(images, net.transform, batch_size)
    was_training = net.training
    net.to(device).to(memory_format=torch.channels_last).eval()
    xs, ys = [], []
    try:
        for x, y in tqdm(batches, desc="features", leave=False, disable=not settings.progress):
            # no_grad, not inference_mode: what comes out enters a training step later.
            with torch.no_grad():
                found = net.features(x.to(device, memory_format=torch.channels_last))
            xs.append(found.float().cpu())
            ys.append(y)
    finally:
        net.train(was_training)
    return torch.cat(xs), torch.cat(ys)


def prefix(
    net: Backbone, images: data.ImageSet, stage: str, batch_size: int = 64, device: str | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what enters ``stage`` for every image, and the labels, both on the CPU.

    While the stages before it stay as they are, :class:`Suffix` trains from these activations what follows,
    at a fraction of the cost. The network is in eval mode meanwhile and back in its former mode after.

    Returns:
        Activations ``[N, ...]`` float32 as they enter the stage, and labels ``[N]`` int64, in the order of
        ``images``.

    Raises:
        KeyError: when ``stage`` is no stage.
        ValueError: when ``images`` is empty, or ``stage`` is the first, with nothing before it.
    """
    device = device or profile.current().device
    entry = _entry(net, stage)
    caught: list[torch.Tensor] = []
    handle = entry.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].float().cpu()))
    was_training = net.training
    net.to(device).to(memory_format=torch.channels_last).eval()
    ys = []
    try:
        for x, y in data.loader(images, net.transform, batch_size):
            with torch.no_grad():
                net(x.to(device, memory_format=torch.channels_last))
            ys.append(y)
    finally:
        handle.remove()
        net.train(was_training)
    return torch.cat(caught), torch.cat(ys)


class Suffix(nn.Module):
    """A network from ``stage`` to its head, fed with what :func:`prefix` returned; the stages before it freeze.

    One blank image runs through the frozen stages at each call, and what enters ``stage`` is put in its place.
    So it fits any network in which the later stages see the earlier ones through that one tensor.

    Raises:
        KeyError: when ``stage`` is no stage.
        ValueError: when ``stage`` is the first.
    """

    def __init__(self, net: Backbone, stage: str, image_size: int) -> None:
        super().__init__()
        entry = _entry(net, stage)
        names = list(net.stages)
        freezing.freeze(net, names[: names.index(stage)])
        self.net = net
        self._entry = [entry]  # in a list, so that its weights do not count twice
        self.register_buffer("blank", torch.zeros(1, 3, image_size, image_size), persistent=False)

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        """Return logits ``[N, C]`` for the activations ``[N, ...]`` that enter the stage."""
        handle = self._entry[0].register_forward_pre_hook(lambda _, inputs: (activations, *inputs[1:]))
        try:
            return self.net(self.blank)
        finally:
            handle.remove()


def _entry(net: Backbone, stage: str) -> nn.Module:
    if stage not in net.stages:
        raise KeyError(f"{net.name} has no stage {stage!r}; its stages are {', '.join(net.stages)}.")
    if stage == next(iter(net.stages)):
        raise ValueError(f"stage {stage!r} is the first; nothing before it can be run once. Name a later one.")
    return net.stages[stage].modules[0]
