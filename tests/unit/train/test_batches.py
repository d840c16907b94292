"""Whatever a loader gives and a network answers: the right result, or one sentence with cause and cure."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tlhelpers as tl

X = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1] * 4)
VAL = [(X + 0.1, Y.clone())]
InceptionOutputs = namedtuple("InceptionOutputs", "logits aux_logits")


def linear(outputs: int = 2) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, outputs)


def fit(train: Any, val: Any = VAL, net: nn.Module | None = None, epochs: int = 2, **options: Any) -> pd.DataFrame:
    net = net or linear()
    return tl.train.fit(net, train, val, torch.optim.SGD(net.parameters(), 0.1), epochs, **options)


@pytest.fixture(scope="module")
def plain() -> pd.DataFrame:
    """The run on int64 labels and float32 inputs, to which the others must be equal."""
    return fit([(X, Y)]).drop(columns="seconds")


class TestWhatIsTaken:
    @pytest.mark.parametrize(
        "y",
        [
            Y.int(),
            Y.to(torch.uint8),
            Y.short(),
            Y.numpy(),
            Y.numpy().astype(np.uint16),
            Y.tolist(),
            tuple(Y.tolist()),
            list(Y),
            pd.Series(Y.numpy(), index=range(8, 0, -1)),
            pd.array(Y.tolist(), dtype="Int64"),
        ],
        ids=lambda y: f"{type(y).__name__}-{getattr(y, 'dtype', '')}",
    )
    def test_class_indices_of_any_whole_type_and_container(self, y: Any, plain: pd.DataFrame) -> None:
        pd.testing.assert_frame_equal(fit([(X, y)], [(VAL[0][0], y)]).drop(columns="seconds"), plain)

    @pytest.mark.parametrize("x", [X.double(), X.numpy(), X.double().numpy(), list(X), X.tolist()])
    def test_inputs_of_any_floating_type_and_container(self, x: Any, plain: pd.DataFrame) -> None:
        pd.testing.assert_frame_equal(fit([(x, Y)]).drop(columns="seconds"), plain)

    def test_inputs_come_to_the_type_of_the_network(self) -> None:
        assert fit([(X.half(), Y)], net=linear().bfloat16())["train_loss"].notna().all()

    def test_whole_numbers_reach_a_network_that_takes_tokens(self) -> None:
        net = nn.Sequential(nn.EmbeddingBag(5, 4), nn.Linear(4, 2))
        tokens = torch.arange(8)[:, None] % 5
        assert len(fit([(tokens, Y)], [(tokens, Y)], net=net)) == 2

    def test_shares_of_classes_train_as_cross_entropy_of_them(self) -> None:
        soft = torch.tensor([[0.25, 0.75], [1.0, 0.0]] * 4)
        expected = nn.functional.cross_entropy(linear()(X), soft).item()
        assert fit([(X, soft)])["train_loss"][0] == pytest.approx(expected, abs=1e-6)
        one_hot = nn.functional.one_hot(Y).float()
        assert fit([(X, one_hot)])["train_loss"][1] == pytest.approx(fit([(X, Y)])["train_loss"][1], abs=1e-6)

    def test_a_generator_serves_one_epoch(self, plain: pd.DataFrame) -> None:
        one = fit(iter([(X, Y)]), iter(VAL), epochs=1)
        assert one["val_loss"][0] == plain["val_loss"][0]

    @pytest.mark.parametrize("weights", [[0.5, 1.5], np.array([0.5, 1.5]), torch.tensor([0.5, 1.5]).double()])
    def test_class_weights_in_any_container(self, weights: Any) -> None:
        expected = nn.functional.cross_entropy(linear()(X), Y, weight=torch.tensor([0.5, 1.5])).item()
        assert fit([(X, Y)], class_weights=weights)["train_loss"][0] == pytest.approx(expected, abs=1e-6)


LABELS = [
    (Y[:, None], r"shape \(8, 1\); give \[B\], .*y.reshape\(-1\)\.$"),
    (Y[:, None].float(), r"y.reshape\(-1\).long\(\)"),
    (nn.functional.one_hot(Y), r"shape \(8, 2\); .*y.argmax\(1\), as these are one-hot"),
    (torch.ones(8, 2), r"[Ss]everal classes a row need another loss"),
    (torch.full((8, 3), 1 / 3), r"labels have shape \(8, 3\) for 2 outputs; give a share of each output"),
    (Y.bool(), r"true and false \(torch.bool\); write y.long\(\)"),
    (Y.float(), r"labels are torch.float32 and start at 0.0; give whole numbers .* Write y.long\(\)"),
    (Y + 0.5, r"start at 0.5; .*fractions"),
    (torch.where(Y == 0, float("nan"), 1.0), r"that of row 0 is nan; leave that row out"),
    (2 * Y - 1, r"start at -1; .*\(y.long\(\) \+ 1\) // 2"),
    (torch.where(Y == 0, -100, Y), r"start at -100; .*passes over them without a word"),
    (Y + 1, r"labels run from 1 to 2, and the network has 2 outputs, .*counted from 1: write y - 1"),
    (Y + 5, r"labels run from 5 to 6, .*[Rr]eplace the head"),
    (["cat", "dog"] * 4, r"labels are no numbers, first 'cat'; give numbers"),
    (Y[:4], r"inputs have shape \(8, 3\) and labels \(4,\); give one label a row"),
    (torch.zeros(8, 4, 4).long(), r"shape \(8, 4, 4\); give \[B\]"),
]


class TestLabels:
    @pytest.mark.parametrize(("y", "message"), LABELS)
    def test_what_is_no_class_index_is_named_with_its_cure(self, y: Any, message: str) -> None:
        with pytest.raises(ValueError, match=f"batch 2 of train: .*{message}"):
            fit([(X, Y), (X, y)])

    @pytest.mark.parametrize(("y", "message"), [row for row in LABELS if "a share of each" not in row[1]])
    def test_so_in_the_validation_set(self, y: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.train.evaluate(linear(), [(X, y)])

    def test_shares_train_but_do_not_validate(self) -> None:
        with pytest.raises(ValueError, match=r"likeliest"):
            fit([(X, Y)], [(X, torch.full((8, 2), 0.5))])

    def test_predictions_give_labels_back_as_they_came_but_one_a_row(self) -> None:
        assert tl.train.predict_proba(linear(), [(X, Y - 1)])[1].tolist() == (Y - 1).tolist()
        with pytest.raises(ValueError, match=r"y.reshape\(-1\)"):
            tl.train.predict_proba(linear(), [(X, Y[:, None])])


class ReadOnce:
    """Looks like a loader, and is empty after the first pass."""

    def __init__(self, batches: list) -> None:
        self.rest = iter(batches)

    def __iter__(self) -> Iterator:
        yield from self.rest


class TestBatches:
    @pytest.mark.parametrize(
        ("train", "message"),
        [
            (
                [{"pixel_values": X, "labels": Y}],
                r"a mapping with the keys \['pixel_values', 'labels'\]; give pairs",
            ),
            (
                [({"pixel_values": X}, Y)],
                r"the inputs are a mapping with the keys \['pixel_values'\]; give one tensor",
            ),
            ([(X, Y, Y)], r"3 parts \(Tensor, Tensor, Tensor\); give two"),
            (TensorDataset(X, Y), r"one row with the label 0, not a batch; put the data set in a loader"),
            ((X, Y), r"Tensor of shape \(8, 3\), alone; give pairs"),
            ((X[:2], Y[:2]), r"Tensor of shape \(2, 3\), alone"),
            ([(["a.png"] * 8, Y)], r"inputs are no numbers, first 'a.png'"),
        ],
        ids=["dict", "dict of inputs", "three", "data set", "the pair itself", "a pair of two rows", "paths"],
    )
    def test_what_is_no_pair_of_inputs_and_labels_is_named(self, train: Any, message: str) -> None:
        for use in (fit, lambda batches: tl.train.predict_proba(linear(), batches)):
            with pytest.raises(ValueError, match=f"batch 1 of t(rain|hose to predict): {message}"):
                use(train)

    def test_an_image_set_is_not_a_loader(self, numbered: Callable) -> None:
        with pytest.raises(ValueError, match="one row with the label 0, not a batch"):
            fit(numbered([0, 1, 0, 1]))

    def test_a_generator_is_refused_before_the_first_epoch(self) -> None:
        net = linear()
        before = net.weight.clone()
        with pytest.raises(ValueError, match=r"train is a generator, which can be read once, .*list\(train\)"):
            fit((pair for pair in [(X, Y)]), net=net)
        with pytest.raises(ValueError, match=r"val is a list_iterator, which can be read once"):
            fit([(X, Y)], iter(VAL), net=net)
        with pytest.raises(ValueError, match=r"val is a list_iterator"):
            fit([(X, Y)], iter(VAL), net=net, epochs=1, keep_start=True)
        assert torch.equal(net.weight, before)

    def test_what_runs_dry_is_told_from_what_is_empty(self) -> None:
        with pytest.raises(ValueError, match="no batch in epoch 2, but did before: it can be read once only"):
            fit(ReadOnce([(X, Y)]))
        with pytest.raises(ValueError, match="A generator is, once it was read"):
            fit([(X, Y)], ReadOnce(VAL))

    def test_a_loader_that_drops_all_it_has_says_so(self) -> None:
        loader = DataLoader(TensorDataset(X, Y), 20, drop_last=True)
        with pytest.raises(ValueError, match="its 8 rows fill no batch of 20, and drop_last=True drops the rest"):
            fit(loader)

    def test_one_set_for_both_parts_is_told(self) -> None:
        batches = [(X, Y)]
        with pytest.warns(UserWarning, match="val is train"):
            fit(batches, batches)
        with pytest.warns(UserWarning, match="val is train"):
            rows = X, Y
            tl.train.fit_head(linear(), rows, rows, seed=0, epochs=1)


class Answering(nn.Module):
    """A linear network that answers in another form."""

    def __init__(self, form: Callable[[torch.Tensor, bool], Any]) -> None:
        super().__init__()
        self.net, self.form = linear(), form

    def forward(self, x: torch.Tensor) -> Any:
        return self.form(self.net(x), self.training)


class TestOutputs:
    @pytest.mark.parametrize(
        ("form", "message"),
        [
            (
                lambda out, training: InceptionOutputs(out, out) if training else out,
                "InceptionOutputs with 2 parts",
            ),
            (lambda out, _: (out, out), r"tuple with 2 parts, not logits \[B, C\]; wrap it"),
            (lambda out, _: {"logits": out}, "dict with 1 parts"),
            (lambda out, _: None, "NoneType, not logits"),
            (lambda out, _: out[:, 0], r"shape \(8,\) for 8 inputs; cross-entropy needs one output a class"),
            (lambda out, _: out[:, :1], r"shape \(8, 1\) for 8 inputs; cross-entropy needs one output a class"),
            (
                lambda out, _: out[:, :, None, None],
                r"shape \(8, 2, 1, 1\) for 8 inputs; put nn.Flatten\(\) behind",
            ),
            (lambda out, _: out[:4], r"shape \(4, 2\) for 8 inputs; give logits"),
        ],
    )
    def test_what_is_not_logits_is_named(self, form: Callable, message: str) -> None:
        with pytest.raises(ValueError, match=f"batch 1 of train: the network gives .*{message}"):
            fit([(X, Y)], net=Answering(form))

    def test_one_logit_a_row_is_no_probability_of_one(self) -> None:
        with pytest.raises(ValueError, match="cross-entropy needs one output a class"):
            tl.train.predict_proba(linear(1), [(X, Y)])

    def test_a_network_that_fails_says_on_what_and_why(self) -> None:
        conv = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        images = torch.rand(8, 3, 6, 6)
        for x, cause in (
            (images.permute(0, 2, 3, 1), r"channels stand last: write x.permute\(0, 3, 1, 2\)"),
            (images[:, :1], "these are gray"),
            (torch.cat([images, images[:, :1]], 1), r"write x\[:, :3\]"),
            ((images * 255).to(torch.uint8), "computes with floats"),
            (images[:, :, :2, :2], "images of 2 x 2 pixels"),
        ):
            with pytest.raises(RuntimeError, match=rf"batch 1 of train: the network fails on inputs .*{cause}"):
                fit([(x, Y)], net=conv)
        with pytest.raises(RuntimeError, match="inputs go from 2 to 9, and the embedding has 5 rows"):
            fit([(torch.arange(2, 10)[:, None], Y)], net=Bag())

    def test_a_batch_of_one_row_under_batchnorm_is_named(self) -> None:
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        with pytest.raises(ValueError, match=r"batch 2 of train: .*drop_last=True"):
            fit([(X, Y), (X[:1], Y[:1])], net=net)

    def test_nan_in_validation_names_its_rows_or_the_weight(self) -> None:
        spoiled = X.clone()
        spoiled[3, 1] = float("nan")
        with pytest.raises(
            ValueError, match=r"1 of its 8 rows hold NaN or infinity, first row 3. Look at their files"
        ):
            fit([(X, Y)], [(spoiled, Y)])
        net = linear()
        net.bias.data[0] = float("nan")
        with pytest.raises(ValueError, match="'bias' of the network holds some"):
            tl.train.predict_proba(net, [(X, Y)])


class Bag(nn.Module):
    """A head on the mean of the embeddings of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.head = nn.Embedding(5, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rows(x).mean(1))


class TestWhatTrains:
    def test_an_optimizer_of_another_network_is_refused(self) -> None:
        with pytest.raises(ValueError, match="the optimizer holds no parameter of this network"):
            tl.train.fit(linear(), [(X, Y)], VAL, torch.optim.SGD(linear().parameters(), 0.1), 1)

    def test_a_network_without_a_trained_parameter_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no parameter that the optimizer holds is trained in epoch 1"):
            fit([(X, Y)], net=linear().requires_grad_(False))

    def test_an_optimizer_that_holds_frozen_parameters_alone_is_refused(self) -> None:
        net = nn.Sequential(linear(), nn.Linear(2, 2))
        net[0].requires_grad_(False)
        with pytest.raises(ValueError, match="no parameter that the optimizer holds is trained"):
            tl.train.fit(net, [(X, Y)], VAL, torch.optim.SGD(net[0].parameters(), 0.1), 1)

    def test_an_optimizer_that_needs_a_closure_is_refused(self) -> None:
        net = linear()
        with pytest.raises(ValueError, match=r"LBFGS.step demands closure"):
            tl.train.fit(net, [(X, Y)], VAL, torch.optim.LBFGS(net.parameters()), 1)

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            ([1, 1, 1], "3 class_weights for 2 outputs"),
            ([1, float("nan")], r"class_weights are \[1.0, nan\]"),
            ([1, -1], r"class_weights are \[1.0, -1.0\]"),
            ([[1, 1]], r"class_weights are \[\[1.0, 1.0\]\]"),
        ],
    )
    def test_class_weights_that_do_not_fit_are_refused(self, weights: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            fit([(X, Y)], class_weights=weights)

    def test_a_penalty_is_one_finite_number(self) -> None:
        with pytest.raises(ValueError, match=r"the penalty has shape \(2,\); return one number"):
            fit([(X, Y)], penalty=lambda: torch.ones(2))
        with pytest.raises(FloatingPointError, match="Here it is the penalty"):
            fit([(X, Y)], penalty=lambda: torch.tensor(float("nan")))
        assert len(fit([(X, Y)], penalty=lambda: 1.0)) == 2

    @pytest.mark.parametrize("epochs", [1.5, float("nan")])
    def test_epochs_are_whole(self, epochs: float) -> None:
        with pytest.raises(ValueError, match=r"epochs=.*; give 1 or more"):
            fit([(X, Y)], epochs=epochs)


class TestFitHead:
    @pytest.mark.parametrize(
        "rows",
        [
            (X.numpy(), Y.numpy()),
            (X.double().numpy(), Y.tolist()),
            (pd.DataFrame(X.numpy(), index=range(8, 0, -1)), pd.Series(Y.numpy(), index=range(8, 0, -1))),
            (list(X), Y.int()),
        ],
        ids=["arrays", "float64 and a list", "pandas with an index of its own", "rows"],
    )
    def test_rows_are_taken_in_their_order_from_any_container(self, rows: Any) -> None:
        found = tl.train.fit_head(linear(), rows, VAL[0], seed=0, epochs=2)
        expected = tl.train.fit_head(linear(), (X, Y), VAL[0], seed=0, epochs=2)
        pd.testing.assert_frame_equal(found.drop(columns="seconds"), expected.drop(columns="seconds"))

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ((X, Y[:5]), r"train has features of shape \(8, 3\) and labels of shape \(5,\)"),
            ((X[:0], Y[:0]), r"train has features of shape \(0, 3\)"),
            ((X[:, 0], Y), r"features of shape \(8,\)"),
            ((torch.where(X > 1, float("nan"), X), Y), "features of train: . of its 8 rows hold NaN"),
            (X, "train is a Tensor; give two"),
            ((X, ["a"] * 8), "labels of train are no numbers, first 'a'"),
        ],
    )
    def test_what_does_not_fit_is_named(self, rows: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.train.fit_head(linear(), rows, VAL[0], seed=0)
        with pytest.raises(ValueError, match=message.replace("train", "val")):
            tl.train.fit_head(linear(), VAL[0], rows, seed=0)


class TestClassWeights:
    @pytest.mark.parametrize(
        "labels",
        [
            [0, 0, 0, 1],
            (0, 0, 0, 1),
            torch.tensor([0, 0, 0, 1]),
            torch.tensor([0, 0, 0, 1]).to(torch.uint8),
            pd.Series([0, 0, 0, 1], index=[3, 2, 1, 0]),
            pd.array([0, 0, 0, 1], dtype="Int64"),
            (label for label in [0, 0, 0, 1]),
        ],
        ids=lambda labels: type(labels).__name__,
    )
    def test_labels_come_in_any_container(self, labels: Any) -> None:
        assert tl.train.class_weights(labels).tolist() == pytest.approx([2 / 3, 2])

    @pytest.mark.parametrize(
        ("labels", "n_classes", "message"),
        [
            ([0, 1, 2], 2, "label 2 of row 2 names no class; there are 2"),
            ([0, -1, 1], None, "label -1 of row 1 names no class"),
            ([0, 1.5], None, r"label of row 1 is 1.5 \(float\)"),
            ([True, False], None, r"label of row 0 is True \(bool\)"),
            (["a", "b"], None, "label of row 0 is 'a'"),
            ([0, None], 2, "label of row 1 is missing"),
            (torch.tensor([[0], [1]]), None, "label of row 0 is"),
            ([], None, r"class counts are \[0\]"),
        ],
    )
    def test_what_is_no_class_index_is_named(self, labels: Any, n_classes: int | None, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tl.train.class_weights(labels, n_classes)
