"""A schedule is stepped as it counts, by epoch or by batch; one that cannot fit the run is refused or told."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pandas as pd
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedules

import tlhelpers as tl

Make = Callable[[torch.optim.Optimizer], object]
Y = torch.tensor([0, 1] * 4)
BATCH = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), Y
TEN, VAL = [BATCH] * 10, [(BATCH[0] + 0.1, Y)]


def fit(epochs: int, batches: list = TEN, **options: object) -> tuple[float, pd.DataFrame]:
    """Run, and return the last learning rate, which was 0.1, and the history; a schedule is made by a function."""
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    made = {name: value(optimizer) if name.endswith("scheduler") else value for name, value in options.items()}
    history = tl.train.fit(net, batches, VAL, optimizer, epochs, **made)
    return optimizer.param_groups[0]["lr"], history


class TestByEpoch:
    def test_it_steps_after_each_epoch(self) -> None:
        assert fit(4, scheduler=lambda o: schedules.StepLR(o, 3))[0] == pytest.approx(0.01)
        assert fit(3, scheduler=lambda o: schedules.ExponentialLR(o, 0.5))[0] == pytest.approx(0.1 * 0.5**3)

    def test_the_start_is_no_epoch(self) -> None:
        assert fit(2, scheduler=lambda o: schedules.StepLR(o, 3), keep_start=True)[0] == pytest.approx(0.1)

    def test_torch_has_nothing_to_say_of_the_order(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit(2, scheduler=lambda o: schedules.StepLR(o, 1))

    @pytest.mark.parametrize(
        "make",
        [
            lambda o: schedules.SequentialLR(o, [schedules.ConstantLR(o, 0.5, 9), schedules.StepLR(o, 1)], [1]),
            lambda o: schedules.ChainedScheduler(
                [schedules.StepLR(o, 1), schedules.ConstantLR(o, 1.0)], optimizer=o
            ),
        ],
    )
    def test_joined_schedules_step_as_one(self, make: Make) -> None:
        assert fit(2, scheduler=make)[0] < 0.1


class TestOneThatNeedsAValue:
    @pytest.mark.parametrize(("monitor", "mode"), [("loss", "min"), ("auroc", "max"), ("accuracy", "max")])
    def test_it_gets_the_monitor(self, monitor: str, mode: str) -> None:
        seen: list[float] = []

        class Plateau(schedules.ReduceLROnPlateau):
            def step(self, metrics: float, epoch: int | None = None) -> None:  # type: ignore[override]
                seen.append(metrics)
                super().step(metrics)

        _, history = fit(3, scheduler=lambda o: Plateau(o, mode=mode), monitor=monitor)
        assert seen == history[f"val_{monitor}"].tolist()

    def test_it_lowers_the_rate_where_nothing_gets_better(self) -> None:
        wrong = [(BATCH[0], 1 - Y)]
        assert fit(4, wrong, scheduler=lambda o: schedules.ReduceLROnPlateau(o, patience=1))[0] < 0.1

    @pytest.mark.parametrize(("monitor", "mode", "right"), [("loss", "max", "min"), ("auroc", "min", "max")])
    def test_a_mode_against_the_monitor_is_refused(self, monitor: str, mode: str, right: str) -> None:
        message = f"ReduceLROnPlateau has mode='{mode}', but monitor='{monitor}' .*; make it with mode='{right}'"
        with pytest.raises(ValueError, match=message):
            fit(2, scheduler=lambda o: schedules.ReduceLROnPlateau(o, mode=mode), monitor=monitor)

    def test_a_batch_has_no_value_to_give(self) -> None:
        message = r"batch_scheduler: ReduceLROnPlateau.step demands metrics, .*give it as scheduler="
        with pytest.raises(ValueError, match=message):
            fit(2, batch_scheduler=schedules.ReduceLROnPlateau)

    def test_any_other_that_demands_one_gets_it_too(self) -> None:
        class Own:
            def step(self, value: float) -> None:
                self.value = value

        own = Own()
        _, history = fit(2, scheduler=lambda _: own)
        assert own.value == history["val_loss"].iloc[-1]
        with pytest.raises(ValueError, match=r"batch_scheduler: Own.step demands value"):
            fit(2, batch_scheduler=lambda _: own)

    def test_what_demands_the_epoch_is_refused(self) -> None:
        from timm.scheduler import CosineLRScheduler

        with pytest.raises(ValueError, match=r"CosineLRScheduler.step demands epoch"):
            fit(2, scheduler=lambda o: CosineLRScheduler(o, 10))


class TestWhatIsRefused:
    def test_two_at_once(self) -> None:
        with pytest.raises(ValueError, match="scheduler and batch_scheduler are both given"):
            fit(2, scheduler=lambda o: schedules.StepLR(o, 3), batch_scheduler=lambda o: schedules.StepLR(o, 30))

    @pytest.mark.parametrize("name", ["scheduler", "batch_scheduler"])
    def test_that_of_another_optimizer(self, name: str) -> None:
        other = torch.optim.SGD(nn.Linear(3, 2).parameters(), 0.1)
        with pytest.raises(ValueError, match=f"{name}: the StepLR is made for another optimizer"):
            fit(2, **{name: lambda _: schedules.StepLR(other, 3)})

    @pytest.mark.parametrize("value", [schedules.StepLR, 0.1])
    def test_what_is_no_schedule(self, value: object) -> None:
        with pytest.raises(ValueError, match="has no step to call"):
            fit(2, scheduler=lambda _: value)

    def test_one_cycle_that_ends_before_the_run(self) -> None:
        with pytest.raises(
            ValueError, match="OneCycleLR plans 10 steps, and the run takes 20; make it with total"
        ):
            fit(2, batch_scheduler=lambda o: schedules.OneCycleLR(o, 0.1, total_steps=10))


class TestSteppedAsPlanned:
    @pytest.mark.parametrize("epochs", [1, 2, 6])
    @pytest.mark.parametrize(
        "make",
        [
            lambda o, steps: tl.train.warmup_cosine(o, steps),
            lambda o, steps: tl.train.warmup_cosine(o, steps, 3),
            lambda o, steps: schedules.CosineAnnealingLR(o, steps),
            lambda o, steps: schedules.OneCycleLR(o, 0.1, total_steps=steps),
            lambda o, steps: schedules.LinearLR(o, 1, 1e-6, steps),
            lambda o, steps: schedules.CosineAnnealingWarmRestarts(o, 10),
            lambda o, steps: schedules.SequentialLR(
                o, [schedules.LinearLR(o, 0.1, 1, 5), schedules.CosineAnnealingLR(o, steps - 5)], [5]
            ),
        ],
        ids=["cosine", "warm-up", "torch", "one cycle", "linear", "restarts", "joined"],
    )
    def test_one_that_ends_at_zero_with_the_run_is_fine(self, make: Callable, epochs: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit(epochs, batch_scheduler=lambda o: make(o, 10 * epochs))

    @pytest.mark.parametrize(
        ("make", "told"),
        [
            (lambda o: schedules.StepLR(o, 3), "StepLR, .*from 1.0e-01 to 1.0e-04 by batch 9 of 20"),
            (lambda o: schedules.CosineAnnealingLR(o, 2), "CosineAnnealingLR, .*to 0.0e.00 by batch 2 of 20"),
            (lambda o: tl.train.warmup_cosine(o, 10), "LambdaLR, .*to 0.0e.00 by batch 10 of 20"),
            (
                lambda o: schedules.ChainedScheduler([schedules.StepLR(o, 3)], optimizer=o),
                "ChainedScheduler, .*by batch 9 of 20",
            ),
        ],
        ids=["counts epochs", "epochs for steps", "half the run", "chained"],
    )
    def test_one_that_leaves_most_of_the_run_without_a_rate_is_told_once(self, make: Make, told: str) -> None:
        with pytest.warns(
            UserWarning, match=f"{told}, .*give it as scheduler=; else make it for 20 steps"
        ) as seen:
            fit(2, batch_scheduler=make)
        assert len(seen) == 1

    def test_a_fall_over_two_short_epochs_is_seen(self) -> None:
        with pytest.warns(UserWarning, match="StepLR"):
            fit(2, TEN[:7], batch_scheduler=lambda o: schedules.StepLR(o, 3))

    def test_a_slow_fall_is_none(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit(6, batch_scheduler=lambda o: schedules.ExponentialLR(o, 0.9))

    @pytest.mark.parametrize(
        "make",
        [
            lambda o: schedules.CosineAnnealingLR(o, 20),
            lambda o: tl.train.warmup_cosine(o, 20),
            lambda o: schedules.OneCycleLR(o, 0.1, total_steps=20),
        ],
    )
    def test_one_that_counts_batches_but_is_stepped_by_epoch_is_told(self, make: Make) -> None:
        with pytest.warns(UserWarning, match="plans 20 steps, .*each of 2 epochs; .*as batch_scheduler"):
            fit(2, scheduler=make)
