"""Each strategy does what chapters 01 and 05 say of it, the same for the same seed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import tlhelpers as tl
from benchmarks import recipes
from tlhelpers.data import Splits
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile

Make = Callable[[], Backbone]


@pytest.fixture
def p(folder: Path) -> Profile:
    """The default profile in small, with generated X-rays."""
    sizes = {"n_train": 24, "n_val": 16, "n_test": 24, "epochs": 2, "image_size": 32, "batch_size": 8}
    return dataclasses.replace(tl.profile.current(), image_data=str(folder), **sizes)


def split(p: Profile) -> Splits:
    return tl.data.split(tl.data.load(p.image_data), p.n_train, p.n_val, p.n_test, 0)


@pytest.fixture
def splits(p: Profile) -> Splits:
    return split(p)


@pytest.fixture
def small(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pretrained backbone be the tiny one, and few steps be enough."""

    def load(name: str, num_classes: int = 2, seed: int = 0, **_: Any) -> Backbone:
        net = tiny()
        torch.manual_seed(seed)
        net.net.fc = nn.Linear(net.width, num_classes)
        return net

    monkeypatch.setattr(tl.models, "load", load)
    monkeypatch.setattr(recipes, "MIN_STEPS", 1)


class TestPasses:
    @pytest.mark.parametrize(("labels", "epochs"), [(500, 5), (250, 10), (256, 10), (100, 20), (50, 40), (25, 80)])
    def test_few_labels_get_more_epochs_so_that_there_are_eighty_steps(self, labels: int, epochs: int) -> None:
        p = dataclasses.replace(tl.profile.current(), batch_size=32, epochs=5)
        assert recipes.passes(p, labels) == epochs
        assert recipes.passes(p, labels) * -(-labels // 32) >= 80

    def test_no_label_count_of_the_profile_gets_too_few_steps(self) -> None:
        p = tl.profile.current()
        steps = {labels: recipes.passes(p, labels) * -(-labels // p.batch_size) for labels in p.label_counts}
        assert min(steps.values()) >= recipes.MIN_STEPS
        assert recipes.passes(p, max(p.label_counts)) == p.epochs

    def test_the_epochs_of_the_profile_are_the_least(self) -> None:
        p = dataclasses.replace(tl.profile.current(), batch_size=32, epochs=90)
        assert recipes.passes(p, 25) == 90


class TestSmallCnn:
    @pytest.mark.parametrize("size", [32, 45])
    def test_images_become_one_logit_a_class(self, size: int) -> None:
        net = recipes.small_cnn(num_classes=3, width=4)
        assert net(torch.randn(2, 3, size, size)).shape == (2, 3)

    def test_it_is_four_blocks_of_doubling_width_and_a_linear_head(self) -> None:
        net = recipes.small_cnn(width=4)
        assert [m.out_channels for m in net if isinstance(m, nn.Conv2d)] == [4, 8, 16, 32]
        assert sum(isinstance(m, nn.BatchNorm2d) for m in net) == 4
        assert isinstance(net[-1], nn.Linear) and (net[-1].in_features, net[-1].out_features) == (32, 2)

    def test_it_takes_sixteen_channels_unless_told(self) -> None:
        assert recipes.small_cnn()[0].out_channels == 16


class TestPretrained:
    def test_it_is_the_backbone_of_the_profile_with_a_head_for_the_classes(
        self, p: Profile, splits: Splits
    ) -> None:
        net = recipes.pretrained(splits, p, seed=0)
        assert net.name == p.backbone == "efficientnet_lite0"
        assert (net.width, net.head.out_features) == (1280, 2)
        assert net.transform(Image.new("RGB", (50, 50))).shape == (3, 32, 32)

    def test_the_seed_changes_the_head_alone(self, p: Profile, splits: Splits) -> None:
        first, second = (recipes.pretrained(splits, p, seed).net.state_dict() for seed in (0, 1))
        assert {key for key in first if not torch.equal(first[key], second[key])} == {
            "classifier.weight",
            "classifier.bias",
        }


class TestFitHead:
    def test_only_the_head_moves(self, tiny: Make, p: Profile, splits: Splits) -> None:
        net = tiny()
        before = copy.deepcopy(net.state_dict())
        recipes.fit_head(net, splits, p, seed=0)
        moved = {key for key, value in net.state_dict().items() if not torch.equal(before[key], value)}
        assert moved == {"net.fc.weight", "net.fc.bias"}
        assert [name for name, stage in net.stages.items() if stage.frozen] == ["stem", "layer1", "layer2"]

    def test_its_history_is_that_of_the_whole_network(self, tiny: Make, p: Profile, splits: Splits) -> None:
        net = tiny()
        history = recipes.fit_head(net, splits, p, seed=0)
        kept = history.loc[history["best"]].iloc[0]
        found = tl.train.evaluate(net, tl.data.loader(splits.val, net.transform))
        assert kept["val_loss"] == pytest.approx(found["loss"], abs=1e-5)
        assert kept["val_loss"] == history["val_loss"].min() and len(history) <= 60

    def test_it_stops_after_ten_epochs_without_a_better_one(
        self, tiny: Make, p: Profile, splits: Splits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recipes, "HEAD_RATE", 0.3)  # far enough for wrong labels to be learned
        wrong = dataclasses.replace(splits.train, labels=1 - splits.train.labels)
        history = recipes.fit_head(tiny(), splits._replace(train=wrong), p, seed=0)
        assert history["best"].tolist().index(True) + 1 + 10 == len(history) < 60

    def test_a_seed_gives_the_same_head(self, tiny: Make, p: Profile, splits: Splits) -> None:
        nets = [tiny() for _ in range(3)]
        for net, seed in zip(nets, (0, 0, 1), strict=True):
            recipes.fit_head(net, splits, p, seed)
        assert torch.equal(nets[0].head.weight, nets[1].head.weight)
        assert not torch.equal(nets[0].head.weight, nets[2].head.weight)

    def test_a_rare_class_weighs_more_unless_told(self, tiny: Make, p: Profile, splits: Splits) -> None:
        rare = np.flatnonzero(splits.train.labels == 1)[:2]
        often = np.flatnonzero(splits.train.labels == 0)
        uneven = splits._replace(train=splits.train.take(np.concatenate([often, rare])))
        share = []
        for weighted in (True, False):
            net = tiny()
            recipes.fit_head(net, uneven, p, seed=0, weighted=weighted)
            probabilities, _ = tl.train.predict_proba(net, tl.data.loader(splits.test, net.transform))
            share.append(probabilities[:, 1].mean())
        assert share[0] > share[1] + 0.01


@pytest.mark.usefixtures("small")
class TestStrategies:
    @pytest.mark.parametrize("name", list(recipes.STRATEGIES))
    def test_a_run_leaves_a_network_its_epochs_and_its_scores_on_the_test_set(
        self, name: str, p: Profile, splits: Splits
    ) -> None:
        run = recipes.STRATEGIES[name](splits, p, 0)
        transform = getattr(run.net, "transform", tl.models.preprocessing(32, (0.5,) * 3, (0.5,) * 3))
        assert run.scores == recipes.report(run.net, splits.test, p, transform)
        assert set(run.scores) == set(tl.stats.METRICS)
        assert run.history["best"].sum() == 1
        assert np.isfinite(run.history["val_loss"]).all()

    @pytest.mark.parametrize("name", list(recipes.STRATEGIES))
    def test_a_seed_gives_the_same_run(self, name: str, p: Profile, splits: Splits) -> None:
        first, again, other = (recipes.STRATEGIES[name](splits, p, seed) for seed in (0, 0, 1))
        assert first.scores == again.scores
        pd.testing.assert_frame_equal(first.history.drop(columns="seconds"), again.history.drop(columns="seconds"))
        assert first.history["val_loss"].tolist() != other.history["val_loss"].tolist()

    def test_scratch_knows_nothing_of_the_backbone(self, p: Profile, splits: Splits) -> None:
        run = recipes.scratch(splits, p, 0)
        assert not isinstance(run.net, Backbone) and isinstance(run.net[0], nn.Conv2d)
        assert run.history["epoch"].tolist() == list(range(1, 5 * p.epochs + 1))

    def test_frozen_leaves_the_backbone_as_it_was_loaded(self, tiny: Make, p: Profile, splits: Splits) -> None:
        found, loaded = recipes.frozen(splits, p, 0).net.state_dict(), tiny().state_dict()
        same = {key for key in loaded if torch.equal(loaded[key], found[key])}
        assert set(loaded) - same == {"net.fc.weight", "net.fc.bias"}

    def test_two_stage_may_keep_the_first_stage(self, p: Profile, splits: Splits) -> None:
        history = recipes.two_stage(splits, p, 0).history
        assert history["epoch"].tolist() == [0, 1, 2]
        first = recipes.frozen(splits, p, 0).history
        assert history.loc[0, "val_loss"] == pytest.approx(first["val_loss"].min(), abs=1e-5)

    def test_two_stage_trains_everything_but_holds_batchnorm(self, p: Profile, splits: Splits, tiny: Make) -> None:
        net = recipes.two_stage(splits, p, 0).net
        assert isinstance(net, Backbone) and not any(stage.frozen for stage in net.stages.values())
        loaded = tiny().state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in net.named_buffers())
        assert set(tl.models.summary(net.train())["BatchNorm mode"]) == {"eval", ""}

    @pytest.fixture
    def optimizers(self, monkeypatch: pytest.MonkeyPatch) -> list[torch.optim.Optimizer]:
        """Collect the optimizers that training gets."""
        found: list[torch.optim.Optimizer] = []
        fit, fit_head = tl.train.fit, tl.train.fit_head

        def spy(*args: Any, **options: Any) -> pd.DataFrame:
            found.append(args[3])
            return fit(*args, **options)

        def stage_1(head: nn.Module, *args: Any, **options: Any) -> pd.DataFrame:
            found.append(torch.optim.AdamW(head.parameters(), lr=options["lr"]))
            return fit_head(head, *args, **options)

        monkeypatch.setattr(tl.train, "fit", spy)
        monkeypatch.setattr(tl.train, "fit_head", stage_1)
        return found

    @pytest.mark.parametrize(
        ("name", "head", "backbone"), [("full", 1e-3, 1e-3), ("full-fast", 1e-2, 1e-2), ("two-stage", 1e-3, 1e-4)]
    )
    def test_rates_are_those_that_the_chapters_give(
        self, name: str, head: float, backbone: float, p: Profile, splits: Splits, optimizers: list
    ) -> None:
        net = recipes.STRATEGIES[name](splits, p, 0).net
        at_head = {id(parameter) for parameter in net.head.parameters()}
        rates = {
            (id(parameter) in at_head): group["initial_lr"]
            for group in optimizers[-1].param_groups
            for parameter in group["params"]
        }
        assert rates == {True: head, False: backbone}
        tl.train.check_groups(net, optimizers[-1])

    def test_rates_fall_to_nothing_along_a_cosine(self, p: Profile, splits: Splits, optimizers: list) -> None:
        # Four steps: after them a cosine over two, the epochs, would have come back to its beginning.
        recipes.full(splits, dataclasses.replace(p, batch_size=12), 0)
        assert optimizers[-1].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)

    def test_stage_one_trains_the_head_alone(self, p: Profile, splits: Splits, optimizers: list) -> None:
        net = recipes.two_stage(splits, p, 0).net
        first, second = optimizers
        assert first.param_groups[0]["params"] == list(net.head.parameters())
        assert sum(len(group["params"]) for group in second.param_groups) == len(list(net.parameters()))


class TestTune:
    def test_it_trains_what_the_optimizer_holds(self, tiny: Make, p: Profile, splits: Splits) -> None:
        net = tl.models.freeze(tiny(), ["stem", "layer1"])
        before = copy.deepcopy(net.state_dict())
        optimizer = torch.optim.SGD(net.net.layer2.parameters(), lr=0.01)
        run = recipes.tune(net, net.transform, splits, p, 0, optimizer, epochs=1)
        moved = {key for key, value in net.state_dict().items() if not torch.equal(before[key], value)}
        assert moved == {f"net.layer2.{key}" for key in ("0.weight", "0.bias", "2.weight", "2.bias")}
        assert run.net is net and run.history["epoch"].tolist() == [1]

    def test_the_seed_sets_the_order_of_the_images(self, tiny: Make, p: Profile, splits: Splits) -> None:
        losses = []
        for seed in (0, 0, 1):
            net = tl.models.freeze(tiny())  # no dropout, so that the order alone is random
            optimizer = torch.optim.SGD(net.head.parameters(), lr=0.1)
            run = recipes.tune(net, net.transform, splits, p, seed, optimizer, epochs=1)
            losses.append(run.history["train_loss"].item())
        assert losses[0] == losses[1] != losses[2]

    def test_epochs_are_those_of_the_profile_unless_told(self, tiny: Make, p: Profile, splits: Splits) -> None:
        net = tiny()
        run = recipes.tune(net, net.transform, splits, p, 0, torch.optim.SGD(net.parameters(), lr=0.0))
        assert len(run.history) == recipes.passes(p, 24) == 27


class TestParts:
    def test_flips_leave_a_cell_alone_but_not_a_chest(self, p: Profile) -> None:
        assert recipes.augmentation(p) is None
        change = recipes.augmentation(dataclasses.replace(p, image_data="elpv"))
        assert change is not None
        image = torch.arange(12.0).reshape(3, 2, 2)
        assert len({str(change(image).tolist()) for _ in range(40)}) == 4

    def test_report_is_the_score_of_the_network_on_the_test_set(self, p: Profile, splits: Splits) -> None:
        class Brightness(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                bright = x.mean(dim=(1, 2, 3))
                return torch.stack([-bright, bright], dim=1)

        transform = tl.models.preprocessing(8, (0.43,) * 3, (1.0,) * 3)  # between 59.5 and 159.5, of 255
        found = recipes.report(Brightness(), splits.test, p, transform)
        assert found == {"accuracy": 1.0, "balanced_accuracy": 1.0, "auroc": 1.0}

    def test_report_takes_the_transform_of_the_network(self, tiny: Make, p: Profile, splits: Splits) -> None:
        net = tiny()
        assert recipes.report(net, splits.test, p) == recipes.report(net, splits.test, p, net.transform)


def test_one_seed_gives_the_same_numbers_twice_with_the_real_backbone_and_cells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recipes, "MIN_STEPS", 1)
    sizes = {"n_train": 8, "n_val": 8, "n_test": 12, "epochs": 1, "image_size": 32, "batch_size": 4}
    p = dataclasses.replace(tl.profile.current(), **sizes)
    first, second = (recipes.two_stage(split(p), p, 0) for _ in range(2))
    assert first.scores == second.scores
    pd.testing.assert_frame_equal(first.history.drop(columns="seconds"), second.history.drop(columns="seconds"))


@pytest.mark.gpu
def test_the_full_profile_goes_through_the_same_functions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLHELPERS_PROFILE", "full")
    monkeypatch.setenv("TLHELPERS_DATA", str(folder))
    sizes = {"n_train": 12, "n_val": 8, "n_test": 8, "epochs": 1, "image_size": 32, "batch_size": 8}
    p = dataclasses.replace(tl.profile.current(), **sizes)
    images = tl.data.load(p.image_data)
    assert images.classes == ("NORMAL", "PNEUMONIA") and len(images) == 80
    splits = split(p)
    net = tl.models.load(p.backbone, 2, pretrained=False, image_size=p.image_size).to(p.device)
    tl.models.freeze(net)
    x, _ = tl.look.extract(net, splits.train)
    assert x.shape == (12, 2048) and x.device.type == "cpu"
    assert next(net.parameters()).device.type == p.device
    tl.models.unfreeze(net)
    optimizer = torch.optim.AdamW(tl.train.param_groups(net, head_lr=1e-3, backbone_lr=1e-4))
    tl.train.check_groups(net, optimizer)
    run = recipes.tune(net, net.transform, splits, p, 0, optimizer, epochs=1)
    assert np.isfinite(run.history[["train_loss", "val_loss"]].to_numpy()).all()
    assert set(run.scores) == set(tl.stats.METRICS)
