"""Whether two networks are the same: their modules, their tensors, their plain settings, and what they answer."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from tqdm.auto import tqdm

from tlhelpers._machine import device_of, to_device
from tlhelpers.models._backbones import Backbone, keeping_modes

# Of the largest answer. In float32 memory layouts and thread counts move answers by about 1e-6, other processors
# by 1e-5, TensorFloat-32 on a GPU by 1e-3; half precision keeps three digits or two.
SAME_MACHINE, OTHER_MACHINE, COARSE = 1e-4, 1e-3, 3e-2

_OF_EVERY_MODULE = {*vars(nn.Module()), "_compiled_call_impl"}
_PLAIN = (bool, int, float, str, type(None))


def unwrapped(net: nn.Module) -> nn.Module:
    """Return the network inside ``torch.compile`` and ``DataParallel``, or ``net`` itself."""
    while (inner := _wraps(net)) is not None:
        net = net.get_submodule(inner)
    return net


def _wraps(module: nn.Module) -> str | None:
    if "_orig_mod" in module._modules:
        return "_orig_mod"
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return "module" if isinstance(module, parallel) else None


def _plain_name(net: nn.Module, name: str) -> str:
    kept, owner = [], net
    for part in name.split("."):
        if part != _wraps(owner):
            kept.append(part)
        owner = getattr(owner, part)
    return ".".join(kept)


def _modules(net: nn.Module) -> dict[str, nn.Module]:
    """Return each module by the name it has without wrappers, the network itself as ``""``."""
    found = {}
    for name, module in net.named_modules(remove_duplicate=False):
        if _wraps(module) is None:
            found[_plain_name(net, name) if name else ""] = module
    return found


def state(net: nn.Module) -> dict[str, torch.Tensor]:
    """Return what the state dict of a network holds, by names without wrappers."""
    return {_plain_name(net, key): value for key, value in net.state_dict().items()}


def _fleeting(net: nn.Module) -> dict[str, torch.Tensor]:
    kept = set(net.state_dict())
    buffers = net.named_buffers(remove_duplicate=False)
    return {_plain_name(net, name): buffer for name, buffer in buffers if name not in kept}


def check_parts(net: nn.Module, fresh: nn.Module, what: str) -> None:
    """Do nothing when both have the same modules, and tensors of the same names and shapes that a file can hold.

    Args:
        net: the reader's.
        fresh: the network that is built again from its name.
        what: how that is done, for the message.

    Raises:
        ValueError: naming the first module or tensor that differs, or holds NaN.
    """
    mine, theirs = _modules(net), _modules(fresh)
    cure = _cure(net)
    for name in [*theirs, *(name for name in mine if name not in theirs)]:
        where = repr(name) if name else "the network"
        if name not in mine:
            raise ValueError(f"{where} is missing, where {what} makes a {_kind(theirs[name])}; {cure}")
        if name not in theirs:
            raise ValueError(f"{where} is a {_kind(mine[name])}, which {what} does not make; {cure}")
        if type(mine[name]) is not type(theirs[name]):
            short = _kind(mine[name]) != _kind(theirs[name])
            a, b = (_kind(m) if short else f"{type(m).__module__}.{_kind(m)}" for m in (mine[name], theirs[name]))
            raise ValueError(f"{where} is a {a}, where {what} makes a {b}; {cure}")
    held, needed = state(net), state(fresh)
    for name in [*needed, *(name for name in held if name not in needed)]:
        if name not in held or name not in needed:
            side = "is missing" if name not in held else f"is a tensor that {what} does not make"
            raise ValueError(f"{name!r} {side}; {cure}")
        if not isinstance(held[name], torch.Tensor) or type(held[name].detach()) is not torch.Tensor:
            raise ValueError(f"{name!r} is a {type(held[name]).__name__} and no plain tensor; {cure}")
        _check_tensor(name, held[name].detach(), needed[name].detach(), what)


def _check_tensor(name: str, mine: torch.Tensor, theirs: torch.Tensor, what: str) -> None:
    if mine.is_meta:
        raise ValueError(f"{name!r} has no values (it lies on the device 'meta'); load the weights first.")
    if mine.shape != theirs.shape:
        cure = "put that layer back as it was, or give the number of classes and the image size to models.load."
        if name.endswith("weight") and mine.ndim == 4 and mine.shape[1] != theirs.shape[1] == 3:
            cure = "keep the three channels: gray images are read as three equal ones (tl.data.open_rgb)."
        raise ValueError(
            f"{name!r} has the shape {tuple(mine.shape)}, where {what} makes {tuple(theirs.shape)}; {cure}"
        )
    if mine.is_quantized or mine.layout != torch.strided or mine.dtype.is_complex:
        raise ValueError(f"{name!r} is {mine.dtype} ({mine.layout}); save the network before it is made smaller.")
    if mine.dtype != theirs.dtype and not (mine.is_floating_point() and theirs.is_floating_point()):
        raise ValueError(f"{name!r} is {mine.dtype}, where {what} makes {theirs.dtype}; convert it back.")
    if mine.is_floating_point() and bool((~mine.isfinite()).any()) and bool(theirs.isfinite().all()):
        value = "NaN" if bool(mine.isnan().any()) else "infinity"
        raise ValueError(
            f"{name!r} holds {value}: training diverged; train again with a lower learning rate, or save an "
            "earlier epoch."
        )


def _kind(module: nn.Module) -> str:
    return type(module).__qualname__


def _cure(net: nn.Module) -> str:
    """Return what to do about a network that was changed by hand, as far as its modules tell."""
    for name, module in net.named_modules():
        there = f"net.net.get_submodule({name!r})"
        tensors = [*module._parameters, *module._buffers]
        library = type(module).__module__
        if library.startswith("peft."):
            return "put the adapters into the weights first: net.net = net.net.merge_and_unload()."
        if hasattr(module, "parametrizations"):
            tensor = next(iter(module.parametrizations))  # type: ignore[arg-type]
            return f"make it plain first: torch.nn.utils.parametrize.remove_parametrizations({there}, {tensor!r})."
        for ending, function in (
            ("mask", "prune.remove"),
            ("g", "remove_weight_norm"),
            ("u", "remove_spectral_norm"),
        ):
            owner = next((t.removesuffix(f"_{ending}") for t in tensors if t.endswith(f"_{ending}")), None)
            if owner and {f"{owner}_orig", f"{owner}_v"} & set(tensors):
                return f"make it plain first: torch.nn.utils.{function}({there}, {owner!r})."
        if "quantized" in library:
            return "save the network before you quantize it, and quantize what load_saved returns."
    return (
        "a network whose modules were changed by hand cannot be built again from its name: put them back before "
        "training, or keep net.net.state_dict() with safetensors.torch.save_file beside the code that makes it."
    )


def changes(net: nn.Module, fresh: nn.Module, what: str) -> dict[str, dict[str, Any]]:
    """Return the plain settings of ``net`` that differ from those of ``fresh``: ``{module: {name: value}}``.

    A setting is a number, a word, or a list of them, such as the ``eps`` of a BatchNorm layer, the ``p`` of a
    dropout, or ``transform_input``. Both networks have the same modules.

    Raises:
        ValueError: when what differs is a function or anything else that a card cannot hold.
    """
    found: dict[str, dict[str, Any]] = {}
    theirs = _modules(fresh)
    for name, module in _modules(net).items():
        where = repr(name) if name else "the network"
        default = vars(theirs[name])
        for key, value in vars(module).items():
            if key in _OF_EVERY_MODULE or (key not in default and not callable(value)):
                continue
            if key not in default:
                raise ValueError(
                    f"{where} has a function {key!r} of its own, which would be code on the card; {_cure(net)}"
                )
            if _seen(value) == _seen(default[key]):
                continue
            if not (_travels(value) and _travels(default[key])):
                raise ValueError(
                    f"{where} has {key}={_short(value)}, where {what} makes {_short(default[key])}; {_cure(net)}"
                )
            found.setdefault(name, {})[key] = _seen(value)
    return found


def apply_changes(net: nn.Module, changed: dict[str, dict[str, Any]]) -> None:
    """Give a fresh network the settings that :func:`changes` found.

    Raises:
        ValueError: when a module or setting is not there.
    """
    modules = _modules(net)
    for name, settings in changed.items():
        for key, value in settings.items():
            owner = modules.get(name)
            if (
                owner is None
                or key in _OF_EVERY_MODULE
                or key not in vars(owner)
                or not _travels(vars(owner)[key])
            ):
                raise ValueError(f"the network has no setting {key!r} at {name!r}.")
            as_list = isinstance(vars(owner)[key], list)
            setattr(owner, key, value if as_list or not isinstance(value, list) else tuple(value))


def _seen(value: Any) -> Any:
    """Return an attribute as it is compared: plain values whole, functions by name, of other things the type."""
    if isinstance(value, (np.generic, torch.Size)):
        value = value.tolist() if isinstance(value, np.generic) else list(value)
    if isinstance(value, Enum) or type(value) in _PLAIN:
        return value
    if isinstance(value, (list, tuple)):
        return [_seen(part) for part in value]
    if isinstance(value, functools.partial):
        return [_seen(value.func), _seen(value.args), sorted((k, _seen(v)) for k, v in value.keywords.items())]
    if callable(value) or isinstance(value, torch.dtype):
        return f"<{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', str(type(value)))}>"
    return f"<{type(value).__qualname__}>"


def _travels(value: Any) -> bool:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, tuple)):
        return all(_travels(part) and not isinstance(part, (list, tuple)) for part in value)
    return type(value) in _PLAIN and not (isinstance(value, float) and not math.isfinite(value))


def _short(value: Any) -> str:
    return getattr(value, "__name__", None) or repr(value)[:60]


def check_settings(net: nn.Module, again: nn.Module) -> None:
    """Do nothing when two networks of the same modules also print alike and hold the same unsaved buffers.

    Raises:
        ValueError: naming the first module or buffer that differs.
    """
    theirs = _modules(again)
    for name, module in _modules(net).items():
        if module.extra_repr() != theirs[name].extra_repr():
            raise ValueError(
                f"{name!r} is {_kind(module)}({module.extra_repr()}) and would come back as "
                f"{_kind(module)}({theirs[name].extra_repr()}); {_cure(net)}"
            )
    rest = _fleeting(again)
    for name, buffer in _fleeting(net).items():
        if name in rest and buffer.shape == rest[name].shape and not torch.equal(buffer.cpu(), rest[name].cpu()):
            raise ValueError(f"the buffer {name!r} was changed, and no state dict holds it; {_cure(net)}")


def pictures() -> list[Image.Image]:
    """Return three pictures that are the same everywhere: noise, waves, and disks, of odd sizes, in color."""
    rng = np.random.RandomState(0)  # of all generators the one whose numbers never change
    noise = rng.randint(0, 256, (61, 97, 3))
    color = np.arange(3)
    y, x = np.mgrid[:150, :64][..., None]
    waves = abs((x * (11 + 5 * color) + 7 * y) % 510 - 255)
    y, x = np.mgrid[:257, :331][..., None]
    disks = ((x % 83 - 41) ** 2 + (y % 71 - 35) ** 2 < (12 + 9 * color) ** 2) * x * 255 // 330
    return [Image.fromarray(values.astype(np.uint8)) for values in (noise, waves, disks)]


def batch_for(transform: Any) -> torch.Tensor:
    """Return what a transform makes of :func:`pictures`, and one noise image: ``[4, 3, H, W]``.

    Raises:
        ValueError: when it fails, or its tensors are not ``[3, H, W]``, or differ in size.
    """
    try:
        made = [transform(picture) for picture in pictures()]
    except Exception as error:
        raise ValueError(f"the transform fails on an RGB picture: {type(error).__name__}: {error}") from error
    for x in made:
        if not isinstance(x, torch.Tensor) or x.ndim != 3 or x.shape[0] != 3 or not x.is_floating_point():
            tensor = isinstance(x, torch.Tensor)
            found = f"{x.dtype} {tuple(x.shape)}" if tensor else f"a {type(x).__name__}"
            cure = "end the transform with ToImage, ToDtype(torch.float32, scale=True) and Normalize."
            if tensor and x.ndim == 3 and x.is_floating_point():
                cure = "keep the first layer of three channels, and write Grayscale(3) for gray."
            raise ValueError(
                f"the transform makes {found} of an RGB picture; a network takes floating-point [3, H, W]: {cure}"
            )
    sizes = {tuple(x.shape[1:]) for x in made}
    if len(sizes) > 1:
        raise ValueError(
            f"the transform makes pictures of several sizes, {sorted(sizes)[:3]}; add CenterCrop(side), for a "
            "network is saved for one size."
        )
    noise = torch.from_numpy(np.random.RandomState(1).standard_normal(made[0].shape)).to(made[0].dtype)
    return torch.stack([*(x.as_subclass(torch.Tensor) for x in made), noise])


@torch.no_grad()
def answers(net: Backbone, batch: torch.Tensor) -> torch.Tensor:
    """Return the logits ``[N, C]`` of a batch ``[N, 3, H, W]`` in eval mode, float32 on the CPU.

    Compiled code is not used, and mixed precision is off. Modes and device of ``net`` stay as they are.

    Raises:
        ValueError: when the network fails on the batch, or gives anything else than finite ``[N, C]``.
    """
    device = device_of(net)
    dtype = next((p.dtype for p in net.parameters() if p.is_floating_point()), batch.dtype)
    try:
        with keeping_modes(net), _eagerly(net), torch.autocast(device.type, enabled=False):
            for module in net.modules():
                module.training = False
            rows = [
                net(to_device(image[None], device).to(dtype))
                for image in tqdm(batch, desc="fixed images", leave=False, delay=2)
            ]
    except Exception as error:
        raise ValueError(
            f"the network fails on images {tuple(batch.shape[1:])} {dtype} that its own transform makes: "
            f"{type(error).__name__}: {error}"
        ) from error
    odd = [row for row in rows if not isinstance(row, torch.Tensor) or row.ndim != 2 or len(row) != 1]
    if odd:
        found = tuple(odd[0].shape) if isinstance(odd[0], torch.Tensor) else f"a {type(odd[0]).__name__}"
        raise ValueError(f"the network gives {found} for an image; it must give logits [1, C].")
    logits = torch.cat(rows).float().cpu()
    if not logits.isfinite().all():
        raise ValueError("the network answers a picture with NaN or infinity; its numbers grew beyond their type.")
    return logits


@contextmanager
def _eagerly(net: nn.Module) -> Iterator[None]:
    """Compute without compiling: it may take minutes, or need a compiler that is not there."""
    if any(_wraps(m) == "_orig_mod" or m._compiled_call_impl is not None for m in net.modules()):
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


def gap(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return how far answers ``[N, C]`` lie apart at most, as a share of the largest; tiny ones count as none."""
    return float((a - b).abs().max() / (b.abs().max() + 1e-2))


def allowed(net: nn.Module, strict: float) -> float:
    """Return how far answers may lie apart: ``strict`` for float32 on the CPU, more for the rest."""
    exact = all(p.dtype in (torch.float32, torch.float64) for p in net.parameters() if p.is_floating_point())
    return strict if exact and device_of(net).type == "cpu" else COARSE
