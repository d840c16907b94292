"""The steps from an image to a tensor, written down in JSON and made again from it; never as code."""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision import transforms as v1
from torchvision.transforms import v2

from tlhelpers.models._preprocessing import Compose

_RESIZE = ("size", "interpolation", "max_size", "antialias")
_PAD = ("padding", "fill", "padding_mode")
_PRESET = ("crop_size", "resize_size", "mean", "std", "interpolation", "antialias")
_KEEP_RATIO = ("size", "longest", "interpolation", "random_scale_prob", "random_aspect_prob")

# What a card may name: each class answers alike each time, and its arguments are numbers and words.
STEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Resize": ("torchvision.transforms.v2:Resize", _RESIZE),
    "CenterCrop": ("torchvision.transforms.v2:CenterCrop", ("size",)),
    "Pad": ("torchvision.transforms.v2:Pad", _PAD),
    "Grayscale": ("torchvision.transforms.v2:Grayscale", ("num_output_channels",)),
    "RGB": ("torchvision.transforms.v2:RGB", ()),
    "Identity": ("torchvision.transforms.v2:Identity", ()),
    "ToImage": ("torchvision.transforms.v2:ToImage", ()),
    "ToPureTensor": ("torchvision.transforms.v2:ToPureTensor", ()),
    "PILToTensor": ("torchvision.transforms.v2:PILToTensor", ()),
    "ToTensor": ("torchvision.transforms.v2:ToTensor", ()),
    "ToDtype": ("torchvision.transforms.v2:ToDtype", ("dtype", "scale")),
    "ConvertImageDtype": ("torchvision.transforms.v2:ConvertImageDtype", ("dtype",)),
    "Normalize": ("torchvision.transforms.v2:Normalize", ("mean", "std", "inplace")),
    "v1.Resize": ("torchvision.transforms:Resize", _RESIZE),
    "v1.CenterCrop": ("torchvision.transforms:CenterCrop", ("size",)),
    "v1.Pad": ("torchvision.transforms:Pad", _PAD),
    "v1.Grayscale": ("torchvision.transforms:Grayscale", ("num_output_channels",)),
    "v1.PILToTensor": ("torchvision.transforms:PILToTensor", ()),
    "v1.ToTensor": ("torchvision.transforms:ToTensor", ()),
    "v1.ConvertImageDtype": ("torchvision.transforms:ConvertImageDtype", ("dtype",)),
    "v1.Normalize": ("torchvision.transforms:Normalize", ("mean", "std", "inplace")),
    "ImageClassification": ("torchvision.transforms._presets:ImageClassification", _PRESET),
    "timm.ResizeKeepRatio": ("timm.data.transforms:ResizeKeepRatio", _KEEP_RATIO),
    "timm.CenterCropOrPad": ("timm.data.transforms:CenterCropOrPad", ("size", "fill", "padding_mode")),
    "timm.MaybeToTensor": ("timm.data.transforms:MaybeToTensor", ()),
    "tlhelpers.Resize": ("tlhelpers.models._preprocessing:Resize", ("size", "crop", "interpolation")),
    "tlhelpers.Border": ("tlhelpers.models._preprocessing:Border", ("longer", "side", "fill", "interpolation")),
}
_SERIES = (Compose, v2.Compose, v1.Compose, nn.Sequential)
_DRAWN = (
    "Random",
    "ColorJitter",
    "AutoAugment",
    "TrivialAugment",
    "AugMix",
    "Gaussian",
    "Elastic",
    "Scale",
    "Mix",
)


def written(transform: Callable[[Image.Image], torch.Tensor]) -> list[dict[str, dict[str, Any]]]:
    """Return the steps of a transform, each as ``{name: arguments}`` that JSON can hold.

    Raises:
        ValueError: naming the step that is not a fixed one of torchvision's or timm's (:data:`STEPS`).
    """
    return [_written(step, number) for number, step in enumerate(_flat(transform), start=1)]


def made(steps: Sequence[dict[str, dict[str, Any]]]) -> v2.Compose:
    """Return the transform that :func:`written` wrote down.

    Raises:
        ValueError: naming the step that is unknown or has other arguments than it takes.
    """
    return Compose([_made(step) for step in steps])


def made_from_print(steps: Sequence[str]) -> v2.Compose:
    """Return the transform whose steps print as ``steps``, such as ``CenterCrop(size=(8, 8))``.

    Raises:
        ValueError: naming the step that is unknown, or does not print so when it is made again.
    """
    return Compose([_made_from_print(step) for step in steps])


def one_line(step: object) -> str:
    """Return how a step prints, on one line."""
    return " ".join(str(step).split())


def _flat(transform: Any) -> Iterator[Any]:
    if type(transform) in _SERIES:
        for step in getattr(transform, "transforms", transform):
            yield from _flat(step)
    else:
        yield transform


def _written(step: Any, number: int) -> dict[str, dict[str, Any]]:
    library = type(step).__module__.partition(".")[0]
    known = (name for name, (path, _) in STEPS.items() if path.startswith(f"{library}."))
    name = next((name for name in known if resolve_name(STEPS[name][0]) is type(step)), None)
    drawn = any(getattr(step, key, None) for key in ("random_scale_prob", "random_aspect_prob"))
    if name is None or drawn:
        raise ValueError(_refusal(step, number))
    try:
        entry = {name: _arguments(step, name)}
        again = _arguments(_made(entry), name)
    except (ValueError, TypeError) as error:
        raise ValueError(f"step {number} of the transform, {one_line(step)}, cannot be saved: {error}") from error
    if again != entry[name]:
        raise ValueError(f"step {number} of the transform, {one_line(step)}, would come back with {again}.")
    return entry


def _refusal(step: object, number: int) -> str:
    named = getattr(step, "__name__", None)
    what = f"the function {named!r}" if named else one_line(step) if hasattr(step, "training") else repr(step)
    start = f"step {number} of the transform is {what[:120]}, "
    if type(step).__name__.startswith(_DRAWN) or getattr(step, "random_scale_prob", None) is not None:
        return (
            f"{start}which draws at random; give it to tl.data.loader for training, and keep net.transform "
            "without it: what is saved answers one image alike each time."
        )
    return (
        f"{start}which a card cannot hold, for it would be code; do that step to the images before and say so "
        "in a note, and make net.transform with models.preprocessing or of torchvision's fixed steps "
        "(Resize, CenterCrop, Pad, Grayscale, ToImage, ToDtype, Normalize)."
    )


def _arguments(step: object, name: str) -> dict[str, Any]:
    held = vars(step)
    found = {key: _spelled(held[key] if key in held else held[f"_{key}"]) for key in STEPS[name][1]}
    if name == "ImageClassification":  # it takes sides as numbers and keeps them in lists
        found |= {key: found[key][0] for key in ("crop_size", "resize_size")}
    return found


def _spelled(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_spelled(part) for part in value]
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"its value {value!r} is neither a number nor a word.")


def _made(step: Any) -> Any:
    if not isinstance(step, dict) or len(step) != 1:
        raise ValueError(f"{step!r} is no step; one is written as {{name: arguments}}.")
    ((name, arguments),) = step.items()
    if name not in STEPS:
        raise ValueError(f"unknown step {name!r}; a card may name {', '.join(STEPS)}.")
    path, keys = STEPS[name]
    if not isinstance(arguments, dict) or set(arguments) != set(keys):
        raise ValueError(f"step {name!r} takes {list(keys)}, found {arguments!r}.")
    values = dict(arguments)
    if name.endswith("CenterCrop") and isinstance(values["size"], list):
        values["size"] = tuple(values["size"])  # it keeps and prints what it is given
    if isinstance(values.get("interpolation"), str) and not name.startswith("timm."):
        values["interpolation"] = v2.InterpolationMode(values["interpolation"])
    if "dtype" in values:
        values["dtype"] = getattr(torch, str(values["dtype"]), None)
        if not isinstance(values["dtype"], torch.dtype):
            raise ValueError(f"step {name!r} has the dtype {arguments['dtype']!r}; give one of torch's.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # v2.ToTensor is deprecated, and still a step that people use
        try:
            return resolve_name(path)(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"step {name!r} cannot be made of {arguments!r}: {error}") from error


def _printed(step: object) -> str:
    # torchvision prints a way to interpolate by its name or its member, as it was given and as its version does.
    return re.sub(r"InterpolationMode\.(\w+)", lambda found: found[1].lower().replace("_", "-"), one_line(step))


def _made_from_print(printed: str) -> Any:
    try:
        call = ast.parse(_printed(printed), mode="eval").body
        assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args
        name = call.func.id
        # Words are printed without quotes: interpolation=bicubic.
        found = {
            str(k.arg): k.value.id if isinstance(k.value, ast.Name) else ast.literal_eval(k.value)
            for k in call.keywords
        }
        # The type is not printed; models.preprocessing has always made float32.
        defaults = {"max_size": None, "dtype": "float32"}
        keys = STEPS[name][1]
        step = _made({name: {key: found[key] if key in found else defaults[key] for key in keys}})
    except (SyntaxError, AssertionError, KeyError, ValueError) as error:
        raise ValueError(f"the step {printed!r} cannot be made from what is printed.") from error
    if _printed(step) != _printed(printed):
        raise ValueError(f"the step {printed!r} would come back as {one_line(step)!r}.")
    return step
