"""Pretrained networks by name, with their stages, their width and the preprocessing their weights demand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from tlhelpers._seed import random_state_kept
from tlhelpers.data._hub import HubError
from tlhelpers.models import _sources
from tlhelpers.models._freezing import NORMS, keep_frozen
from tlhelpers.models._heads import Headed, can_be_linear, head_name, with_linear_head
from tlhelpers.models._sources import PACKAGED


@dataclass(frozen=True)
class Stage:
    """One slice of a network, between pixels and head: its modules, and all its parameters."""

    name: str
    modules: tuple[nn.Module, ...]
    parameters: tuple[nn.Parameter, ...]

    @property
    def frozen(self) -> bool:
        """Whether no parameter of the stage is trained."""
        return not any(p.requires_grad for p in self.parameters)

    def norms(self) -> Iterator[nn.Module]:
        """Yield the BatchNorm layers of the stage."""
        for module in self.modules:
            yield from (m for m in module.modules() if isinstance(m, NORMS))


# What networks call the layer that gives their classes.
_HEADS = ("head", "heads", "fc", "classifier")
_CURES = {
    "head": "call replace_head(num_classes)",
    "width": "it is what enters the head",
    "stages": "they are read from the network, net.net",
    "image_size": "call load(image_size=...), or put another transform at net.transform",
    "mean": "put another transform at net.transform",
    "std": "put another transform at net.transform",
}


class Backbone(nn.Module):
    """A network seen as ordered stages: ``stem``, ..., ``head``.

    ``train()`` leaves every fully frozen stage in eval mode, because a BatchNorm layer in train mode moves
    its running statistics whether or not its parameters are trained (Ioffe & Szegedy 2015). After
    :func:`tlhelpers.models.freeze_norms` that goes for all BatchNorm layers.

    Attributes:
        net: the plain model; use it without this wrapper whenever you like.
        head: its last linear layer, the classifier.
        width: number of features that enter the head.
        transform: from PIL image to tensor ``[3, S, S]``, as the weights demand; put any function in its place.
        image_size: ``S``, the side in pixels of the square that ``transform`` gives.
        name: what it was loaded as.
        mean, std: ``[3, 1, 1]`` each, what ``transform`` normalizes with.
    """

    def __init__(self, net: nn.Module, name: str, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        super().__init__()
        self.net = net
        self.name = name
        self.transform = transform
        self._norms_frozen = False
        self._met: list[str] = []  # layers in the order in which an image meets them, where it is known
        found = head_name(net)
        if found is None:
            raise ValueError(
                f"{name} has no linear layer to replace; choose a classifier that ends in one, or say num_classes."
            )
        self._head = _around(net, found)
        place = net.get_submodule(self._head)
        # In a list, so that torch does not take them for parts of this module, and a copy holds its own.
        self._first = [m for m in place.modules() if m is not net.get_submodule(found)]

    @property
    def _place(self) -> str:
        """Name of the module where the head stood, or of the nearest one around it where that is gone."""
        modules, place = dict(self.net.named_modules()), self._head
        while place not in modules:
            place = place.rpartition(".")[0]
        return place

    @property
    def _head_name(self) -> str:
        """Name of the head: the last linear layer of what stands in its place now."""
        place = self._place
        found = head_name(self.net.get_submodule(place)) if place else None
        if found is None:
            kind = type(self.net.get_submodule(place)).__name__ if place else "module no more"
            raise ValueError(
                f"net.{place or self._head}, the head of {self.name}, is a {kind}; put a linear layer there."
            )
        return f"{place}.{found}".rstrip(".")

    @property
    def head(self) -> nn.Linear:
        layer = self.net.get_submodule(self._head_name)
        assert isinstance(layer, nn.Linear)
        return layer

    @property
    def width(self) -> int:
        return self.head.in_features

    @property
    def stages(self) -> dict[str, Stage]:
        """Stages in the order in which an image meets them; together they hold each parameter once."""
        return _stages(self.net, self._head_name, self._met)

    @property
    def image_size(self) -> int:
        """Side in pixels of the square that ``transform`` gives.

        Raises:
            ValueError: when no step of the transform says it.
        """
        drawn = random.getstate(), np.random.get_state()
        try:
            with torch.random.fork_rng(devices=[]):
                made = [self.transform(Image.new("RGB", size)) for size in ((97, 64), (64, 150))]
        except Exception as error:  # whatever a transform of one's own raises
            raise ValueError(
                f"the transform of {self.name} fails on a blank picture: {type(error).__name__}: {error}; give "
                "one that takes an RGB picture of PIL, or use models.preprocessing."
            ) from error
        finally:
            random.setstate(drawn[0])
            np.random.set_state(drawn[1])
        # A picture counts, too: what is put in place may leave the tensor to the caller.
        shapes = {x.size if isinstance(x, Image.Image) else tuple(getattr(x, "shape", ())) for x in made}
        sides = {side for shape in shapes for side in shape[-2:]}
        if len(shapes) != 1 or len(sides) != 1 or len(*shapes) < 2:
            raise ValueError(
                f"the transform of {self.name} has no step that makes images square; end it with "
                "CenterCrop(side), or use models.preprocessing."
            )
        return int(sides.pop())

    @property
    def mean(self) -> torch.Tensor:
        return _of_channels(self._normalize.mean)

    @property
    def std(self) -> torch.Tensor:
        return _of_channels(self._normalize.std)

    @property
    def _normalize(self) -> Any:
        found = [step for step in _steps_of(self.transform) if hasattr(step, "mean") and hasattr(step, "std")]
        if len(found) != 1:
            raise ValueError(
                f"the transform of {self.name} has {len(found) or 'no'} step{'s' * (len(found) > 1)} that "
                f"normalize{'s' * (len(found) < 2)}; use models.preprocessing."
            )
        return found[0]

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "transform":  # a plain attribute: torch would take one of its own for a part of the network
            self.__dict__[name] = value
            return
        inner = self.__dict__.get("_modules", {}).get("net")
        beside = inner is not None and isinstance(value, nn.Module) and name != "net"
        if beside and (name in _HEADS or isinstance(getattr(inner, name, None), nn.Module)):
            there = name if isinstance(getattr(inner, name, None), nn.Module) else self._head
            raise AttributeError(
                f"a module put at net.{name} would stand beside the network, which would not use it; put it at "
                f"net.net.{there}, or call replace_head(num_classes)."
            )
        if name in _CURES:
            raise AttributeError(f"net.{name} cannot be set; {_CURES[name]}.")
        super().__setattr__(name, value)

    def check_new_layers(self) -> None:
        """Do nothing when the head is one linear layer and nothing else that can be trained.

        Raises:
            ValueError: when other layers were put before it, which are random: frozen, they would stay so.
        """
        place, head = self._place, self.head
        known = {id(m) for m in [head, *self._first]}
        others = [
            f"{name}.{key}".lstrip(".")
            for name, module in self.net.get_submodule(place).named_modules()
            for key, _ in module.named_parameters(recurse=False)
            if id(module) not in known
        ]
        if others:
            raise ValueError(
                f"net.{place} holds layers besides its last linear one, first {others[0]!r}, which count as "
                "part of the body: frozen, they would stay as random as they are. Name the stages to freeze, "
                f"freeze(net, [...]), of {', '.join(self.stages)}; or keep one linear layer there."
            )

    def replace_head(self, num_classes: int) -> nn.Linear:
        """Put a new linear layer of ``num_classes`` outputs, randomly drawn, in place of the head; return it.

        Raises:
            ValueError: when ``num_classes`` is no whole number of 1 or more.
        """
        if not _counts(num_classes):
            raise ValueError(f"num_classes={num_classes!r}; a head needs one output or more, a whole number.")
        parent, _, leaf = self._head_name.rpartition(".")
        old = self.head.weight
        head = nn.Linear(self.width, int(num_classes), device=old.device, dtype=old.dtype)
        setattr(self.net.get_submodule(parent), leaf, head)
        return head

    def stage(self, name: str) -> Stage:
        """Return the stage called ``name``.

        Raises:
            KeyError: when there is none; the message lists those that there are.
        """
        stages = self.stages
        if name not in stages:
            raise KeyError(f"{self.name} has no stage {name!r}; its stages are {', '.join(stages)}.")
        return stages[name]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``[B, C]`` of images ``[B, 3, S, S]``."""
        return self.net(x)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return what enters the head, ``[B, width]``, for images ``[B, 3, S, S]``."""
        with entering(self.head) as entered:
            self.net(x)
        return entered[0].flatten(1)

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        keep_frozen(self)
        return self


def _around(net: nn.Module, head: str) -> str:
    """Return the name of the outermost ``Sequential`` that ends in the layer ``head``, or else ``head``."""
    parts = head.split(".")
    for end in range(1, len(parts)):
        name, rest = ".".join(parts[:end]), ".".join(parts[end:])
        place = net.get_submodule(name)
        if isinstance(place, nn.Sequential) and head_name(place) == rest:
            return name
    return head


def _of_channels(values: Any) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float32).detach().clone().reshape(-1)[:, None, None]


def _steps_of(transform: Any) -> Iterator[Any]:
    inner = getattr(transform, "transforms", transform if isinstance(transform, nn.Sequential) else None)
    if inner is None:
        yield transform
    for step in inner or []:
        yield from _steps_of(step)


@contextmanager
def entering(module: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect, in a ``with`` block, what enters ``module`` each time it computes."""
    entered: list[torch.Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    try:
        yield entered
    finally:
        handle.remove()


@contextmanager
def _meeting(net: nn.Module) -> Iterator[list[str]]:
    """Collect, in a ``with`` block, the names of the layers of ``net`` that compute, in their order."""
    met: list[str] = []
    body = net.body if isinstance(net, Headed) else net
    named = [(name, m) for name, m in body.named_modules() if any(True for _ in m.parameters(recurse=False))]
    handles = [m.register_forward_pre_hook(lambda *_, name=name: met.append(name)) for name, m in named]
    try:
        yield met
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def keeping_modes(net: nn.Module) -> Iterator[None]:
    """Leave each module of ``net``, after a ``with`` block, in the mode it was in before.

    ``net.train(was_training)`` would wake BatchNorm layers that were put in eval mode by hand.
    """
    modes = [(module, module.training) for module in net.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Put ``net`` in eval mode for a ``with`` block; after it each module is in the mode it was in before."""
    with keeping_modes(net):
        net.eval()
        yield


def load(
    name: str,
    num_classes: int | None = None,
    pretrained: bool = True,
    image_size: int | None = None,
    seed: int = 0,
) -> Backbone:
    """Return a network on the CPU, its weights laid out channels last; ``.to(device)`` moves it.

    It is tried first, on one blank image in eval mode and on two in train mode, and left as it was.

    Args:
        name: ``efficientnet_lite0`` (weights from a Python package, no download), ``timm/<model>`` or the name of
            any torchvision classifier. No other place is asked, and no code is downloaded.
        num_classes: outputs of a new head; ``None`` keeps that of the source task, such as ImageNet's 1,000.
        pretrained: weights of the source task, or the library's random initialization.
        image_size: side of the input in pixels, to which the shorter side of an image is scaled; ``None`` keeps
            that of the weights, and their margin: 256 pixels scaled, 224 cut. timm calls it ``input_size`` (not
            the larger ``test_input_size`` at which some score better). Where positions
            belong to one size, such as those of transformers, they are resampled for another.
        seed: of every random weight. PyTorch's own generator is left as it was: seed it where what follows draws
            from it.

    Raises:
        ValueError: when no library knows the name; when the weights have no head and ``num_classes`` is ``None``;
            when the network cannot take the size, with sizes that work; when it has no single linear layer as its
            head; or when the packaged file is not the expected one.
        tlhelpers.data.HubError: when the weights must be downloaded and cannot be.
    """
    if num_classes is not None and not _counts(num_classes):
        raise ValueError(f"num_classes={num_classes!r}; a head needs one output or more, a whole number.")
    if not isinstance(pretrained, bool):
        raise ValueError(
            f"pretrained={pretrained!r}; True takes the library's default weights, False random ones. Load "
            "others into net.net."
        )
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool):
        raise ValueError(f"seed={seed!r}; give a whole number.")
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed={seed}; give a smaller number, which fits in 63 bits.")
    if image_size is not None and not _counts(image_size):
        raise ValueError(f"image_size={image_size!r}; give the side in pixels, a whole number of 1 or more.")
    num_classes, image_size = (None if n is None else int(n) for n in (num_classes, image_size))
    _sources.check_name(name, num_classes, pretrained, image_size)
    with random_state_kept(int(seed)):
        return _made(name, num_classes, pretrained, image_size, int(seed))


def _made(name: str, num_classes: int | None, pretrained: bool, image_size: int | None, seed: int) -> Backbone:
    try:
        plain, transform, side = _sources.make(name, num_classes, pretrained, image_size)
    except HubError:
        raise
    except Exception as error:  # where a size does not fit, a library raises what it likes
        raise ValueError(_sources.cannot_take(name, image_size, pretrained, error)) from error
    if name in PACKAGED and pretrained:
        _sources.load_packaged(plain, name)
    plain = _channels_last(plain)
    fault: str | Exception = "its head is no single linear layer"
    if head_name(plain) or not _sources.of_timm(name):
        net = _headed(Backbone(plain, name, transform), num_classes, seed)
        if not (fault := _fault(net, side)):
            return net
    if _sources.of_timm(name) and (num_classes or can_be_linear(plain)):
        try:
            plain = with_linear_head(plain, num_classes, side)
        except Exception as error:  # as above
            fault = fault if isinstance(fault, Exception) else error
        else:
            net = _headed(Backbone(plain, name, transform), num_classes, seed)
            if not (fault := _fault(net, side)):
                return net
    elif _sources.of_timm(name) and not isinstance(fault, Exception):
        raise ValueError(f"{name}: {fault}, so the classes of its source cannot be kept; say num_classes.")
    if isinstance(fault, Exception):
        raise ValueError(_sources.cannot_take(name, image_size, False, fault)) from fault
    raise ValueError(f"{name} is no classifier that can be used here: {fault}; take another network.")


def _channels_last(net: nn.Module) -> nn.Module:
    tensors = [*net.parameters(), *net.buffers()]
    if all(tensor.ndim != 5 for tensor in tensors):
        return net.to(memory_format=torch.channels_last)
    for tensor in tensors:  # the layout exists for four dimensions alone, and the above stops at five
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return net


def _counts(number: object) -> bool:
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool) and int(number) >= 1


def _headed(net: Backbone, num_classes: int | None, seed: int) -> Backbone:
    """Put a new head of ``num_classes`` on ``net``, if any; return it."""
    if num_classes is not None:
        # Seed again: how many random numbers the body drew must not change the head.
        with random_state_kept(seed):
            net.replace_head(num_classes)
    return net


def _fault(net: Backbone, side: int) -> str | Exception:
    """Return what is wrong with what ``net`` computes from blank images of ``side`` pixels; ``""`` when nothing.

    One image goes through in eval mode, two in train mode, as BatchNorm needs them; the network stays as it was.
    """
    one, two = (torch.zeros(n, 3, side, side).to(memory_format=torch.channels_last) for n in (1, 2))
    classes, width = net.head.out_features, net.width
    with _untouched(net):
        try:
            # Eval mode first: what some networks keep for it, they drop when they go back to train mode.
            net.net.eval()
            with entering(net.head) as entered, _meeting(net.net) as net._met:
                logits = net(one)
            net.net.train()
            in_training = net(two)
            features = [x.flatten(1) for x in entered]
            again = net.head(features[0]) if features and features[0].shape[1] == width else logits
        except Exception as error:  # whatever a network raises
            return error
    shapes = [getattr(x, "shape", type(x).__name__) for x in (logits, in_training)]
    if shapes != [(1, classes), (2, classes)]:
        return (
            f"one image gives {_shape(logits)}, and two in train mode {_shape(in_training)}, for {classes} classes"
        )
    if [x.shape for x in features] != [(1, width)]:
        return f"what enters its head is {', '.join(map(_shape, features))} instead of {(1, width)}"
    if not (again - logits).abs().max() <= 1e-3 * logits.abs().max().clamp(min=1):
        return "its outputs are not those of its last linear layer"
    return ""


def _shape(found: object) -> str:
    return str(tuple(found.shape)) if isinstance(found, torch.Tensor) else f"a {type(found).__name__}"


@contextmanager
def _untouched(net: nn.Module) -> Iterator[None]:
    """Leave buffers, modes and random numbers, after a ``with`` block, as they were before, on the CPU."""
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in net.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    drawn = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]), keeping_modes(net), torch.no_grad():
            yield
    finally:
        for module, name, buffer, before in buffers:
            if not torch.equal(buffer, before):
                buffer.copy_(before)
            module._buffers[name] = buffer
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])


def _stages(net: nn.Module, head_name: str, met: list[str]) -> dict[str, Stage]:
    head = net.get_submodule(head_name)
    in_head = {id(p) for p in head.parameters()}
    slices: list[tuple[str, nn.Module | None, list[nn.Parameter]]] = []

    def walk(module: nn.Module, prefix: str) -> None:
        direct = list(module.parameters(recurse=False))
        if direct:
            slices.append((prefix.rstrip(".") or "tokens", None, direct))
        children = [(key, child) for key, child in module.named_children() if child is not head]
        size = {key: sum(p.numel() for p in c.parameters() if id(p) not in in_head) for key, c in children}
        holds_head = {key for key, c in children if any(m is head for m in c.modules())}
        body = sum(n for key, n in size.items() if key not in holds_head)
        for key, child in children:
            # A child that holds nearly everything is the body itself: look at its parts instead.
            if key in holds_head or (size[key] > 0.85 * body and len(_layers(child)) > 2):
                walk(child, f"{prefix}{key}.")
            elif size[key]:
                slices.append((f"{prefix}{key}", child, list(child.parameters())))

    walk(net.body if isinstance(net, Headed) else net, "")
    if met:
        slices = [slices[i] for i in _in_order([key for key, _, _ in slices], met)]
    blocks = [i for i, (_, m, _) in enumerate(slices) if m is not None and len(_layers(m)) > 1]
    # What stands before the first block is the stem, what stands behind the last one the top.
    first, last = (max(blocks[0], 1), blocks[-1]) if blocks else (1, len(slices))
    groups: dict[str, list[int]] = {}
    for index, (key, _, _) in enumerate(slices):
        top = index > last or key == "head"  # what some networks call their head stands before the last layer
        groups.setdefault("stem" if index < first else "top" if top else key, []).append(index)
    result = {}
    counted: set[int] = set()  # what several stages share belongs to the first of them
    for key, members in groups.items():
        modules = tuple(m for i in members for m in _called(slices[i][1]))
        own = {id(p): p for i in members for p in slices[i][2] if id(p) not in counted}
        counted |= own.keys()
        result[key] = Stage(key, modules, tuple(own.values()))
    result["head"] = Stage("head", (head,), tuple(head.parameters()))
    return result


def _in_order(keys: list[str], met: list[str]) -> list[int]:
    """Return the positions of slices in the order in which an image meets the first layer of each."""
    ranks: list[int] = []
    for key in keys:
        inside = (i for i, name in enumerate(met) if f"{name}.".startswith(f"{key}."))
        ranks.append(next(inside, ranks[-1] if ranks else -1))  # one that is not seen stays behind its neighbor
    return sorted(range(len(keys)), key=ranks.__getitem__)


def _called(module: nn.Module | None) -> list[nn.Module]:
    """Return the modules that compute: a list of modules does not, its members do."""
    if isinstance(module, nn.ModuleList):
        return [called for member in module for called in _called(member)]
    return [] if module is None else [module]


def _layers(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if any(True for _ in m.parameters(recurse=False))]
