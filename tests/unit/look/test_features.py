"""Features are computed once, in order, in eval mode, and leave the network as it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import tlhelpers as tl
from tlhelpers.data import ImageSet
from tlhelpers.models import Backbone

Make = Callable[[], Backbone]


@pytest.fixture
def images() -> ImageSet:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (10, 9, 3)).astype(np.uint8) for _ in range(7)]
    return ImageSet(arrays, np.array([0, 1, 2, 0, 1, 2, 0]), ("a", "b", "c"))


def test_each_image_has_one_row_and_its_label(tiny: Make, images: ImageSet) -> None:
    x, y = tl.look.extract(tiny(), images)
    assert x.shape == (7, 8) and x.dtype == torch.float32 and x.device.type == "cpu"
    assert y.dtype == torch.int64 and y.tolist() == images.labels.tolist()


def test_a_row_is_what_enters_the_head(tiny: Make, images: ImageSet) -> None:
    net = tiny().eval()
    x, _ = tl.look.extract(net, images)
    with torch.no_grad():
        expected = torch.cat([net.features(net.transform(image)[None]) for image, _ in images])
    assert torch.allclose(x, expected, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_batches_make_no_difference(tiny: Make, images: ImageSet, batch_size: int) -> None:
    whole, _ = tl.look.extract(tiny(), images)
    parts, labels = tl.look.extract(tiny(), images, batch_size=batch_size)
    assert torch.allclose(whole, parts, atol=1e-6) and labels.tolist() == images.labels.tolist()


def test_twice_gives_the_same_though_the_network_was_in_train_mode(tiny: Make, images: ImageSet) -> None:
    net = tiny().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first, _ = tl.look.extract(net, images)
    second, _ = tl.look.extract(net, images)
    assert torch.equal(first, second), "neither dropout nor batch statistics have a part in it"
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_another_order_gives_the_same_rows_in_that_order(tiny: Make, images: ImageSet) -> None:
    order = [6, 2, 0, 5, 1, 4, 3]
    x, _ = tl.look.extract(tiny(), images)
    shuffled, labels = tl.look.extract(tiny(), images.take(order))
    assert torch.allclose(shuffled, x[order], atol=1e-6)
    assert labels.tolist() == images.labels[order].tolist()


@pytest.mark.parametrize("training", [True, False])
def test_the_former_mode_comes_back(tiny: Make, images: ImageSet, training: bool) -> None:
    net = tl.models.freeze(tiny().train(training), ["stem"])
    modes = [module.training for module in net.modules()]
    tl.look.extract(net, images)
    assert [module.training for module in net.modules()] == modes
    assert net.training is training and net.net.layer1[1].training is training and not net.net.bn1.training


def test_features_may_enter_a_training_step(tiny: Make, images: ImageSet) -> None:
    net = tiny()
    x, y = tl.look.extract(net, images)
    assert not x.requires_grad
    torch.nn.functional.cross_entropy(net.head(x), y.clamp(max=1)).backward()
    assert net.head.weight.grad is not None and net.net.conv1.weight.grad is None


def test_no_images_are_refused(tiny: Make, images: ImageSet) -> None:
    with pytest.raises(ValueError, match="the image set is empty; there is nothing to load"):
        tl.look.extract(tiny(), images.take([]))


class TestPrefixAndSuffix:
    @pytest.mark.parametrize("stage", ["layer1", "layer2", "head"])
    def test_together_they_are_the_network(self, tiny: Make, images: ImageSet, stage: str) -> None:
        net = tiny().eval()
        activations, labels = tl.look.prefix(net, images, stage, batch_size=3)
        suffix = tl.look.Suffix(net, stage, 8).eval()
        with torch.no_grad():
            whole = torch.cat([net(net.transform(image)[None]) for image, _ in images])
            assert torch.allclose(suffix(activations), whole, atol=1e-6)
            assert torch.allclose(suffix.features(activations), tl.look.extract(net, images)[0], atol=1e-6)
        assert labels.tolist() == images.labels.tolist() and len(activations) == 7

    @pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "timm/vit_tiny_patch16_224"])
    def test_together_they_are_a_real_network(self, images: ImageSet, name: str) -> None:
        net = tl.models.load(name, pretrained=False, image_size=32).eval()
        stage = list(net.stages)[-3]
        activations, _ = tl.look.prefix(net, images, stage)
        with torch.no_grad():
            whole = torch.cat([net(net.transform(image)[None]) for image, _ in images])
            assert torch.allclose(tl.look.Suffix(net, stage, 32).eval()(activations), whole, atol=1e-5)

    def test_only_the_later_stages_learn_and_nothing_below_drifts(self, tiny: Make, images: ImageSet) -> None:
        net = tiny()
        activations, labels = tl.look.prefix(net, images, "layer2")
        suffix = tl.look.Suffix(net, "layer2", 8).train()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        optimizer = torch.optim.SGD([p for p in suffix.parameters() if p.requires_grad], lr=0.5)
        torch.nn.functional.cross_entropy(suffix(activations), labels.clamp(max=1)).backward()
        optimizer.step()
        changed = {name for name, value in net.state_dict().items() if not torch.equal(before[name], value)}
        assert changed and {name.split(".")[1] for name in changed} == {"layer2", "fc"}

    def test_it_goes_where_its_network_goes(self, tiny: Make, images: ImageSet) -> None:
        net = tiny()
        activations, _ = tl.look.prefix(net, images, "layer2")
        suffix = tl.look.Suffix(net, "layer2", 8)
        net.to("meta")  # a device of its own, without memory
        assert suffix(activations.to("meta")).device.type == "meta"

    def test_each_parameter_counts_once_and_the_blank_is_not_saved(self, tiny: Make) -> None:
        net = tiny()
        suffix = tl.look.Suffix(net, "layer2", 8)
        assert len(list(suffix.parameters())) == len(list(net.parameters()))
        assert set(suffix.state_dict()) == {f"net.{name}" for name in net.state_dict()}

    def test_the_former_mode_comes_back(self, tiny: Make, images: ImageSet) -> None:
        net = tiny().train()
        tl.look.prefix(net, images, "layer1")
        assert net.training and net.net.bn1.training

    def test_no_hook_stays_behind(self, tiny: Make, images: ImageSet) -> None:
        net = tiny().eval()
        activations, _ = tl.look.prefix(net, images, "layer2")
        x = torch.randn(2, 3, 8, 8)
        with torch.no_grad():
            before = net(x)
            tl.look.Suffix(net, "layer2", 8)(activations)
            assert torch.equal(net(x), before)

    def test_an_unknown_stage_is_named_with_those_that_exist(self, tiny: Make, images: ImageSet) -> None:
        with pytest.raises(KeyError, match="no stage 'layer9'; its stages are stem, layer1, layer2, head"):
            tl.look.prefix(tiny(), images, "layer9")

    def test_the_first_stage_has_nothing_before_it(self, tiny: Make) -> None:
        with pytest.raises(ValueError, match="stage 'stem' is the first"):
            tl.look.Suffix(tiny(), "stem", 8)


class TestWhatComesIn:
    @pytest.mark.parametrize("read", [tl.look.extract, tl.look.pooled, lambda *of: tl.look.prefix(*of, "layer2")])
    def test_images_are_an_image_set_and_the_network_a_backbone(
        self, tiny: Make, images: ImageSet, read: Callable
    ) -> None:
        with pytest.raises(ValueError, match="images is a list; give an ImageSet"):
            read(tiny(), list(images.images))
        with pytest.raises(ValueError, match="images is a ndarray; give an ImageSet"):
            read(tiny(), np.zeros((2, 8, 8, 3)))
        with pytest.raises(ValueError, match="is empty"):
            read(tiny(), images.take([]))

    @pytest.mark.parametrize("read", [tl.look.extract, tl.look.pooled])
    def test_a_plain_network_is_no_backbone(self, tiny: Make, images: ImageSet, read: Callable) -> None:
        with pytest.raises(ValueError, match="net is a Tiny; give a Backbone"):
            read(tiny().net, images)
