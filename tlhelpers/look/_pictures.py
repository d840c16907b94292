"""Pictures of what a network looks for: what excites a channel, the patches that do, colors for a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from tlhelpers._machine import device_of, to_device
from tlhelpers._rows import in_order
from tlhelpers.data._images import ImageSet, loader
from tlhelpers.data._tasks import photographs
from tlhelpers.look._inside import maps, stage_outputs, watching
from tlhelpers.models._backbones import Backbone


def _numbered(channels: Any) -> list[int]:
    """Return channels as whole numbers, in their order.

    Raises:
        ValueError: when there is none, or one is no whole number.
    """
    chosen = in_order(channels, "channels")
    whole = all(isinstance(k, (int, np.integer)) or (isinstance(k, torch.Tensor) and not k.ndim) for k in chosen)
    if not chosen or not whole:
        raise ValueError(f"channels are {chosen}; give their numbers, at least one.")
    return [int(k) for k in chosen]


class _Enough(Exception):
    """Raised in a hook once the wanted stage has computed: what follows is not needed."""


def maximize(
    net: Backbone,
    stage: str,
    channels: Sequence[int],
    side: int = 128,
    steps: int = 96,
    *,
    rate: float = 0.05,
    seed: int = 0,
) -> np.ndarray:
    """Return one picture a channel, ``[N, side, side, 3]`` from 0 to 1, that drives the channel's mean up.

    Plain gradient ascent on pixels finds high-frequency noise. The regularizer here has two parts, after Olah et
    al. (2017), "Feature Visualization": the picture is written as waves whose amplitude falls with frequency and
    whose colors vary together as in photographs, and it is turned, scaled and shifted a little before each step,
    so that what cannot survive that does not pay.

    Args:
        side: of the picture, in pixels.
        steps: of Adam, at ``rate``.

    Raises:
        KeyError: when ``stage`` is no stage.
        ValueError: when a channel is not one of the stage's, or ``net.transform`` has no step that normalizes.
    """
    channels = _numbered(channels)
    device = device_of(net)
    chance = torch.Generator().manual_seed(seed)
    waves = torch.randn(len(channels), 3, side, side // 2 + 1, 2, generator=chance).to(device)
    frequency = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]).clamp(min=1 / side)
    mix = torch.from_numpy(_color_mix()).to(device)

    def from_waves(waves: torch.Tensor) -> torch.Tensor:
        spectrum = torch.view_as_complex(waves) / frequency.to(device)
        plane = torch.fft.irfft2(spectrum, s=(side, side), norm="ortho") / 4
        return torch.sigmoid(torch.einsum("dc,ncyx->ndyx", mix, plane))

    free = (0.01 * waves).requires_grad_()
    mean, std = net.mean.to(device), net.std.to(device)
    adam = torch.optim.Adam([free], lr=rate)
    rows = torch.arange(len(channels))
    seen: list[torch.Tensor] = []

    def stop(_: str, out: torch.Tensor) -> None:
        seen.append(maps(net, out))
        raise _Enough

    with watching(net, [stage], stop), torch.enable_grad():
        for _ in range(steps):
            with suppress(_Enough):
                net((_nudged(from_waves(free), chance) - mean) / std)
            out = seen.pop()
            if not 0 <= min(channels) <= max(channels) < out.shape[1]:
                raise ValueError(f"channels {list(channels)}: stage {stage!r} has {out.shape[1]} of them.")
            (free.grad,) = torch.autograd.grad(-out[rows, list(channels)].mean((1, 2)).sum(), [free])
            adam.step()
    return from_waves(free).detach().permute(0, 2, 3, 1).cpu().numpy()


def _nudged(x: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    scale, angle, right, down = (
        float(torch.empty(1).uniform_(low, high, generator=chance))
        for low, high in ((0.9, 1.1), (-0.15, 0.15), (-0.1, 0.1), (-0.1, 0.1))
    )
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = torch.tensor([[cos, -sin, right], [sin, cos, down]], dtype=x.dtype, device=x.device)
    grid = F.affine_grid(turn.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


@lru_cache(maxsize=1)
def _color_mix() -> np.ndarray:
    pixels = np.concatenate([p.reshape(-1, 3)[::50] for p in photographs().values() if p[..., 0].std()]) / 255
    spread, axes = np.linalg.eigh(np.cov(pixels.T))
    root = axes * np.sqrt(spread) @ axes.T
    return (root / np.linalg.norm(root, axis=0).max()).astype(np.float32)


def receptive_window(net: Backbone, stage: str, side: int, share: float = 0.9, seed: int = 0) -> int:
    """Return the side, in pixels, of the square that one position of a stage mostly looks at.

    It is the smallest square around the middle that holds ``share`` of the gradient of the middle position with
    respect to the pixels, the effective receptive field of Luo et al. (2016). Measured on noise.

    Raises:
        ValueError: when ``share`` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share}; give the share of the gradient that the square holds, such as 0.9.")
    device = device_of(net)
    x = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(seed)).to(device).requires_grad_()
    seen: list[torch.Tensor] = []
    with watching(net, [stage], lambda _, out: seen.append(maps(net, out))), torch.enable_grad():
        net(x)
    out = seen[0]
    row, column = out.shape[2] // 2, out.shape[3] // 2
    (slope,) = torch.autograd.grad(out[:, :, row, column].square().sum(), [x])
    power = slope.abs().sum((0, 1)).cpu().numpy()
    middle = [(at + 0.5) / n * side - 0.5 for at, n in ((row, out.shape[2]), (column, out.shape[3]))]
    y, x_ = (np.abs(np.arange(side) - at) for at in middle)
    reach = np.maximum(y[:, None], x_[None])
    order = np.argsort(reach, axis=None)
    held = np.cumsum(power.flat[order].astype(np.float64))
    last = order[np.searchsorted(held, share * held[-1] * (1 - 1e-9))]
    return min(side, int(np.ceil(2 * reach.flat[last])) + 1)


def top_patches(
    net: Backbone, images: ImageSet, wanted: Mapping[str, Sequence[int]], count: int = 9, batch_size: int = 64
) -> dict[tuple[str, int], np.ndarray]:
    """Return the patches that excite channels most: ``{(stage, channel): [count, w, w, 3]}``, 0 to 1, best first.

    Each image gives at most one patch, around the position where the channel is highest; ``w`` comes from
    :func:`receptive_window`. A patch at the rim is moved inside.

    Args:
        wanted: channels by stage; one pass over the images serves all.

    Raises:
        KeyError: when a name is no stage.
        ValueError: when there are fewer than ``count`` images, or a channel is not one of the stage's.
    """
    if count < 1 or len(images) < count:
        raise ValueError(f"{len(images)} images; {count} patches need as many.")
    wanted = {stage: _numbered(channels) for stage, channels in wanted.items()}
    device = device_of(net)
    mean, std = net.mean, net.std
    pixels: list[torch.Tensor] = []
    peaks: dict[str, list[torch.Tensor]] = {stage: [] for stage in wanted}
    for x, _ in tqdm(loader(images, net.transform, batch_size), desc="patches", leave=False):
        outs = stage_outputs(net, to_device(x, device), wanted)
        pixels.append((x * std + mean).clamp(0, 1))
        for stage, channels in wanted.items():
            out = maps(net, outs[stage])
            if not 0 <= min(channels) <= max(channels) < out.shape[1]:
                raise ValueError(f"channels {channels}: stage {stage!r} has {out.shape[1]} of them.")
            out = out[:, channels].cpu()
            best = out.flatten(2).max(2)
            row, column = best.indices // out.shape[3], best.indices % out.shape[3]
            place = (row + 0.5) / out.shape[2], (column + 0.5) / out.shape[3]
            peaks[stage].append(torch.stack((best.values, *place)))
    pixel = torch.cat(pixels)
    side, result = pixel.shape[3], {}
    for stage, channels in wanted.items():
        w = receptive_window(net, stage, side)
        for (height, down, right), channel in zip(torch.cat(peaks[stage], 1).unbind(2), channels, strict=True):
            patches = []
            for i in height.topk(count).indices.tolist():
                y, x0 = (min(max(round(float(at[i]) * side - w / 2), 0), side - w) for at in (down, right))
                patches.append(pixel[i, :, y : y + w, x0 : x0 + w].permute(1, 2, 0).numpy())
            result[stage, channel] = np.stack(patches)
    return result


def colors(out: torch.Tensor) -> np.ndarray:
    """Return maps ``[B, C, H, W]`` as colors ``[B, H, W, 3]`` from 0 to 1: alike in color, alike in features.

    Red, green and blue are the first three principal components over all positions of all images.

    Raises:
        ValueError: when ``out`` is no batch of maps, or a value is not finite.
    """
    if out.ndim != 4 or not out.numel() or not torch.isfinite(out).all():
        raise ValueError(f"maps of shape {tuple(out.shape)} are not [B, C, H, W], or hold NaN or infinity.")
    values = out.detach().cpu().permute(0, 2, 3, 1).double().numpy()
    flat = values.reshape(-1, values.shape[-1])
    flat = flat - flat.mean(0)
    if len(flat) > flat.shape[1]:  # many positions: the small matrix of channels is cheaper
        axes = np.linalg.eigh(flat.T @ flat)[1].T[::-1][:3].copy()
    else:
        axes = np.linalg.svd(flat, full_matrices=False)[2][:3]
    axes *= np.sign(axes.sum(1, keepdims=True))  # the sign of a component is arbitrary: fix it
    along = flat @ axes.T
    low, high = np.percentile(along, (1, 99), axis=0)
    painted = np.full((len(flat), 3), 0.5)  # a stage may have fewer channels than there are colors
    painted[:, : len(axes)] = np.clip((along - low) / np.maximum(high - low, 1e-12), 0, 1)
    return painted.reshape(*values.shape[:3], 3)


def mosaic(pictures: Sequence[np.ndarray] | np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Return pictures ``[H, W, 3]`` of one size side by side in ``columns``, on white, ``gap`` pixels apart.

    They run from 0 to 1; whole numbers from 0 to 255 are brought to that.

    Raises:
        ValueError: when there is no picture or column, or a picture has another shape.
    """
    pictures = [np.asarray(picture) for picture in in_order(pictures, "pictures")]
    shapes = sorted({picture.shape for picture in pictures})
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][2] != 3 or columns < 1:
        raise ValueError(f"pictures have shapes {shapes[:3]}, for {columns} columns; give one shape, [H, W, 3].")
    pictures = [picture / 255 if picture.dtype == np.uint8 else picture for picture in pictures]
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3))
    for i, picture in enumerate(pictures):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = picture
    return sheet
