"""The engine: fast, and the same as what it replaces."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import tlhelpers as tl
from benchmarks import engine
from tlhelpers.look import Suffix
from tlhelpers.models import Backbone

SIDE = 64


@pytest.fixture
def net() -> Backbone:
    made = tl.models.load("efficientnet_lite0", 2, image_size=SIDE, seed=0)
    return tl.models.freeze_norms(tl.models.unfreeze(made))


@pytest.fixture
def x() -> torch.Tensor:
    photos = tl.data.pieces(tl.data.photographs(), 1, 0, seed=0)
    return engine.pixels(photos, tl.models.load("efficientnet_lite0", 2, image_size=SIDE).transform)


def gradients(net: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    net.zero_grad()
    nn.functional.cross_entropy(net(x), torch.arange(len(x)) % 2).backward()
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


class TestFolded:
    def test_outputs_and_gradients_are_those_of_the_plain_network(self, net: Backbone, x: torch.Tensor) -> None:
        net.double().train()  # in double precision rounding is no excuse
        x = x.double()
        plain, grads = net(x).detach(), gradients(net, x)
        with engine.folded(net, x[:1]):
            torch.testing.assert_close(net(x).detach(), plain, rtol=1e-9, atol=1e-9)
            again = gradients(net, x)
        assert grads.keys() == again.keys()
        for name, grad in grads.items():
            torch.testing.assert_close(again[name], grad, rtol=1e-6, atol=1e-9)

    def test_all_norms_are_folded_and_none_is_left_so(self, net: Backbone, x: torch.Tensor) -> None:
        norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
        with engine.folded(net.train(), x[:1]):
            assert all("forward" in vars(norm) for norm in norms) and len(norms) == 49
        assert not any("forward" in vars(module) for module in net.modules())

    def test_norms_that_move_are_left_alone(self, net: Backbone, x: torch.Tensor) -> None:
        tl.models.freeze_norms(net, False)
        net.train()
        with engine.folded(net, x[:2]):
            assert not any("forward" in vars(module) for module in net.modules())

    def test_it_is_undone_when_the_training_fails(self, net: Backbone, x: torch.Tensor) -> None:
        with pytest.raises(RuntimeError, match="stop"), engine.folded(net.train(), x[:1]):
            raise RuntimeError("stop")
        assert not any("forward" in vars(module) for module in net.modules())

    def test_a_plain_norm_behind_a_convolution_with_bias(self) -> None:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).double().eval()
        net[1].running_mean.copy_(torch.randn(4))
        net[1].running_var.copy_(torch.rand(4) + 0.5)
        x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
        plain = net(x)
        with engine.folded(net, x[:1]):
            torch.testing.assert_close(net(x), plain)


class TestFrozen:
    def test_features_are_those_of_the_package(self, net: Backbone, x: torch.Tensor) -> None:
        photos = tl.data.pieces(tl.data.photographs(), 1, 0, seed=0)
        expected, _ = tl.look.extract(net, photos)
        torch.testing.assert_close(engine.features(net, x, torch.float32), expected, rtol=1e-4, atol=1e-5)

    def test_bf16_gives_the_same_features_or_is_not_used(self, net: Backbone, x: torch.Tensor) -> None:
        engine.precision.cache_clear()
        used = engine.precision("cpu")
        exact, found = (engine.features(net, x, dtype) for dtype in (torch.float32, used))
        assert float((exact - found).norm() / exact.norm()) < 0.01

    def test_a_machine_without_bf16_computes_in_float32(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "has_bf16", lambda device: False)
        engine.precision.cache_clear()
        assert engine.precision("cpu") == torch.float32
        engine.precision.cache_clear()

    def test_what_enters_a_stage_leads_to_the_same_answer(self, net: Backbone, x: torch.Tensor) -> None:
        stage = list(net.stages)[5]
        entering = engine.prefix(net, x, stage, torch.float32)
        upper = Suffix(net, stage, SIDE).eval()
        with torch.no_grad():
            torch.testing.assert_close(upper(entering), net.eval()(x), rtol=1e-4, atol=1e-5)

    def test_calibrated_norms_see_inputs_of_mean_0_and_variance_1(self, x: torch.Tensor) -> None:
        fresh = tl.models.load("efficientnet_lite0", 2, pretrained=False, image_size=SIDE, seed=3)
        plain = copy.deepcopy(fresh)
        engine.calibrate(fresh, x)
        spread = [float(engine.features(it, x, torch.float32).std(dim=0).mean()) for it in (plain, fresh)]
        assert spread[1] > 1.5 * spread[0], "without calibration the signal fades"
        assert not fresh.training
        first = next(m for m in fresh.modules() if isinstance(m, nn.BatchNorm2d))
        entered: list[torch.Tensor] = []
        handle = first.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
        with torch.no_grad():
            fresh(x)
        handle.remove()
        torch.testing.assert_close(first.running_mean, entered[0].mean((0, 2, 3)), rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(first.running_var, entered[0].var((0, 2, 3)), rtol=1e-3, atol=1e-5)


class TestDrawn:
    def test_a_pass_holds_each_row_once_and_batches_are_full(self) -> None:
        rows = torch.arange(10.0)[:, None]
        drawn = engine.Drawn([rows], torch.arange(10), size=4, steps=5, seed=0)
        seen = torch.cat([y for _, y in drawn])
        assert len(drawn) == 5 and len(seen) == 20
        assert all(sorted(part.tolist()) == list(range(10)) for part in (seen[:10], seen[10:]))

    def test_the_same_seed_draws_the_same_and_the_next_round_draws_anew(self) -> None:
        def rounds(seed: int) -> list[list[int]]:
            drawn = engine.Drawn([torch.zeros(10, 1)], torch.arange(10), size=5, steps=2, seed=seed)
            return [[int(i) for _, y in drawn for i in y] for _ in range(2)]

        assert rounds(1) == rounds(1) != rounds(2)
        assert rounds(1)[0] != rounds(1)[1]

    def test_each_row_is_taken_from_one_of_its_views(self) -> None:
        views = engine.views(torch.arange(2 * 3 * 4.0).view(1, 1, 6, 4).expand(8, 3, 6, 4))
        drawn = engine.Drawn(views, torch.zeros(8, dtype=torch.int64), size=8, steps=8, seed=0)
        corners = {float(x[row, 0, 0, 0]) for x, _ in drawn for row in range(8)}
        assert corners == {0.0, 3.0, 20.0, 23.0}  # each corner comes to the top left

    def test_two_runs_of_one_training_give_the_same_scores(self, x: torch.Tensor) -> None:
        def scores() -> np.ndarray:
            torch.manual_seed(0)
            net = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 2))
            y = torch.arange(len(x)) % 2
            drawn = engine.Drawn([x], y, 4, 3, seed=0)
            groups = [{"params": list(net.parameters()), "lr": 1e-3}]
            engine.fit(net, drawn, (x, y), groups, rounds=2, measure="auroc", weights=None)
            return tl.train.predict_proba(net, [(x, y)])[0]

        assert np.array_equal(scores(), scores())
