"""What several experiments are made of."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import tlhelpers as tl
from benchmarks import bugs, parts
from tlhelpers.models import Backbone

Make = Callable[[], Backbone]


@pytest.fixture(scope="module")
def net() -> Backbone:
    """The packaged network, for small images."""
    return tl.models.load("efficientnet_lite0", 2, image_size=32).eval()


class TestStages:
    @pytest.mark.parametrize(
        ("share", "stage"),
        [(0.01, "top"), (1 / 4, "blocks.6"), (1 / 2, "blocks.5"), (0.9, "blocks.4"), (1.0, "stem")],
    )
    def test_a_share_of_the_parameters_names_the_first_tuned_stage(
        self, share: float, stage: str, net: Backbone
    ) -> None:
        assert parts.stage_from(net, share) == stage

    def test_the_rule_serves_other_networks_and_their_own_head(self, tiny: Make) -> None:
        assert (parts.stage_from(tiny(), 1 / 2), parts.stage_from(tiny(), 0.7)) == ("layer2", "layer1")
        other = tl.models.load("resnet18", pretrained=False, image_size=32)
        assert parts.stage_from(other, 1 / 2) == parts.stage_from(other, 1 / 4) == "layer4"
        assert parts.every_second_stage(other) == ("layer1", "layer3", "layer4")

    @pytest.mark.parametrize("share", [1.1, 2.0])
    def test_no_more_than_all_can_be_tuned(self, share: float, net: Backbone) -> None:
        with pytest.raises(ValueError, match=f"share={share}"):
            parts.stage_from(net, share)

    def test_the_packaged_network_is_seen_at_the_stages_of_chapter_four(self, net: Backbone) -> None:
        assert parts.every_second_stage(net) == ("blocks.0", "blocks.2", "blocks.4", "blocks.6", "top")

    def test_features_of_activations_are_those_of_the_images(self, net: Backbone) -> None:
        images = tl.data.IMAGE_TASKS["digits"](0).val
        activations, _ = tl.look.prefix(net, images, "blocks.5", 16)
        found = parts.features_of(tl.look.Suffix(net, "blocks.5", 32), activations, 16)
        assert torch.equal(found, tl.look.extract(net, images, 16)[0])


class TestBatches:
    def part(self, size: int) -> parts.Part:
        return torch.arange(size), torch.arange(size) * 10

    def rows(self, batches: Any) -> list[list[int]]:
        seen = list(batches)
        assert all(torch.equal(10 * x, y) for x, y in seen)
        return [x.tolist() for x, _ in seen]

    def test_a_round_of_steps_passes_over_the_part_as_often_as_it_takes(self) -> None:
        loader = parts.batches(self.part(5), 4, 0, 3)
        first, second = self.rows(loader), self.rows(loader)
        assert [len(rows) for rows in first] == [4, 4, 4] and len(loader) == 3 and first != second
        in_a_row = [row for rows in first for row in rows]
        assert sorted(in_a_row[:5]) == sorted(in_a_row[5:10]) == list(range(5)) and in_a_row[:5] != in_a_row[5:10]
        assert self.rows(parts.batches(self.part(5), 4, 0, 3)) == first

    def test_each_pass_holds_every_row_once_in_a_new_order(self) -> None:
        drawn = self.rows(parts.drawn(self.part(10), 4, 7, torch.Generator().manual_seed(0)))
        assert [len(rows) for rows in drawn] == [4, 4, 2, 4, 4, 2, 4]
        first, second = ([row for rows in one_pass for row in rows] for one_pass in (drawn[:3], drawn[3:6]))
        assert sorted(first) == sorted(second) == list(range(10)) and first != second

    def test_only_full_batches_when_asked_and_the_whole_of_a_small_part(self) -> None:
        full = self.rows(parts.drawn(self.part(10), 4, 5, only_full=True))
        assert [len(rows) for rows in full] == [4] * 5
        assert len(set(full[0] + full[1])) == len(set(full[2] + full[3])) == 8
        small = self.rows(parts.drawn(self.part(3), 4, 2, only_full=True))
        assert [sorted(rows) for rows in small] == [[0, 1, 2]] * 2
        assert [len(rows) for rows in self.rows(parts.drawn(self.part(8), 4, 3, only_full=True))] == [4] * 3

    def test_an_order_is_drawn_when_a_step_needs_it_and_not_before(self) -> None:
        # Dropout draws from the same numbers between the steps: an order too early would change every run.
        torch.manual_seed(0)
        first, dropout, second = torch.randperm(2), torch.rand(1), torch.randperm(2)
        torch.manual_seed(0)
        stream = parts.drawn(self.part(2), 2, 2)
        (x, _), between, (x_next, _) = next(stream), torch.rand(1), next(stream)
        assert torch.equal(x, first) and torch.equal(between, dropout) and torch.equal(x_next, second)
        assert not list(stream)
        after = torch.rand(1)
        torch.manual_seed(0)
        torch.randperm(2), torch.rand(1), torch.randperm(2)
        assert torch.equal(after, torch.rand(1))


class TestTakeSteps:
    def test_one_step_a_batch_that_ends_at_the_last_weights(self) -> None:
        net = nn.Linear(2, 2)
        x, y = torch.randn(8, 2), torch.arange(8) % 2
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        parts.take_steps(net, optimizer, parts.in_order((x, y), 4), schedule=schedule)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.025)

    def test_loss_and_penalty_change_the_gradient(self) -> None:
        x, y = torch.randn(8, 2), torch.arange(8) % 2

        def moved(pull: float = 0.0, **options: Any) -> torch.Tensor:
            torch.manual_seed(0)
            net = nn.Linear(2, 2)
            penalty = (lambda: pull * (net.weight - 5).square().sum()) if pull else None
            optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
            parts.take_steps(net, optimizer, [(x, y)], penalty=penalty, **options)
            return net.weight.detach()

        plain = moved()
        assert torch.equal(moved(loss=nn.CrossEntropyLoss()), plain)
        assert not torch.equal(moved(loss=nn.CrossEntropyLoss(torch.tensor([1.0, 9.0]))), plain)
        assert (moved(pull=1.0) > plain).all()

    def test_the_mode_is_the_callers(self) -> None:
        net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()
        before = net[1].running_mean.clone()
        batch = torch.randn(8, 2), torch.arange(8) % 2
        parts.take_steps(net, torch.optim.SGD(net.parameters(), lr=0.1), [batch])
        assert torch.equal(net[1].running_mean, before)


class TestChosen:
    def test_validation_chooses(self) -> None:
        rng = np.random.default_rng(0)
        y = np.arange(60) % 2
        train, val = ((rng.normal(size=(60, 3)) + y[:, None], y) for _ in range(2))
        models = [LogisticRegression(C=C) for C in (1e-6, 1.0)]
        model, scores = parts.chosen(models, train, val, "accuracy")
        by_hand = [(m.predict(val[0]) == y).mean() for m in models]
        assert model is models[int(np.argmax(by_hand))] and scores["accuracy"] == pytest.approx(max(by_hand))


class TestSentenceClassifier:
    def test_what_is_only_padding_is_not_computed(self) -> None:
        seen = []

        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.words = nn.Embedding(10, 4)

            def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
                seen.append(tuple(input_ids.shape))
                return type("Out", (), {"last_hidden_state": self.words(input_ids)})

        class Words:
            def __call__(self, texts: list[str], **_: object) -> dict[str, torch.Tensor]:
                mask = torch.tensor([[1] * len(t.split()) + [0] * (9 - len(t.split())) for t in texts])
                return {"input_ids": 7 * mask, "attention_mask": mask}

        encoder = tl.models.Encoder(Model(), Words())
        x = parts.tokens(["a b c", "a", "a b c d e"], encoder, 9)
        net = parts.SentenceClassifier(encoder.model, nn.Linear(4, 2))
        whole = net(x)
        assert x.shape == (3, 2, 9) and whole.shape == (3, 2)
        alone = torch.cat([net(x[:2]), net(x[2:])])
        assert torch.allclose(alone, whole) and seen == [(3, 5), (2, 3), (1, 5)]


class TestHeads:
    def test_each_head_learns_as_if_it_were_alone(self) -> None:
        x, y = torch.randn(20, 3), (torch.arange(20) % 2).float()
        starts = [torch.zeros(3), torch.ones(3)]

        def trained(starts: list[torch.Tensor]) -> torch.Tensor:
            net = bugs.Heads([nn.Parameter(start.clone()) for start in starts])
            stream = parts.drawn((x, y), 8, 6, torch.Generator().manual_seed(1))
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            parts.take_steps(net, optimizer, islice(stream, 6), loss=bugs.each_alone)
            return net.weights.detach()

        together = trained(starts)
        assert together.shape == (2, 3) and not torch.equal(together, torch.stack(starts))
        assert torch.allclose(together, torch.cat([trained([start]) for start in starts]), atol=1e-6)

    def test_candidates_are_the_heads_after_every_pass(self) -> None:
        x = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
        y = (x[:, 0] > 0).astype(int)
        found = bugs.candidate_heads(x, y, 0, heads=3, epochs=2)
        assert found.shape == (6, 4) and (found[:3] != found[3:]).all()
        assert np.array_equal(found[:3], bugs.candidate_heads(x, y, 0, heads=3, epochs=1))
