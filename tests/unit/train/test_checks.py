"""Each check names a planted bug, is silent on a clean pipeline, and leaves the network as it found it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

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


def test_the_network_the_loaders_and_the_random_states_stay_as_they_were(
    tiny: Make, train: Pair, val: Pair
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


def clusters(count: int, gap: float, seed: int, groups: int = 2) -> Pair:
    """Return features ``[N, 8]`` around a center a group, ``gap`` from the origin, and the groups' numbers."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.arange(count) % groups
    return torch.randn(count, 8, generator=generator) + gap * torch.eye(8)[group], group


class TestFalseAlarmsOfLabelsFit:
    """How often right labels fail, and shuffled ones pass; an identity stands for the network."""

    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 2))

    def found(self, train: Pair, held: Pair) -> list[tl.train.Finding]:
        return tl.train.check_labels_fit(self.net, train, held)

    @pytest.mark.parametrize(("gap", "most"), [(3.0, 0), (1.5, 2)])
    def test_right_labels_of_classes_that_features_show_pass(self, gap: float, most: int) -> None:
        alarms = [bool(self.found(clusters(100, gap, s), clusters(50, gap, 100 + s))) for s in range(40)]
        assert sum(alarms) <= most

    def test_right_labels_that_features_do_not_show_fail(self) -> None:
        alarms = [bool(self.found(clusters(100, 0, s), clusters(50, 0, 100 + s))) for s in range(40)]
        assert sum(alarms) >= 36

    @pytest.mark.parametrize("part", ["train", "held"])
    def test_shuffled_labels_fail_though_many_images_share_their_neighbors(self, part: str) -> None:
        passed = 0
        for seed in range(40):
            train, held = clusters(100, 9, seed, groups=4), clusters(100, 9, 100 + seed, groups=4)
            train, held = (train[0], train[1] % 2), (held[0], held[1] % 2)
            order = torch.randperm(100, generator=torch.Generator().manual_seed(seed))
            pair = {"train": train, "held": held}
            pair[part] = (pair[part][0], pair[part][1][order])
            passed += not self.found(pair["train"], pair["held"])
        assert passed <= 5

    @pytest.mark.parametrize(("few", "many"), [(29, 100), (100, 29)])
    def test_of_few_images_only_swapped_classes_are_told(self, few: int, many: int) -> None:
        for seed in range(10):
            train, held = clusters(few, 0, seed), clusters(many, 0, 100 + seed)
            assert self.found(train, held) == []
        (x, y), held = clusters(few, 4, 0), clusters(many, 4, 100)
        (swapped,) = self.found((x, 1 - y), held)
        assert "class_to_idx" in swapped.fix and self.found((x, y), held) == []


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


def one_hot(y: torch.Tensor) -> torch.Tensor:
    return nn.functional.one_hot(y)


ODD_LABELS = {
    "a column": (lambda y: y[:, None], r"reshape\(-1\)"),
    "int32": (lambda y: y.int(), r"y.long\(\)"),
    "uint8": (lambda y: y.to(torch.uint8), r"y.long\(\)"),
    "bool": (lambda y: y.bool(), r"y.long\(\)"),
    "floats": (lambda y: y.float(), r"y.long\(\)"),
    "fractions": (lambda y: y + 0.5, "another loss"),
    "NaN": (lambda y: torch.where(y == 0, float("nan"), 1.0), "Leave that row out"),
    "one-hot": (one_hot, r"argmax\(1\), as these are one-hot"),
    "one-hot floats": (lambda y: one_hot(y).float(), r"argmax\(1\)"),
    "shares": (lambda y: torch.full((len(y), 2), 0.5), r"argmax\(1\)"),
    "several": (lambda y: torch.ones(len(y), 2), "another loss"),
    "-1 and 1": (lambda y: 2 * y - 1, r"// 2"),
    "-100": (lambda y: torch.where(y == 0, -100, y), "-100 out"),
    "names": (lambda y: ["cat" if label else "dog" for label in y.tolist()], "np.unique"),
    "too few": (lambda y: y[:4], "one label"),
    "pixels": (lambda y: torch.zeros(len(y), 4, 4).long(), "one class index a row"),
    "numbers of files": (lambda y: y + 10**12, "Number the classes from 0"),
}


class TestOddLabels:
    @pytest.mark.parametrize("kind", ODD_LABELS)
    @pytest.mark.parametrize("part", ["train", "val"])
    def test_are_a_finding_with_value_and_cure(
        self, tiny: Make, train: Pair, val: Pair, kind: str, part: str
    ) -> None:
        change, cure = ODD_LABELS[kind]
        parts = {"train": [train], "val": [val], part: [(train[0], change(train[1]))]}
        found = tl.train.before_training(tiny(), parts["train"], parts["val"])
        if part == "val" and kind == "numbers of files":
            assert "held-out labels run from 1000000000000" in found[-1].what
            return
        if part == "train" and kind in ("one-hot floats", "shares"):  # fit trains with these
            assert not [one for one in found if re.search(cure, one.fix)] and len(found) == 2 * (kind == "shares")
            return
        (told,) = [one for one in found if one.name == "labels"]
        assert re.search(cure, told.fix) and any(sign.isdigit() for sign in told.what + told.fix)

    @pytest.mark.parametrize("kind", ODD_LABELS)
    def test_no_check_raises_on_them(self, tiny: Make, train: Pair, kind: str) -> None:
        y = ODD_LABELS[kind][0](train[1])
        net, (x, _) = tiny(), train
        found = [
            tl.train.check_labels(y),
            tl.train.check_head_size(net, x, y),
            tl.train.check_first_loss(net, x, y),
            tl.train.check_labels_fit(net, (x, y), train),
            tl.train.check_labels_fit(net, train, (x, y)),
        ]
        assert all(isinstance(one, tl.train.Finding) for findings in found for one in findings)
        assert found[0] or kind == "too few"

    def test_int32_is_told_and_the_other_checks_run(self, tiny: Make, train: Pair) -> None:
        dark = (train[0] * 255, train[1].int())
        assert names(tl.train.before_training(tiny(), [dark])) == ["inputs", "labels"]

    def test_counted_from_one_is_told_from_a_head_of_the_source_task(self, tiny: Make, train: Pair) -> None:
        (found,) = tl.train.check_head_size(tiny(), train[0], train[1] + 1)
        assert found.fix == "Labels seem to be counted from 1: write y - 1."

    def test_held_out_labels_beyond_the_outputs_are_found(self, tiny: Make, train: Pair, val: Pair) -> None:
        (found,) = tl.train.before_training(tiny(), [train], [(val[0], val[1] + 1)])
        assert found.name == "head_size" and "held-out labels run from 1 to 2" in found.what


class TestOddBatches:
    @pytest.mark.parametrize(
        ("make", "told"),
        [
            (lambda x, y: [{"pixel_values": x, "labels": y}], "a mapping with the keys"),
            (lambda x, y: [(x, y, y)], "3 parts"),
            (lambda x, y: TensorDataset(x, y), "one row with the label 0, not a batch"),
            (lambda x, y: (x, y), "Tensor of shape"),
            (lambda x, y: iter([(x, y)]), "what is read of it here, training would miss"),
            (lambda x, y: DataLoader([(x[0], 0), (x[0, :, :5], 1)], 2), "train fails at batch 1: stack expects"),
            (lambda x, y: [(["a.png"] * len(x), y)], "inputs are no numbers, first 'a.png'"),
        ],
    )
    def test_what_is_no_pair_ends_the_list(self, tiny: Make, train: Pair, make: Callable, told: str) -> None:
        (found,) = tl.train.before_training(tiny(), make(*train))
        assert found.name == "batches" and told in found.what and found.fix.endswith(".")

    def test_a_generator_is_left_unread(self, tiny: Make, train: Pair, val: Pair) -> None:
        rows = iter([val])
        assert names(tl.train.before_training(tiny(), [train], rows)) == ["batches"]
        assert next(rows) is val

    def test_arrays_and_endless_loaders_are_read(self, tiny: Make, train: Pair) -> None:
        class Endless:
            def __iter__(self) -> Iterator:
                while True:
                    yield train[0].numpy(), train[1].numpy()

        assert tl.train.before_training(tiny(), Endless()) == []

    def test_images_of_several_sizes_are_found(self, tiny: Make, train: Pair) -> None:
        other = nn.functional.interpolate(train[0], 9), train[1]
        (found,) = tl.train.before_training(tiny(), [train, other])
        assert found.name == "inputs" and "(3, 8, 8) and (3, 9, 9)" in found.what

    def test_a_limit_is_one_image_or_more(self, tiny: Make, train: Pair) -> None:
        with pytest.raises(ValueError, match="limit=0"):
            tl.train.before_training(tiny(), [train], limit=0)


class TestOddInputs:
    @pytest.mark.parametrize(
        ("change", "expected", "cure"),
        [
            (lambda x: (x * 50).to(torch.uint8), ["inputs"], "scale=True"),
            (lambda x: torch.where(x > 0.9, float("nan"), x), ["inputs"], "these rows"),
            (lambda x: x.double(), ["inputs"], r"x.to\(torch.float32\)"),
            (lambda x: x.permute(0, 2, 3, 1), ["inputs", "forward"], r"permute\(0, 3, 1, 2\)"),
            (lambda x: x[:, :1], ["inputs", "forward"], "as RGB"),
            (lambda x: torch.cat([x, x[:, :1]], 1), ["inputs", "forward"], r"x\[:, :3\]"),
            (lambda x: x.flatten(1), ["inputs", "forward"], r"Give \[B, 3, H, W\]"),
        ],
        ids=["uint8", "NaN", "float64", "channels last", "gray", "alpha", "vectors"],
    )
    def test_are_found_and_no_check_raises(
        self, tiny: Make, train: Pair, change: Callable, expected: list, cure: str
    ) -> None:
        x, y = change(train[0]), train[1]
        found = tl.train.before_training(tiny(), [(x, y)])
        assert names(found) == expected and re.search(cure, found[0].fix)
        assert isinstance(tl.train.before_training(tiny(), [train], [(x, y)]), list)
        for check in (
            lambda: tl.train.check_inputs(x, HALF),
            lambda: tl.train.check_head_size(tiny(), x, y),
            lambda: tl.train.check_first_loss(tiny(), x, y),
            lambda: tl.train.check_labels_fit(tiny(), (x, y), train),
            lambda: tl.train.check_copies(x, train[0]),
            lambda: tl.train.check_copies(train[0], x),
            lambda: tl.train.check_steady(tiny(), x),
        ):
            assert all(isinstance(one, tl.train.Finding) for one in check())

    def test_a_narrow_range_has_two_causes_and_a_wrong_one_has_one(self, train: Pair) -> None:
        dark = 2 * (0.06 * (train[0] + 1) / 2) - 1  # 12 bits of 16
        (narrow,) = tl.train.check_inputs(dark, HALF)
        assert "from 0.00 to 0.06" in narrow.what
        assert "Take the transform from the weights" in narrow.fix and "12 bits" in narrow.fix
        (wide,) = tl.train.check_inputs(train[0] * 255, HALF)
        assert wide.fix == "Take the transform from the weights; check ToTensor or ToDtype."

    def test_the_demand_is_found_in_a_transform_inside_a_transform(self) -> None:
        from torchvision.transforms import v2

        nested = v2.Compose([v2.Compose([v2.Normalize([0.1] * 3, [0.2] * 3)])])
        assert list(tl.train.wanted_statistics(nn.Linear(2, 2), nested)[0]) == [0.1] * 3  # type: ignore[index]


class Odd(nn.Module):
    """A sound network whose answer is changed."""

    def __init__(self, net: nn.Module, change: Callable[[torch.Tensor, bool], object]) -> None:
        super().__init__()
        self.inner, self.change = net, change

    def forward(self, x: torch.Tensor) -> object:
        return self.change(self.inner(x), self.training)


def fails(*_: object) -> object:
    raise KeyError("pixel_values")


class TestOddNetworks:
    @pytest.mark.parametrize(
        ("change", "name", "told"),
        [
            (
                lambda out, training: (out, out) if training else out,
                "forward",
                "in train mode .* tuple with 2 parts",
            ),
            (lambda out, _: (out, out), "forward", "tuple with 2 parts"),
            (lambda out, _: None, "forward", "NoneType"),
            (lambda out, _: out[:4], "forward", r"shape \(4, 2\)"),
            (lambda out, _: out * float("nan"), "forward", "NaN or infinity for 32 finite inputs"),
            (fails, "forward", "KeyError, 'pixel_values'"),
            (lambda out, _: out[:, 0], "head_size", r"shape \(32,\)"),
            (lambda out, _: out[:, :1], "head_size", r"shape \(32, 1\)"),
            (lambda out, _: out[:, :, None, None], "head_size", r"shape \(32, 2, 1, 1\)"),
        ],
    )
    def test_a_network_that_fails_or_answers_otherwise_is_a_finding(
        self, tiny: Make, train: Pair, val: Pair, change: Callable, name: str, told: str
    ) -> None:
        net = Odd(tiny(), change)
        (found,) = tl.train.before_training(net, [train], [val])
        assert found.name == name and re.search(told, found.what) and found.fix.endswith(".")
        for check in (
            lambda: tl.train.check_head_size(net, *train),
            lambda: tl.train.check_first_loss(net, *train),
            lambda: tl.train.check_labels_fit(net, train, val),
            lambda: tl.train.check_steady(net, train[0]),
        ):
            assert all(isinstance(one, tl.train.Finding) for one in check())

    def test_a_last_batch_of_one_image_is_tried(self, train: Pair) -> None:
        net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        assert tl.train.before_training(net, [train]) == []
        (found,) = tl.train.before_training(net, [train, (train[0][:1], train[1][:1])])
        assert found.name == "forward" and "a batch of one image" in found.what and "drop_last=True" in found.fix

    def test_a_weight_that_is_not_finite_is_named(self, tiny: Make, train: Pair) -> None:
        net = tiny()
        net.head.bias.data[0] = float("nan")
        (found,) = tl.train.before_training(net, [train])
        assert found.name == "forward" and "'net.fc.bias'" in found.fix

    def test_the_head_of_a_backbone_is_its_own_wherever_it_stands(self, tiny: Make) -> None:
        net = tiny()
        net.net.late = nn.Linear(8, 8)  # the last linear layer, and no head
        groups = [
            {"params": net.head.parameters(), "lr": 1e-2},
            {"params": [*net.net.conv1.parameters(), *net.net.late.parameters()], "lr": 1e-3},
        ]
        assert tl.train.check_rates(net, torch.optim.SGD(groups)) == []


class TestUntouched:
    def test_buffers_that_no_state_dict_holds_and_those_replaced_are_put_back(self) -> None:
        class Counting(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("calls", torch.zeros(1), persistent=False)
                self.register_buffer("mean", torch.zeros(2))
                self.layer = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2))

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                self.calls += 1
                self.mean = 0.9 * self.mean + x.mean(0)
                return self.layer(x)

        net = Counting().train()
        mean, state = net.mean, {key: value.clone() for key, value in net.state_dict().items()}
        with tl.train.untouched(net):
            net(torch.ones(3, 2))
            assert net.calls == 1 and net.mean is not mean
        assert net.calls == 0 and net.mean is mean
        assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())

    def test_samplers_draw_as_if_nothing_was_read(self, tiny: Make, train: Pair) -> None:
        order = torch.Generator().manual_seed(3)
        sampler = torch.utils.data.WeightedRandomSampler(torch.ones(100), 100, generator=order)
        loader = DataLoader(TensorDataset(*train), 20, sampler=sampler)
        state = order.get_state()
        tl.train.before_training(tiny(), loader)
        assert torch.equal(order.get_state(), state)


class TestWhatFitTakes:
    """What the loop trains with is no finding; what trains nothing is one."""

    def test_labels_of_mixup(self, tiny: Make, train: Pair, val: Pair) -> None:
        x, y = train
        shares = 0.8 * nn.functional.one_hot(y, 2).float() + 0.1
        net = tiny()
        assert tl.train.before_training(net, batches((x, shares)), batches(val), good(net)) == []
        wide = torch.cat([shares, torch.zeros(len(y), 1)], dim=1)
        (found,) = tl.train.before_training(net, batches((x, wide)), batches(val), good(net))
        assert found.name == "head_size" and "shares of 3 classes, and the network has 2 outputs" in found.what

    def test_tokens_of_an_embedding(self) -> None:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Embedding(50, 4), nn.Flatten(), nn.Linear(20, 2))
        generator = torch.Generator().manual_seed(0)
        parts = []
        for count in (100, 60):
            y = torch.arange(count) % 2
            parts.append((torch.randint(0, 25, (count, 5), generator=generator) + 25 * y[:, None], y))
        found = tl.train.before_training(net, batches(parts[0]), batches(parts[1]), pretrained=False)
        assert [one for one in found if "ToDtype" in str(one) or one.name == "inputs"] == [] and found == []
        (found,) = tl.train.before_training(nn.Sequential(nn.Flatten(), nn.Linear(5, 2)), batches(parts[0]))
        assert found.name == "inputs" and "ToDtype" in found.fix

    @pytest.mark.parametrize("pretrained", [True, False])
    def test_rates_of_zero(self, tiny: Make, train: Pair, val: Pair, pretrained: bool) -> None:
        net = tiny()
        still = torch.optim.AdamW(net.parameters(), lr=0.0)
        (found,) = tl.train.before_training(net, batches(train), batches(val), still, pretrained=pretrained)
        assert found.name == "rates" and "are all 0" in found.what and 'group["lr"]' in found.fix

    @pytest.mark.parametrize("optimizer", ["adam", torch.optim.AdamW])
    def test_what_is_no_optimizer(self, tiny: Make, train: Pair, val: Pair, optimizer: object) -> None:
        (found,) = tl.train.before_training(tiny(), batches(train), batches(val), optimizer)
        assert found.name == "parameters" and "torch.optim.AdamW(net.parameters()" in found.fix


class TestOrder:
    """What place in the list tells is found where it can be known, and where it may matter."""

    @staticmethod
    def by_source(count: int, seed: int) -> Pair:
        """Return images of sources that stand together in the list: runs of 20, most of one class each."""
        x, _ = pictures(count, seed)
        generator = torch.Generator().manual_seed(seed)
        mostly = (torch.arange(count) // 20 % 2).double() * 0.9 + 0.05
        y = (torch.rand(count, generator=generator) < mostly).long()
        return x, y

    def found(self, net: Backbone, train: object, val: object = None, **how: bool) -> list[str]:
        told = tl.train.before_training(net, train, val, pretrained=False, **how)
        return [one.what for one in told if one.name == "order"]

    def test_it_is_told_of_either_part_once(self, tiny: Make) -> None:
        mixed, train, val = pictures(240, 0), self.by_source(240, 1), self.by_source(240, 2)
        (first,) = self.found(tiny(), batches(train), batches(val))
        assert first.startswith("in training, a look-up by place in the list ranks held-out images with AUROC 0.")
        (second,) = self.found(tiny(), batches(mixed), batches(val))
        assert second.startswith("in validation, a look-up by place")
        assert self.found(tiny(), list(batches(mixed)), list(batches(val))) == [second]

    def test_a_loader_that_shuffles_says_nothing(self, tiny: Make) -> None:
        assert self.found(tiny(), batches(self.by_source(240, 1), shuffle=True)) == []

    def test_batches_that_a_sampler_of_its_own_puts_together_say_nothing(self, tiny: Make) -> None:
        data = TensorDataset(*self.by_source(240, 1))
        rows = [list(range(start, start + 20)) for start in range(0, 240, 20)]
        assert self.found(tiny(), DataLoader(data, batch_sampler=rows)) == []
        assert len(self.found(tiny(), DataLoader(data, 20))) == 1

    def test_who_kept_sources_together_is_not_told(self, tiny: Make) -> None:
        assert self.found(tiny(), batches(self.by_source(240, 1)), grouped=True) == []

    def test_a_list_sorted_by_class_says_nothing(self, tiny: Make) -> None:
        x, y = pictures(240, 0)
        assert self.found(tiny(), batches((x, y.sort().values))) == []

    def test_labels_that_are_none_are_a_finding(self) -> None:
        assert names(tl.train.check_order(torch.rand(100, 2))) == ["order"]
        assert tl.train.check_order(torch.arange(100) % 2) == []
        assert tl.train.check_order(np.zeros(100, int)) == []
