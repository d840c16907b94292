"""A network is loaded whole and proved, or refused with what to do: its name, its head, its size, its weights."""

from __future__ import annotations

import random
import re
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from torchvision import models
from torchvision import transforms as v1
from torchvision.transforms import v2

import tlhelpers as tl
from tlhelpers.data import HubError
from tlhelpers.models import _backbones, _preprocessing


class TestSameNumbers:
    """What a seed drew is drawn today: the library's own network, then the head, and nothing after it."""

    @pytest.mark.parametrize(
        ("name", "make", "side"),
        [
            ("resnet18", models.resnet18, None),
            ("densenet121", models.densenet121, 32),
            ("timm/test_resnet", lambda: timm.create_model("test_resnet"), 64),
            ("efficientnet_lite0", lambda: timm.create_model("tf_efficientnet_lite0"), 64),
            ("googlenet", lambda: models.googlenet(init_weights=True), 64),
        ],
    )
    @pytest.mark.parametrize("count", [None, 3])
    def test_weights_and_generator(
        self, name: str, make: Callable[[], nn.Module], side: int | None, count: int | None
    ) -> None:
        torch.manual_seed(7)
        plain = make()
        if count:
            torch.manual_seed(7)
            head = nn.Linear(tl.models.Backbone(plain, name, lambda image: torch.zeros(1)).width, count)
        torch.manual_seed(8)
        state = torch.get_rng_state()
        net = tl.models.load(name, count, pretrained=False, image_size=side, seed=7)
        assert torch.equal(torch.get_rng_state(), state)
        expected = dict(plain.named_parameters())
        for key, parameter in net.net.named_parameters():
            if not count or (parameter is not net.head.weight and parameter is not net.head.bias):
                assert torch.equal(parameter, expected[key]), key
        assert not count or (torch.equal(net.head.weight, head.weight) and torch.equal(net.head.bias, head.bias))

    def test_a_transformer_of_another_size_is_drawn_twice(self) -> None:
        torch.manual_seed(7)
        timm.create_model("test_vit")
        plain = timm.create_model("test_vit", img_size=64)
        net = tl.models.load("timm/test_vit", pretrained=False, image_size=64, seed=7)
        pairs = zip(net.net.parameters(), plain.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)

    @pytest.mark.parametrize(
        ("name", "count"), [("resnet18", None), ("resnet18", 3), ("timm/test_vit", 3), ("timm/test_nfnet", 3)]
    )
    def test_the_random_numbers_of_the_caller_go_on(
        self, name: str, count: int | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not torch.cuda.is_initialized():  # it would wait there for a CUDA that starts later
            monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail(f"{seed} reached every device"))
        first, again, other = (
            tl.models.load(name, count, pretrained=False, image_size=32, seed=seed).state_dict()
            for seed in (1, 1, 2)
        )
        assert all(torch.equal(value, again[key]) for key, value in first.items())
        assert not all(torch.equal(value, other[key]) for key, value in first.items())
        drawn = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
        tl.models.load(name, count, pretrained=False, image_size=32, seed=1)
        assert torch.equal(torch.get_rng_state(), drawn[0])
        assert drawn[1:] == (random.getstate(), np.random.get_state()[1].tolist())


class TestProof:
    def test_it_leaves_everything_as_it_was(self) -> None:
        net = tl.models.load("mobilenet_v3_small", 3, pretrained=False, image_size=32)
        net.net.features[3].eval()
        modes = [m.training for m in net.modules()]
        state = {key: value.clone() for key, value in net.state_dict().items()}
        drawn = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
        assert _backbones._fault(net, 32) == ""
        assert [m.training for m in net.modules()] == modes
        assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
        assert torch.equal(torch.get_rng_state(), drawn[0]) and random.getstate() == drawn[1]
        assert np.random.get_state()[1].tolist() == drawn[2]
        assert all(parameter.grad is None for parameter in net.parameters())
        assert not any(m._forward_pre_hooks or m._forward_hooks for m in net.modules())

    def test_a_loaded_network_has_met_no_batch(self) -> None:
        net = tl.models.load("resnet18", 2, pretrained=False, image_size=32)
        assert net.net.bn1.num_batches_tracked == 0 and (net.net.bn1.running_mean == 0).all() and net.training

    @pytest.mark.parametrize(
        ("forward", "fault"),
        [
            (lambda self, x: (self.fc(x.mean((2, 3))),), "one image gives a tuple"),
            (lambda self, x: self.fc(x.mean((2, 3))) * 2, "not those of its last linear layer"),
            (lambda self, x: self.fc(x.mean((2, 3)))[:, :1], r"one image gives \(1, 1\)"),
            (lambda self, x: self.fc(self.fc(x.mean((2, 3)))), r"what enters its head is \(1, 3\), \(1, 3\)"),
            (lambda self, x: [self.fc(x.mean((2, 3)))] if self.training else self.fc(x.mean((2, 3))), "a list"),
        ],
        ids=["tuple", "scaled", "cut", "twice", "in training"],
    )
    def test_what_is_no_classifier_is_told(self, forward: Callable[..., Any], fault: str) -> None:
        kind = type("Odd", (nn.Module,), {"forward": forward})
        plain = kind()
        plain.fc = nn.Linear(3, 3)
        net = tl.models.Backbone(plain, "odd", lambda image: torch.zeros(1))
        found = _backbones._fault(net, 8)
        assert isinstance(found, str) and re.search(fault, found)

    def test_load_refuses_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Scaled(nn.Sequential):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return super().forward(x) * 2

        def make(*_: object) -> tuple[nn.Module, object, int]:
            return Scaled(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 9)), None, 8

        monkeypatch.setattr(_backbones._sources, "make", make)
        with pytest.raises(
            ValueError, match=r"resnet18 is no classifier .* last linear layer; take another network"
        ):
            tl.models.load("resnet18", 2, pretrained=False)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("resnet 50", "write 'resnet50'"),
            ("ResNet50", "write 'resnet50'"),
            ("EfficientNet-Lite0", "write 'efficientnet_lite0'"),
            ("convnext_atto", "write 'timm/convnext_atto'"),
            ("convnext_atto.d2_in1k", "write 'timm/convnext_atto.d2_in1k'"),
            ("timm/ResNet50", "timm has no model 'ResNet50'; similar names: resnet50"),
            ("timm/", "timm has no model ''; similar names: resnet"),
            ("timm/resnet50.nope", "timm has no weights 'nope' of resnet50; it has a1_in1k"),
            ("timm/resnet50.a1_in1", "it has a1_in1k"),
            ("timm/test_vit.", "timm has no weights '' of test_vit"),
            ("timm/hf_hub:someone/net", "no other place is asked"),
            ("hf-hub:timm/resnet18.a1_in1k", "no other place is asked: write 'timm/<model>'.*'timm/resnet18'"),
            ("google/vit-base-patch16-224", "no other place is asked.*'timm/vit_base_patch16_224'"),
            ("timm/local-dir:/tmp", "no other place is asked"),
            ("out/my-net", r"load_saved\(folder\) for a folder that save wrote"),
            ("fcn_resnet50", "gives a class to each pixel. Give a classifier, such as 'resnet50'"),
            ("ssd300_vgg16", "finds objects in a picture. Give a classifier, such as 'vgg16'"),
            ("r3d_18", "takes clips of a video"),
            ("raft_small", "compares two frames of a video"),
            ("quantized_resnet18", "whole numbers of 8 bits.* such as 'resnet18'"),
            ("", "the name of a network is ''"),
            (None, "the name of a network is None"),
            (18, "the name of a network is 18"),
        ],
    )
    def test_one_that_is_not_known_is_told_with_those_near_it(self, name: Any, told: str) -> None:
        with pytest.raises(ValueError, match=told):
            tl.models.load(name, 2, pretrained=False)

    def test_a_model_without_weights_is_told_before_it_is_made(self) -> None:
        with pytest.raises(ValueError, match=r"timm has no weights of cspresnet50d; say .*cspresnet50"):
            tl.models.load("timm/cspresnet50d", 2)

    @pytest.mark.parametrize("count", [True, 2.0, "2", -1])
    def test_a_number_of_classes_is_a_whole_one(self, count: Any) -> None:
        with pytest.raises(ValueError, match=r"num_classes=.*; a head needs one output or more, a whole number"):
            tl.models.load("resnet18", count, pretrained=False)

    @pytest.mark.parametrize("side", [True, 64.0, "64", 0, -3, (64, 64)])
    def test_a_size_is_a_whole_number(self, side: Any) -> None:
        with pytest.raises(
            ValueError, match=r"image_size=.*; give the side in pixels, a whole number of 1 or more"
        ):
            tl.models.load("resnet18", 2, pretrained=False, image_size=side)

    def test_numbers_of_numpy_are_numbers(self) -> None:
        net = tl.models.load("resnet18", np.int64(2), pretrained=False, image_size=np.int32(40))  # type: ignore[arg-type]
        assert net.head.out_features == 2 and net.image_size == 40 and type(net.image_size) is int


class TestHeads:
    @pytest.mark.parametrize(
        "name", ["timm/vit_small_patch14_dinov2.lvd142m", "timm/vit_tiny_patch16_dinov3_qkvb"]
    )
    def test_weights_without_a_head_need_a_number_of_classes(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"the weights of {name} have no head.*; say num_classes"):
            tl.models.load(name, pretrained=False)

    def test_two_heads_become_one_that_sees_the_mean_of_what_they_saw(self) -> None:
        name = "deit_tiny_distilled_patch16_224"
        with pytest.raises(ValueError, match=f"timm/{name}: its head is no single linear layer.*say num_classes"):
            tl.models.load(f"timm/{name}", pretrained=False, image_size=32)
        net = tl.models.load(f"timm/{name}", 3, pretrained=False, image_size=32).eval()
        x = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            tokens = net.net.body.forward_features(x)[:, :2]
            assert torch.allclose(net.features(x), tokens.mean(1), atol=1e-6) and net.width == 192
        assert not any("head" in key and key.startswith("body") for key in net.net.state_dict())

    def test_a_pool_that_attends_gives_features_of_the_width(self) -> None:
        net = tl.models.load("timm/resnet50_clip.openai", 2, pretrained=False, image_size=64).eval()
        with torch.no_grad():
            assert net.features(torch.randn(2, 3, 64, 64)).shape == (2, net.width)

    def test_a_new_head_is_drawn_from_the_seed_alone(self) -> None:
        first, second = (tl.models.load(n, 2, pretrained=False, image_size=64) for n in ("timm/dla34", "resnet18"))
        assert torch.equal(first.head.weight, second.head.weight), "both have 512 features"

    @pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
    def test_auxiliary_heads_are_gone(self, name: str) -> None:
        net = tl.models.load(name, 3, pretrained=False, image_size=96)
        out = net.train()(torch.randn(2, 3, 96, 96))
        assert isinstance(out, torch.Tensor) and out.shape == (2, 3)
        assert not any(key.lower().startswith("aux") for key in net.net.state_dict())
        assert net.net.transform_input, "with weights or without, so that the preprocessing fits both"

    @pytest.mark.parametrize(
        ("name", "make", "weights"),
        [
            ("googlenet", models.googlenet, models.GoogLeNet_Weights),
            ("inception_v3", models.inception_v3, models.Inception_V3_Weights),
        ],
    )
    def test_one_with_weights_fits_one_without(
        self, name: str, make: Callable[..., nn.Module], weights: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = make(init_weights=False).state_dict()  # auxiliary heads and all
        monkeypatch.setattr(weights, "get_state_dict", lambda *_, **__: dict(source))
        net = tl.models.load(name, 3, image_size=96).eval()
        again = tl.models.load(name, 3, pretrained=False, image_size=96).eval()
        again.net.load_state_dict(net.net.state_dict())
        x = torch.randn(1, 3, 96, 96)
        with torch.no_grad():
            assert torch.equal(net(x), again(x)) and str(net.transform) == str(again.transform)

    def test_a_squeezenet_gets_a_linear_head(self) -> None:
        net = tl.models.load("squeezenet1_1", 3, pretrained=False, image_size=64).eval()
        x = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            assert torch.allclose(net.features(x), net.net.features(x).mean((2, 3)), atol=1e-5)

    def test_a_head_that_was_wrapped_by_hand_is_found_inside(self) -> None:
        net = tl.models.load("resnet18", 2, pretrained=False, image_size=32).eval()
        net.net.fc = nn.Sequential(nn.Dropout(0.3), nn.Linear(512, 4))
        assert net.head is net.net.fc[1] and net.features(torch.zeros(1, 3, 32, 32)).shape == (1, 512)
        net.net.fc = nn.Identity()
        with pytest.raises(ValueError, match=r"net\.fc, the head of resnet18, is a Identity; put a linear layer"):
            _ = net.head


class TestStages:
    def test_they_stand_in_the_order_in_which_an_image_meets_them(self) -> None:
        names = list(tl.models.load("timm/coat_tiny", 2, pretrained=False, image_size=32).stages)
        assert names.index("serial_blocks1") < names.index("patch_embed2") < names.index("serial_blocks2")

    def test_what_a_network_calls_its_head_before_the_last_layer_is_no_head(self) -> None:
        stages = tl.models.load("timm/selecsls42", 2, pretrained=False, image_size=32).stages
        assert list(stages)[-2:] == ["top", "head"] and len(stages["head"].parameters) == 2


class TestSizes:
    @pytest.mark.parametrize(
        ("name", "side", "works"),
        [
            ("timm/test_vit", 100, 96),
            ("timm/mixer_s32_224", 100, 96),
            ("vit_b_32", 33, 64),
            ("timm/halonet_h1", 60, 256),
            ("alexnet", 32, 64),
            ("inception_v3", 64, 96),
        ],
    )
    def test_one_that_a_network_cannot_take_is_told_with_some_that_work(
        self, name: str, side: int, works: int
    ) -> None:
        told = rf"{name} cannot take images of {side} x {side} pixels \(.*\); sizes that work: .*\b{works}\b"
        with pytest.raises(ValueError, match=told):
            tl.models.load(name, 2, pretrained=False, image_size=side)

    def test_a_network_for_no_square_asks_for_a_size(self) -> None:
        with pytest.raises(
            ValueError, match=r"made for images of 1024 x 768 pixels.*; say image_size, such as 768"
        ):
            tl.models.load("timm/vit_base_patch16_sapiens2.fb", 2, pretrained=False)

    def test_positions_of_torchvision_are_resampled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torch.manual_seed(0)
        source = models.vit_b_32().state_dict()
        kind = models.ViT_B_32_Weights
        monkeypatch.setattr(kind, "get_state_dict", lambda *_, **__: dict(source))
        net = tl.models.load("vit_b_32", 2, image_size=96)
        positions = net.net.encoder.pos_embedding
        assert positions.shape == (1, 1 + 9, 768)
        assert torch.equal(positions[:, 0], source["encoder.pos_embedding"][:, 0])
        assert torch.equal(net.net.conv_proj.weight, source["conv_proj.weight"])
        whole = tl.models.load("vit_b_32", 2)
        assert torch.equal(whole.net.encoder.pos_embedding, source["encoder.pos_embedding"])

    def test_positions_of_timm_are_resampled_or_their_size_is_told(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        make = timm.create_model

        def from_file(name: str, pretrained: bool = False, **settings: Any) -> nn.Module:
            path = tmp_path / f"{name}.pth"
            if pretrained and not path.exists():
                torch.save(make(name).state_dict(), path)
            return make(name, pretrained, pretrained_cfg_overlay={"file": str(path)}, **settings)

        monkeypatch.setattr(timm, "create_model", from_file)
        assert tl.models.load("timm/test_vit", 2, image_size=64).net.pos_embed.shape[1] == 16 + 1
        told = r"timm/gmlp_s16_224 cannot take .*; its weights belong to images of 224 x 224. Leave image_size out"
        with pytest.raises(ValueError, match=told):
            tl.models.load("timm/gmlp_s16_224", 2, image_size=64)


class TestWeightsThatCannotBeHad:
    @pytest.mark.parametrize(
        ("name", "where", "server"),
        [
            ("resnet18", (models, "get_model"), "download.pytorch.org"),
            ("timm/test_resnet.r160_in1k", (timm, "create_model"), "the Hugging Face hub"),
        ],
    )
    def test_one_sentence_says_what_and_how_to_go_on(
        self, name: str, where: tuple[Any, str], server: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise urllib.error.URLError("Name or service not known")

        monkeypatch.setattr(*where, fail)
        told = rf"the weights of {name} are .* {server} now \(.*not known.*PROFILE=offline.*pretrained=False"
        with pytest.raises(HubError, match=told):
            tl.models.load(name, 2)


PICTURES = [
    (1, 1),
    (3, 1000),
    (640, 400),
    (97, 1024),
    (224, 224),
    (225, 223),
    (256, 256),
    (31, 30),
    (1000, 7),
    (500, 333),
]


def picture(size: tuple[int, int]) -> Image.Image:
    values = np.random.default_rng(size).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


class TestAsTheWeightsDemand:
    """Pixels equal those of the libraries' own transforms; values to the last bits, as 1/255 is multiplied."""

    @pytest.mark.parametrize(
        "name",
        [
            "vit_tiny_patch16_224.augreg_in21k_ft_in1k",  # floor(224 / 0.9) is 248, not 249
            "resnet50.a1_in1k",
            "cspdarknet53.ra_in1k",  # bilinear
            "volo_d4_448.sail_in1k",  # crop_pct above 1
            "coat_lite_medium_384.in1k",  # squash
            "vit_base_patch16_siglip_224.v2_webli",
        ],
    )
    @pytest.mark.parametrize("size", PICTURES)
    def test_of_timm(self, name: str, size: tuple[int, int]) -> None:
        config = timm.data.resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict())
        ours = tl.models.preprocessing(
            config["input_size"][-1],
            config["mean"],
            config["std"],
            int(config["input_size"][-1] // config["crop_pct"]),
            config["interpolation"],
            crop_mode=config["crop_mode"],
            frame=True,
        )
        pixels = timm.data.create_transform(**config, is_training=False, normalize=False)(picture(size))
        cut = v2.Compose(ours.transforms[:2])(picture(size))
        assert torch.equal(torch.from_numpy(np.array(cut)).permute(2, 0, 1), pixels)
        theirs = timm.data.create_transform(**config, is_training=False)(picture(size))
        assert torch.allclose(ours(picture(size)), theirs, atol=2e-6, rtol=0)

    @pytest.mark.parametrize("size", PICTURES)
    def test_of_timm_with_a_border(self, size: tuple[int, int]) -> None:
        config: dict[str, Any] = {"input_size": (3, 84, 84), "mean": (0.5, 0.4, 0.3), "std": (0.5,) * 3}
        config |= {"interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "border"}
        theirs = timm.data.create_transform(**config, is_training=False, normalize=False)
        ours = tl.models.preprocessing(84, config["mean"], config["std"], crop_mode="border")
        if max(size) > 2 * 84 * min(size):  # timm fails where a side would be rounded to nothing
            assert ours(picture(size)).shape == (3, 84, 84)
            return
        cut = v2.Compose(ours.transforms[:2])(picture(size))
        assert torch.equal(torch.from_numpy(np.array(cut)).permute(2, 0, 1), theirs(picture(size)))

    @pytest.mark.parametrize("name", ["resnet50", "swin_t", "inception_v3", "efficientnet_b1"])
    @pytest.mark.parametrize("size", PICTURES)
    def test_of_torchvision(self, name: str, size: tuple[int, int]) -> None:
        recipe = models.get_model_weights(name).DEFAULT.transforms()
        ours = tl.models.preprocessing(
            recipe.crop_size[0], recipe.mean, recipe.std, recipe.resize_size[0], recipe.interpolation.value
        )
        assert torch.allclose(ours(picture(size)), recipe(picture(size)), atol=2e-6, rtol=0)

    def test_load_takes_all_of_it_from_the_weights(self) -> None:
        squash = tl.models.load("timm/test_vit4", 2, pretrained=False)
        config = timm.data.resolve_model_data_config(squash.net)
        theirs = timm.data.create_transform(**config, is_training=False)
        assert torch.allclose(squash.transform(picture((640, 400))), theirs(picture((640, 400))), atol=2e-6)
        inception = tl.models.load("resnet18", 2, pretrained=False)
        recipe = models.ResNet18_Weights.DEFAULT.transforms()
        assert torch.allclose(inception.transform(picture((640, 400))), recipe(picture((640, 400))), atol=2e-6)

    def test_a_size_of_ones_own_keeps_the_crop_mode(self) -> None:
        net = tl.models.load("timm/coat_lite_medium_384", 2, pretrained=False, image_size=64)
        assert net.transform.transforms[0].size == [64, 64] and net.image_size == 64

    def test_random_interpolation_is_for_training(self) -> None:
        steps = tl.models.preprocessing(8, (0.5,) * 3, (0.5,) * 3, interpolation="random")
        assert steps.transforms[0].interpolation is v2.InterpolationMode.BILINEAR

    def test_an_unknown_crop_mode_is_named(self) -> None:
        with pytest.raises(ValueError, match="crop_mode='middle'; give one of center, squash, border"):
            tl.models.preprocessing(8, (0.5,) * 3, (0.5,) * 3, crop_mode="middle")


class TestStrips:
    @pytest.mark.parametrize("size", [(12_000, 3), (1, 60_000)])
    def test_the_middle_of_a_long_strip_is_scaled_alone(
        self, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(v2.Resize, "transform", None)  # the strip is not scaled whole
        x = tl.models.preprocessing(224, (0.5,) * 3, (0.5,) * 3, 256)(Image.new("RGB", size, "white"))
        assert x.shape == (3, 224, 224) and (x == 1).all()

    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
    @pytest.mark.parametrize("size", [(900, 8), (7, 1200), (1000, 1)])
    @pytest.mark.parametrize("resize", [64, 73, 50])
    def test_it_is_what_the_whole_strip_would_give_but_for_a_level(
        self, size: tuple[int, int], interpolation: str, resize: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        half = (0.5,) * 3
        steps = tl.models.preprocessing(64, half, half, resize, interpolation, frame=True).transforms[:2]
        whole = np.asarray(v2.Compose(steps)(picture(size))).astype(int)
        monkeypatch.setattr(_preprocessing, "LARGEST", 0)
        middle = np.asarray(v2.Compose(steps)(picture(size))).astype(int)
        assert middle.shape == whole.shape and np.abs(middle - whole).max() <= 1

    def test_it_prints_and_reads_as_the_step_of_torchvision(self) -> None:
        step = tl.models.preprocessing(8, (0.5,) * 3, (0.5,) * 3, 9).transforms[0]
        assert str(step) == str(v2.Resize(9, v2.InterpolationMode.BICUBIC)) and isinstance(step, v2.Resize)
        assert isinstance(v1.Compose([step])(Image.new("RGB", (20, 10))), Image.Image)
