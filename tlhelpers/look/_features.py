"""Frozen features: what stays as it is, all of a backbone or its first stages, is run once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from tlhelpers._machine import device_of, to_device
from tlhelpers.data._images import ImageSet, loader
from tlhelpers.look._inside import maps, stage_outputs
from tlhelpers.models._backbones import Backbone, entering, evaluating
from tlhelpers.models._freezing import freeze


def _check(net: Backbone, images: ImageSet) -> None:
    if not isinstance(net, Backbone):
        raise ValueError(f"net is a {type(net).__name__}; give a Backbone, such as tl.models.load returns.")
    if not isinstance(images, ImageSet):
        raise ValueError(
            f"images is a {type(images).__name__}; give an ImageSet: tl.data.ImageSet(images, labels, classes)."
        )


def _batches(net: Backbone, images: ImageSet, batch_size: int, what: str) -> Iterator[torch.Tensor]:
    """Yield the images as the network takes them, where it lies, under a bar."""
    device = device_of(net)
    for x, _ in tqdm(loader(images, net.transform, batch_size), desc=what, leave=False):
        yield to_device(x, device)


def _labels(images: ImageSet) -> torch.Tensor:
    return torch.from_numpy(images.labels.copy())


@torch.no_grad()  # not inference_mode: what comes out enters a training step later
def extract(net: Backbone, images: ImageSet, batch_size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what enters the head for every image, and the labels, both on the CPU.

    Five epochs over a frozen backbone are five identical passes; one is enough, as in Donahue et al. (2014).
    The whole network is in eval mode meanwhile; it stays where it is, and each module gets its mode back.

    Returns:
        Features ``[N, width]`` float32 and labels ``[N]`` int64, in the order of ``images``.

    Raises:
        ValueError: when ``images`` is empty or no :class:`ImageSet`, or ``net`` is no :class:`Backbone`.
    """
    _check(net, images)
    with evaluating(net):
        parts = [net.features(x).float().cpu() for x in _batches(net, images, batch_size, "features")]
    return torch.cat(parts), _labels(images)


@torch.no_grad()
def prefix(net: Backbone, images: ImageSet, stage: str, batch_size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what enters ``stage`` for every image, and the labels, both on the CPU.

    While the stages before it stay as they are, :class:`Suffix` trains from these activations what follows,
    at a fraction of the cost. The network is in eval mode meanwhile, as for :func:`extract`.

    Returns:
        Activations ``[N, ...]`` float32 as they enter the stage, and labels ``[N]`` int64, in the order of
        ``images``.

    Raises:
        KeyError: when ``stage`` is no stage.
        ValueError: as :func:`extract`; when ``stage`` is the first, with nothing before it.
    """
    _check(net, images)
    with entering(_entry(net, stage)) as entered, evaluating(net):
        for x in _batches(net, images, batch_size, "activations"):
            net(x)
            entered[-1] = entered[-1].float().cpu()
    return torch.cat(entered), _labels(images)


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
        freeze(net, names[: names.index(stage)])
        self.net = net
        self._entry = [entry]  # in a list, so that its weights do not count twice
        self.image_size = image_size

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        """Return logits ``[N, C]`` for the activations ``[N, ...]`` that enter the stage."""
        entry = self._entry[0]  # first of its hooks: others are to see these activations, not the blank's
        handle = entry.register_forward_pre_hook(lambda _, inputs: (activations, *inputs[1:]), prepend=True)
        try:
            return self.net(torch.zeros(1, 3, self.image_size, self.image_size, device=device_of(self.net)))
        finally:
            handle.remove()

    def features(self, activations: torch.Tensor) -> torch.Tensor:
        """Return what enters the head, ``[N, width]``, for the activations ``[N, ...]`` that enter the stage."""
        with entering(self.net.head) as entered:
            self(activations)
        return entered[0].flatten(1)


def _entry(net: Backbone, stage: str) -> nn.Module:
    if stage == next(iter(net.stages)):
        raise ValueError(f"stage {stage!r} is the first; nothing before it can be run once. Name a later one.")
    return net.stage(stage).modules[0]


def pooled(net: Backbone, images: ImageSet, batch_size: int = 64) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return, for every stage but the head, the mean of each channel over all positions, and the labels.

    One pass over the images serves all stages. Alain & Bengio (2016) read networks with linear probes so.

    Returns:
        ``{stage: [N, C] float32}`` in the order of the network, and labels ``[N]`` int64.

    Raises:
        ValueError: when ``images`` is empty or no :class:`ImageSet`, or ``net`` is no :class:`Backbone`.
    """
    _check(net, images)
    means: dict[str, list[np.ndarray]] = {name: [] for name in net.stages if name != "head"}
    for x in _batches(net, images, batch_size, "stages"):
        for name, out in stage_outputs(net, x, list(means)).items():
            means[name].append(maps(net, out).mean((2, 3)).float().cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in means.items() if parts}, images.labels
