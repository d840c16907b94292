"""From a picture to what a network takes: scaled, cut to a square, and normalized as its weights demand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

# Above so many pixels, 200 MB, a strip is not scaled whole before its middle is cut out.
LARGEST = 2**26


class Resize(v2.Resize):
    """torchvision's ``Resize``; of a long strip it makes only the middle that a square of ``crop`` pixels keeps.

    Scaled whole, a picture of 60,000 x 1 pixels takes 12 GB.
    """

    def __init__(self, size: int, crop: int, interpolation: F.InterpolationMode) -> None:
        super().__init__(size, interpolation=interpolation, antialias=True)
        self._crop = crop

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        (short,) = self.size
        if isinstance(inpt, Image.Image):
            whole = int(short * max(inpt.size) / min(inpt.size))  # as torchvision rounds
            if whole * short > LARGEST and whole > 10 * self._crop:
                return self._middle(inpt, short, whole)
        return super().transform(inpt, params)

    def _middle(self, image: Image.Image, short: int, whole: int) -> Image.Image:
        start = round((whole - self._crop) / 2.0)  # as CenterCrop cuts
        wide, scale = image.width > image.height, max(image.size) / whole
        first, last = start * scale, (start + self._crop) * scale
        reach = 4 * math.ceil(max(1, scale))  # of the widest filter, and a pixel more
        left, right = max(0, math.floor(first) - reach), min(max(image.size), math.ceil(last) + reach)
        # Pillow holds the box in 32 bits: cut near it first, so that its numbers are small.
        near = image.crop((left, 0, right, image.height) if wide else (0, left, image.width, right))
        return near.resize(
            (self._crop, short) if wide else (short, self._crop),
            getattr(Image.Resampling, self.interpolation.name, Image.Resampling.NEAREST),
            (first - left, 0, last - left, near.height) if wide else (0, first - left, near.width, last - left),
        )


class Compose(v2.Compose):
    """torchvision's ``Compose`` for pictures that are RGB or gray; any other would come out wrong."""

    def forward(self, *inputs: Any) -> Any:
        if len(inputs) != 1:
            raise ValueError(f"{len(inputs)} pictures at once; give one.")
        (image,) = inputs
        if isinstance(image, Image.Image) and image.mode not in ("RGB", "L"):
            raise ValueError(
                f"the picture is of mode {image.mode!r}; open it with tl.data.open_rgb, or convert('RGB')."
            )
        if not isinstance(image, (Image.Image, torch.Tensor)):
            raise ValueError(
                f"a {type(image).__name__} is no picture of PIL; open its file with tl.data.open_rgb, or of an "
                "array [H, W, 3] make one by Image.fromarray."
            )
        return super().forward(image)


class Border(v2.Transform):
    """Scale a picture so that its longer side is ``longer`` pixels, and fill up to a square of ``side``."""

    def __init__(self, longer: int, side: int, fill: list[int], interpolation: F.InterpolationMode) -> None:
        super().__init__()
        self.longer, self.side, self.fill, self.interpolation = longer, side, fill, interpolation

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        height, width = F.get_size(inpt)
        ratio = max(height, width) / self.longer
        scaled = [max(1, round(height / ratio)), max(1, round(width / ratio))]
        image = F.resize(inpt, scaled, interpolation=self.interpolation, antialias=True)
        lack = [max(0, self.side - length) for length in scaled]
        return F.pad(image, [lack[1] // 2, lack[0] // 2, (lack[1] + 1) // 2, (lack[0] + 1) // 2], fill=self.fill)

    def extra_repr(self) -> str:
        return f"longer={self.longer}, side={self.side}, fill={self.fill}, interpolation={self.interpolation}"


def preprocessing(
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    resize: int | None = None,
    interpolation: str = "bicubic",
    *,
    crop_mode: str = "center",
    frame: bool = False,
) -> v2.Compose:
    """Return the steps from an RGB image to a normalized tensor ``[3, size, size]``.

    ``mean`` and ``std`` are on the 0..1 scale and belong to the weights. Pixels are those of torchvision's and
    timm's own transforms; values can differ in the last bit of a float32, as 1/255 is multiplied, not divided.
    Of a strip that would take 200 MB when scaled, such as 12,000 x 3 pixels, only the middle is: some pixels
    differ by one level of 255 then (``nearest`` and ``box`` may take the pixel beside it).

    Args:
        resize: pixels that ``crop_mode`` speaks of, ``size`` by default, before a square is cut from the middle.
        interpolation: ``bilinear``, ``bicubic``, ``nearest``, ``lanczos``, ``box`` or ``hamming``; timm's
            ``random`` is for training, and bilinear here.
        crop_mode: ``center`` gives the shorter side ``resize`` pixels, so that nothing is squashed; ``squash``
            gives them to both sides, so that nothing is cut off; ``border`` gives them to the longer side, and
            fills the rest with ``mean``.
        frame: whether ``resize`` may be below ``size``, which leaves a black frame; a few weights had one.

    Raises:
        ValueError: when the interpolation or the crop mode is unknown, a size is no whole number, or ``mean`` and
            ``std`` are not three numbers each on the 0..1 scale.
    """
    modes = [mode.value for mode in F.InterpolationMode] + ["random"]
    if interpolation not in modes:
        raise ValueError(f"interpolation={interpolation!r}; give one of {', '.join(modes)}.")
    for what, side in (("size", size), ("resize", resize)):
        if side is not None and (not isinstance(side, (int, np.integer)) or side < 1):
            raise ValueError(f"{what}={side!r}; give a side in pixels, a whole number of 1 or more.")
    mean, std = (tuple(float(v) for v in np.asarray(values, float).reshape(-1)) for values in (mean, std))
    if len(mean) != 3 or len(std) != 3 or not np.isfinite([*mean, *std]).all():
        raise ValueError(f"mean={mean} and std={std}; give three numbers each, one a channel.")
    if min(mean) < 0 or max(mean) > 1 or min(std) <= 0 or max(std) > 1:
        raise ValueError(f"mean={mean} and std={std}; give them on the 0..1 scale: divide by 255.")
    if resize is not None and resize < size and crop_mode != "border" and not frame:
        raise ValueError(
            f"resize={resize} is below size={size}, which leaves a black frame around each picture; give "
            f"{size} or more. For weights that were made so, say frame=True."
        )
    size, resize = int(size), int(resize or size)
    mode = F.InterpolationMode("bilinear" if interpolation == "random" else interpolation)
    first: dict[str, v2.Transform] = {
        "center": Resize(resize, size, mode),
        "squash": v2.Resize([resize, resize], interpolation=mode, antialias=True),
        "border": Border(resize, size, [round(255 * v) for v in mean], mode),
    }
    if crop_mode not in first:
        raise ValueError(f"crop_mode={crop_mode!r}; give one of {', '.join(first)}.")
    return Compose(
        [
            first[crop_mode],
            v2.CenterCrop(size),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(mean), list(std)),
        ]
    )
