"""Training keeps the best weights, stops when told, and says where it went wrong."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tlhelpers as tl
from tlhelpers.models import Backbone
from tlhelpers.train import _loop

Batch = tuple[torch.Tensor, torch.Tensor]
COLUMNS = [
    "epoch",
    "train_loss",
    "val_loss",
    "val_accuracy",
    "val_balanced_accuracy",
    "val_auroc",
    "seconds",
    "best",
]


@pytest.fixture
def net() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(2, 2)


def points(*sizes: int, seed: int = 0, wrong: bool = False) -> list[Batch]:
    """Make batches of points in a plane; the sign of the first coordinate is the class, or the other one."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for size in sizes:
        x = torch.randn(size, 2, generator=generator)
        x[0, 0], x[1, 0] = 1.0, -1.0  # both classes are there
        batches.append((x, ((x[:, 0] > 0) != wrong).long()))
    return batches


def sgd(net: nn.Module, rate: float = 0.1) -> torch.optim.SGD:
    return torch.optim.SGD(net.parameters(), lr=rate)


def fit(net: nn.Module, epochs: int = 2, *, wrong: bool = False, **options: object) -> pd.DataFrame:
    """Fit to eight points in two batches, or to the same points with the other labels."""
    train = points(4, 4, wrong=wrong)
    return tl.train.fit(net, train, points(8, seed=1), sgd(net, 0.5), epochs, **options)


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


class TestHistory:
    def test_there_is_one_row_an_epoch(self, net: nn.Linear) -> None:
        history = fit(net, epochs=3)
        assert history.columns.tolist() == COLUMNS
        assert history["epoch"].tolist() == [1, 2, 3]
        assert history["best"].dtype == bool and history["best"].sum() == 1
        assert (history["seconds"] > 0).all()

    def test_the_training_loss_is_the_mean_over_the_images(self, net: nn.Linear) -> None:
        train = points(3, 5)
        x, y = (torch.cat(part) for part in zip(*train, strict=True))
        expected = nn.functional.cross_entropy(net(x), y).item()
        history = tl.train.fit(net, train, points(4), sgd(net, rate=1e-30), epochs=1)
        assert history.loc[0, "train_loss"] == pytest.approx(expected, abs=1e-6)

    def test_validation_columns_are_what_evaluate_finds(self, net: nn.Linear) -> None:
        val = points(8, seed=1)
        history = tl.train.fit(net, points(4, 4), val, sgd(net), epochs=1)
        for name, value in tl.train.evaluate(net, val).items():
            assert history.loc[0, f"val_{name}"] == pytest.approx(value)

    def test_training_lowers_the_loss(self, net: nn.Linear) -> None:
        history = fit(net, epochs=10)
        assert history["train_loss"].is_monotonic_decreasing and history["val_loss"].is_monotonic_decreasing
        assert history["val_accuracy"].iloc[-1] == 1.0

    def test_the_same_start_gives_the_same_history(self, net: nn.Linear) -> None:
        first, second = (fit(copy.deepcopy(net), epochs=3).drop(columns="seconds") for _ in range(2))
        pd.testing.assert_frame_equal(first, second)


class TestTheKeptWeights:
    def test_are_those_of_the_best_epoch(self, net: nn.Linear) -> None:
        # With the wrong labels each epoch is worse than the one before.
        once, four_times = copy.deepcopy(net), copy.deepcopy(net)
        fit(once, epochs=1, wrong=True)
        history = fit(four_times, epochs=4, wrong=True)
        assert history["val_loss"].is_monotonic_increasing
        assert history["best"].tolist() == [True, False, False, False]
        assert same(once, four_times) and not same(net, once)

    def test_are_the_last_ones_where_each_epoch_is_better(self, net: nn.Linear) -> None:
        history = fit(net, epochs=4)
        assert history["best"].tolist() == [False, False, False, True]
        assert tl.train.evaluate(net, points(8, seed=1))["loss"] == pytest.approx(history["val_loss"].iloc[-1])

    def test_include_batchnorm_statistics(self) -> None:
        torch.manual_seed(0)
        once = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
        four_times = copy.deepcopy(once)
        fit(once, epochs=1, wrong=True)
        history = fit(four_times, epochs=4, wrong=True)
        assert history["best"].tolist() == [True, False, False, False]
        assert same(once, four_times)

    def test_are_the_first_of_equals(self, net: nn.Linear) -> None:
        history = tl.train.fit(net, points(4), points(8, seed=1), sgd(net, rate=1e-30), epochs=3)
        assert history["best"].tolist() == [True, False, False]

    def test_may_be_those_before_the_first_step(self, net: nn.Linear) -> None:
        start = copy.deepcopy(net)
        history = fit(net, epochs=2, wrong=True, keep_start=True)
        assert history["epoch"].tolist() == [0, 1, 2]
        assert history["best"].tolist() == [True, False, False]
        assert math.isnan(history.loc[0, "train_loss"]) and history["train_loss"][1:].notna().all()
        assert same(net, start)

    def test_the_start_is_no_candidate_unless_told(self, net: nn.Linear) -> None:
        start = copy.deepcopy(net)
        assert fit(net, epochs=2, wrong=True)["epoch"].tolist() == [1, 2]
        assert not same(net, start)

    def test_a_start_that_is_not_the_best_is_left_behind(self, net: nn.Linear) -> None:
        history = fit(net, epochs=2, keep_start=True)
        assert history["best"].tolist() == [False, False, True]


class TestMonitor:
    @pytest.mark.parametrize(
        ("monitor", "best"), [("loss", 2), ("accuracy", 3), ("balanced_accuracy", 4), ("auroc", 1)]
    )
    def test_the_best_epoch_is_that_of_the_monitor(
        self, net: nn.Linear, monkeypatch: pytest.MonkeyPatch, monitor: str, best: int
    ) -> None:
        found = {
            "loss": [3.0, 1.0, 2.0, 1.5],
            "accuracy": [0.5, 0.6, 0.8, 0.7],
            "balanced_accuracy": [0.5, 0.6, 0.4, 0.7],
            "auroc": [0.9, 0.6, 0.8, 0.7],
        }
        rows = iter([dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)])
        monkeypatch.setattr(_loop, "evaluate", lambda *_, **__: next(rows))
        history = fit(net, epochs=4, monitor=monitor)
        assert history.loc[history["best"], "epoch"].tolist() == [best]
        assert history[f"val_{monitor}"].tolist() == found[monitor]

    def test_an_unknown_monitor_is_named_with_those_that_exist(self, net: nn.Linear) -> None:
        message = r"monitor='f1'; give one of loss, accuracy, balanced_accuracy, auroc"
        with pytest.raises(ValueError, match=message):
            fit(net, monitor="f1")


class TestPatience:
    @pytest.mark.parametrize("patience", [1, 2, 3])
    def test_training_stops_after_so_many_epochs_without_a_better_one(self, net: nn.Linear, patience: int) -> None:
        history = fit(net, epochs=10, wrong=True, patience=patience)
        assert history["epoch"].tolist() == list(range(1, 2 + patience))

    def test_the_start_counts_as_an_epoch_where_it_is_a_candidate(self, net: nn.Linear) -> None:
        history = fit(net, epochs=10, wrong=True, patience=2, keep_start=True)
        assert history["epoch"].tolist() == [0, 1, 2]

    def test_a_better_epoch_begins_the_count_again(self, net: nn.Linear, monkeypatch: pytest.MonkeyPatch) -> None:
        losses = iter([3.0, 4.0, 2.0, 2.5, 2.5, 2.5])
        monkeypatch.setattr(_loop, "evaluate", lambda *_, **__: {"loss": next(losses)})
        history = fit(net, epochs=6, patience=2)
        assert history["epoch"].tolist() == [1, 2, 3, 4, 5] and history["best"].tolist()[2]

    def test_without_patience_all_epochs_are_run(self, net: nn.Linear) -> None:
        assert len(fit(net, epochs=6, wrong=True)) == 6

    def test_progress_is_never_cut_short(self, net: nn.Linear) -> None:
        assert len(fit(net, epochs=6, patience=1)) == 6


class TestOptions:
    def test_the_scheduler_steps_after_each_batch(self, net: nn.Linear) -> None:
        optimizer = sgd(net, rate=0.1)
        halving = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        tl.train.fit(net, points(4, 4, 4), points(4), optimizer, epochs=2, batch_scheduler=halving)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**6)

    def test_class_weights_weigh_the_training_loss_alone(self, net: nn.Linear) -> None:
        ((x, y),) = train = points(6)
        weights = torch.tensor([0.2, 1.8])
        expected = nn.functional.cross_entropy(net(x), y, weight=weights).item()
        plain = nn.functional.cross_entropy(net(x), y).item()
        history = tl.train.fit(net, train, train, sgd(net, rate=1e-30), epochs=1, class_weights=weights)
        assert abs(expected - plain) > 0.01
        assert history.loc[0, "train_loss"] == pytest.approx(expected, abs=1e-6)
        assert history.loc[0, "val_loss"] == pytest.approx(plain, abs=1e-6)

    def test_frozen_stages_stay_as_they_are(self, tiny: Callable[[], Backbone]) -> None:
        net = tl.models.freeze(tiny(), ["stem", "layer1"])
        before = {name: value.clone() for name, value in net.state_dict().items()}
        generator = torch.Generator().manual_seed(0)
        batches = [(torch.randn(4, 3, 8, 8, generator=generator) + 1, torch.tensor([0, 1, 0, 1]))]
        tl.train.fit(net, batches, batches, sgd(net), epochs=2)
        moved = {name for name, value in net.state_dict().items() if not torch.equal(before[name], value)}
        assert moved == {
            *("net.layer2.0.weight", "net.layer2.0.bias", "net.layer2.2.weight", "net.layer2.2.bias"),
            *("net.fc.weight", "net.fc.bias"),
        }

    def test_each_epoch_trains_in_train_mode_and_evaluates_in_eval_mode(self) -> None:
        modes: list[bool] = []

        class Spy(nn.Linear):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                modes.append(self.training)
                return super().forward(x)

        fit(Spy(2, 2).eval(), epochs=2)
        assert modes == [True, True, False] * 2

    def test_something_may_be_done_before_each_epoch_as_stages_join_from_the_top(
        self, tiny: Callable[[], Backbone]
    ) -> None:
        net, told, joined = tiny(), [], []
        batches = [(torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 0, 1]))]

        def unfreeze(epoch: int) -> None:
            told.append((epoch, net.training))
            joined.append(len(tl.models.unfreeze_from_top(net, epoch)))

        history = tl.train.fit(net, batches, batches, sgd(net), 4, keep_start=True, before_epoch=unfreeze)
        assert told == [(epoch, True) for epoch in (1, 2, 3, 4)] and joined == [1, 2, 3, 4]
        assert history["epoch"].tolist() == [0, 1, 2, 3, 4] and history["best"].sum() == 1

    @pytest.mark.parametrize("shown", [True, False])
    def test_the_bar_is_that_of_tqdm_which_the_environment_hides(
        self, net: nn.Linear, shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        if shown:
            monkeypatch.setattr(_loop, "tqdm", partial(_loop.tqdm, disable=False))
        fit(net)
        assert ("2/2" in capsys.readouterr().err) == shown

    @pytest.mark.parametrize("epochs", [0, -1])
    def test_no_epoch_is_refused(self, net: nn.Linear, epochs: int) -> None:
        with pytest.raises(ValueError, match=f"epochs={epochs}; give 1 or more"):
            fit(net, epochs=epochs)

    def test_an_empty_training_loader_is_refused(self, net: nn.Linear) -> None:
        message = r"the training loader gave no batch; is the training set empty\?"
        with pytest.raises(ValueError, match=message):
            tl.train.fit(net, [], points(4), sgd(net), epochs=1)

    def test_an_empty_validation_loader_is_refused(self, net: nn.Linear) -> None:
        with pytest.raises(ValueError, match=r"the loader gave no batch; is the set empty\?"):
            tl.train.fit(net, points(4), [], sgd(net), epochs=1)

    def test_a_validation_set_of_one_class_is_refused(self, net: nn.Linear) -> None:
        val = [(torch.randn(3, 2), torch.ones(3, dtype=torch.long))]
        with pytest.raises(ValueError, match=r"labels hold one class only \(\[1\]\)"):
            tl.train.fit(net, points(4), val, sgd(net), epochs=1)


class TestALossThatIsNotFinite:
    def test_is_found_in_its_epoch_and_batch(self, net: nn.Linear) -> None:
        class Spoiled:
            """Two batches an epoch; in the second epoch the second holds NaN."""

            epoch = 0

            def __iter__(self) -> Iterator[Batch]:
                self.epoch += 1
                first, (x, y) = points(4, 4)
                yield first
                yield (x * math.nan if self.epoch == 2 else x, y)

        message = (
            r"the loss is nan in epoch 2, batch 2; learning rates 1\.0e-01\. "
            r"Lower the rate, or look for NaN in the inputs\."
        )
        with pytest.raises(FloatingPointError, match=message):
            tl.train.fit(net, Spoiled(), points(4), sgd(net), epochs=3)

    def test_is_found_in_the_first_batch(self, net: nn.Linear) -> None:
        batches = [(torch.full((4, 2), math.nan), torch.tensor([0, 1, 0, 1]))]
        with pytest.raises(FloatingPointError, match="the loss is nan in epoch 1, batch 1"):
            tl.train.fit(net, batches, batches, sgd(net), epochs=1)

    def test_may_be_infinite(self) -> None:
        class Sure(nn.Linear):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return super().forward(x) + torch.tensor([0.0, math.inf]) * torch.tensor([1.0, -1.0])

        net = Sure(2, 2)
        with pytest.raises(FloatingPointError, match=r"the loss is (inf|nan) in epoch 1, batch 1"):
            fit(net)

    def test_does_not_reach_the_weights(self, net: nn.Linear) -> None:
        start = copy.deepcopy(net)
        batches = [(torch.full((4, 2), math.nan), torch.tensor([0, 1, 0, 1]))]
        with pytest.raises(FloatingPointError):
            tl.train.fit(net, batches, batches, sgd(net), epochs=1)
        assert same(net, start)

    def test_names_the_rates_of_the_groups(self, net: nn.Linear) -> None:
        groups = [{"params": [net.weight], "lr": 0.5}, {"params": [net.bias], "lr": 0.025}]
        batches = [(torch.full((4, 2), math.nan), torch.tensor([0, 1, 0, 1]))]
        with pytest.raises(FloatingPointError, match=r"learning rates 5\.0e-01, 2\.5e-02"):
            tl.train.fit(net, batches, batches, torch.optim.SGD(groups), epochs=1)


class TestPredict:
    def test_probabilities_and_labels_come_in_order(self, net: nn.Linear) -> None:
        batches = points(3, 5)
        probabilities, labels = tl.train.predict_proba(net, batches)
        assert isinstance(probabilities, np.ndarray) and probabilities.shape == (8, 2)
        assert np.allclose(probabilities.sum(axis=1), 1)
        assert labels.tolist() == torch.cat([y for _, y in batches]).tolist()
        expected = torch.cat([net(x).softmax(dim=1) for x, _ in batches])
        assert np.allclose(probabilities, expected.detach().numpy())

    def test_probabilities_are_those_of_the_softmax(self) -> None:
        net = nn.Identity()
        probabilities, _ = tl.train.predict_proba(net, [(torch.tensor([[0.0, math.log(3)]]), torch.tensor([1]))])
        assert np.allclose(probabilities, [[0.25, 0.75]])

    @pytest.mark.parametrize("mode", [True, False])
    def test_it_predicts_in_eval_mode_and_restores_the_former(self, mode: bool) -> None:
        net = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(2), nn.Linear(2, 2)).train(mode)
        before = copy.deepcopy(net)
        (first, _), (second, _) = (tl.train.predict_proba(net, points(8)) for _ in range(2))
        assert np.array_equal(first, second) and same(before, net)
        assert all(module.training is mode for module in net.modules())

    def test_a_frozen_stage_stays_in_eval_mode_afterwards(self, tiny: Callable[[], Backbone]) -> None:
        net = tl.models.freeze(tiny(), ["stem"]).train()
        tl.train.predict_proba(net, [(torch.randn(2, 3, 8, 8), torch.tensor([0, 1]))])
        assert not net.net.bn1.training and net.net.layer1[1].training

    def test_no_batch_is_refused_and_the_mode_restored(self, net: nn.Linear) -> None:
        with pytest.raises(ValueError, match=r"the loader gave no batch; is the set empty\?"):
            tl.train.predict_proba(net.train(), [])
        assert net.training


class TestEvaluate:
    # Logits 0 and log(p / (1 - p)) are probabilities 1 - p and p.
    CHANCES = torch.tensor([0.1, 0.6, 0.7, 0.2])
    LABELS = torch.tensor([0, 0, 1, 1])

    @pytest.fixture
    def batches(self) -> list[Batch]:
        logits = torch.stack([torch.zeros(4), self.CHANCES.logit()], dim=1)
        return [(logits[:3], self.LABELS[:3]), (logits[3:], self.LABELS[3:])]

    def test_values_are_those_worked_out_by_hand(self, batches: list[Batch]) -> None:
        found = tl.train.evaluate(nn.Identity(), batches)
        assert list(found) == ["loss", "accuracy", "balanced_accuracy", "auroc"]
        assert found["loss"] == pytest.approx(-math.log(0.9 * 0.4 * 0.7 * 0.2) / 4, abs=1e-6)
        assert (found["accuracy"], found["auroc"]) == (0.5, 0.75)

    def test_scores_are_those_of_measures(self, batches: list[Batch]) -> None:
        found = tl.train.evaluate(nn.Identity(), batches)
        found.pop("loss")
        assert found == tl.stats.scores(*tl.train.predict_proba(nn.Identity(), batches))

    def test_the_mode_is_restored(self, net: nn.Linear) -> None:
        tl.train.evaluate(net.train(), points(4))
        assert net.training
        tl.train.evaluate(net.eval(), points(4))
        assert not net.training

    def test_no_batch_is_refused(self, net: nn.Linear) -> None:
        with pytest.raises(ValueError, match=r"the loader gave no batch; is the set empty\?"):
            tl.train.evaluate(net, [])

    def test_one_class_only_is_refused(self, net: nn.Linear) -> None:
        with pytest.raises(ValueError, match=r"labels hold one class only \(\[0\]\); .*Use another split"):
            tl.train.evaluate(net, [(torch.randn(3, 2), torch.zeros(3, dtype=torch.long))])


class TestClassWeights:
    def test_they_are_inverse_to_the_counts(self) -> None:
        weights = tl.train.class_weights(np.array([0, 0, 0, 1]))
        # 4 images, 2 classes: 4 / (2 * 3) and 4 / (2 * 1).
        assert weights.dtype == torch.float32 and weights.tolist() == pytest.approx([2 / 3, 2.0])

    def test_their_mean_over_the_images_is_one(self) -> None:
        labels = np.array([0] * 7 + [1] * 2 + [2])
        assert tl.train.class_weights(labels)[labels].mean().item() == pytest.approx(1.0)

    def test_equal_classes_weigh_one(self) -> None:
        assert tl.train.class_weights(np.array([0, 1, 2] * 3), n_classes=3).tolist() == [1.0, 1.0, 1.0]

    @pytest.mark.parametrize(
        ("labels", "n_classes", "counts"),
        [
            ([0, 0, 2], None, r"\[2, 0, 1\]"),
            ([0, 1, 1], 3, r"\[1, 2, 0\]"),
            ([0, 0], None, r"\[2\]"),
            ([1, 1], None, r"\[0, 2\]"),
        ],
    )
    def test_a_class_without_example_is_refused(
        self, labels: list[int], n_classes: int | None, counts: str
    ) -> None:
        message = f"class counts are {counts}; every class needs at least one example"
        with pytest.raises(ValueError, match=message):
            tl.train.class_weights(np.array(labels), n_classes)


def test_no_patience_is_refused(net: nn.Linear) -> None:
    with pytest.raises(ValueError, match="patience=0; give 1 or more"):
        fit(net, epochs=2, patience=0)


def test_an_error_on_the_way_leaves_the_mode_as_it_was(net: nn.Linear) -> None:
    net.train()
    with pytest.raises(RuntimeError):
        tl.train.predict_proba(net, [(torch.zeros(2, 99), torch.zeros(2, dtype=torch.int64))])
    assert net.training


def test_a_penalty_trains_but_is_not_reported(net: nn.Linear) -> None:
    start = net.weight.detach().clone()
    free, held = copy.deepcopy(net), net
    one = fit(free, epochs=1)
    other = fit(held, epochs=1, penalty=lambda: 0.5 * ((held.weight - start) ** 2).sum())
    assert (held.weight - start).norm() < 0.9 * (free.weight - start).norm()
    zero = fit(copy.deepcopy(free), epochs=1, penalty=lambda: torch.tensor(1e6))
    assert zero["train_loss"].iloc[0] < 10 and one["train_loss"].iloc[0] < 10 and len(other) == 1


class TestFitHead:
    FEATURES, LABELS = torch.cat([x for x, _ in points(20, 21)]), torch.cat([y for _, y in points(20, 21)])

    def heads(self, *seeds: int, **options: object) -> list[nn.Module]:
        made = []
        for seed in seeds:
            torch.manual_seed(0)
            made.append(nn.Linear(2, 2))
            rows = self.FEATURES, self.LABELS
            tl.train.fit_head(made[-1], rows, points(8, seed=1)[0], seed=seed, **options)
        return made

    def test_it_learns_and_the_seed_decides_the_order(self) -> None:
        first, again, other = self.heads(0, 0, 1, epochs=3, lr=0.05)
        assert same(first, again) and not same(first, other)
        loss = [tl.train.evaluate(*self.heads(0, lr=rate), points(8, seed=1))["loss"] for rate in (1e-6, 0.05)]
        assert loss[1] < 0.5 * loss[0]

    def test_it_is_fit_with_adamw_and_shuffled_batches(self) -> None:
        torch.manual_seed(0)
        by_hand = nn.Linear(2, 2)
        order = torch.Generator().manual_seed(3)
        batches = DataLoader(TensorDataset(self.FEATURES, self.LABELS), 32, shuffle=True, generator=order)
        optimizer = torch.optim.AdamW(by_hand.parameters(), lr=1e-3, weight_decay=0.01)
        weights = torch.tensor([0.5, 1.5])
        val = points(8, seed=1)
        tl.train.fit(by_hand, batches, val, optimizer, 60, patience=10, class_weights=weights)
        assert same(by_hand, *self.heads(3, class_weights=weights))


class TestRatesOfZero:
    """Nothing trains in silence."""

    def test_an_optimizer_with_rates_of_zero_is_refused(self, net: nn.Linear) -> None:
        before = copy.deepcopy(net)
        with pytest.raises(ValueError, match=r"rates of the optimizer are all 0.*group\[\"lr\"\]"):
            tl.train.fit(net, points(4), points(8), sgd(net, 0.0), 2)
        assert same(net, before)

    def test_a_finished_schedule_leaves_that(self, net: nn.Linear) -> None:
        optimizer, data = sgd(net), points(4, 4)
        schedule = tl.train.warmup_cosine(optimizer, 4)
        tl.train.fit(net, data, points(8), optimizer, 2, batch_scheduler=schedule)
        with pytest.raises(ValueError, match="a schedule that has finished"):
            tl.train.fit(net, data, points(8), optimizer, 2)
        with pytest.raises(ValueError, match="has taken 4 of its 4 steps before"):
            tl.train.fit(net, data, points(8), optimizer, 2, batch_scheduler=schedule)

    def test_a_schedule_of_factors_lifts_no_rate(self, net: nn.Linear) -> None:
        optimizer = sgd(net, 0.0)
        with pytest.raises(ValueError, match="are all 0"):
            tl.train.fit(
                net, points(4), points(8), optimizer, 2, scheduler=torch.optim.lr_scheduler.StepLR(optimizer, 1)
            )

    def test_rates_may_be_set_before_the_first_epoch(self, net: nn.Linear) -> None:
        optimizer, before = sgd(net, 0.0), copy.deepcopy(net)
        tl.train.fit(
            net,
            points(4),
            points(8),
            optimizer,
            1,
            before_epoch=lambda _: optimizer.param_groups[0].update(lr=0.1),
        )
        assert not same(net, before)
        with pytest.raises(ValueError, match="are all 0"):
            tl.train.fit(net, points(4), points(8), sgd(net, 0.0), 1, before_epoch=lambda _: None)

    def test_a_schedule_may_start_at_zero(self, net: nn.Linear) -> None:
        optimizer = sgd(net)
        warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 4)
        assert optimizer.param_groups[0]["lr"] == 0
        assert len(tl.train.fit(net, points(4, 4), points(8), optimizer, 2, batch_scheduler=warm)) == 2


class TestAtTheDoor:
    """What cannot be used is named before the first step."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"epochs": "3"}, "epochs='3'; give 1 or more, a whole number"),
            ({"epochs": 2.5}, "epochs=2.5; give 1 or more"),
            ({"patience": math.inf}, "patience=inf; .* None, which never stops early"),
            ({"penalty": torch.tensor(1.0)}, "penalty is a Tensor, a value of one moment"),
            ({"penalty": tl.train.ewc}, "the penalty demands net, start, importance, strength"),
            ({"penalty": lambda: None}, "the penalty gives None, as a function without return"),
            ({"penalty": lambda: "1 or 2"}, "the penalty gives a str"),
            ({"before_epoch": 3}, "before_epoch is a int"),
        ],
    )
    def test_options(self, net: nn.Linear, options: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            fit(net, **options)

    @pytest.mark.parametrize("epochs", [2.0, np.int64(2), np.float32(2), torch.tensor(2)])
    def test_whole_numbers_of_any_kind(self, net: nn.Linear, epochs: object) -> None:
        assert len(fit(net, epochs=epochs)) == 2

    @pytest.mark.parametrize("optimizer", ["adam", torch.optim.AdamW, partial(torch.optim.SGD, lr=0.1)])
    def test_no_optimizer(self, net: nn.Linear, optimizer: object) -> None:
        with pytest.raises(
            ValueError, match=r"optimizer.*Make one: torch\.optim|optimizer.*make one: torch\.optim"
        ):
            tl.train.fit(net, points(4), points(8), optimizer, 1)

    def test_a_one_cycle_schedule_that_is_used_up(self, net: nn.Linear) -> None:
        optimizer = sgd(net)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=4)
        run = partial(tl.train.fit, net, points(4, 4), points(8), optimizer, batch_scheduler=cycle)
        assert len(run(1)) == len(run(1)) == 1  # two halves of one plan
        with pytest.raises(ValueError, match=r"has taken 4 of its 4 steps before.*a schedule of it"):
            run(1)

    @pytest.mark.parametrize("early", [True, False])
    def test_a_group_that_joins_after_the_schedule(self, net: nn.Linear, early: bool) -> None:
        optimizer = torch.optim.SGD([net.weight], lr=0.1)
        schedule = tl.train.warmup_cosine(optimizer, 2)

        def join(epoch: int) -> None:
            optimizer.add_param_group({"params": [net.bias]})

        if early:
            join(0)
        with pytest.raises(ValueError, match=r"made for 1 group.* make all groups before the schedule"):
            tl.train.fit(
                net, points(4), points(8), optimizer, 2,
                batch_scheduler=schedule, before_epoch=None if early else join,
            )  # fmt: skip

    def test_a_group_that_joins_under_a_cosine_of_torch(self, net: nn.Linear) -> None:
        optimizer = torch.optim.SGD([net.weight], lr=0.1)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=8)
        with pytest.raises(ValueError, match="made for 1 group"):
            tl.train.fit(
                net, points(4), points(8), optimizer, 2, batch_scheduler=cycle,
                before_epoch=lambda _: optimizer.add_param_group({"params": [net.bias]}),
            )  # fmt: skip


class TestHeadsWithBatchNorm:
    def head(self) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    def test_a_last_batch_of_one_row_is_left_out(self) -> None:
        (train,), (val,) = points(33), points(8)
        assert len(tl.train.fit_head(self.head(), train, val, seed=0, epochs=2)) == 2

    def test_that_of_a_linear_head_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []
        head = nn.Linear(2, 2)
        head.register_forward_hook(lambda module, x, out: sizes.append(len(x[0])) if module.training else None)
        (train,), (val,) = points(33), points(8)
        tl.train.fit_head(head, train, val, seed=0, epochs=1)
        assert sizes == [32, 1]

    def test_batches_of_one_are_refused_with_the_argument_that_cures(self) -> None:
        (train,), (val,) = points(4), points(8)
        with pytest.raises(ValueError, match="batches of 1; give two rows or more, and batch_size=2"):
            tl.train.fit_head(self.head(), train, val, seed=0, epochs=1, batch_size=1)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"seed": None}, "seed=None; give a whole number"),
            ({"seed": 2**64}, "seed=18446744073709551616; give"),
            ({"batch_size": 0}, "batch_size=0; give 1 or more"),
            ({"batch_size": None}, "batch_size=None; give 1 or more"),
            ({"lr": 0}, "lr=0: a learning rate is positive"),
        ],
    )
    def test_numbers_that_fit_nothing_are_named(self, options: dict[str, object], message: str) -> None:
        (train,), (val,) = points(4), points(8)
        with pytest.raises(ValueError, match=message):
            tl.train.fit_head(nn.Linear(2, 2), train, val, **({"seed": 0} | options))

    def test_the_seed_is_a_whole_number_of_any_kind(self) -> None:
        (train,), (val,), heads = points(40), points(8), []
        for seed in (3, np.int64(3), torch.tensor(3)):
            torch.manual_seed(0)
            heads.append(nn.Linear(2, 2))
            tl.train.fit_head(heads[-1], train, val, seed=seed, epochs=2, batch_size=np.int64(8))
        assert same(heads[0], heads[1]) and same(heads[0], heads[2])


class TestClassWeightsOfLargeNumbers:
    def test_a_label_far_above_their_number_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"label 1000000000 of row 1 is no class number.*np\.unique"):
            tl.train.class_weights([0, 10**9])
        with pytest.raises(ValueError, match="n_classes=1000000000 for 2 labels"):
            tl.train.class_weights([0, 1], 10**9)

    def test_counts_are_told_in_short(self) -> None:
        with pytest.raises(ValueError, match="499 of 501 are 0, first class 1") as caught:
            tl.train.class_weights([0, 500])
        assert len(str(caught.value)) < 200
