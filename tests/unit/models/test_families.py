"""One small network of every family of timm and torchvision: loaded, cut into stages, frozen, trained a step."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
import timm
import torch
from PIL import Image
from torch import nn
from torchvision import models

import tlhelpers as tl


class Family(NamedTuple):
    """A network, and the smallest side that was found to work; ``None`` where no other than its own does."""

    name: str
    side: int | None = 64


# Each kind of head that there is: a linear layer at the end of a convolutional network or a transformer, a hidden
# layer before it, a convolution, two that are averaged, several of several sides, one that looks at all patches.
KINDS = [
    Family("timm/test_resnet"),
    Family("timm/test_vit"),
    Family("timm/test_convnext"),
    Family("timm/test_mambaout"),
    Family("timm/dla46x_c"),
    Family("timm/deit_tiny_distilled_patch16_224"),
    Family("timm/levit_128s"),
    Family("timm/efficientvim_m1"),
    Family("timm/resnet50_clip.openai"),
    Family("timm/vit_small_patch14_dinov2.lvd142m", 56),
    Family("timm/vit_tiny_patch16_dinov3_qkvb"),
    Family("timm/test_coatnet"),
    Family("timm/lambda_resnet26t", 32),  # holds a convolution in three dimensions
    Family("squeezenet1_1"),
    Family("mobilenet_v3_small", 32),
    Family("swin_t"),
    Family("vit_b_32", 32),
]

# Families by the module of timm that holds them: its network with the fewest parameters.
TIMM = {
    "beit": Family("beit_base_patch16_224"),
    "byoanet": Family("halonet_h1", None),
    "byobnet": Family("test_byobnet"),
    "cait": Family("cait_xxs24_224"),
    "coat": Family("coat_tiny"),
    "convit": Family("convit_tiny"),
    "convmixer": Family("convmixer_768_32"),
    "convnext": Family("test_convnext"),
    "cpubone": Family("cpubone_nano"),
    "crossvit": Family("crossvit_tiny_240", None),
    "csatv2": Family("csatv2"),
    "cspnet": Family("cs3darknet_focus_s"),
    "cspnext": Family("cspnext_tiny"),
    "davit": Family("davit_tiny"),
    "deepseek_vit": Family("deepseek_vit_412m", 84),
    "deit": Family("deit_tiny_patch16_224"),
    "densenet": Family("densenet121"),
    "dla": Family("dla46x_c"),
    "dpn": Family("dpn48b"),
    "edgenext": Family("edgenext_xx_small"),
    "efficientformer": Family("efficientformer_l1", None),
    "efficientformer_v2": Family("efficientformerv2_s0"),
    "efficientnet": Family("test_efficientnet"),
    "efficientvim": Family("efficientvim_m1"),
    "efficientvit_mit": Family("efficientvit_b0"),
    "efficientvit_msra": Family("efficientvit_m0"),
    "eva": Family("vit_tiny_patch16_dinov3_qkvb"),
    "fasternet": Family("fasternet_t0"),
    "fastvit": Family("fastvit_t8"),
    "focalnet": Family("focalnet_tiny_srf"),
    "gcvit": Family("gcvit_xxtiny"),
    "gemma4_vit": Family("gemma4_vit_167m"),
    "ghostnet": Family("ghostnet_050"),
    "hardcorenas": Family("hardcorenas_b"),
    "hgnet": Family("hgnetv2_b0"),
    "hiera": Family("hiera_tiny_224"),
    "hieradet_sam2": Family("hieradet_small"),
    "hrnet": Family("hrnet_w18_small"),
    "iformer": Family("iformer_t"),
    "inception_next": Family("inception_next_atto"),
    "inception_resnet_v2": Family("inception_resnet_v2", 96),
    "inception_v3": Family("inception_v3", 96),
    "inception_v4": Family("inception_v4", 96),
    "lcnetv2": Family("lcnetv2_small"),
    "levit": Family("levit_128s"),
    "lowformer": Family("lowformer_b0"),
    "mambaout": Family("test_mambaout"),
    "maxxvit": Family("test_coatnet"),
    "metaformer": Family("poolformerv2_s12"),
    "mlp_mixer": Family("gmlp_ti16_224"),
    "mobilenetv3": Family("mobilenetv3_small_050"),
    "mobilenetv5": Family("mobilenetv5_base"),
    "mobilevit": Family("mobilevit_xxs"),
    "mvitv2": Family("mvitv2_tiny"),
    "naflexvit": Family("naflexvit_base_patch16_parfac_gap"),
    "nasnet": Family("nasnetalarge"),
    "nest": Family("nest_tiny"),
    "nextvit": Family("nextvit_small"),
    "nfnet": Family("test_nfnet"),
    "pit": Family("pit_ti_224"),
    "pnasnet": Family("pnasnet5large"),
    "pvt_v2": Family("pvt_v2_b0"),
    "qwen3_vit": Family("qwen3_vit_88m"),
    "rdnet": Family("rdnet_tiny"),
    "regnet": Family("regnetx_002"),
    "repghost": Family("repghostnet_050"),
    "repvit": Family("repvit_m1"),
    "res2net": Family("res2next50"),
    "resnest": Family("resnest14d"),
    "resnet": Family("test_resnet"),
    "resnetv2": Family("resnetv2_18"),
    "rexnet": Family("rexnet_100"),
    "selecsls": Family("selecsls42"),
    "senet": Family("legacy_seresnet18"),
    "sequencer": Family("sequencer2d_s", 56),
    "shvit": Family("shvit_s1"),
    "sknet": Family("skresnet18"),
    "starnet": Family("starnet_s050"),
    "swiftformer": Family("swiftformer_xs"),
    "swin_transformer": Family("swin_tiny_patch4_window7_224"),
    "swin_transformer_v2": Family("swinv2_tiny_window8_256"),
    "swin_transformer_v2_cr": Family("swinv2_cr_tiny_224"),
    "tiny_vit": Family("tiny_vit_5m_224"),
    "tnt": Family("tnt_s_legacy_patch16_224"),
    "tresnet": Family("tresnet_m"),
    "twins": Family("twins_svt_small"),
    "vgg": Family("vgg11"),
    "visformer": Family("visformer_tiny"),
    "vision_transformer": Family("test_vit"),
    "vision_transformer_hybrid": Family("vit_tiny_r_s16_p8_224"),
    "vision_transformer_relpos": Family("test_vit_relpos"),
    "vision_transformer_sam": Family("samvit_base_patch16_224"),
    "vitamin": Family("vitamin_small_224"),
    "volo": Family("volo_d1_224"),
    "vovnet": Family("ese_vovnet19b_slim_dw"),
    "xception": Family("legacy_xception"),
    "xception_aligned": Family("xception41p"),
    "xcit": Family("xcit_nano_12_p8_224"),
}

# The smallest classifier of each family of torchvision.
TORCHVISION = [
    Family("alexnet"),
    Family("convnext_tiny"),
    Family("densenet121"),
    Family("efficientnet_b0"),
    Family("efficientnet_v2_s"),
    Family("googlenet"),
    Family("inception_v3", 96),
    Family("maxvit_t", None),
    Family("mnasnet0_5"),
    Family("mobilenet_v2"),
    Family("mobilenet_v3_small"),
    Family("regnet_x_400mf"),
    Family("regnet_y_400mf"),
    Family("resnet18"),
    Family("resnext50_32x4d"),
    Family("shufflenet_v2_x0_5"),
    Family("squeezenet1_1"),
    Family("swin_t"),
    Family("swin_v2_t"),
    Family("vgg11"),
    Family("vgg11_bn"),
    Family("vit_b_32"),
    Family("wide_resnet50_2"),
]


class TestKinds:
    @pytest.mark.parametrize("family", KINDS, ids=lambda family: family.name)
    def test_it_loads_and_learns(self, family: Family) -> None:
        check(family)

    def test_the_head_of_the_source_stays_where_it_is_a_convolution(self) -> None:
        torch.manual_seed(0)
        plain = timm.create_model("dla46x_c").eval()
        net = tl.models.load("timm/dla46x_c", pretrained=False).eval()
        x = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            assert torch.allclose(net(x), plain(x), atol=1e-5) and net.head.out_features == 1000


@pytest.mark.slow
class TestFamilies:
    @pytest.mark.parametrize("module", timm.list_modules())
    def test_timm(self, module: str) -> None:
        assert module in TIMM, "this release of timm has a new family; put its smallest network into the table"
        name, side = TIMM[module]
        assert name in timm.list_models(module=module)
        check(Family(f"timm/{name}", side))

    @pytest.mark.parametrize("family", TORCHVISION, ids=lambda family: family.name)
    def test_torchvision(self, family: Family) -> None:
        check(family)

    def test_no_family_of_torchvision_is_left_out(self) -> None:
        known, tried = models.list_models(module=models), [family.name for family in TORCHVISION]
        first = re.compile("[a-z]+")
        assert {first.findall(name)[0] for name in known} == {first.findall(name)[0] for name in tried}


def check(family: Family) -> None:
    """Load a network with three classes, and look at all that a chapter relies on."""
    net = tl.models.load(family.name, 3, pretrained=False, image_size=family.side)
    side = net.image_size
    assert net.transform(Image.new("RGB", (70, 50), "red")).shape == (3, side, side)
    assert family.side in (side, None)

    held = [id(p) for stage in net.stages.values() for p in stage.parameters]
    assert sorted(held) == sorted(id(p) for p in net.parameters())
    names = list(net.stages)
    assert len(names) > 2 and names[0] == "stem" and names[-1] == "head"

    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    net.eval()
    with torch.no_grad():
        features, logits = net.features(x), net(x)
        assert isinstance(net.head, nn.Linear) and features.shape == (2, net.width) and logits.shape == (2, 3)
        assert torch.allclose(net.head(features), logits, atol=1e-4)

    tl.models.freeze(net)
    assert {id(p) for p in net.parameters() if p.requires_grad} == {id(p) for p in net.head.parameters()}
    tl.models.unfreeze(net)
    assert all(p.requires_grad for p in net.parameters())

    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    before = net.head.weight.detach().clone()
    loss = nn.functional.cross_entropy(net(x), torch.tensor([0, 1]))
    loss.backward()
    optimizer.step()
    assert loss.isfinite() and not torch.equal(net.head.weight, before)
