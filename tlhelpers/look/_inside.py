"""What a network computes on the way: the output of every stage, and what can be read from it.

Hooks are removed and modes restored whatever happens, so a network leaves these functions as it entered them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from tlhelpers._rows import in_order
from tlhelpers.models._backbones import Backbone, evaluating


def numbers(values: Any, what: str) -> np.ndarray:
    """Return an array of floats, in the order of its rows, from an array, a table, a tensor anywhere, or rows.

    Raises:
        ValueError: when they are no numbers, or rows differ in length.
    """
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().double().numpy()
    rows = values if isinstance(values, (np.ndarray, pd.DataFrame)) else in_order(values, what)
    if isinstance(rows, list) and rows and isinstance(rows[0], torch.Tensor):
        rows = [row.detach().cpu().numpy() for row in rows]
    try:
        return np.asarray(rows, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{what} are no table of numbers ({error}); give one row of numbers an item.") from error


def check_same_order(a: Any, b: Any, name: str, other: str) -> None:
    """Do nothing unless two pandas objects name the same rows in another order: they are compared by position.

    Raises:
        ValueError: naming the first row that differs.
    """
    if not all(isinstance(part, (pd.Series, pd.DataFrame)) for part in (a, b)) or a.index.equals(b.index):
        return
    if len(a) == len(b) and a.index.sort_values().equals(b.index.sort_values()):
        row = next(i for i, pair in enumerate(zip(a.index, b.index, strict=True)) if pair[0] != pair[1])
        raise ValueError(
            f"{name} and {other} have the same index in another order: row {row} is {a.index[row]!r} and "
            f"{b.index[row]!r}; bring one into the order of the other with .loc[{name}.index]."
        )


@contextmanager
def watching(net: Backbone, stages: Iterable[str], see: Callable[[str, torch.Tensor], object]) -> Iterator[None]:
    """Call ``see(stage, output)`` whenever a stage has computed; what it returns, if anything, goes on instead.

    The whole network is in eval mode meanwhile, and back in its former mode after; the hooks are gone then.

    Raises:
        KeyError: when a name is no stage; the message lists those that are.
    """
    known = {name: net.stage(name) for name in ([stages] if isinstance(stages, str) else stages)}
    handles = [
        stage.modules[-1].register_forward_hook(lambda _, __, out, name=name: see(name, out))
        for name, stage in known.items()
        if stage.modules
    ]
    try:
        with evaluating(net):
            yield
    finally:
        for handle in handles:
            handle.remove()


def stage_outputs(net: Backbone, x: torch.Tensor, stages: Iterable[str] | None = None) -> dict[str, torch.Tensor]:
    """Return what each stage gives for square images ``[B, 3, S, S]``, in its own layout, without gradients.

    A stage is seen at the end of its last module: in torchvision's ResNets the stem is so seen before its ReLU.

    Raises:
        KeyError: when a name is no stage.
        ValueError: when ``x`` is no batch of square images: layouts could not be told apart.
    """
    if not isinstance(x, torch.Tensor):
        raise ValueError(
            f"images are a {type(x).__name__}; give a tensor [B, 3, S, S], as net.transform makes them."
        )
    if x.ndim != 4 or x.shape[2] != x.shape[3]:
        raise ValueError(f"images have shape {tuple(x.shape)}; give square ones, [B, 3, S, S].")
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str, out: torch.Tensor) -> None:
        outputs[name] = out.detach()

    with watching(net, net.stages if stages is None else stages, keep), torch.no_grad():
        net(x)
    return outputs


def maps(net: Backbone, out: torch.Tensor) -> torch.Tensor:
    """Return a stage's output as ``[B, C, H, W]``, whichever way the network lays it out.

    Convolutions give ``[B, C, H, W]`` already. Swin transformers give ``[B, H, W, C]``: known by two equal sides
    in front. Plain vision transformers give tokens ``[B, T, C]``: the class token and registers are dropped,
    the rest is the square grid of patches. Vectors ``[B, C]`` become maps of one pixel.

    Raises:
        ValueError: when the tokens form no square, or ``out`` has another number of dimensions.
    """
    if out.ndim == 2:
        return out[:, :, None, None]
    if out.ndim == 4:
        first, second, third = out.shape[1:]
        return out.permute(0, 3, 1, 2) if first == second != third else out
    if out.ndim == 3:
        for extra in (getattr(net.net, "num_prefix_tokens", 1), 0):
            side = round((out.shape[1] - extra) ** 0.5)
            if side > 0 and side**2 == out.shape[1] - extra:
                return out[:, extra:].transpose(1, 2).unflatten(2, (side, side))
    raise ValueError(f"a stage's output of shape {tuple(out.shape)} is neither a map, nor a square of tokens.")


def cka(x: np.ndarray | torch.Tensor, y: np.ndarray | torch.Tensor, *, debiased: bool = False) -> float:
    """Return the linear centered kernel alignment of two descriptions of the same images, 1 where they agree.

    It compares which images lie near which, so that neither the number of features, nor their order, rotation or
    common scale counts (Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited").

    The default lies in 0 to 1 and is biased upward by few images and many features: two independent clouds of
    noise with ``C`` features score about ``C / (N + C)``. Take it with many times more images than features, or to
    compare scores of the same ``N`` and ``C``, whose bias is about the same.

    ``debiased=True`` divides unbiased estimates of HSIC (Song et al. 2012, "Feature Selection via Dependence
    Maximization"), as Nguyen et al. (2021), "Do Wide and Deep Networks Learn the Same Things?", do: noise scores
    about 0 at any size, and below 0 as often as above. Take it with fewer images than features, and to compare
    layers of different width (Murphy et al. 2024, "Correcting Biased Centered Kernel Alignment Measures in
    Biological and Artificial Neural Networks"). The two differ, so a comparison takes one of them throughout.

    Args:
        x, y: ``[N, C1]`` and ``[N, C2]``, one row an image, in the same order.
        debiased: whether to take the unbiased estimates; needs four rows or more, and scatters with few.

    Raises:
        ValueError: when the rows do not match, there are fewer than three, or four, a value is not finite, or all
            images have the same features, or, debiased, features that no two images share.
    """
    check_same_order(x, y, "x", "y")
    a, b = (numbers(features, "features") for features in (x, y))
    largest = max(1.0, *(float(np.abs(features).max(initial=0.0)) ** 2 for features in (a, b)))
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise ValueError(f"features have shapes {a.shape} and {b.shape}; give [N, C1] and [N, C2], same images.")
    if len(a) < 3:
        raise ValueError(
            f"there are {len(a)} rows; any two images look alike in all descriptions. Give three or more."
        )
    if debiased and len(a) < 4:
        raise ValueError(
            f"there are {len(a)} rows, and the unbiased estimate divides by N - 3; give four or more, many more "
            "for a steady score, or debiased=False."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("features hold NaN or infinity; look at the layer that makes them.")
    a, b = a - a.mean(0), b - b.mean(0)
    norms = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    if norms <= 1e-24 * largest**2:
        raise ValueError("all images have the same features; there is nothing to compare.")
    if not debiased:
        return float(np.linalg.norm(a.T @ b) ** 2 / norms)
    own = _unbiased_hsic(a, a), _unbiased_hsic(b, b)
    for name, hsic, features in zip("xy", own, (a, b), strict=True):
        if hsic <= 1e-12 * np.linalg.norm(features.T @ features) ** 2:
            raise ValueError(
                f"in {name} no two images have more in common than any other two, as where each has a feature of "
                "its own; nothing is left to compare without the bias. Give other features, or debiased=False."
            )
    return float(_unbiased_hsic(a, b) / np.sqrt(own[0] * own[1]))


def _unbiased_hsic(a: np.ndarray, b: np.ndarray) -> float:
    """Return N (N - 3) times the estimate of Song et al. (2012) for linear kernels of centered features.

    With centered features the rows of both kernels sum to 0, so that what their diagonals add can be taken off
    without a matrix of ``[N, N]``.
    """
    n, p, q = len(a), (a**2).sum(1), (b**2).sum(1)
    biased = np.linalg.norm(a.T @ b) ** 2
    return float(biased - n / (n - 2) * (p @ q) + p.sum() * q.sum() / ((n - 1) * (n - 2)))


def gradcam(
    net: Backbone, x: torch.Tensor, target: int | Sequence[int] | torch.Tensor, stage: str
) -> torch.Tensor:
    """Return where a stage's output speaks for class ``target``: maps ``[B, H, W]``, zero or more.

    Grad-CAM (Selvaraju et al. 2017): each channel is weighted by the mean gradient of the class's logit with
    respect to it, the weighted channels are summed, and what is below zero is cut off.

    Args:
        x: ``[B, 3, S, S]``.
        target: one class for all images, or one an image.

    Raises:
        KeyError: when ``stage`` is no stage.
        ValueError: when a class has no logit, or the stage is the head.
    """
    alone = isinstance(target, (int, float)) or getattr(target, "ndim", 1) == 0
    classes = torch.from_numpy(numbers([target] if alone else target, "target"))
    if classes.ndim != 1 or len(classes) not in (1, len(x)) or not bool((classes == classes.long()).all()):
        raise ValueError(f"target is {classes.tolist()} for {len(x)} images; give one class, or one an image.")
    wanted = classes.long().to(x.device).expand(len(x))
    kept: list[torch.Tensor] = []

    def cut(_: str, out: torch.Tensor) -> torch.Tensor:
        kept.append(out.detach().requires_grad_())  # the layers below need no gradient
        return kept[0]

    if stage == "head":
        raise ValueError("the head gives no maps; choose a stage before it.")
    with watching(net, [stage], cut), torch.enable_grad():
        logits = net(x)
        if not 0 <= int(wanted.min()) <= int(wanted.max()) < logits.shape[1]:
            raise ValueError(f"class {wanted.tolist()} of {logits.shape[1]}; give the index of a logit.")
        (slope,) = torch.autograd.grad(logits.gather(1, wanted[:, None]).sum(), kept)
    weights = maps(net, slope).mean((2, 3), keepdim=True)
    return (weights * maps(net, kept[0].detach())).sum(1).clamp(min=0)


def randomized(net: Backbone, fresh: Backbone, stages: Iterable[str]) -> None:
    """Overwrite the named stages of ``net`` with the weights and BatchNorm statistics of ``fresh``, in place.

    Randomizing from the head downward is the sanity check of Adebayo et al. (2018) for saliency maps.

    Raises:
        KeyError: when a name is no stage.
        ValueError: when the two networks do not have the same layers.
    """
    for name in [stages] if isinstance(stages, str) else stages:
        ours, theirs = net.stage(name), fresh.stages.get(name)
        shapes = [[p.shape for p in stage.parameters] for stage in (ours, theirs) if stage]
        if len(shapes) < 2 or shapes[0] != shapes[1]:
            raise ValueError(f"stage {name!r} differs between the networks; load both by the same name.")
        assert theirs is not None
        with torch.no_grad():
            for mine, new in zip(ours.parameters, theirs.parameters, strict=True):
                mine.copy_(new)
            for old, drawn in zip(_buffers(ours.modules), _buffers(theirs.modules), strict=True):
                old.copy_(drawn)


def _buffers(modules: Sequence[nn.Module]) -> Iterator[torch.Tensor]:
    for module in modules:
        yield from module.buffers()
