"""Looking inside any backbone: stages seen as they compute, and the network left as it was found."""

from __future__ import annotations

import copy
import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import tlhelpers as tl
from tlhelpers.data import ImageSet
from tlhelpers.models import Backbone


class Known(NamedTuple):
    """An architecture, the side of its images, and what its last stage before the head gives as maps."""

    name: str
    side: int
    last: tuple[int, int, int]


ARCHITECTURES = [
    Known("efficientnet_lite0", 64, (1280, 2, 2)),
    Known("resnet18", 64, (512, 2, 2)),
    Known("timm/convnext_atto", 64, (320, 1, 1)),
    Known("timm/vit_tiny_patch16_224", 64, (192, 4, 4)),
    Known("timm/swin_tiny_patch4_window7_224", 64, (768, 2, 2)),
    Known("swin_t", 64, (768, 2, 2)),
]


@pytest.fixture(scope="module", params=ARCHITECTURES, ids=lambda known: known.name)
def known(request: pytest.FixtureRequest) -> Known:
    return request.param


@pytest.fixture(scope="module")
def net(known: Known) -> Backbone:
    return tl.models.load(known.name, num_classes=3, pretrained=False, image_size=known.side)


@pytest.fixture(scope="module")
def images(known: Known) -> torch.Tensor:
    return torch.randn(2, 3, known.side, known.side, generator=torch.Generator().manual_seed(0))


class TestAnyBackbone:
    def test_every_stage_is_seen_in_its_order(self, net: Backbone, images: torch.Tensor) -> None:
        assert list(tl.look.stage_outputs(net, images)) == list(net.stages)

    def test_the_head_is_seen_as_the_logits(self, net: Backbone, images: torch.Tensor) -> None:
        with torch.no_grad():
            logits = net.eval()(images)
        assert torch.equal(tl.look.stage_outputs(net, images, ["head"])["head"], logits)

    def test_maps_have_channels_first_and_positions_last(
        self, net: Backbone, images: torch.Tensor, known: Known
    ) -> None:
        outs = tl.look.stage_outputs(net, images)
        found = {name: tl.look.maps(net, out) for name, out in outs.items()}
        assert all(m.ndim == 4 and m.shape[2] == m.shape[3] for m in found.values())
        assert found[list(net.stages)[-2]].shape == (2, *known.last)
        assert found["head"].shape == (2, 3, 1, 1)

    def test_pooled_features_have_the_width_of_the_maps(self, net: Backbone, known: Known) -> None:
        pictures = [np.full((40, 40), 90 * i, dtype=np.uint8) for i in range(3)]
        features, labels = tl.look.pooled(net, ImageSet(pictures, np.array([0, 1, 0]), ("a", "b")))
        assert list(features) == list(net.stages)[:-1] and labels.tolist() == [0, 1, 0]
        assert features[list(features)[-1]].shape == (3, known.last[0])

    def test_gradcam_is_a_map_of_a_stage_that_is_nowhere_negative(
        self, net: Backbone, images: torch.Tensor, known: Known
    ) -> None:
        stage = list(net.stages)[-2]
        heat = tl.look.gradcam(net, images, [0, 2], stage)
        assert heat.shape == (2, *known.last[1:]) and (heat >= 0).all() and not heat.requires_grad

    def test_looking_leaves_no_trace(self, net: Backbone, images: torch.Tensor) -> None:
        net.train()
        modes = [module.training for module in net.modules()]
        before = {key: value.clone() for key, value in net.state_dict().items()}
        stage = list(net.stages)[-2]
        tl.look.stage_outputs(net, images)
        tl.look.gradcam(net, images, 1, stage)
        assert [module.training for module in net.modules()] == modes
        assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
        assert all(p.grad is None and p.requires_grad for p in net.parameters())
        assert not any(module._forward_hooks for module in net.modules())


class Tiny(nn.Module):
    """Two 1x1 convolutions, mean over the map, a linear head: small enough to compute by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 1, bias=False)
        self.body = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.Identity())
        self.head = nn.Linear(2, 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.first(x)).mean((2, 3)))


@pytest.fixture
def tiny() -> Backbone:
    net = Tiny()
    with torch.no_grad():
        net.first.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0]])[..., None, None])
        net.body[0].weight.copy_(torch.eye(2)[..., None, None])
        net.head.weight.copy_(torch.tensor([[2.0, -1.0], [0.0, 3.0]]))
    return Backbone(net, "tiny", lambda image: torch.zeros(3, 2, 2))


@pytest.fixture
def square() -> torch.Tensor:
    x = torch.zeros(1, 3, 2, 2)
    x[0, 0] = torch.tensor([[4.0, 0.0], [1.0, 0.0]])
    x[0, 1] = torch.tensor([[0.0, 8.0], [1.0, 4.0]])
    return x


class TestGradcam:
    @pytest.mark.parametrize("stage", ["stem", "body"])
    def test_it_is_the_weighted_sum_of_the_channels_cut_at_zero(
        self, tiny: Backbone, square: torch.Tensor, stage: str
    ) -> None:
        if stage not in tiny.stages:
            stage = list(tiny.stages)[-2]
        # d logit_0 / d map = (2, -1) / 4, so the map is (2 a - b) / 4 where positive.
        expected = torch.tensor([[[2.0, 0.0], [0.25, 0.0]]])
        assert torch.allclose(tl.look.gradcam(tiny, square, 0, stage), expected)

    def test_each_image_may_have_a_class_of_its_own(self, tiny: Backbone, square: torch.Tensor) -> None:
        stage = list(tiny.stages)[-2]
        both = tl.look.gradcam(tiny, square.repeat(2, 1, 1, 1), [0, 1], stage)
        assert torch.allclose(both[0], tl.look.gradcam(tiny, square, 0, stage)[0])
        assert torch.allclose(both[1], 0.75 * square[0, 1])

    def test_frozen_weights_have_a_map_all_the_same(self, tiny: Backbone, square: torch.Tensor) -> None:
        stage = list(tiny.stages)[-2]
        expected = tl.look.gradcam(tiny, square, 0, stage)
        tiny.requires_grad_(False)
        with torch.no_grad():
            assert torch.equal(tl.look.gradcam(tiny, square, 0, stage), expected)

    def test_a_class_without_a_logit_is_refused(self, tiny: Backbone, square: torch.Tensor) -> None:
        with pytest.raises(ValueError, match=r"class \[2\] of 2; give the index of a logit"):
            tl.look.gradcam(tiny, square, 2, list(tiny.stages)[-2])

    def test_the_head_gives_no_map(self, tiny: Backbone, square: torch.Tensor) -> None:
        with pytest.raises(ValueError, match="the head gives no maps; choose a stage before it"):
            tl.look.gradcam(tiny, square, 0, "head")


class TestWatching:
    def test_an_unknown_stage_is_given_back_with_the_known_ones(self, tiny: Backbone) -> None:
        with pytest.raises(KeyError, match=r"tiny has no stage 'tail'; its stages are .*head"):
            tl.look.stage_outputs(tiny, torch.zeros(1, 3, 2, 2), ["tail"])

    def test_images_that_are_not_square_are_refused(self, tiny: Backbone) -> None:
        with pytest.raises(ValueError, match=r"images have shape \(1, 3, 2, 4\); give square ones"):
            tl.look.stage_outputs(tiny, torch.zeros(1, 3, 2, 4))

    def test_hooks_are_gone_and_modes_back_when_the_network_fails(self, tiny: Backbone) -> None:
        tiny.train()
        with pytest.raises(RuntimeError):
            tl.look.stage_outputs(tiny, torch.zeros(1, 5, 2, 2))
        assert not any(module._forward_hooks for module in tiny.modules())
        assert all(module.training for module in tiny.modules())

    def test_what_the_watcher_returns_goes_on_in_place_of_the_output(
        self, tiny: Backbone, square: torch.Tensor
    ) -> None:
        stage = list(tiny.stages)[-2]
        with tl.look.watching(tiny, [stage], lambda _, out: torch.zeros_like(out)), torch.no_grad():
            assert torch.equal(tiny(square), torch.zeros(1, 2))

    def test_tokens_that_form_no_square_are_refused(self, tiny: Backbone) -> None:
        with pytest.raises(ValueError, match=r"shape \(1, 8, 5\) is neither a map, nor a square of tokens"):
            tl.look.maps(tiny, torch.zeros(1, 8, 5))

    def test_tokens_keep_their_places(self, tiny: Backbone) -> None:
        tokens = torch.cat([torch.full((1, 1, 1), -1.0), torch.arange(9.0).view(1, 9, 1)], dim=1)
        assert tl.look.maps(tiny, tokens)[0, 0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def by_kernels(x: np.ndarray, y: np.ndarray) -> float:
    """Return CKA by its definition: HSIC of two linear kernels, normalized."""
    n = len(x)
    center = np.eye(n) - np.full((n, n), 1 / n)
    k, m = center @ x @ x.T @ center, center @ y @ y.T @ center
    return float(np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m)))


class TestCka:
    @pytest.fixture
    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(40, 6)) + 3
        return x, x @ rng.normal(size=(6, 9)) + rng.normal(size=(40, 9))

    def test_it_is_the_normalized_hsic_of_linear_kernels(self, pair: tuple[np.ndarray, np.ndarray]) -> None:
        assert tl.look.cka(*pair) == pytest.approx(by_kernels(*pair), abs=1e-12)

    def test_it_is_one_with_itself_and_the_same_both_ways(self, pair: tuple[np.ndarray, np.ndarray]) -> None:
        x, y = pair
        assert tl.look.cka(x, x) == pytest.approx(1)
        assert tl.look.cka(x, y) == pytest.approx(tl.look.cka(y, x))

    def test_rotation_order_scale_and_shift_do_not_count(self, pair: tuple[np.ndarray, np.ndarray]) -> None:
        x, y = pair
        turn = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
        for same in (x @ turn, x[:, ::-1], -7 * x, x + 100):
            assert tl.look.cka(same, y) == pytest.approx(tl.look.cka(x, y))

    def test_stretching_one_direction_counts(self, pair: tuple[np.ndarray, np.ndarray]) -> None:
        x, _ = pair
        assert tl.look.cka(x, x * [50, 1, 1, 1, 1, 1]) < 0.9

    def test_a_line_against_its_square_by_hand(self) -> None:
        # Centered: (-1, 0, 1) and (1/3, -2/3, 1/3), which are orthogonal.
        x = np.array([[-1.0], [0.0], [1.0]])
        assert tl.look.cka(x, x**2) == pytest.approx(0, abs=1e-12)

    def test_tensors_do_as_well(self, pair: tuple[np.ndarray, np.ndarray]) -> None:
        x, y = pair
        assert tl.look.cka(torch.tensor(x), torch.tensor(y)) == pytest.approx(tl.look.cka(x, y))

    @pytest.mark.parametrize(
        ("x", "y", "message"),
        [
            (np.ones((3, 2)), np.ones((4, 2)), r"shapes \(3, 2\) and \(4, 2\)"),
            (np.ones(3), np.ones(3), r"shapes \(3,\) and \(3,\)"),
            (np.ones((3, 2)), np.eye(3), "all images have the same features"),
            (np.full((3, 2), np.nan), np.eye(3), "NaN or infinity"),
        ],
        ids=["rows", "vectors", "constant", "nan"],
    )
    def test_what_cannot_be_compared_is_refused(self, x: np.ndarray, y: np.ndarray, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.look.cka(x, y)


def song(x: np.ndarray, y: np.ndarray) -> float:
    """Return the unbiased HSIC of two linear kernels as Song et al. (2012) write it, from plain features."""
    n, one = len(x), np.ones(len(x))
    k, m = ((1 - np.eye(n)) * (features @ features.T) for features in (x, y))
    inner = (
        np.trace(k @ m) + one @ k @ one * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ m @ one)
    )
    return float(inner / (n * (n - 3)))


class TestDebiasedCka:
    @staticmethod
    def related(n: int, c: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return two descriptions that share half of what they say."""
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, c)) + 3
        return x, x + rng.normal(size=(n, c))

    def test_it_is_the_ratio_of_unbiased_estimates(self) -> None:
        for n, c in ((4, 2), (12, 30), (40, 6)):
            x, y = self.related(n, c)
            known = song(x, y) / np.sqrt(song(x, x) * song(y, y))
            assert tl.look.cka(x, y, debiased=True) == pytest.approx(known, abs=1e-9)

    @pytest.mark.parametrize("sizes", [(2000, 2000), (500, 3000)])
    def test_noise_scores_about_zero_where_the_biased_form_says_alike(self, sizes: tuple[int, int]) -> None:
        rng = np.random.default_rng(0)
        x, y = (rng.normal(size=(100, c)) for c in sizes)
        expected = np.prod([np.sqrt(c / (100 + c)) for c in sizes])  # of the biased form
        assert tl.look.cka(x, y) == pytest.approx(expected, abs=0.02) and expected > 0.89
        assert abs(tl.look.cka(x, y, debiased=True)) < 0.05

    def test_noise_lies_below_zero_as_often_as_above(self) -> None:
        rng = np.random.default_rng(0)
        found = [tl.look.cka(*rng.normal(size=(2, 12, 40)), debiased=True) for _ in range(400)]
        assert abs(np.mean(found)) < 3 * np.std(found) / 20 and 0.4 < np.mean(np.array(found) > 0) < 0.6

    def test_it_meets_the_biased_form_as_images_become_many(self) -> None:
        gaps = []
        for n in (20, 200, 2000, 20000):
            x, y = self.related(n, 10)
            gaps.append(abs(tl.look.cka(x, y) - tl.look.cka(x, y, debiased=True)))
        assert gaps[0] > 0.05 and gaps[-1] < 1e-3
        assert all(later < earlier / 3 for earlier, later in itertools.pairwise(gaps))

    def test_few_images_give_on_average_what_many_say(self) -> None:
        true = tl.look.cka(*self.related(20000, 60), debiased=True)
        few = [self.related(30, 60, seed) for seed in range(40)]
        assert np.mean([tl.look.cka(x, y, debiased=True) for x, y in few]) == pytest.approx(true, abs=0.03)
        assert np.mean([tl.look.cka(x, y) for x, y in few]) > true + 0.1

    def test_rotation_order_scale_and_shift_do_not_count(self) -> None:
        x, y = self.related(15, 30)
        turn = np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))[0]
        expected = tl.look.cka(x, y, debiased=True)
        for same in (x @ turn, x[:, ::-1], -7 * x, x + 100):
            assert tl.look.cka(same, y, debiased=True) == pytest.approx(expected)
        assert tl.look.cka(y, x, debiased=True) == pytest.approx(expected)
        assert tl.look.cka(x, 2 * x @ turn, debiased=True) == pytest.approx(1)

    def test_the_default_is_the_biased_form(self) -> None:
        x, y = self.related(15, 30)
        assert tl.look.cka(x, y) == tl.look.cka(x, y, debiased=False) == pytest.approx(by_kernels(x, y))

    def test_three_images_are_too_few(self) -> None:
        x, y = self.related(3, 5)
        with pytest.raises(ValueError, match=r"there are 3 rows, and .* divides by N - 3; give four or more"):
            tl.look.cka(x, y, debiased=True)
        assert tl.look.cka(x, y) > 0

    @pytest.mark.parametrize("scale", [1.0, 1e6])
    def test_features_of_their_own_leave_nothing_to_compare(self, scale: float) -> None:
        x, _ = self.related(6, 4)
        with pytest.raises(ValueError, match="in y no two images have more in common than any other two"):
            tl.look.cka(x, scale * np.eye(6) + 7, debiased=True)


class TestRandomized:
    @pytest.fixture
    def pair(self) -> tuple[Backbone, Backbone]:
        first, second = (tl.models.load("resnet18", pretrained=False, image_size=32, seed=s) for s in (0, 1))
        for module in second.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.fill_(5)
        return first, second

    def test_the_named_stages_become_the_other_network_and_no_more(self, pair: tuple[Backbone, Backbone]) -> None:
        net, fresh = pair
        before = copy.deepcopy(net.state_dict())
        tl.look.randomized(net, fresh, ["head", "layer4"])
        for key, value in net.state_dict().items():
            other = fresh.state_dict() if key.split(".")[1] in ("fc", "layer4") else before
            assert torch.equal(value, other[key]), key

    def test_all_stages_make_it_the_other_network(self, pair: tuple[Backbone, Backbone]) -> None:
        net, fresh = pair
        tl.look.randomized(net, fresh, net.stages)
        assert all(
            torch.equal(a, b) for a, b in zip(*(n.state_dict().values() for n in (net, fresh)), strict=True)
        )

    def test_another_architecture_is_refused(self, pair: tuple[Backbone, Backbone]) -> None:
        other = tl.models.load("resnet34", pretrained=False, image_size=32)
        with pytest.raises(ValueError, match="stage 'layer1' differs between the networks"):
            tl.look.randomized(pair[0], other, ["layer1"])

    def test_an_unknown_stage_is_refused(self, pair: tuple[Backbone, Backbone]) -> None:
        with pytest.raises(KeyError, match="resnet18 has no stage 'layer9'"):
            tl.look.randomized(*pair, ["layer9"])


def test_a_source_network_keeps_the_thousand_classes() -> None:
    net = tl.models.load("efficientnet_lite0", image_size=64)
    assert net.head.out_features == 1000
    ours = tl.models.load("efficientnet_lite0", image_size=64)
    assert torch.equal(net.net.conv_stem.weight, ours.net.conv_stem.weight)


class TestNamesAndTargets:
    def test_one_stage_may_come_as_its_name(self, tiny: Backbone, square: torch.Tensor) -> None:
        stage = next(iter(tiny.stages))
        assert list(tl.look.stage_outputs(tiny, square, stage)) == [stage]
        assert list(tl.look.stage_outputs(tiny, square, (name for name in [stage]))) == [stage]
        fresh = copy.deepcopy(tiny)
        for p in fresh.stage(stage).parameters:
            p.data.add_(1)
        tl.look.randomized(tiny, fresh, stage)
        assert all(
            torch.equal(a, b)
            for a, b in zip(tiny.stage(stage).parameters, fresh.stage(stage).parameters, strict=True)
        )

    def test_arrays_are_no_images(self, tiny: Backbone, square: torch.Tensor) -> None:
        with pytest.raises(ValueError, match="images are a ndarray; give a tensor"):
            tl.look.stage_outputs(tiny, square.numpy())

    def test_targets_come_in_any_container_in_their_order(self, tiny: Backbone, square: torch.Tensor) -> None:
        stage, x = next(iter(tiny.stages)), torch.cat([square[:1], square[:1] + 1])
        expected = tl.look.gradcam(tiny, x, torch.tensor([0, 1]), stage)
        for target in ([0, 1], np.array([0, 1]), pd.Series([0, 1], index=[1, 0]), iter([0, 1])):
            assert torch.equal(tl.look.gradcam(tiny, x, target, stage), expected)

    @pytest.mark.parametrize("target", [[0, 1, 0], 0.5, []])
    def test_a_target_is_one_class_or_one_an_image(
        self, tiny: Backbone, square: torch.Tensor, target: object
    ) -> None:
        with pytest.raises(ValueError, match="give one class, or one an image"):
            tl.look.gradcam(tiny, torch.cat([square[:1]] * 2), target, next(iter(tiny.stages)))
