"""A frozen stage neither learns nor drifts, whatever is called afterwards; a thawed one does both."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import nn

import tlhelpers as tl
from tlhelpers.models import Backbone

Make = Callable[[], Backbone]


def trained(net: Backbone) -> set[str]:
    """Tell the stages of which every parameter is trained, or fail where a stage is neither one nor the other."""
    flags = {name: {p.requires_grad for p in stage.parameters} for name, stage in net.stages.items()}
    assert all(len(found) == 1 for found in flags.values())
    return {name for name, found in flags.items() if found == {True}}


def statistics(net: Backbone) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.named_buffers()}


def moved(net: Backbone, before: dict[str, torch.Tensor]) -> set[str]:
    """Tell the BatchNorm layers whose statistics differ from ``before``."""
    return {name.rpartition(".")[0] for name, value in net.named_buffers() if not torch.equal(before[name], value)}


def pass_batches(net: Backbone, size: int = 8, times: int = 3) -> None:
    for _ in range(times):
        net.train()
        net(torch.randn(4, 3, size, size) + 3)


class TestFreeze:
    def test_all_but_the_head_are_frozen_at_first(self, tiny: Make) -> None:
        assert trained(tiny()) == {"stem", "layer1", "layer2", "head"}
        assert trained(tl.models.freeze(tiny())) == {"head"}

    @pytest.mark.parametrize(
        ("stages", "left"),
        [
            (["stem"], {"layer1", "layer2", "head"}),
            (["layer2", "stem"], {"layer1", "head"}),
            (("layer1", "head"), {"stem", "layer2"}),
            ((name for name in ("stem", "layer1")), {"layer2", "head"}),
            ("layer1", {"stem", "layer2", "head"}),
            ([], {"stem", "layer1", "layer2", "head"}),
        ],
        ids=["one", "two", "head", "generator", "string", "none"],
    )
    def test_stages_are_frozen_by_name(self, tiny: Make, stages: Iterable[str], left: set[str]) -> None:
        assert trained(tl.models.freeze(tiny(), stages)) == left

    def test_what_was_frozen_before_stays_frozen(self, tiny: Make) -> None:
        net = tl.models.freeze(tl.models.freeze(tiny(), ["stem"]), ["layer1"])
        assert trained(net) == {"layer2", "head"}

    def test_the_same_network_comes_back_in_its_mode(self, tiny: Make) -> None:
        net = tiny()
        assert tl.models.freeze(net.train()) is net and net.training and net.head.training
        assert not tl.models.freeze(net.eval()).training

    def test_gradients_of_frozen_parameters_are_dropped(self, tiny: Make) -> None:
        net = tiny()
        net(torch.randn(4, 3, 8, 8)).sum().backward()
        tl.models.freeze(net)
        assert {name for name, p in net.named_parameters() if p.grad is not None} == {
            "net.fc.weight",
            "net.fc.bias",
        }

    def test_frozen_parameters_get_no_gradient(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny(), ["stem", "layer1"])
        net.train()
        net(torch.randn(4, 3, 8, 8)).sum().backward()
        assert {name for name, p in net.named_parameters() if p.grad is not None} == {
            *("net.layer2.0.weight", "net.layer2.0.bias", "net.layer2.2.weight", "net.layer2.2.bias"),
            *("net.fc.weight", "net.fc.bias"),
        }

    def test_its_batchnorm_layers_go_to_eval_at_once(self, tiny: Make) -> None:
        net = tiny().train()
        tl.models.freeze(net, ["stem"])
        assert not net.net.bn1.training and net.net.layer1[1].training

    def test_statistics_stay_through_every_train_call(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny())
        before = statistics(net)
        pass_batches(net)
        assert not moved(net, before)

    def test_statistics_of_a_real_network_stay_through_every_train_call(self) -> None:
        net = tl.models.freeze(tl.models.load("resnet18", pretrained=False, image_size=32))
        before = statistics(net)
        pass_batches(net, size=32)
        assert not moved(net, before)

    def test_without_freezing_statistics_move_though_nothing_is_trained(self, tiny: Make) -> None:
        net = tiny()
        for parameter in net.parameters():
            parameter.requires_grad_(False)
        before = statistics(net)
        net.net.train()
        net.net(torch.randn(4, 3, 8, 8) + 3)
        assert moved(net, before) == {"net.bn1", "net.layer1.1"}

    def test_dropout_of_a_frozen_stage_is_off(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny()).train()
        x = torch.randn(4, 3, 8, 8)
        assert torch.equal(net(x), net(x))

    def test_an_unknown_stage_is_named_with_those_that_exist(self, tiny: Make) -> None:
        with pytest.raises(
            KeyError, match="tiny has no stage 'layer9'; its stages are stem, layer1, layer2, head"
        ):
            tl.models.freeze(tiny(), ["layer9"])


class TestUnfreeze:
    def test_all_stages_are_thawed_at_first(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny(), ["stem", "layer1", "layer2", "head"])
        assert trained(net) == set()
        assert trained(tl.models.unfreeze(net)) == {"stem", "layer1", "layer2", "head"}

    @pytest.mark.parametrize("stages", [["layer2"], "layer2"])
    def test_stages_are_thawed_by_name(self, tiny: Make, stages: Iterable[str]) -> None:
        assert trained(tl.models.unfreeze(tl.models.freeze(tiny()), stages)) == {"layer2", "head"}

    def test_the_same_network_comes_back_in_its_mode(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny())
        assert tl.models.unfreeze(net.train()) is net and net.net.bn1.training
        assert not any(module.training for module in tl.models.unfreeze(tl.models.freeze(net).eval()).modules())

    def test_statistics_of_thawed_stages_move_and_those_of_frozen_ones_stay(self, tiny: Make) -> None:
        net = tl.models.unfreeze(tl.models.freeze(tiny()), ["layer1"])
        before = statistics(net)
        pass_batches(net)
        assert moved(net, before) == {"net.layer1.1"}

    def test_thawed_stages_learn_and_frozen_ones_do_not(self, tiny: Make) -> None:
        net = tl.models.unfreeze(tl.models.freeze(tiny()), ["layer2"])
        before = {name: p.clone() for name, p in net.named_parameters()}
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.1)
        for _ in range(3):
            net.train()
            optimizer.zero_grad()
            net(torch.randn(4, 3, 8, 8)).square().sum().backward()
            optimizer.step()
        changed = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
        assert changed == {
            *("net.layer2.0.weight", "net.layer2.0.bias", "net.layer2.2.weight", "net.layer2.2.bias"),
            *("net.fc.weight", "net.fc.bias"),
        }

    def test_an_unknown_stage_is_named_with_those_that_exist(self, tiny: Make) -> None:
        with pytest.raises(
            KeyError, match="tiny has no stage 'layer9'; its stages are stem, layer1, layer2, head"
        ):
            tl.models.unfreeze(tiny(), ["layer9"])


class TestSummary:
    COLUMNS = ("parameters", "trained", "BatchNorm layers", "BatchNorm mode")

    def test_there_is_one_row_a_stage(self, tiny: Make) -> None:
        found = tl.models.summary(tl.models.freeze(tiny().train(), ["stem", "layer2"]))
        assert found.index.name == "stage" and tuple(found.columns) == self.COLUMNS
        rows = {name: tuple(row) for name, *row in found.itertuples()}
        assert rows == {
            "stem": (4 * 3 * 9 + 2 * 4, 0, 1, "eval"),
            "layer1": (8 * 4 * 9 + 2 * 8, 304, 1, "train"),
            "layer2": (8 * 8 * 9 + 8 + 8 * 8 + 8, 0, 0, ""),
            "head": (2 * 8 + 2, 18, 0, ""),
        }
        assert list(rows) == ["stem", "layer1", "layer2", "head"]

    def test_the_mode_follows_the_network(self, tiny: Make) -> None:
        assert tl.models.summary(tiny().eval())["BatchNorm mode"].tolist() == ["eval", "eval", "", ""]
        assert tl.models.summary(tiny().train())["BatchNorm mode"].tolist() == ["train", "train", "", ""]

    def test_a_stage_in_both_modes_is_mixed(self) -> None:
        net = tl.models.load("resnet18", pretrained=False, image_size=32).train()
        net.net.layer1[0].bn1.eval()
        modes = tl.models.summary(net)["BatchNorm mode"]
        assert modes["layer1"] == "mixed" and modes["layer2"] == "train"

    def test_parameters_add_up(self) -> None:
        net = tl.models.load("resnet18", pretrained=False, image_size=32)
        found = tl.models.summary(net)
        assert found["parameters"].sum() == sum(p.numel() for p in net.parameters())
        assert found["BatchNorm layers"].tolist() == [1, 4, 5, 5, 5, 0]


class TestFreezeNorms:
    def test_batchnorm_of_trained_stages_stays_in_eval_through_every_train_call(self, tiny: Make) -> None:
        net = tl.models.freeze_norms(tiny())
        before = {name: value.clone() for name, value in net.named_buffers()}
        for _ in range(3):
            net.train()
            net(torch.randn(4, 3, 8, 8) + 3)
        assert all(torch.equal(before[name], value) for name, value in net.named_buffers())
        assert set(tl.models.summary(net)["BatchNorm mode"]) == {"eval", ""}

    def test_everything_else_trains(self, tiny: Make) -> None:
        net = tl.models.freeze_norms(tiny()).train()
        assert net.net.layer2.training and all(parameter.requires_grad for parameter in net.parameters())

    def test_it_can_be_taken_back(self, tiny: Make) -> None:
        net = tl.models.freeze_norms(tiny().train())
        assert not net.net.bn1.training
        assert tl.models.freeze_norms(net, frozen=False) is net
        assert net.net.bn1.training

    def test_frozen_stages_stay_held_when_it_is_taken_back(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny().train(), ["stem"])
        tl.models.freeze_norms(tl.models.freeze_norms(net), frozen=False)
        assert not net.net.bn1.training and net.net.layer1.training

    def test_a_wrong_name_leaves_everything_as_it_was(self, tiny: Make) -> None:
        net = tiny().train()
        with pytest.raises(KeyError, match="layer9"):
            tl.models.freeze(net, ["stem", "layer9"])
        assert all(parameter.requires_grad for parameter in net.parameters()) and net.net.bn1.training


class TestUnfreezeFromTop:
    @pytest.mark.parametrize(
        ("epoch", "per_epoch", "left"),
        [
            (1, 1, ["head"]),
            (2, 1, ["layer2", "head"]),
            (4, 1, ["stem", "layer1", "layer2", "head"]),
            (9, 1, ["stem", "layer1", "layer2", "head"]),
            (1, 2, ["head"]),
            (2, 2, ["layer1", "layer2", "head"]),
            (3, 2, ["stem", "layer1", "layer2", "head"]),
        ],
    )
    def test_stages_join_from_the_top(self, tiny: Make, epoch: int, per_epoch: int, left: list[str]) -> None:
        net = tiny()
        assert tl.models.unfreeze_from_top(net, epoch, per_epoch) == left
        assert trained(net) == set(left)

    def test_the_order_of_calls_does_not_matter(self, tiny: Make) -> None:
        net = tl.models.freeze(tiny(), ["head"])
        tl.models.unfreeze_from_top(net, 4)
        tl.models.unfreeze_from_top(net, 2)
        assert trained(net) == {"layer2", "head"}

    def test_an_optimizer_made_before_moves_only_what_is_thawed(self, tiny: Make) -> None:
        net = tiny()
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
        tl.models.unfreeze_from_top(net, 1)
        before = {name: p.clone() for name, p in net.named_parameters()}
        net.train()
        net(torch.randn(4, 3, 8, 8)).square().sum().backward()
        optimizer.step()
        changed = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
        assert changed == {"net.fc.weight", "net.fc.bias"}

    def test_norms_that_are_held_stay_held(self, tiny: Make) -> None:
        net = tl.models.freeze_norms(tiny()).train()
        tl.models.unfreeze_from_top(net, 4)
        assert set(tl.models.summary(net)["BatchNorm mode"]) == {"eval", ""}

    @pytest.mark.parametrize("wrong", [{"epoch": 0}, {"epoch": 1, "per_epoch": 0}])
    def test_a_count_below_one_is_named(self, tiny: Make, wrong: dict[str, int]) -> None:
        with pytest.raises(ValueError, match=r"epoch=0; give 1 or more"):
            tl.models.unfreeze_from_top(tiny(), **wrong)


@pytest.fixture
def small() -> tl.models.Backbone:
    return tl.models.load("resnet18", 3, pretrained=False, image_size=32)


@pytest.mark.parametrize("what", ["freeze", "unfreeze", "freeze_norms", "summary"])
def test_a_plain_network_is_told(small: tl.models.Backbone, what: str) -> None:
    for plain in (small.net, nn.DataParallel(small)):
        with pytest.raises(TypeError, match=f"a {type(plain).__name__} has no stages; give the Backbone"):
            getattr(tl.models, what)(plain)
        with pytest.raises(TypeError, match="give the Backbone"):
            tl.models.unfreeze_from_top(plain, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("stages", [3, [3], b"layer1", ["layer1", None]])
def test_stages_are_names(small: tl.models.Backbone, stages: object) -> None:
    for change in (tl.models.freeze, tl.models.unfreeze):
        with pytest.raises(TypeError, match="give names, of stem, layer1"):
            change(small, stages)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [1.5, "1", None, True])
def test_epochs_are_whole(small: tl.models.Backbone, number: object) -> None:
    with pytest.raises(ValueError, match=r"^epoch=.*; give 1 or more, a whole number"):
        tl.models.unfreeze_from_top(small, number)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"per_epoch=.*; give 1 or more, a whole number"):
        tl.models.unfreeze_from_top(small, 1, number)  # type: ignore[arg-type]
