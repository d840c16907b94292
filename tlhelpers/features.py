"""Frozen features: when the backbone stays as it is, run it once."""

from __future__ import annotations

import torch
from tqdm import tqdm

from tlhelpers import data, profile
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
