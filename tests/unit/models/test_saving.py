"""A tuned network on the disk comes back as it was, or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision import transforms as v1
from torchvision.transforms import v2

import tlhelpers as tl
from tlhelpers.models import Backbone, _saving, _steps

CLASSES = ("a", "b")
NORMALIZE = v2.Normalize([0.5] * 3, [0.25] * 3)


def picture(width: int = 90, height: int = 70) -> Image.Image:
    values = np.random.default_rng(3).integers(0, 256, (height, width, 3))
    return Image.fromarray(values.astype(np.uint8))


@torch.no_grad()
def answer(net: Backbone, image: Image.Image) -> torch.Tensor:
    with tl.models.evaluating(net):
        return net(net.transform(image)[None].to(next(net.parameters()).dtype)).float()


def comes_back(net: Backbone, folder: Path, classes: tuple[str, ...] = CLASSES) -> tuple[Backbone, dict[str, Any]]:
    """Save and load a network, and compare its tensors and answers."""
    tl.models.save(folder, net, None, classes)
    again, card = tl.models.load_saved(folder)
    assert torch.equal(again.transform(picture()), net.transform(picture()))
    assert torch.allclose(answer(again, picture()), answer(net, picture()), rtol=1e-4, atol=1e-6)
    assert card["classes"] == list(classes) and not again.training
    return again, card


@pytest.fixture
def known(tiny: Callable[[], Backbone], monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Let ``models.load`` know the network ``tiny``; what it is asked for is kept."""
    asked: list[dict[str, Any]] = []

    def fresh(name: str, num_classes: int, pretrained: bool, image_size: int | None) -> Backbone:
        asked.append(
            {"name": name, "num_classes": num_classes, "pretrained": pretrained, "image_size": image_size}
        )
        if name != "tiny":
            raise ValueError(f"unknown backbone {name!r}")
        net = tiny()
        if num_classes != 2:
            net.replace_head(num_classes)
        for parameter in net.parameters():
            nn.init.normal_(parameter, std=0.1)
        return net

    monkeypatch.setattr(_saving._backbones, "load", fresh)
    return asked


@pytest.fixture
def net(tiny: Callable[[], Backbone], known: list[dict[str, Any]]) -> Backbone:
    return tiny()


class Scaling(nn.Module):
    """As torchvision's inception: built without weights ``transform_input`` is false, and no state dict has it."""

    def __init__(self) -> None:
        super().__init__()
        self.transform_input = False
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x * 0.5 + 0.1 if self.transform_input else x).mean((2, 3)))


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """Make a network that scales its input, as ``models.load`` then does."""

    def fresh(*_: Any, **__: Any) -> Backbone:
        return Backbone(Scaling(), "scaling", tl.models.preprocessing(8, (0.5,) * 3, (0.5,) * 3))

    monkeypatch.setattr(_saving._backbones, "load", fresh)
    return fresh()


class TestSaving:
    def test_the_network_comes_back_with_its_card(
        self, tmp_path: Path, net: Backbone, known: list[dict[str, Any]]
    ) -> None:
        net.head.weight.data += 1
        tl.models.save(tmp_path / "out", net.to(memory_format=torch.channels_last), 8, ("a", "b"), note={"n": 3})
        known.clear()
        again, card = tl.models.load_saved(tmp_path / "out")
        assert known == [{"name": "tiny", "num_classes": 2, "pretrained": False, "image_size": 8}]
        assert card["classes"] == ["a", "b"] and card["note"] == {"n": 3} and "Normalize" in card["transform"][-1]
        x = torch.ones(2, 3, 8, 8)
        assert not again.training and torch.allclose(again(x), net.eval()(x), atol=1e-6)

    def test_other_weights_are_refused(self, tmp_path: Path, net: Backbone) -> None:
        tl.models.save(tmp_path, net, 8, ("a", "b"))
        with (tmp_path / _saving.WEIGHTS).open("ab") as file:
            file.write(b"x")
        with pytest.raises(ValueError, match=r"checksum mismatch.*save the network again") as caught:
            tl.models.load_saved(tmp_path)
        assert "reinstall" not in str(caught.value), "no package can mend a reader's own file"

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"holds no card\.json"):
            tl.models.load_saved(tmp_path)

    def test_random_state_modes_and_gradients_stay_as_they_are(self, tmp_path: Path, net: Backbone) -> None:
        net.train()
        tl.models.freeze(net, ["stem"])
        net.net.layer1[1].eval()
        modes = {name: module.training for name, module in net.named_modules()}
        torch.manual_seed(7)
        expected = torch.rand(3)
        torch.manual_seed(7)
        tl.models.save(tmp_path, net, None, CLASSES)
        tl.models.load_saved(tmp_path)
        assert torch.equal(torch.rand(3), expected)
        assert modes == {name: module.training for name, module in net.named_modules()}
        assert not net.net.conv1.weight.requires_grad and net.head.weight.requires_grad
        assert not net.net.conv1._forward_hooks

    def test_a_network_that_no_library_knows_is_refused(self, tmp_path: Path, net: Backbone) -> None:
        net.name = "mine"
        with pytest.raises(ValueError, match="unknown backbone 'mine'"):
            tl.models.save(tmp_path / "out", net, None, CLASSES)
        assert not (tmp_path / "out").exists()

    def test_only_a_backbone_is_saved(self, tmp_path: Path, net: Backbone) -> None:
        with pytest.raises(ValueError, match=r"net is a Tiny and no Backbone; give what models\.load returned"):
            tl.models.save(tmp_path, net.net, 8, CLASSES)
        averaged = torch.optim.swa_utils.AveragedModel(net)
        with pytest.raises(ValueError, match="net is a AveragedModel and no Backbone; give its part 'module'"):
            tl.models.save(tmp_path, averaged, 8, CLASSES)


FAMILIES = [
    ("efficientnet_lite0", None),
    ("resnet18", 64),
    ("timm/vit_tiny_patch16_224", 64),
    ("mobilenet_v3_small", 64),
    ("googlenet", 64),
    ("timm/vit_small_patch14_dinov2.lvd142m", 56),  # without a head of its own
    ("timm/deit_tiny_distilled_patch16_224", 64),  # with two
    ("timm/resnet50_clip.openai", 64),  # pooled by attention
    ("squeezenet1_1", 64),  # a convolution
    ("vit_b_16", 32),
    *(
        pytest.param(name, size, marks=pytest.mark.slow)
        for name, size in (
            ("inception_v3", 96), ("swin_t", 64), ("densenet121", 32), ("timm/convnext_atto", 64),
            ("timm/levit_128s", 224), ("timm/eva02_tiny_patch14_224", 56),
        )
    ),
]  # fmt: skip


class TestFamilies:
    @pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
    @pytest.mark.parametrize(("name", "size"), FAMILIES)
    def test_each_family_comes_back(self, name: str, size: int | None, tmp_path: Path) -> None:
        net = tl.models.load(name, 2, pretrained=False, image_size=size, seed=4)
        for buffer in (b for n, b in net.net.named_buffers() if n.endswith("running_mean")):
            buffer += 0.01
        again, card = comes_back(net, tmp_path)
        assert card["backbone"] == name and card["image_size"] == (size or 224)
        for key, tensor in net.net.state_dict().items():
            assert torch.equal(tensor, again.net.state_dict()[key]), key

    def test_in_a_fresh_process(self, tmp_path: Path) -> None:
        net = tl.models.load("efficientnet_lite0", 3, pretrained=False)
        tl.models.save(tmp_path / "model", net, 224, ("x", "y", "z"))
        picture().save(tmp_path / "one.png")
        script = """
import sys, torch
import tlhelpers as tl
net, card = tl.models.load_saved(sys.argv[1] + "/model")
image = tl.data.open_rgb(sys.argv[1] + "/one.png")
with torch.no_grad():
    logits = net(net.transform(image)[None])[0]
print(card["classes"], *logits.tolist())
"""
        run = [sys.executable, "-c", script, str(tmp_path)]
        done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=300)
        names, _, logits = done.stdout.strip().rpartition("] ")
        assert names == "['x', 'y', 'z'"
        found = torch.tensor([float(v) for v in logits.split()])
        assert torch.allclose(found, answer(net, picture())[0], rtol=1e-3, atol=1e-6)


class TestTransform:
    def test_a_default_network_keeps_its_resize(self, tmp_path: Path) -> None:
        net = tl.models.load("efficientnet_lite0", 3, pretrained=False)
        tl.models.save(tmp_path, net, np.int64(224), ("x", "y", "z"))
        again, card = tl.models.load_saved(tmp_path)
        (resize,) = card["transform"][0].values()
        assert resize["size"] == [256] and card["image_size"] == 224
        assert str(again.transform) == str(net.transform)

    @pytest.mark.parametrize(
        "steps",
        [
            [v2.Resize((8, 8)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), NORMALIZE],
            [v2.Resize(9, max_size=12), v2.CenterCrop(8), v2.PILToTensor(), v2.ConvertImageDtype(), NORMALIZE],
            [v2.Grayscale(3), v2.Pad([1, 2], fill=7), v2.RGB(), v2.ToImage(), v2.Resize(8, antialias=False),
             v2.CenterCrop((8, 8)), v2.ToDtype(torch.float32), v2.ToPureTensor()],
            [v1.Resize(10, v1.InterpolationMode.NEAREST), v1.CenterCrop(8), v1.ToTensor(),
             v1.Normalize(torch.full((3,), 0.3), np.full(3, 0.2))],
            [v1.Grayscale(3), v1.Pad(3, padding_mode="edge"), v1.Resize((8, 8)), v1.PILToTensor(),
             v1.ConvertImageDtype(torch.float32)],
            [v2.Compose([v2.Resize(8), v2.CenterCrop(8)]), nn.Sequential(v2.ToImage()), v2.ToDtype(torch.float64)],
            [torchvision.models.get_model_weights("resnet18").DEFAULT.transforms(), v2.CenterCrop(8)],
            [v2.Resize((8, 12)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)],
        ],
        ids=["squash", "longest side", "as tensors", "v1", "v1 gray", "nested", "preset", "oblong"],
    )  # fmt: skip
    @pytest.mark.parametrize("series", [v2.Compose, v1.Compose])
    def test_fixed_steps_travel(
        self, steps: list[Any], series: Callable[..., Any], tmp_path: Path, net: Backbone
    ) -> None:
        net.__dict__["transform"] = series(steps)
        net._modules.pop("transform", None)
        _, card = comes_back(net, tmp_path)
        side = [*net.transform(picture()).shape[1:]]
        assert card["image_size"] == (side[0] if side[0] == side[1] else side)

    def test_timms_own_transforms_travel(self, tmp_path: Path, net: Backbone) -> None:
        import timm

        for mode in ("center", "squash", "border"):
            net.__dict__["transform"] = timm.data.create_transform((3, 8, 8), is_training=False, crop_mode=mode)
            net._modules.pop("transform", None)
            comes_back(net, tmp_path / mode)

    def test_every_step_that_a_card_may_name_is_there(self) -> None:
        from pkgutil import resolve_name

        for path, _ in _steps.STEPS.values():
            assert isinstance(resolve_name(path), type), path

    @pytest.mark.parametrize(
        ("step", "message"),
        [
            (lambda image: image, "step 1 of the transform is the function '<lambda>', which a card cannot hold"),
            (
                v2.Lambda(lambda image: image),
                r"step 1 of the transform is Lambda\(<lambda>, types=\['object'\]\), wh",
            ),
            (
                v2.RandomHorizontalFlip(),
                r"is RandomHorizontalFlip\(p=0.5\), which draws at random; give it to tl\.da",
            ),
            (v1.ColorJitter(0.5), r"is ColorJitter\(brightness=.*which draws at random"),
            (v2.RandomApply([v2.Resize(3)]), "RandomApply.*draws at random"),
            (v2.Pad(1, fill={Image.Image: 3}), r"step 1 of the transform, Pad\(.*cannot be saved: its value \{"),
            (v2.GaussianBlur(3), r"GaussianBlur\(.*draws at random"),
            (v2.FiveCrop(3), r"FiveCrop\(.*a card cannot hold"),
            (type("MyResize", (v2.Resize,), {})(8), r"MyResize\(.*a card cannot hold"),
        ],
    )
    def test_any_other_step_is_refused_by_name(
        self, step: Any, message: str, tmp_path: Path, net: Backbone
    ) -> None:
        net.transform = v2.Compose([step, *net.transform.transforms])  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match=message):
            tl.models.save(tmp_path / "out", net, None, CLASSES)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("steps", "message"),
        [
            (
                [v2.Resize(8), v2.ToImage(), v2.ToDtype(torch.float32)],
                r"several sizes, \[.*add CenterCrop\(side\)",
            ),
            ([v2.Resize((8, 8))], "makes a Image of an RGB picture.*end the transform with ToImage"),
            ([v2.Resize((8, 8)), v2.ToImage()], r"makes torch.uint8 \(3, 8, 8\) of an RGB picture"),
            ([v2.Grayscale(1), v2.Resize((8, 8)), v1.ToTensor()], r"\(1, 8, 8\).*write Grayscale\(3\) for gray"),
            ([NORMALIZE], "the transform fails on an RGB picture: TypeError"),
        ],
    )
    def test_what_no_network_takes_is_told(
        self, steps: list[Any], message: str, tmp_path: Path, net: Backbone
    ) -> None:
        net.transform = v2.Compose(steps)
        with pytest.raises(ValueError, match=message):
            tl.models.save(tmp_path, net, None, CLASSES)

    def test_a_step_that_was_changed_inside_is_found_by_what_it_makes(self, tmp_path: Path, net: Backbone) -> None:
        step = v2.CenterCrop(8)
        step.transform = lambda image, _: image.transpose(Image.Transpose.ROTATE_90)  # type: ignore[method-assign]
        net.transform = v2.Compose([v2.Resize((8, 8)), step, v1.ToTensor()])
        with pytest.raises(ValueError, match="makes other tensors when it is built again"):
            tl.models.save(tmp_path, net, None, CLASSES)

    @pytest.mark.parametrize("size", [9, 224, True, np.int64(7)])
    def test_a_size_that_is_not_the_transforms_is_refused(self, size: int, tmp_path: Path, net: Backbone) -> None:
        with pytest.raises(
            ValueError, match=rf"image_size={size}, but the transform .* makes images of 8 x 8 pixels"
        ):
            tl.models.save(tmp_path, net, size, CLASSES)

    @pytest.mark.parametrize("size", [8.0, "8", (8, 8)])
    def test_a_size_that_is_no_whole_number_is_refused(self, size: Any, tmp_path: Path, net: Backbone) -> None:
        with pytest.raises(ValueError, match=r"image_size is .*8.*; give a whole number, or None"):
            tl.models.save(tmp_path, net, size, CLASSES)


class TestClasses:
    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            (("a",), "there are 1 classes for 2 outputs"),
            (("a", "b", "c"), "there are 3 classes for 2 outputs; name each output"),
            ((), "classes is empty"),
            (("a", "a"), "two classes have one name, 'a' and 'a'"),
            (("a", "a "), "two classes have one name, 'a' and 'a '"),
            (("caf\u00e9", "cafe\u0301"), r"one name, 'caf\\xe9' and 'cafe\\u0301'"),
            ((0, 1), r"class 0 is 0 \(int\); give names as text, such as '0'"),
            (("a", None), r"class 1 is None \(NoneType\)"),
            (("a", " "), "the name of class 1 is ' '"),
            (("a", "b\udcff"), r"the name of class 1 is 'b\\udcff'"),
            ("ab", "classes is one string"),
            ({"a", "b"}, "classes is a set, which has no rows in order"),
            ({"a": 0, "b": 1}, "classes is a dict"),
        ],
    )
    def test_they_must_name_each_output_once(
        self, classes: Any, message: str, tmp_path: Path, net: Backbone
    ) -> None:
        with pytest.raises(ValueError, match=message):
            tl.models.save(tmp_path / "out", net, 8, classes)
        assert not (tmp_path / "out").exists()

    def test_their_order_is_kept_whatever_holds_them(self, tmp_path: Path, net: Backbone) -> None:
        for classes in (
            ["z", "猫"],
            np.array(["z", "猫"]),
            pd.Series(["z", "猫"], index=[1, 0]),
            iter(["z", "猫"]),
        ):
            tl.models.save(tmp_path, net, 8, classes)  # type: ignore[arg-type]
            assert tl.models.load_saved(tmp_path)[1]["classes"] == ["z", "猫"]


def dropout_head(net: Backbone) -> None:
    net.net.fc = nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 2))


def gray_stem(net: Backbone) -> None:
    net.net.conv1 = nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False)


def other_activation(net: Backbone) -> None:
    net.net.layer1[2] = nn.GELU()


def one_more_layer(net: Backbone) -> None:
    net.net.layer2.append(nn.ReLU())


def no_dropout(net: Backbone) -> None:
    del net.net.layer2[3]


def weight_norm(net: Backbone) -> None:
    nn.utils.parametrizations.weight_norm(net.net.fc)


def pruned(net: Backbone) -> None:
    import torch.nn.utils.prune as prune

    prune.l1_unstructured(net.net.conv1, "weight", amount=0.3)


def lora(net: Backbone) -> None:
    from peft import LoraConfig, get_peft_model

    net.net = get_peft_model(net.net, LoraConfig(target_modules=["fc"], r=2))  # type: ignore[arg-type]


def quantized(net: Backbone) -> None:
    net.net = torch.ao.quantization.quantize_dynamic(net.net, {nn.Linear}, dtype=torch.qint8)


def own_forward(net: Backbone) -> None:
    inner = net.net.forward
    net.net.forward = lambda x: inner(x) * 2  # type: ignore[method-assign]


def own_outer_forward(net: Backbone) -> None:
    net.forward = lambda x: net.net(x) * 2  # type: ignore[method-assign]


def hook(net: Backbone) -> None:
    net.net.layer1.register_forward_hook(lambda module, inputs, output: output * 2)


def at_random(net: Backbone) -> None:
    net.net.layer1.register_forward_hook(lambda module, inputs, output: nn.functional.dropout(output, 0.5))


def one_is_nan(net: Backbone) -> None:
    net.net.layer1[0].weight.data[0, 0, 0, 0] = float("nan")


def variance_is_infinite(net: Backbone) -> None:
    net.net.bn1.running_var[1] = float("inf")


def on_meta(net: Backbone) -> None:
    net.net.to("meta")


def more_outputs(net: Backbone) -> None:
    net.replace_head(3)


def with_a_bias(net: Backbone) -> None:
    net.net.conv1 = nn.Conv2d(3, 4, 3, stride=2, padding=1)


CHANGED = [
    (dropout_head, r"'fc' is a Sequential, where models\.load\('tiny', 2\) makes a Linear; .*save_file"),
    (gray_stem, r"'conv1.weight' has the shape \(4, 1, 3, 3\).*makes \(4, 3, 3, 3\); keep the three channels"),
    (other_activation, r"'layer1.2' is a GELU, where .* makes a ReLU"),
    (one_more_layer, r"'layer2.4' is a ReLU, which .* does not make"),
    (no_dropout, r"'layer2.3' is missing, where .* makes a Dropout"),
    (weight_norm, r"'fc' is a Parametrized.*remove_parametrizations\(net\.net\.get_submodule\('fc'\), 'weight'\)"),
    (pruned, r"'conv1.weight' is missing; .*utils\.prune\.remove\(net\.net\.get_submodule\('conv1'\), 'weight'\)"),
    (lora, r"the network is a .*merge_and_unload\(\)"),
    (
        quantized,
        r"'fc' is a torch.*dynamic.*Linear, where .* makes a torch.*Linear; save the network before you quan",
    ),
    (own_forward, "the network has a function 'forward' of its own"),
    (own_outer_forward, "answers up to .* apart.*a forward function: put it back"),
    (hook, "answers up to .* apart.*A hook at 'layer1' changes what it computes"),
    (at_random, "It answers otherwise at each call, in eval mode too"),
    (one_is_nan, r"'layer1.0.weight' holds NaN: training diverged"),
    (variance_is_infinite, r"'bn1.running_var' holds infinity"),
    (on_meta, r"'conv1.weight' has no values \(it lies on the device 'meta'\)"),
    (more_outputs, "there are 2 classes for 3 outputs"),
    (with_a_bias, r"'conv1.bias' is a tensor that .* does not make"),
]


class TestChangedByHand:
    @pytest.mark.parametrize(("change", "message"), CHANGED, ids=[change.__name__ for change, _ in CHANGED])
    def test_what_would_not_come_back_is_named(
        self, change: Callable[[Backbone], None], message: str, tmp_path: Path, net: Backbone
    ) -> None:
        tl.models.save(tmp_path, net, None, CLASSES)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        change(net)
        with pytest.raises(ValueError, match=message):
            tl.models.save(tmp_path, net, None, CLASSES)
        assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}, "the older save stays"

    @pytest.mark.parametrize(
        ("module", "key", "value"),
        [
            ("bn1", "eps", 0.5),
            ("bn1", "momentum", None),
            ("layer2.3", "p", 0.9),
            ("conv1", "stride", (1, 1)),
            ("layer1.2", "inplace", True),
        ],
    )
    def test_plain_settings_travel(self, module: str, key: str, value: Any, tmp_path: Path, net: Backbone) -> None:
        setattr(net.net.get_submodule(module), key, value)
        again, card = comes_back(net, tmp_path)
        found = getattr(again.net.get_submodule(module), key)
        assert found == value and type(found) is type(value)
        assert list(card["changed"]) == [module]

    def test_the_input_scaling_of_pretrained_inception_travels(self, tmp_path: Path, scaling: Backbone) -> None:
        scaling.net.transform_input = True
        again, card = comes_back(scaling, tmp_path)
        assert again.net.transform_input is True and card["changed"] == {"": {"transform_input": True}}

    def test_what_is_compiled_or_parallel_is_saved_as_the_network_inside(
        self, tmp_path: Path, tiny: Callable[[], Backbone], known: list[Any]
    ) -> None:
        def refuse(*_: Any) -> None:
            raise AssertionError("nothing is compiled to save a network")

        plain = tiny()
        for number in range(6):
            net: Any = tiny()
            if number == 0:
                net.net = torch.compile(net.net, backend=refuse)
            if number == 1:
                net.net.layer1 = torch.compile(net.net.layer1, backend=refuse)
            if number == 2:
                net = torch.compile(net, backend=refuse)
            if number == 3:
                net.compile(backend=refuse)
            if number == 4:
                net.net = nn.DataParallel(net.net)
            if number == 5:
                net = nn.DataParallel(net)
            tl.models.save(tmp_path / str(number), net, None, CLASSES)
            again, _ = tl.models.load_saved(tmp_path / str(number))
            assert list(again.net.state_dict()) == list(plain.net.state_dict())
            assert torch.allclose(answer(again, picture()), answer(plain, picture()), atol=1e-6)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_the_type_of_the_weights_travels(self, dtype: torch.dtype, tmp_path: Path, net: Backbone) -> None:
        again, _ = comes_back(net.to(dtype), tmp_path)
        assert {p.dtype for p in again.parameters()} == {dtype} and again.net.bn1.running_mean.dtype == dtype

    def test_tied_weights_are_written_twice(self, tmp_path: Path, net: Backbone) -> None:
        net.net.layer2[2].weight = nn.Parameter(net.net.layer2[2].weight.detach())
        net.net.layer2[2].bias = net.net.layer2[0].bias
        again, _ = comes_back(net, tmp_path)
        assert torch.equal(again.net.layer2[2].bias, again.net.layer2[0].bias)

    def test_frozen_norms_and_a_harmless_hook_are_saved(self, tmp_path: Path, net: Backbone) -> None:
        tl.models.freeze_norms(net)
        net.net.layer1.register_forward_hook(lambda *_: None)
        comes_back(net, tmp_path)


@dataclass
class Run:
    epochs: int
    where: Path


class Pair(NamedTuple):
    low: float
    high: np.float32


class TestNotes:
    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (np.int64(3), 3),
            (np.float32(0.1), float(np.float32(0.1))),
            (np.bool_(True), True),
            (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
            (torch.tensor([1.5, 2]), [1.5, 2.0]),
            ((1, ("x",)), [1, ["x"]]),
            (Path("a") / "b", str(Path("a") / "b")),
            (date(2026, 1, 2), "2026-01-02"),
            (pd.Timestamp("2026-01-02"), "2026-01-02T00:00:00"),
            (Run(3, Path("out")), {"epochs": 3, "where": "out"}),
            (Pair(0.5, np.float32(1)), {"low": 0.5, "high": 1.0}),
            ({0: "x", np.int64(1): {"y": None}}, {"0": "x", "1": {"y": None}}),
            ([float("nan"), np.float32("nan")], [None, None]),
            ("猫", "猫"),
        ],
    )
    def test_what_loses_nothing_is_converted(
        self, value: Any, written: Any, tmp_path: Path, net: Backbone
    ) -> None:
        path = tl.models.save(tmp_path, net, 8, CLASSES, mine=value)
        assert tl.models.load_saved(tmp_path)[1]["mine"] == written

        def never(constant: str) -> None:
            raise AssertionError(f"{constant} is no JSON")

        assert json.loads(path.read_text("utf-8"), parse_constant=never)["mine"] == written

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ({"x": [1, float("inf")]}, r"the note mine\['x'\]\[1\] is inf"),
            ({1, 2}, r"the note mine is \{1, 2\} \(set\), which JSON cannot hold"),
            (b"x", r"the note mine is b'x' \(bytes\)"),
            (1j, r"\(complex\)"),
            (pd.Series([1]), r"the note mine is .*\(Series\)"),
            (np.datetime64("2026-01-02"), r"\(datetime64\)"),
            (nn.Linear(1, 1), r"\(Linear\)"),
            ({(1, 2): 3}, r"the note mine has the key \(1, 2\) \(tuple\)"),
            ({True: 3}, r"has the key True \(bool\)"),
            ({1: 3, "1": 4}, "a number and a text as keys that are written alike"),
            ("x\udcff", r"the note mine is 'x\\udcff'"),
        ],
    )
    def test_the_rest_is_refused_by_name_before_anything_is_written(
        self, value: Any, message: str, tmp_path: Path, net: Backbone
    ) -> None:
        with pytest.raises(ValueError, match=message):
            tl.models.save(tmp_path / "out", net, 8, CLASSES, mine=value)
        assert not (tmp_path / "out").exists()

    def test_a_note_that_holds_itself_is_refused(self, tmp_path: Path, net: Backbone) -> None:
        endless: list[Any] = []
        endless.append(endless)
        with pytest.raises(ValueError, match="the note 'mine' is nested too deeply"):
            tl.models.save(tmp_path, net, 8, CLASSES, mine=endless)

    @pytest.mark.parametrize("name", [*_saving.KEYS, "sha256"])
    def test_a_note_may_not_hide_an_entry(self, name: str, tmp_path: Path, net: Backbone) -> None:
        if name in ("classes", "image_size"):
            return  # parameters of save itself
        with pytest.raises(
            ValueError, match=f"the note '{name}' has the name of an entry that save writes itself"
        ):
            tl.models.save(tmp_path, net, 8, CLASSES, **{name: "x"})  # type: ignore[arg-type]


class TestWriting:
    def test_a_file_is_no_folder(self, tmp_path: Path, net: Backbone) -> None:
        (tmp_path / "model").write_text("mine")
        for folder in (tmp_path / "model", tmp_path / "model" / "deeper" / "still"):
            with pytest.raises(NotADirectoryError, match="model is a file; give a folder"):
                tl.models.save(folder, net, 8, CLASSES)
        assert (tmp_path / "model").read_text() == "mine"

    @pytest.mark.parametrize("fails_at", [1, 2])
    @pytest.mark.parametrize("step", ["write_bytes", "replace"])
    def test_a_save_that_fails_leaves_the_older_one(
        self, step: str, fails_at: int, tmp_path: Path, net: Backbone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tl.models.save(tmp_path, net, 8, CLASSES, which="older")
        (tmp_path / "mine.txt").write_text("stays")
        owner = Path if step == "write_bytes" else os
        done, calls = getattr(owner, step), []

        def full(*args: Any) -> Any:
            calls.append(args)
            if len(calls) == fails_at:
                raise OSError(errno.ENOSPC, "No space left on device")
            return done(*args)

        net.head.weight.data += 1
        for folder in (tmp_path, tmp_path / "new" / "deeper"):
            calls.clear()
            with monkeypatch.context() as patch:
                patch.setattr(owner, step, full)
                with pytest.raises(
                    OSError, match=r"cannot be written \(No space left on device\); free space there"
                ):
                    tl.models.save(folder, net, 8, CLASSES, which="newer")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "mine.txt", "weights.safetensors"]
        assert tl.models.load_saved(tmp_path)[1]["which"] == "older"

    def test_a_second_save_takes_the_place_of_the_first_and_leaves_other_files(
        self, tmp_path: Path, net: Backbone
    ) -> None:
        tl.models.save(tmp_path, net, 8, CLASSES)
        again, _ = tl.models.load_saved(tmp_path)
        again.head.bias.data += 1
        (tmp_path / "mine.txt").write_text("stays")
        tl.models.save(tmp_path, again, 8, ("c", "d"))
        third, card = tl.models.load_saved(tmp_path)
        assert torch.equal(third.head.bias, net.head.bias + 1) and card["classes"] == ["c", "d"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "mine.txt", "weights.safetensors"]


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / _saving.CARD
    card = json.loads(path.read_text("utf-8"))
    change(card)
    path.write_text(json.dumps(card), "utf-8")


class TestCard:
    @pytest.fixture
    def saved(self, tmp_path: Path, net: Backbone) -> Path:
        tl.models.save(tmp_path, net, 8, CLASSES, note="x")
        return tmp_path

    @pytest.mark.parametrize("key", [*_saving.KEYS, "sha256"])
    def test_a_missing_entry_is_named(self, key: str, saved: Path) -> None:
        edit(saved, lambda card: card.pop(key))
        with pytest.raises(ValueError, match=rf"card\.json: the entry '{key}' is missing"):
            tl.models.load_saved(saved)

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            (
                "classes",
                ["b", "a"],
                r"'classes' was changed, to \['b', 'a'\] from \['a', 'b'\] as saved; undo that",
            ),
            ("image_size", 9, "'image_size' was changed, to 9 from 8"),
            ("backbone", "resnet18", "'backbone' was changed, to resnet18 from tiny"),
            ("transform", [{"ToImage": {}}], "'transform' was changed"),
            ("transform", ["ToImage()"], "'transform' was changed"),
            ("changed", {"bn1": {"eps": 1.0}}, "'changed' was changed"),
            ("answers", ["0 0"], "'answers' was changed"),
            ("format", 3, "format 3 is newer than 2; install a newer tlhelpers"),
            ("format", "2", "format is '2', where save writes 2"),
            ("classes", "ab", "'classes' is 'ab'"),
            ("transform", None, "'transform' is None"),
            ("sha256", 3, "'sha256' is 3"),
        ],
    )
    def test_an_entry_that_was_edited_is_named(self, key: str, value: Any, message: str, saved: Path) -> None:
        edit(saved, lambda card: card.update({key: value}))
        with pytest.raises(ValueError, match=message):
            tl.models.load_saved(saved)

    def test_notes_may_be_edited(self, saved: Path) -> None:
        edit(saved, lambda card: card.update(note="y", more=1))
        card = tl.models.load_saved(saved)[1]
        assert card["note"] == "y" and card["more"] == 1

    @pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', '{"classes": [}'])
    def test_a_damaged_card_is_told(self, text: str, saved: Path) -> None:
        (saved / _saving.CARD).write_text(text)
        with pytest.raises(ValueError, match=r"card\.json: .*save the network again"):
            tl.models.load_saved(saved)

    def test_weights_of_another_network_are_refused_even_under_their_own_checksum(
        self, saved: Path, tmp_path_factory: pytest.TempPathFactory, net: Backbone
    ) -> None:
        other = tmp_path_factory.mktemp("other")
        net.head.bias.data += 1
        tl.models.save(other, net, 8, CLASSES)
        content = (other / _saving.WEIGHTS).read_bytes()
        (saved / _saving.WEIGHTS).write_bytes(content)
        with pytest.raises(ValueError, match="checksum mismatch"):
            tl.models.load_saved(saved)
        digest = json.loads((other / _saving.CARD).read_text())["sha256"]
        edit(saved, lambda card: card.update(sha256=digest))
        with pytest.raises(ValueError, match="'answers' was changed"):
            tl.models.load_saved(saved)

    @pytest.mark.parametrize("content", [b"", b"x" * 50])
    def test_a_damaged_file_is_told_even_under_its_own_checksum(self, content: bytes, saved: Path) -> None:
        (saved / _saving.WEIGHTS).write_bytes(content)
        edit(saved, lambda card: card.update(sha256=hashlib.sha256(content).hexdigest()))
        with pytest.raises(ValueError, match=r"weights\.safetensors: damaged \(.*save the network again"):
            tl.models.load_saved(saved)

    def test_other_code_of_a_library_is_found_by_the_answers(
        self, saved: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        relu = torch.Tensor.relu
        monkeypatch.setattr(torch.Tensor, "relu", lambda x: relu(x) + 0.1)
        with pytest.raises(
            ValueError, match=r"gives other answers than when it was saved, up to .* libraries are the"
        ):
            tl.models.load_saved(saved)
        monkeypatch.setattr(_saving, "_version", lambda library: "0.1")
        message = rf"It was saved with torch {torch.__version__.split('+')[0]}.* \(now 0\.1\), torchvision"
        with pytest.raises(ValueError, match=message):
            tl.models.load_saved(saved)


class TestOlderCards:
    """Those that said how the transform prints, and nothing of settings or answers."""

    @staticmethod
    def write(folder: Path, net: Backbone, image_size: int | None, classes: list[str], **entries: Any) -> None:
        folder.mkdir(exist_ok=True)
        tensors = {name: t.detach().contiguous() for name, t in net.net.state_dict().items()}
        safetensors.torch.save_file(tensors, folder / _saving.WEIGHTS)
        card = {
            "backbone": net.name,
            "classes": classes,
            "image_size": image_size,
            "transform": [" ".join(str(step).split()) for step in net.transform.transforms],  # type: ignore[attr-defined]
            "sha256": hashlib.sha256((folder / _saving.WEIGHTS).read_bytes()).hexdigest(),
            "torch": "2.8.0",
        }
        (folder / _saving.CARD).write_text(json.dumps(card | entries))

    @pytest.mark.parametrize("asked", [None, 224])
    def test_the_transform_is_the_one_that_was_printed(self, asked: int | None, tmp_path: Path) -> None:
        net = tl.models.load("efficientnet_lite0", 2, pretrained=False)
        self.write(tmp_path, net, asked, ["a", "b"])
        again, card = tl.models.load_saved(tmp_path)
        assert str(again.transform) == str(net.transform) and card["classes"] == ["a", "b"]
        assert torch.equal(answer(again, picture(300, 280)), answer(net, picture(300, 280)))

    @pytest.mark.parametrize(
        ("step", "message"),
        [
            ("Lambda()", r"the step 'Lambda\(\)' cannot be made from what is printed"),
            ("Resize(size=3, interpolation=bilinear, max_size=None, antialias=True)", "would come back as"),
            ("__import__('os').getcwd()", "cannot be made from what is printed"),
            ("CenterCrop(size=__import__('os').getcwd())", "cannot be made from what is printed"),
        ],
    )
    def test_a_step_that_the_print_does_not_tell_is_refused(
        self, step: str, message: str, tmp_path: Path, net: Backbone
    ) -> None:
        self.write(tmp_path, net, 8, ["a", "b"])
        edit(tmp_path, lambda card: card["transform"].insert(0, step))
        with pytest.raises(ValueError, match=message):
            tl.models.load_saved(tmp_path)

    def test_what_an_older_card_leaves_open_is_refused(self, tmp_path: Path, net: Backbone) -> None:
        self.write(tmp_path / "size", net, 64, ["a", "b"])
        with pytest.raises(ValueError, match="image_size is 64, but the transform makes images of 8 x 8 pixels"):
            tl.models.load_saved(tmp_path / "size")
        self.write(tmp_path / "count", net, 8, ["a", "b", "c"])
        with pytest.raises(ValueError, match=r"the tensor 'fc\.weight' of tiny is not the one in weights"):
            tl.models.load_saved(tmp_path / "count")

    def test_input_scaling_that_an_older_card_does_not_tell_is_refused(
        self, tmp_path: Path, scaling: Backbone
    ) -> None:
        self.write(tmp_path, scaling, 8, ["a", "b"])
        with pytest.raises(ValueError, match="does not say how the network scales its input"):
            tl.models.load_saved(tmp_path)


def test_a_copy_and_its_original_are_saved_alike(tmp_path: Path, net: Backbone) -> None:
    first = tl.models.save(tmp_path / "one", net, 8, CLASSES).read_text()
    assert first == tl.models.save(tmp_path / "two", deepcopy(net), 8, CLASSES).read_text()


class TestDoor:
    """What is no network, no folder, or lies beside the network is told."""

    def test_a_module_beside_the_network_is_named(self, tmp_path: Path) -> None:
        net = tl.models.load("resnet18", 2, pretrained=False, image_size=32)
        net.extra = nn.Linear(2, 2)
        with pytest.raises(ValueError, match=r"net\.extra stands beside the network, net\.net, and would be lost"):
            tl.models.save(tmp_path / "m", net, None, ["a", "b"])

    def test_other_things_are_named(self, tmp_path: Path) -> None:
        net = tl.models.load("resnet18", 2, pretrained=False, image_size=32)
        for folder, thing, message in (
            (None, net, "folder is a NoneType"),
            (net, tmp_path, "folder is a Backbone"),
            (tmp_path, net.net, "net is a ResNet and no Backbone"),
        ):
            with pytest.raises(ValueError, match=message):
                tl.models.save(folder, thing, None, ["a", "b"])  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="folder is a NoneType"):
            tl.models.load_saved(None)  # type: ignore[arg-type]
        (tmp_path / "x.bin").write_bytes(b"")
        with pytest.raises(FileNotFoundError, match=r"x\.bin is a file; give the folder that save wrote"):
            tl.models.load_saved(tmp_path / "x.bin")

    def test_the_path_of_the_card_serves(self, tmp_path: Path) -> None:
        net = tl.models.load("resnet18", 2, pretrained=False, image_size=32)
        path = tl.models.save(tmp_path / "m", net, None, ["a", "b"], rows=range(3), names=pd.Index(["x", "y"]))
        _, card = tl.models.load_saved(path)
        assert card["rows"] == [0, 1, 2] and card["names"] == ["x", "y"]
