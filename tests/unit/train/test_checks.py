"""Each check names a planted bug, is silent on a clean pipeline, and leaves the network as it found it."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tlhelpers as tl
from tlhelpers.models import Backbone

Make = Callable[[], Backbone]
Pair = tuple[torch.Tensor, torch.Tensor]
HALF = (0.5,) * 3, (0.5,) * 3


def pictures(count: int, seed: int) -> Pair:
    """Return normalized noise images ``[N, 3, 8, 8]`` of which the second class is brighter, and labels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 2
    x = torch.rand(count, 3, 8, 8, generator=generator) * 0.6 + 0.4 * y.view(-1, 1, 1, 1)
    return 2 * x - 1, y


def batches(pair: Pair, size: int = 20, shuffle: bool = False) -> DataLoader:
    return DataLoader(TensorDataset(*pair), size, shuffle=shuffle, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def train() -> Pair:
    return pictures(100, 0)


@pytest.fixture
def val() -> Pair:
    return pictures(60, 1)


def good(net: Backbone) -> torch.optim.Optimizer:
    return torch.optim.AdamW(tl.train.param_groups(net, head_lr=1e-3, backbone_lr=1e-4))


def names(findings: list[tl.train.Finding]) -> list[str]:
    return [one.name for one in findings]


class TestBeforeTraining:
    def test_a_working_pipeline_gives_no_finding(self, tiny: Make, train: Pair, val: Pair) -> None:
        net = tiny()
        assert tl.train.before_training(net, batches(train), batches(val), good(net)) == []

    @pytest.mark.parametrize("part", ["train", "val"])
    def test_pixels_on_another_scale_are_found_in_each_loader(
        self, tiny: Make, train: Pair, val: Pair, part: str
    ) -> None:
        parts = {"train": train, "val": val}
        parts[part] = (parts[part][0] * 2.2 + 0.1, parts[part][1])
        found = tl.train.before_training(tiny(), batches(parts["train"]), batches(parts["val"]))
        assert "inputs" in names(found)

    def test_every_finding_has_a_value_and_a_remedy(self, tiny: Make, train: Pair, val: Pair) -> None:
        net = tiny()
        broken = (train[0] * 255, 1 - train[1])
        found = tl.train.before_training(
            net, batches(broken), batches(train), torch.optim.SGD(net.parameters(), 0.1)
        )
        assert {"inputs", "rates"} <= set(names(found))
        for one in found:
            assert any(sign.isdigit() for sign in one.what) and one.fix.endswith((".", "?"))
            assert str(one) == f"{one.name}: {one.what} {one.fix}"

    def test_a_head_that_does_not_fit_ends_the_list(self, tiny: Make, train: Pair, val: Pair) -> None:
        assert names(tl.train.before_training(tiny(), batches((train[0], train[1] + 4)), batches(val))) == [
            "labels",
            "head_size",
        ]

    def test_labels_below_zero_end_the_list(self, tiny: Make, train: Pair) -> None:
        assert names(tl.train.before_training(tiny(), batches((train[0], train[1] - 1)))) == ["labels"]

    def test_whole_number_pixels_end_the_list_before_the_network_fails_on_them(
        self, tiny: Make, train: Pair
    ) -> None:
        pixels = (train[0] * 255).to(torch.uint8)
        assert names(tl.train.before_training(tiny(), batches((pixels, train[1])))) == ["inputs"]

    def test_an_untrained_body_may_have_one_rate(self, tiny: Make, train: Pair, val: Pair) -> None:
        net = tiny()
        uniform = torch.optim.SGD(net.parameters(), 0.1)
        assert names(tl.train.before_training(net, batches(train), batches(val), uniform)) == ["rates"]
        assert tl.train.before_training(net, batches(train), batches(val), uniform, pretrained=False) == []

    def test_it_reads_no_more_than_the_limit(self, tiny: Make, train: Pair) -> None:
        far = (train[0].clone(), train[1])
        far[0][60:] = 99.0
        assert tl.train.before_training(tiny(), batches(far), limit=50) == []

    def test_an_empty_loader_is_an_error(self, tiny: Make) -> None:
        with pytest.raises(ValueError, match="gave no batch; is the data set empty"):
            tl.train.before_training(tiny(), [])

    @pytest.mark.parametrize("make", [lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 2))], ids=["plain"])
    def test_any_classifier_will_do(self, make: Callable[[], nn.Module], train: Pair, val: Pair) -> None:
        net = make()
        assert tl.train.before_training(net, batches(train), batches(val), transform=_norm(*HALF)) == []

    @pytest.mark.parametrize("name", ["resnet18", "timm/resnet10t"])
    def test_torchvision_and_timm_too(self, name: str, train: Pair) -> None:
        net = tl.models.load(name, num_classes=2, pretrained=False, image_size=32).net
        big = nn.functional.interpolate(train[0][:40], 32), train[1][:40]
        found = tl.train.before_training(
            net, batches(big), None, torch.optim.SGD(net.parameters(), 0.1), _norm(*HALF)
        )
        assert names(found) == ["rates"]


def _norm(mean: tuple[float, ...], std: tuple[float, ...]) -> Callable:
    return tl.models.preprocessing(8, mean, std)


@pytest.mark.parametrize("overfit", [False, True])
def test_the_network_the_loaders_and_the_random_states_stay_as_they_were(
    tiny: Make, train: Pair, val: Pair, overfit: bool
) -> None:
    net = tiny().train()
    net.net.layer1[1].eval()
    net(train[0][:4]).sum().backward()
    state = {key: value.clone() for key, value in net.state_dict().items()}
    grads = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    modes = [m.training for m in net.modules()]
    trained = [p.requires_grad for p in net.parameters()]
    loader = batches(train, shuffle=True)
    drawn = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state(), loader.generator.get_state()
    tl.train.before_training(net, loader, batches(val), good(net))
    if overfit:
        tl.train.check_one_batch(net, train[0][:8], train[1][:8])
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())
    assert all(torch.equal(a, p.grad) for a, p in zip(grads, net.parameters(), strict=True))
    assert modes == [m.training for m in net.modules()]
    assert trained == [p.requires_grad for p in net.parameters()]
    assert random.getstate() == drawn[0] and (np.random.get_state()[1] == drawn[1]).all()
    assert torch.equal(torch.get_rng_state(), drawn[2]) and torch.equal(loader.generator.get_state(), drawn[3])


class TestInputs:
    def test_the_range_that_the_weights_demand_passes(self, train: Pair) -> None:
        assert tl.train.check_inputs(train[0], HALF) == []

    @pytest.mark.parametrize(("scale", "shift"), [(255.0, 255.0), (1 / 0.458, 0.07), (0.25, 0.5), (0.458, -0.03)])
    def test_another_scale_is_found(self, train: Pair, scale: float, shift: float) -> None:
        (found,) = tl.train.check_inputs(train[0] * scale + shift, HALF)
        assert found.name == "inputs" and "not from 0 to 1" in found.what

    def test_whole_numbers_and_nan_are_found(self, train: Pair) -> None:
        assert tl.train.check_inputs((train[0] * 255).to(torch.uint8), HALF)
        assert tl.train.check_inputs(train[0] * float("nan"), HALF)

    def test_without_a_demand_only_numbers_are_judged(self, train: Pair) -> None:
        assert tl.train.check_inputs(train[0] * 255, None) == []

    def test_the_demand_is_read_from_transform_or_timm(self, tiny: Make) -> None:
        assert tl.train.wanted_statistics(nn.Linear(2, 2)) is None
        assert tuple(tl.train.wanted_statistics(tiny())[0]) == HALF[0]  # type: ignore[index]
        assert tl.train.wanted_statistics(tl.models.load("efficientnet_lite0", image_size=32).net) == HALF
        assert tuple(tl.train.wanted_statistics(tiny(), _norm((0.1,) * 3, (0.2,) * 3))[1]) == (0.2,) * 3  # type: ignore[index]


class TestLabels:
    def test_shuffled_and_balanced_ones_pass(self, train: Pair) -> None:
        assert tl.train.check_labels(train[1]) == []

    def test_an_absent_and_a_rare_class_are_found(self) -> None:
        assert "50.0%, 0.0%, 50.0%" in tl.train.check_labels(torch.tensor([0, 2] * 20))[0].what
        assert "95.0%, 5.0%" in tl.train.check_labels(torch.tensor([1] + [0] * 19))[0].what

    def test_a_class_that_few_images_miss_by_chance_is_no_finding(self) -> None:
        seldom = torch.arange(150) % 199
        assert tl.train.check_labels(torch.cat([seldom, torch.tensor([199])])) == []
        assert tl.train.check_labels(torch.tensor([0, 2] * 20))

    def test_labels_that_come_class_by_class_are_found(self, train: Pair) -> None:
        (found,) = tl.train.check_labels(train[1].sort().values)
        assert "class by class" in found.what and "Shuffle" in found.fix

    def test_a_head_too_small_or_of_the_source_task_is_found(self, train: Pair) -> None:
        for outputs, many in ((2, 3), (1000, 2)):
            net = nn.Sequential(nn.Flatten(), nn.Linear(192, outputs))
            assert tl.train.check_head_size(net, train[0], torch.arange(100) % many)
        assert tl.train.check_head_size(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), *train) == []

    def test_labels_fit_the_images(self, tiny: Make, train: Pair, val: Pair) -> None:
        assert tl.train.check_labels_fit(tiny(), train, val) == []

    def test_swapped_classes_are_told_from_shuffled_labels(self, tiny: Make, train: Pair, val: Pair) -> None:
        (swapped,) = tl.train.check_labels_fit(tiny(), (train[0], 1 - train[1]), val)
        assert "class_to_idx" in swapped.fix
        mixed = torch.arange(100) // 2 % 2  # half of each class gets each label
        (shifted,) = tl.train.check_labels_fit(tiny(), (train[0], mixed), val)
        assert "off by one" in shifted.fix


class TestCopies:
    def test_other_images_pass(self, train: Pair, val: Pair) -> None:
        assert tl.train.check_copies(train[0], val[0]) == []

    @pytest.mark.parametrize(
        "change", [lambda x: x, lambda x: x.flip(2), lambda x: x.rot90(1, (1, 2)), lambda x: 0.9 * x + 0.05]
    )
    def test_one_copy_is_found_and_named(self, train: Pair, val: Pair, change: Callable) -> None:
        leaky = val[0].clone()
        leaky[7] = change(train[0][42])
        (found,) = tl.train.check_copies(train[0], leaky)
        assert "1 of 60" in found.what and "first 7 as 42" in found.what


class TestTheNetwork:
    def test_a_frozen_batchnorm_that_train_wakes_is_found(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny())
        assert tl.train.check_frozen_norms(net) == []
        (found,) = tl.train.check_frozen_norms(net.net)  # the plain network's train() wakes them
        assert "wakes 2" in found.what and "'bn1'" in found.what

    def test_a_trained_batchnorm_may_be_awake(self, tiny: Make) -> None:
        assert tl.train.check_frozen_norms(tiny()) == []

    def test_an_optimizer_that_fits_passes(self, tiny: Make) -> None:
        net = tiny()
        assert tl.train.check_parameters(net, good(net)) == [] and tl.train.check_rates(net, good(net)) == []

    def test_a_forgotten_stem_is_found(self, tiny: Make) -> None:
        net = tiny()
        groups = [
            g
            for g in tl.train.param_groups(net, head_lr=1e-3, backbone_lr=1e-4)
            if not g["name"].startswith("stem")
        ]
        (found,) = tl.train.check_parameters(net, torch.optim.AdamW(groups))
        assert "misses 3" in found.what and "conv1" in found.what

    def test_an_optimizer_made_before_the_head_was_replaced_is_found(self, tiny: Make) -> None:
        net = tiny()
        early = good(net)
        net.net.fc = nn.Linear(8, 2)
        found = tl.train.check_parameters(net, early)
        assert "misses 2" in found[0].what and "holds 2 tensor(s) that are not in the network" in found[1].what

    def test_frozen_parameters_in_the_optimizer_are_found(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny())
        (found,) = tl.train.check_parameters(net, torch.optim.AdamW(net.parameters()))
        assert "frozen tensor(s)" in found.what

    def test_one_rate_for_all_is_found_and_a_head_alone_is_not(self, tiny: Make) -> None:
        net = tiny()
        assert "learn at 0.001" in tl.train.check_rates(net, torch.optim.AdamW(net.parameters(), lr=1e-3))[0].what
        assert tl.train.check_rates(net, torch.optim.AdamW(net.head.parameters(), lr=1e-3)) == []

    def test_a_first_loss_far_above_chance_is_found(self, tiny: Make, train: Pair) -> None:
        net = tiny()
        assert tl.train.check_first_loss(net, *train) == []
        net.head.weight.data *= 1000
        assert "ln 2 is 0.69" in tl.train.check_first_loss(net, *train)[0].what


class TestSteady:
    def test_eval_mode_is_steady(self, tiny: Make, train: Pair) -> None:
        assert tl.train.check_steady(tiny().eval(), train[0]) == []

    def test_dropout_makes_two_calls_differ(self, train: Pair) -> None:
        net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 2)).train()
        assert "two calls" in tl.train.check_steady(net, train[0])[0].what

    def test_batchnorm_makes_an_image_depend_on_its_batch(self, train: Pair) -> None:
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2)).train()
        before = net[1].running_mean.clone()
        assert "small batch" in tl.train.check_steady(net, train[0])[0].what
        assert torch.equal(before, net[1].running_mean) and net.training


class TestOneBatch:
    def test_a_network_that_can_learn_passes(self, train: Pair) -> None:
        net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        assert tl.train.check_one_batch(net, train[0][:8], train[1][:8], rate=1e-2) == []

    def test_one_that_is_all_but_frozen_is_found(self, train: Pair) -> None:
        net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        net[1].weight.requires_grad_(False)
        assert "60 steps on one batch" in tl.train.check_one_batch(net, train[0][:8], train[1][:8])[0].what
