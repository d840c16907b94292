"""Each stage gets its rate, and an optimizer that misses or repeats a parameter is found out."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

import tlhelpers as tl
from tlhelpers.models import Backbone

Make = Callable[[], Backbone]
CONVOLUTIONAL = ["efficientnet_lite0", "resnet18", "resnet50", "mobilenet_v3_small", "densenet121"]
ARCHITECTURES = [*CONVOLUTIONAL, "timm/vit_tiny_patch16_224"]


class TestGroups:
    @pytest.mark.parametrize("name", ARCHITECTURES)
    def test_they_hold_every_parameter_once_stem_included(self, name: str) -> None:
        net = tl.models.load(name, pretrained=False, image_size=64)
        groups = tl.train.param_groups(net, head_lr=1e-3, backbone_lr=1e-4, layer_decay=0.5)
        held = [id(p) for group in groups for p in group["params"]]
        assert sorted(held) == sorted(id(p) for p in net.parameters())
        tl.train.check_groups(net, torch.optim.AdamW(groups))

    def test_they_run_from_stem_to_head(self, tiny: Make) -> None:
        names = [
            group["name"].split()[0] for group in tl.train.param_groups(tiny(), head_lr=1e-3, backbone_lr=1e-4)
        ]
        assert list(dict.fromkeys(names)) == ["stem", "layer1", "layer2", "head"]

    def test_a_rate_decays_from_stage_to_stage(self, tiny: Make) -> None:
        groups = tl.train.param_groups(tiny(), head_lr=1.0, backbone_lr=0.8, layer_decay=0.5)
        found = {group["name"].split()[0]: group["lr"] for group in groups}
        assert found == {"head": 1.0, "layer2": 0.8, "layer1": 0.4, "stem": 0.2}

    def test_without_decay_all_stages_below_the_head_share_one_rate(self, tiny: Make) -> None:
        groups = tl.train.param_groups(tiny(), head_lr=1e-3, backbone_lr=1e-4)
        assert {group["lr"] for group in groups if not group["name"].startswith("head")} == {1e-4}

    def test_a_frozen_stage_has_no_group_and_the_others_keep_their_rates(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny(), ["layer2"])
        found = {
            g["name"].split()[0]: g["lr"]
            for g in tl.train.param_groups(net, head_lr=1.0, backbone_lr=0.8, layer_decay=0.5)
        }
        assert found == {"head": 1.0, "layer1": 0.4, "stem": 0.2}

    def test_a_partly_frozen_stage_keeps_what_is_trained(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny())
        net.head.bias.requires_grad_(False)
        (group,) = tl.train.param_groups(net, head_lr=1.0, backbone_lr=0.8)
        assert group["name"] == "head weights" and group["params"] == [net.head.weight]

    def test_only_weights_decay(self, tiny: Make) -> None:
        net = tiny()
        groups = tl.train.param_groups(net, head_lr=1e-3, backbone_lr=1e-4, weight_decay=0.07)
        for group in groups:
            weights = group["name"].endswith(" weights")
            assert weights or group["name"].endswith(" biases and norms")
            assert group["weight_decay"] == (0.07 if weights else 0.0)
            assert all((p.ndim > 1) == weights for p in group["params"])
        small = [id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]]
        norms = [p for m in net.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
        assert {id(p) for p in norms} < set(small) and id(net.head.bias) in small

    @pytest.mark.parametrize("rate", [0, -1e-3, math.nan])
    @pytest.mark.parametrize("name", ["head_lr", "backbone_lr"])
    def test_a_rate_that_is_not_positive_is_named(self, tiny: Make, name: str, rate: float) -> None:
        message = re.escape(f"{name}={rate}: a learning rate is positive; freeze a part to leave it alone")
        with pytest.raises(ValueError, match=message):
            tl.train.param_groups(tiny(), **{"head_lr": 1e-3, "backbone_lr": 1e-4, name: rate})

    @pytest.mark.parametrize("decay", [0, -0.5, 1.01, 2.6, math.nan])
    def test_a_decay_out_of_range_is_named(self, tiny: Make, decay: float) -> None:
        with pytest.raises(ValueError, match=re.escape(f"decay={decay}: give a number above 0 and at most 1")):
            tl.train.param_groups(tiny(), head_lr=1e-3, backbone_lr=1e-4, layer_decay=decay)

    def test_nothing_to_train_is_refused(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny(), ["stem", "layer1", "layer2", "head"])
        with pytest.raises(ValueError, match="no parameter is trained; unfreeze a stage first"):
            tl.train.param_groups(net, head_lr=1e-3, backbone_lr=1e-4)


class TestCheck:
    @pytest.mark.parametrize("stages", [None, ["stem"], []])
    def test_a_complete_optimizer_passes(self, tiny: Make, stages: list[str] | None) -> None:
        net = tl.models.freeze(tiny(), stages)
        tl.train.check_groups(net, torch.optim.AdamW(tl.train.param_groups(net, head_lr=1e-3, backbone_lr=1e-4)))

    def test_what_is_frozen_may_be_held_or_not(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny())
        tl.train.check_groups(net, torch.optim.SGD(net.head.parameters(), lr=0.1))
        tl.train.check_groups(net, torch.optim.SGD(net.parameters(), lr=0.1))

    def test_a_missing_stem_is_named(self, tiny: Make) -> None:
        net = tiny()
        groups = [
            g
            for g in tl.train.param_groups(net, head_lr=1e-3, backbone_lr=1e-4)
            if not g["name"].startswith("stem")
        ]
        message = (
            r"the optimizer misses 3 trained parameter\(s\), first 'net\.conv1\.weight': they get gradients but "
            r"never move\. Add them to a group, or freeze them\."
        )
        with pytest.raises(ValueError, match=message):
            tl.train.check_groups(net, torch.optim.AdamW(groups))

    def test_a_stage_that_was_thawed_too_late_is_missed(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny())
        optimizer = torch.optim.AdamW(tl.train.param_groups(net, head_lr=1e-3, backbone_lr=1e-4))
        tl.models.unfreeze(net, ["layer2"])
        with pytest.raises(ValueError, match=r"misses 4 trained parameter\(s\), first 'net\.layer2\.0\.weight'"):
            tl.train.check_groups(net, optimizer)

    def test_a_replaced_head_is_missed(self, tiny: Make) -> None:
        net = tiny()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        net.net.fc = nn.Linear(8, 5)
        with pytest.raises(ValueError, match=r"misses 2 trained parameter\(s\), first 'net\.fc\.weight'"):
            tl.train.check_groups(net, optimizer)

    def test_a_parameter_held_twice_is_named(self) -> None:
        net = nn.Linear(2, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch itself only warns.
            optimizer = torch.optim.SGD([net.weight, net.bias, net.bias], lr=0.1)
        with pytest.raises(ValueError, match=r"the optimizer holds 1 parameter\(s\) twice, first 'bias'"):
            tl.train.check_groups(net, optimizer)

    def test_what_is_held_twice_comes_with_advice(self, tiny: Callable[[], Backbone]) -> None:
        net = tiny()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns as well
            optimizer = torch.optim.SGD([*net.parameters(), net.head.weight], lr=0.1)
        with pytest.raises(ValueError, match=r"twice, first 'net\.fc\.weight': .* Keep each in one group"):
            tl.train.check_groups(net, optimizer)


class TestWarmupCosine:
    @staticmethod
    def rates(steps: int, warmup: int, peaks: tuple[float, ...] = (1.0,)) -> list[list[float]]:
        """Return the rates at which each step of a run is taken, and those after the last."""
        groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": peak} for peak in peaks]
        optimizer = torch.optim.SGD(groups)
        schedule = tl.train.warmup_cosine(optimizer, steps, warmup)
        found = []
        for _ in range(steps + 1):
            found.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            schedule.step()
        return found

    def test_it_rises_in_a_line_and_falls_along_a_cosine_to_zero(self) -> None:
        found = [rate for (rate,) in self.rates(steps=8, warmup=4)]
        assert found == pytest.approx([0.25, 0.5, 0.75, 1, 1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0])

    def test_without_warmup_it_starts_at_the_peak(self) -> None:
        assert [rate for (rate,) in self.rates(steps=2, warmup=0)] == pytest.approx([1, 0.5, 0])

    def test_each_group_keeps_its_own_peak(self) -> None:
        found = self.rates(steps=6, warmup=2, peaks=(1.0, 0.01))
        assert [low for _, low in found] == pytest.approx([high / 100 for high, _ in found])

    def test_after_the_last_step_the_rate_stays_at_zero(self) -> None:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = tl.train.warmup_cosine(optimizer, steps=3, warmup=1)
        for _ in range(5):
            optimizer.step()
            schedule.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0)

    @pytest.mark.parametrize("warmup", [-1, 5, 6])
    def test_a_warmup_that_leaves_no_cosine_is_named(self, warmup: int) -> None:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        with pytest.raises(ValueError, match=f"warmup={warmup}: give a number of steps from 0 to 4, of 5 in all"):
            tl.train.warmup_cosine(optimizer, steps=5, warmup=warmup)

    def test_no_step_is_refused(self) -> None:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        with pytest.raises(ValueError, match="steps=0; give the number of batches"):
            tl.train.warmup_cosine(optimizer, steps=0)


class TestNumbers:
    @pytest.mark.parametrize("warmup", [0.1, 0.5])
    def test_a_share_is_no_number_of_steps(self, warmup: float) -> None:
        optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1)
        with pytest.raises(ValueError, match=rf"warmup={warmup}: .*write round\({warmup} \* steps\)"):
            tl.train.warmup_cosine(optimizer, 100, warmup)
        assert optimizer.param_groups[0]["lr"] == 0.1

    @pytest.mark.parametrize(("steps", "warmup"), [(10.5, 0), (math.nan, 0), (math.inf, 0), (10, 2.5)])
    def test_steps_are_whole(self, steps: float, warmup: float) -> None:
        optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1)
        with pytest.raises(ValueError, match=rf"(steps={steps}|warmup={warmup})"):
            tl.train.warmup_cosine(optimizer, steps, warmup)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"head_lr": math.inf}, "head_lr=inf"),
            ({"backbone_lr": math.nan}, "backbone_lr=nan"),
            ({"weight_decay": -0.1}, "weight_decay=-0.1"),
            ({"weight_decay": math.nan}, "weight_decay=nan"),
        ],
    )
    def test_rates_and_decay_are_finite(
        self, tiny: Callable[[], Backbone], options: dict[str, float], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            tl.train.param_groups(tiny(), **{"head_lr": 1e-3, "backbone_lr": 1e-4} | options)

    def test_a_plain_network_has_no_stages(self) -> None:
        with pytest.raises(ValueError, match=r"net is a Linear, which has no stages; give a Backbone"):
            tl.train.param_groups(nn.Linear(2, 2), head_lr=1e-3, backbone_lr=1e-4)


def test_a_second_schedule_is_told_that_the_peak_is_not_clear() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    tl.train.warmup_cosine(optimizer, 8)
    tl.train.warmup_cosine(optimizer, 8)  # the same peak
    optimizer.param_groups[0]["lr"] = 0.01
    with pytest.raises(ValueError, match=r"group 0 was under a schedule before: its rate is 0.01 now and was 0.1"):
        tl.train.warmup_cosine(optimizer, 8)
    optimizer.param_groups[0].pop("initial_lr")
    assert tl.train.warmup_cosine(optimizer, 8).base_lrs == [0.01]


def test_a_module_beside_the_stages_is_told() -> None:
    net = tl.models.load("resnet18", 2, pretrained=False, image_size=32)
    net.extra = nn.Linear(3, 3)
    with pytest.raises(ValueError, match=r"2 trained parameter\(s\) are in no stage, first 'extra.weight'"):
        tl.train.param_groups(net, head_lr=1e-3, backbone_lr=1e-4)
