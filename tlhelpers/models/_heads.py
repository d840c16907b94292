"""The layer of a network that gives its classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Headed(nn.Module):
    """A body of timm's, whose own head is no single linear layer, and one linear layer in its place."""

    def __init__(self, body: nn.Module, width: int, num_classes: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(width, num_classes)
        self.num_prefix_tokens = getattr(body, "num_prefix_tokens", 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(features_of(self.body, x))


def features_of(net: Any, x: torch.Tensor) -> torch.Tensor:
    """Return what timm's network ``net`` gives its head, ``[B, width]``, for images ``[B, 3, S, S]``."""
    return net.forward_head(net.forward_features(x), pre_logits=True)


def head_name(net: nn.Module) -> str | None:
    """Return the name of the linear layer that ends a network, or ``None`` where it ends in no single one.

    timm's networks tell their classifier; in any other it is the last linear layer.
    """
    ask = getattr(net, "get_classifier", None)
    classifier = ask() if callable(ask) else net
    if isinstance(classifier, (tuple, list, nn.ModuleList)) or not isinstance(classifier, nn.Module):
        return None
    linear = {id(m) for m in classifier.modules() if isinstance(m, nn.Linear)}
    return next((name for name, m in reversed(list(net.named_modules())) if id(m) in linear), None)


def can_be_linear(net: Any) -> bool:
    """Return whether the head of timm's network ``net`` is a convolution of one pixel: a linear layer."""
    old = net.get_classifier()
    return isinstance(old, nn.Conv2d) and old.kernel_size == (1, 1)


def with_linear_head(net: Any, num_classes: int | None, side: int) -> Headed:
    """Return timm's network ``net`` with one linear layer in place of its own head, both in train mode.

    Without ``num_classes`` it has the weights of the old head, which :func:`can_be_linear`.
    """
    old = net.get_classifier()
    net.reset_classifier(0)
    with torch.no_grad():
        width = features_of(net.eval(), torch.zeros(1, 3, side, side)).shape[-1]
        headed = Headed(net, width, num_classes or old.out_channels)
        if num_classes is None:
            headed.head.weight.copy_(old.weight[:, :, 0, 0])
            headed.head.bias.copy_(old.bias)
    return headed.train()
