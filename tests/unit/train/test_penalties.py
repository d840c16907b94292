"""Penalties hold what they promise, measured where the answer is known."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import tlhelpers as tl


class Point(nn.Module):
    """Weights without a network, for losses that are plain functions of them."""

    def __init__(self, *start: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start, dtype=torch.float64))


@pytest.fixture
def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 4).double()


def examples(count: int) -> torch.Tensor:
    return torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def descend(net: nn.Module, loss: Callable[[], torch.Tensor]) -> None:
    optimizer = torch.optim.LBFGS(
        net.parameters(), max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        found = loss()
        found.backward()
        return found

    optimizer.step(closure)


def test_ewc_finds_the_minimum_of_the_sum_of_two_quadratics() -> None:
    """Where the source loss is exactly a spring, EWC with its stiffness solves both tasks at once."""
    source, target = torch.tensor([1.0, -2.0]).double(), torch.tensor([3.0, 4.0]).double()
    stiff, pull = torch.tensor([5.0, 0.1]).double(), torch.tensor([1.0, 2.0]).double()
    net = Point(*source.tolist())
    start, strength = tl.train.snapshot(net), 3.0
    descend(
        net,
        lambda: (pull / 2 * (net.w - target) ** 2).sum() + tl.train.ewc(net, start, {"w": stiff}, strength),
    )
    known = (strength * stiff * source + pull * target) / (strength * stiff + pull)
    assert torch.allclose(net.w, known, atol=1e-6)


def test_l2sp_pulls_every_weight_alike_toward_the_start() -> None:
    source, target = torch.tensor([1.0, -2.0]).double(), torch.tensor([3.0, 4.0]).double()
    net = Point(*source.tolist())
    start = tl.train.snapshot(net)
    descend(net, lambda: ((net.w - target) ** 2).sum() / 2 + tl.train.l2sp(net, start, 3.0))
    assert torch.allclose(net.w, (3 * source + target) / 4, atol=1e-6)


def test_l2sp_shrinks_a_new_head_toward_zero(linear: nn.Linear) -> None:
    start = {"weight": tl.train.snapshot(linear)["weight"]}
    found = tl.train.l2sp(linear, start, 1.0, new_strength=0.5, new=("bias",))
    assert found.item() == pytest.approx(0.25 * (linear.bias**2).sum().item())


def test_penalties_are_zero_at_the_start_and_grow_with_the_distance(linear: nn.Linear) -> None:
    start = tl.train.snapshot(linear)
    ones = {name: torch.ones_like(weight) for name, weight in start.items()}
    assert tl.train.ewc(linear, start, ones, 7.0).item() == 0
    with torch.no_grad():
        linear.bias += 2
    assert tl.train.ewc(linear, start, ones, 7.0).item() == pytest.approx(7 / 2 * 4 * 4)
    assert tl.train.l2sp(linear, start, 7.0).item() == pytest.approx(7 / 2 * 4 * 4)


def test_empirical_fisher_of_a_linear_softmax_is_the_formula(linear: nn.Linear) -> None:
    x, y = examples(50), torch.arange(50) % 4
    found = tl.train.fisher(linear, x, y)
    error = linear(x).softmax(dim=1) - nn.functional.one_hot(y, 4)
    assert torch.allclose(found["weight"], (error**2).T @ x**2 / 50)
    assert torch.allclose(found["bias"], (error**2).mean(dim=0))


def test_true_fisher_of_a_linear_softmax_approaches_the_formula(linear: nn.Linear) -> None:
    """Labels drawn from the model: p (1 - p) x ** 2 on average, whatever the true labels are."""
    x = examples(20).repeat(200, 1)
    found = tl.train.fisher(linear, x)
    p = linear(x).softmax(dim=1)
    assert torch.allclose(found["weight"], (p * (1 - p)).T @ x**2 / len(x), rtol=0.15)


def test_empirical_fisher_vanishes_where_the_labels_are_fitted_and_the_true_one_less(linear: nn.Linear) -> None:
    with torch.no_grad():
        linear.weight *= 10  # sure of itself, and right
    x = examples(300)
    y = linear(x).argmax(dim=1)
    observed, drawn = tl.train.fisher(linear, x, y), tl.train.fisher(linear, x)
    assert observed["weight"].sum() < 0.5 * drawn["weight"].sum()


def test_fisher_leaves_gradients_and_mode_alone_and_skips_frozen_weights(linear: nn.Linear) -> None:
    net = nn.Sequential(linear, nn.Dropout(0.5)).train()
    linear.bias.requires_grad_(False)
    assert list(tl.train.fisher(net, examples(3))) == ["0.weight"]
    assert net.training and linear.weight.grad is None


def test_fisher_is_zero_for_a_part_that_the_output_does_not_use(linear: nn.Linear) -> None:
    net = nn.Sequential(linear)
    net.other = nn.Linear(2, 2)
    net.forward = linear.forward  # type: ignore[method-assign]
    assert tl.train.fisher(net, examples(3))["other.weight"].abs().sum() == 0


def test_weights_that_do_not_fit_the_start_are_named(linear: nn.Linear) -> None:
    start = tl.train.snapshot(linear)
    with pytest.raises(KeyError, match="'bias'"):
        tl.train.ewc(linear, start, {"weight": start["weight"]}, 1.0)
    with pytest.raises(ValueError, match="strength=-1"):
        tl.train.l2sp(linear, start, -1.0)
    with pytest.raises(ValueError, match="unfreeze a part"):
        tl.train.fisher(linear.requires_grad_(False), examples(2))
    with pytest.raises(ValueError, match="2 examples and 3 labels"):
        tl.train.fisher(linear, examples(2), torch.zeros(3))


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.2, 4), (0.5, 16)])
def test_rehearsed_examples_are_the_share_of_the_batch(share: float, count: int) -> None:
    assert tl.train.rehearsed(16, share) == count


def test_a_batch_cannot_be_all_source() -> None:
    with pytest.raises(ValueError, match="share=1"):
        tl.train.rehearsed(16, 1)


def test_replay_shows_every_example_before_any_comes_again() -> None:
    x = torch.arange(10.0)
    draw = tl.train.replay(x, 2 * x, 4, seed=0)
    batches = [draw() for _ in range(5)]
    seen = torch.cat([a for a, _ in batches])
    assert sorted(seen[:10].tolist()) == x.tolist() == sorted(seen[10:].tolist())
    assert all(torch.equal(b, 2 * a) for a, b in batches)
    with pytest.raises(ValueError, match="count=0"):
        tl.train.replay(x, x, 0, seed=0)


class TestWhatComesIn:
    @pytest.mark.parametrize("index", [[0, 1, 2, 3], [3, 2, 1, 0]])
    def test_labels_are_taken_in_their_order(self, linear: nn.Linear, index: list[int]) -> None:
        x, y = examples(4), [0, 3, 1, 0]
        expected = tl.train.fisher(linear, x, torch.tensor(y))
        found = tl.train.fisher(linear, x.numpy(), pd.Series(y, index=index))
        assert all(torch.equal(expected[name], found[name]) for name in expected)

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (torch.tensor([0.7, 1.2]), r"start at 0\.\d+; .*fractions"),
            (torch.tensor([[0], [1]]), r"reshape\(-1\)"),
            (torch.tensor([1, 4]), "labels run from 1 to 4, and the network has 4 outputs"),
            (["a", "b"], "labels are no numbers"),
        ],
    )
    def test_labels_that_are_no_class_are_refused(self, linear: nn.Linear, y: object, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.train.fisher(linear, examples(2), y)

    def test_one_output_has_no_information(self) -> None:
        with pytest.raises(ValueError, match="cross-entropy needs one output a class"):
            tl.train.fisher(nn.Linear(3, 1).double(), examples(2))

    def test_an_example_that_is_not_finite_is_named(self, linear: nn.Linear) -> None:
        x = examples(4)
        x[2, 0] = float("nan")
        with pytest.raises(ValueError, match="1 of its 4 rows hold NaN or infinity, first row 2"):
            tl.train.fisher(linear, x, torch.tensor([0, 1, 2, 3]))

    def test_a_weight_of_another_shape_is_not_stretched(self, linear: nn.Linear) -> None:
        start = tl.train.snapshot(linear) | {"bias": torch.zeros(1).double()}
        with pytest.raises(ValueError, match=r"'bias' has shape \(1,\) on cpu in start and \(4,\)"):
            tl.train.l2sp(linear, start, 1.0)
        start, importance = tl.train.snapshot(linear), {"weight": torch.ones(1, 3), "bias": torch.ones(4)}
        with pytest.raises(ValueError, match=r"'weight' has shape \(1, 3\) on cpu in importance"):
            tl.train.ewc(linear, start, importance, 1.0)

    def test_a_strength_is_a_number_and_something_is_held(self, linear: nn.Linear) -> None:
        with pytest.raises(ValueError, match="strength=nan"):
            tl.train.l2sp(linear, tl.train.snapshot(linear), float("nan"))
        with pytest.raises(ValueError, match="start holds no weight"):
            tl.train.l2sp(linear, {}, 1.0)

    def test_one_new_weight_may_come_as_its_name(self, linear: nn.Linear) -> None:
        start = {"weight": linear.weight.detach().clone()}
        expected = (linear.bias**2).sum() / 2
        assert torch.isclose(tl.train.l2sp(linear, start, 1.0, 1.0, "bias"), expected)
        with pytest.raises(KeyError, match=r"no weight 'head.bias'; it has weight, bias"):
            tl.train.l2sp(linear, start, 1.0, 1.0, ("head.bias",))

    def test_rehearsal_draws_pairs_in_their_order(self) -> None:
        x, y = np.arange(4.0)[:, None], pd.Series([0, 1, 2, 3], index=[3, 2, 1, 0])
        for _ in range(3):
            drawn = tl.train.replay(x, y, 4, seed=0)()
            assert drawn[0].flatten().tolist() == drawn[1].tolist()

    def test_a_batch_has_a_size(self) -> None:
        with pytest.raises(ValueError, match="size=-1"):
            tl.train.rehearsed(-1, 0.5)


class TestStart:
    """A start must stay where it was."""

    @pytest.fixture
    def net(self) -> nn.Module:
        return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))

    def test_the_networks_own_weights_are_refused(self, net: nn.Module) -> None:
        own = dict(net.named_parameters())
        for start in (own, {name: p.detach() for name, p in own.items()}):
            for penalty in (lambda s: tl.train.l2sp(net, s, 1.0), lambda s: tl.train.ewc(net, s, own, 1.0)):
                with pytest.raises(ValueError, match=r"'0.weight' of start is the network's own.*snapshot\(net\)"):
                    penalty(start)

    def test_a_state_dict_is_refused(self, net: nn.Module) -> None:
        with pytest.raises(KeyError, match=r"'1.running_mean'.*counted, not trained; take snapshot\(net\)"):
            tl.train.l2sp(net, copy.deepcopy(net.state_dict()), 1.0)

    def test_nothing_to_hold_is_told(self, net: nn.Module) -> None:
        start = tl.train.snapshot(net)
        with pytest.raises(ValueError, match="importance holds nothing"):
            tl.train.ewc(net, start, None, 1.0)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"new_strength=5\.0 and no name in new"):
            tl.train.l2sp(net, start, 1.0, 5.0)
        with pytest.raises(ValueError, match=r"new_strength=-5\.0; a penalty"):
            tl.train.l2sp(net, start, 1.0, -5.0)


class TestPullBack:
    """The springs outside of the loss, worked by hand where that can be done."""

    @staticmethod
    def step(net: nn.Module, optimizer: torch.optim.Optimizer, slope: float = 3.0) -> None:
        """Take one step down a loss whose gradient is ``slope`` at every weight."""
        optimizer.zero_grad()
        (slope * torch.stack([p.sum() for p in net.parameters() if p.requires_grad]).sum()).backward()
        optimizer.step()

    @pytest.fixture
    def net(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double()

    @staticmethod
    def body(net: nn.Module) -> dict[str, torch.Tensor]:
        return {name: w for name, w in tl.train.snapshot(net).items() if name.startswith("0.")}

    def test_two_steps_of_sgd_by_hand(self) -> None:
        net = Point(2.0)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        # A share of 0.1 * 4 * 0.5 = 0.2 of the way back, after each step of 0.1 * 3.
        tl.train.pull_back(net, optimizer, tl.train.snapshot(net), 4.0, {"w": torch.tensor([0.5]).double()})
        self.step(net, optimizer)
        assert net.w.item() == pytest.approx(1.7 + 0.2 * 0.3)
        self.step(net, optimizer)
        assert net.w.item() == pytest.approx(1.46 + 0.2 * 0.54)

    @pytest.mark.parametrize("slope", [3.0, 3000.0])
    def test_a_step_of_adamw_by_hand_whatever_the_gradient(self, slope: float) -> None:
        net = Point(2.0)
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
        tl.train.pull_back(net, optimizer, tl.train.snapshot(net), 2.0)
        # Decay leaves 2 * 0.95, the first step is lr, and a share of 0.1 * 2 of what is missing comes back.
        self.step(net, optimizer, slope)
        assert net.w.item() == pytest.approx(1.8 + 0.2 * 0.2, abs=1e-7)

    def test_adam_weakens_the_spring_in_the_loss_where_gradients_are_large_and_not_this_one(self) -> None:
        """The reason for it: two weights, displaced alike, whose gradients say nothing and differ in size."""

        def left(pulled: bool) -> torch.Tensor:
            net, start = Point(1.0, 1.0), {"w": torch.zeros(2).double()}
            optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
            if pulled:
                tl.train.pull_back(net, optimizer, start, 1.0)
            for number in range(100):
                optimizer.zero_grad()
                loss = (-1) ** number * (torch.tensor([1.0, 100.0]).double() * net.w).sum()
                (loss if pulled else loss + tl.train.l2sp(net, start, 1.0)).backward()
                optimizer.step()
            return net.w.detach()

        small, large = left(pulled=False).tolist()
        assert small < 0.7 and large > 0.95
        small, large = left(pulled=True).tolist()
        assert small == pytest.approx(large, abs=1e-6)
        assert small == pytest.approx(0.99**100, abs=0.02)

    @pytest.mark.parametrize("slope", [0.01, 100.0])
    def test_under_adam_a_weight_rests_at_the_distance_that_the_strength_names(self, slope: float) -> None:
        net = Point(2.0)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        tl.train.pull_back(net, optimizer, tl.train.snapshot(net), 5.0)
        for _ in range(300):
            self.step(net, optimizer, slope)
        assert net.w.item() == pytest.approx(2 - 1 / 5, abs=0.015)

    def test_the_rate_is_that_of_the_weights_group_at_that_step(self, net: nn.Module) -> None:
        groups = [{"params": net[0].parameters(), "lr": 0.1}, {"params": net[1].parameters(), "lr": 0.2}]
        optimizer, start = torch.optim.SGD(groups), tl.train.snapshot(net)
        tl.train.pull_back(net, optimizer, start, 2.0)
        self.step(net, optimizer, 1.0)
        assert torch.allclose(net[0].weight - start["0.weight"], torch.tensor(-0.1 * (1 - 0.2)).double())
        assert torch.allclose(net[1].weight - start["1.weight"], torch.tensor(-0.2 * (1 - 0.4)).double())
        optimizer.param_groups[0]["lr"] = 0.4  # as a schedule would
        self.step(net, optimizer, 1.0)
        assert torch.allclose(net[0].weight - start["0.weight"], torch.tensor((-0.08 - 0.4) * (1 - 0.8)).double())

    def test_it_never_goes_beyond_the_start(self, net: nn.Module) -> None:
        optimizer, start = torch.optim.AdamW(net.parameters(), lr=0.1), tl.train.snapshot(net)
        tl.train.pull_back(net, optimizer, start, 1e9)
        self.step(net, optimizer)
        assert all(torch.equal(w, start[name]) for name, w in net.named_parameters())

    def test_a_weight_without_importance_goes_its_own_way(self, net: nn.Module) -> None:
        alone = copy.deepcopy(net)
        self.step(alone, torch.optim.AdamW(alone.parameters(), lr=0.1))
        importance = {name: torch.zeros_like(w) for name, w in net.named_parameters()}
        importance["0.bias"][1] = 1e9
        optimizer, start = torch.optim.AdamW(net.parameters(), lr=0.1), tl.train.snapshot(net)
        tl.train.pull_back(net, optimizer, start, 1.0, importance)
        self.step(net, optimizer)
        free = torch.tensor([True, False, True, True])
        assert torch.equal(net[0].weight, alone[0].weight)
        assert torch.equal(net[0].bias[free], alone[0].bias[free]) and net[0].bias[1] == start["0.bias"][1]

    def test_a_new_head_that_the_start_does_not_hold_goes_its_own_way(self, net: nn.Module) -> None:
        alone = copy.deepcopy(net)
        self.step(alone, torch.optim.AdamW(alone.parameters(), lr=0.1))
        optimizer, start = torch.optim.AdamW(net.parameters(), lr=0.1), self.body(net)
        tl.train.pull_back(net, optimizer, start, 1e9)
        self.step(net, optimizer)
        assert torch.equal(net[1].weight, alone[1].weight) and torch.equal(net[1].bias, alone[1].bias)
        assert torch.equal(net[0].weight, start["0.weight"])

    def test_a_weight_that_the_step_leaves_alone_stays_away_from_the_start(self, net: nn.Module) -> None:
        optimizer, start = torch.optim.SGD(net.parameters(), lr=0.1), tl.train.snapshot(net)
        tl.train.pull_back(net, optimizer, start, 1e9)
        net[0].weight.grad = torch.zeros_like(net[0].weight)  # frozen on the way, a gradient left behind
        net[0].weight.requires_grad_(False).add_(1)
        with torch.no_grad():
            net[0].bias.add_(1)  # trained, but the loss does not reach it
        net[1](torch.ones(1, 4).double()).sum().backward()
        optimizer.step()
        assert torch.equal(net[0].weight, start["0.weight"] + 1) and torch.equal(net[0].bias, start["0.bias"] + 1)
        assert torch.equal(net[1].weight, start["1.weight"])

    def test_once_removed_it_does_nothing(self, net: nn.Module) -> None:
        optimizer, start = torch.optim.SGD(net.parameters(), lr=0.1), tl.train.snapshot(net)
        handle = tl.train.pull_back(net, optimizer, start, 1e9)
        handle.remove()
        with tl.train.pull_back(net, optimizer, start, 1e9):
            self.step(net, optimizer)
            assert torch.equal(net[0].weight, start["0.weight"])
        self.step(net, optimizer)
        assert torch.allclose(net[0].weight, start["0.weight"] - 0.3)

    def test_the_loop_keeps_to_it(self, net: nn.Module) -> None:
        optimizer, start = torch.optim.AdamW(net.parameters(), lr=0.1), self.body(net)
        head = net[1].weight.detach().clone()
        batch = (examples(8), torch.arange(8) % 2)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)
        with tl.train.pull_back(net, optimizer, start, 1e9):
            tl.train.fit(net, [batch, batch], [(batch[0] + 0, batch[1])], optimizer, 2, scheduler=schedule)
        assert torch.equal(net[0].weight, start["0.weight"]) and not torch.allclose(net[1].weight, head)

    def test_what_would_pull_nothing_or_away_is_refused(self, net: nn.Module) -> None:
        optimizer, start = torch.optim.SGD(net.parameters(), lr=0.1), tl.train.snapshot(net)
        other = torch.optim.SGD(copy.deepcopy(net).parameters(), lr=0.1)
        with pytest.raises(
            ValueError, match=r"holds none of the 4 weight\(s\) of start, first '0.weight'.*a copy"
        ):
            tl.train.pull_back(net, other, start, 1.0)
        with pytest.raises(ValueError, match="optimizer is the class SGD, not yet called"):
            tl.train.pull_back(net, torch.optim.SGD, start, 1.0)  # type: ignore[arg-type]
        for strength in (-1.0, float("nan"), float("inf")):
            with pytest.raises(ValueError, match=f"strength={strength}; a penalty's strength is a finite number"):
                tl.train.pull_back(net, optimizer, start, strength)
        with pytest.raises(ValueError, match=r"'0.weight' of start is the network's own"):
            tl.train.pull_back(net, optimizer, dict(net.named_parameters()), 1.0)
        with pytest.raises(KeyError, match=r"first '0\.weight'"):
            tl.train.pull_back(net, optimizer, start, 1.0, {})
        for wrong, told in ((-2.0, "from -2 to 1"), (float("nan"), "from nan to nan")):
            importance = {name: torch.ones_like(w) for name, w in start.items()}
            importance["0.bias"][0] = wrong
            with pytest.raises(ValueError, match=f"importance of '0.bias' runs {told}"):
                tl.train.pull_back(net, optimizer, start, 1.0, importance)
        assert not optimizer._optimizer_step_post_hooks
