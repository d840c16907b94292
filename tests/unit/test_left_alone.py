"""A helper that looks at a network gives it back as it was: where it lies, how, and in which modes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import tlhelpers as tl
from tlhelpers.data import ImageSet
from tlhelpers.models import Backbone, Encoder

SQUARES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
IMAGES = ImageSet(list(SQUARES), np.array([0, 1] * 3), ("a", "b"))
X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 0, 1])


def encode(net: Backbone) -> None:
    """Read texts with an encoder that has ``net`` inside."""

    class Tokens(dict):
        def to(self, device: torch.device) -> Tokens:
            return self

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net

        def forward(self, output_hidden_states: bool, **tokens: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(hidden_states=[self.inner(X)[:, None]])

    def tokenizer(texts: list[str], **_: object) -> Tokens:
        return Tokens(attention_mask=torch.ones(len(texts), 1))

    tl.models.encode(["a", "b", "c", "d"], Encoder(Reader(), tokenizer))


def evaluating(net: Backbone) -> None:
    with tl.models.evaluating(net):
        assert not any(module.training for module in net.modules())
        net.train()


LOOKS: dict[str, Callable[[Backbone], object]] = {
    "evaluating": evaluating,
    "extract": lambda net: tl.look.extract(net, IMAGES),
    "prefix": lambda net: tl.look.prefix(net, IMAGES, "layer2"),
    "pooled": lambda net: tl.look.pooled(net, IMAGES),
    "stage_outputs": lambda net: tl.look.stage_outputs(net, X),
    "gradcam": lambda net: tl.look.gradcam(net, X, 0, "layer1"),
    "maximize": lambda net: tl.look.maximize(net, "layer1", [0], side=8, steps=1),
    "top_patches": lambda net: tl.look.top_patches(net, IMAGES, {"layer1": [0]}, count=2),
    "encode": encode,
    "predict_proba": lambda net: tl.train.predict_proba(net, [(X, Y)]),
    "evaluate": lambda net: tl.train.evaluate(net, [(X, Y)]),
    "fisher": lambda net: tl.train.fisher(net, X),
    "before_training": lambda net: tl.train.before_training(net, [(X, Y)], [(X, Y)]),
}


def held_by_hand(net: Backbone) -> Backbone:
    """Put BatchNorm in eval mode as chapter 05 does, in a network that trains."""
    net.train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return net


def state(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def layout(net: nn.Module) -> list[tuple[str, torch.device, torch.dtype, tuple[int, ...], int]]:
    return [(name, p.device, p.dtype, p.stride(), p.data_ptr()) for name, p in net.named_parameters()]


@pytest.mark.parametrize("name", LOOKS)
class TestLooking:
    def test_batchnorm_that_is_held_by_hand_stays_held(self, name: str, tiny: Callable[[], Backbone]) -> None:
        net = held_by_hand(tiny())
        modes, before = [m.training for m in net.modules()], state(net)
        LOOKS[name](net)
        assert [m.training for m in net.modules()] == modes and set(modes) == {True, False}
        assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())

    @pytest.mark.parametrize("format_", [torch.contiguous_format, torch.channels_last], ids=["plain", "last"])
    def test_weights_stay_where_and_how_they_lie(
        self,
        name: str,
        format_: torch.memory_format,
        tiny: Callable[[], Backbone],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        net = tiny().to(memory_format=format_)
        before = layout(net)
        monkeypatch.setattr(nn.Module, "to", lambda *_, **__: pytest.fail("a network was moved"))
        LOOKS[name](net)
        assert layout(net) == before

    def test_no_hook_and_no_gradient_stays_behind(self, name: str, tiny: Callable[[], Backbone]) -> None:
        net = tiny()
        LOOKS[name](net)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
        assert all(p.grad is None and p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("format_", [torch.contiguous_format, torch.channels_last], ids=["plain", "last"])
def test_training_changes_weights_but_not_where_and_how_they_lie(
    format_: torch.memory_format, tiny: Callable[[], Backbone], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = tiny().to(memory_format=format_)
    places, weights = layout(net), state(net)
    monkeypatch.setattr(nn.Module, "to", lambda *_, **__: pytest.fail("a network was moved"))
    tl.train.fit(net, [(X, Y)], [(X, Y)], torch.optim.SGD(net.parameters(), lr=0.1), epochs=2)
    assert layout(net) == places
    assert not torch.equal(net.head.weight, weights["net.fc.weight"])


def test_training_leaves_alone_what_is_held_before_each_epoch(tiny: Callable[[], Backbone]) -> None:
    def statistics(net: Backbone) -> list[torch.Tensor]:
        return [value.clone() for key, value in net.state_dict().items() if "running" in key]

    def moves(held: bool) -> bool:
        net = tiny()
        before = statistics(net)
        tl.train.fit(
            net,
            [(X, Y)],
            [(X, Y)],
            torch.optim.SGD(net.parameters(), lr=0.1),
            epochs=2,
            before_epoch=lambda _: held_by_hand(net) if held else None,
        )
        return any(not torch.equal(a, b) for a, b in zip(before, statistics(net), strict=True))

    assert moves(held=False) and not moves(held=True)
