"""Freeze and unfreeze a backbone stage by stage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch import nn

if TYPE_CHECKING:
    from tlhelpers.models._backbones import Backbone

NORMS = (nn.modules.batchnorm._BatchNorm,)


def keep_frozen(net: Backbone) -> None:
    """Put what ``train()`` woke but is frozen back in eval mode: frozen stages, and BatchNorm where it is held."""
    for stage in net.stages.values():
        if stage.frozen and stage.name != "head":
            for module in stage.modules:
                module.eval()
        if net._norms_frozen:
            for norm in stage.norms():
                norm.eval()


def freeze(net: Backbone, stages: Iterable[str] | None = None) -> Backbone:
    """Stop training the named stages, or all but the head; their BatchNorm layers go to eval and stay there.

    ``requires_grad=False`` alone does not freeze a layer: BatchNorm statistics are buffers, and a forward
    pass in train mode moves them (Ioffe & Szegedy 2015).

    Returns:
        The same network.

    Raises:
        KeyError: when a name is no stage; the message lists those that are.
        TypeError: when ``net`` is no ``Backbone``, or what names a stage is no string.
        ValueError: without names, when layers of your own stand before the last one: they are random.
    """
    _check(net)
    if stages is None:
        net.check_new_layers()
    return _set(net, stages, trained=False)


def unfreeze(net: Backbone, stages: Iterable[str] | None = None) -> Backbone:
    """Train the named stages again, or all of them.

    Returns:
        The same network.

    Raises:
        KeyError: when a name is no stage; the message lists those that are.
        TypeError: when ``net`` is no ``Backbone``, or what names a stage is no string.
    """
    return _set(net, stages, trained=True)


def unfreeze_from_top(net: Backbone, epoch: int, per_epoch: int = 1) -> list[str]:
    """Train the head alone in epoch 1, and ``per_epoch`` stages more, from the top down, in each epoch after.

    Gradual unfreezing (Howard & Ruder 2018). Call it before each epoch. Make the optimizer from the unfrozen
    network: it then holds all parameters, and passes over those that are frozen.

    Args:
        epoch: counted from 1.
        per_epoch: stages that join in an epoch.

    Returns:
        The names of the trained stages, from the pixels to the head.

    Raises:
        ValueError: when ``epoch`` or ``per_epoch`` is no whole number of 1 or more, or layers of your own stand
            before the last one.
        TypeError: when ``net`` is no ``Backbone``.
    """
    _check(net)
    for name, number in (("epoch", epoch), ("per_epoch", per_epoch)):
        if not isinstance(number, (int, np.integer)) or isinstance(number, bool) or number < 1:
            raise ValueError(f"{name}={number!r}; give 1 or more, a whole number.")
    net.check_new_layers()
    names = list(net.stages)
    count = min(1 + (epoch - 1) * per_epoch, len(names))
    trained, rest = names[-count:], names[:-count]
    freeze(unfreeze(net, trained), rest)
    return trained


def freeze_norms(net: Backbone, frozen: bool = True) -> Backbone:
    """Keep every BatchNorm layer in eval mode through each ``train()`` call, or let them follow it again.

    Their scales and shifts are still trained where their stage is. With few images the statistics of a batch
    are noisy, and a head that was trained on running statistics meets other features as soon as its backbone
    switches to those of the batch.

    Returns:
        The same network.
    """
    _check(net)
    net._norms_frozen = frozen
    net.train(net.training)
    return net


def _check(net: object) -> None:
    if not (hasattr(net, "check_new_layers") and hasattr(net, "stages")):
        raise TypeError(f"a {type(net).__name__} has no stages; give the Backbone that load returned.")


def _set(net: Backbone, stages: Iterable[str] | None, trained: bool) -> Backbone:
    _check(net)
    if isinstance(stages, str):
        stages = [stages]
    if stages is not None:
        if isinstance(stages, bytes) or not isinstance(stages, Iterable):
            raise TypeError(f"stages={stages!r}; give names, of {', '.join(net.stages)}.")
        stages = list(stages)
        if wrong := [name for name in stages if not isinstance(name, str)]:
            raise TypeError(f"stages holds {wrong[0]!r}; give names, of {', '.join(net.stages)}.")
    if stages is None:
        stages = [name for name in net.stages if trained or name != "head"]
    for stage in [net.stage(name) for name in stages]:
        for parameter in stage.parameters:
            parameter.requires_grad_(trained)
            if not trained:
                parameter.grad = None
    net.train(net.training)
    return net


def summary(net: Backbone) -> pd.DataFrame:
    """Return one row a stage: parameters, how many are trained, BatchNorm layers, and their mode.

    The mode is ``eval``, ``train``, or ``mixed``; it is empty for a stage without BatchNorm.
    """
    _check(net)
    rows = []
    for name, stage in net.stages.items():
        modes = {"train" if norm.training else "eval" for norm in stage.norms()}
        rows.append(
            {
                "stage": name,
                "parameters": sum(p.numel() for p in stage.parameters),
                "trained": sum(p.numel() for p in stage.parameters if p.requires_grad),
                "BatchNorm layers": sum(1 for _ in stage.norms()),
                "BatchNorm mode": "mixed" if len(modes) > 1 else next(iter(modes), ""),
            }
        )
    return pd.DataFrame(rows).set_index("stage")
