"""Features are computed once, in order, in eval mode, and leave the network as it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tlhelpers import features, freezing
from tlhelpers.backbones import Backbone
from tlhelpers.data import ImageSet

Make = Callable[[], Backbone]


@pytest.fixture
def images() -> ImageSet:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (10, 9, 3)).astype(np.uint8) for _ in range(7)]
    return ImageSet(arrays, np.array([0, 1, 2, 0, 1, 2, 0]), ("a", "b", "c"))


def test_each_image_has_one_row_and_its_label(tiny: Make, images: ImageSet) -> None:
    x, y = features.compute(tiny(), images)
    assert x.shape == (7, 8) and x.dtype == torch.float32 and x.device.type == "cpu"
    assert y.dtype == torch.int64 and y.tolist() == images.labels.tolist()


def test_a_row_is_what_enters_the_head(tiny: Make, images: ImageSet) -> None:
    net = tiny().eval()
    x, _ = features.compute(net, images)
    with torch.no_grad():
        expected = torch.cat([net.features(net.transform(image)[None]) for image, _ in images])
    assert torch.allclose(x, expected, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_batches_make_no_difference(tiny: Make, images: ImageSet, batch_size: int) -> None:
    whole, _ = features.compute(tiny(), images)
    parts, labels = features.compute(tiny(), images, batch_size=batch_size)
    assert torch.allclose(whole, parts, atol=1e-6) and labels.tolist() == images.labels.tolist()


def test_twice_gives_the_same_though_the_network_was_in_train_mode(tiny: Make, images: ImageSet) -> None:
    net = tiny().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first, _ = features.compute(net, images)
    second, _ = features.compute(net, images)
    assert torch.equal(first, second), "neither dropout nor batch statistics have a part in it"
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_another_order_gives_the_same_rows_in_that_order(tiny: Make, images: ImageSet) -> None:
    order = [6, 2, 0, 5, 1, 4, 3]
    x, _ = features.compute(tiny(), images)
    shuffled, labels = features.compute(tiny(), images.take(order))
    assert torch.allclose(shuffled, x[order], atol=1e-6)
    assert labels.tolist() == images.labels[order].tolist()


@pytest.mark.parametrize("training", [True, False])
def test_the_former_mode_comes_back(tiny: Make, images: ImageSet, training: bool) -> None:
    net = freezing.freeze(tiny().train(training), ["stem"])
    modes = [module.training for module in net.modules()]
    features.compute(net, images)
    assert [module.training for module in net.modules()] == modes
    assert net.training is training and net.net.layer1[1].training is training and not net.net.bn1.training


def test_features_may_enter_a_training_step(tiny: Make, images: ImageSet) -> None:
    net = tiny()
    x, y = features.compute(net, images)
    assert not x.requires_grad
    torch.nn.functional.cross_entropy(net.head(x), y.clamp(max=1)).backward()
    assert net.head.weight.grad is not None and net.net.conv1.weight.grad is None


def test_no_images_are_refused(tiny: Make, images: ImageSet) -> None:
    with pytest.raises(ValueError, match="the image set is empty; there is nothing to load"):
        features.compute(tiny(), images.take([]))
