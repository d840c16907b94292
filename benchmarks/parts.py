"""What several experiments are made of, once each."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

import tlhelpers as tl
from benchmarks import protocol
from tlhelpers.data import ImageSet, Splits
from tlhelpers.look import Suffix
from tlhelpers.models import Backbone, Encoder
from tlhelpers.train import device_of, has_bf16, to_device

PENALTIES = np.logspace(0, 5, 11)
Part = tuple[torch.Tensor, torch.Tensor]
"""Inputs ``[N, ...]`` and labels ``[N]``."""


def numbered(labels: np.ndarray, classes: tuple[str, ...]) -> ImageSet:
    """Return a set whose image ``i`` is the number ``i``: to split or thin out what lies elsewhere as tensors."""
    bytes_of = np.arange(len(labels), dtype=np.uint32).view(np.uint8).reshape(-1, 1, 4)
    return ImageSet(list(bytes_of), labels, classes)


def numbers(images: ImageSet) -> np.ndarray:
    """Return the numbers ``[N]`` int64 of the images of a :func:`numbered` set, or of a part of one."""
    return np.stack([np.asarray(image) for image in images.images]).view(np.uint32).reshape(-1).astype(np.int64)


class Rows(NamedTuple):
    """Rows of a pool to train on, to watch, and to test on; none to test on in a draw that chooses settings."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def pictures_of(task: str, seed: int, sizes: tuple[int, int, int]) -> Splits:
    """Return the parts of a picture task; there are too few faces for any sizes but their own."""
    return tl.data.IMAGE_TASKS[task](seed) if task == "faces" else tl.data.IMAGE_TASKS[task](seed, sizes=sizes)


def rows_alone(plan: protocol.Plan, seed: int, count: int) -> Rows:
    """Return the items of each part where each stands alone; those of the tuning part are never tested."""
    rules = plan.rules
    order = np.random.default_rng(rules["tuning"]["seed"]).permutation(count)
    tuning, left = np.split(order, [round(count * rules["tuning"]["share"])])
    if seed in plan.tuning_seeds:
        val, train = np.split(np.random.default_rng(seed).permutation(tuning), [rules["tuning"]["val"]])
        return Rows(train, val, np.empty(0, np.int64))
    folds = np.array_split(np.random.default_rng(seed // 10).permutation(left), rules["final"]["folds"])
    test = folds.pop(seed % 10)
    drawn = np.random.default_rng(seed).permutation(np.concatenate(folds))
    val, train = np.split(drawn, [rules["final"]["val"]])
    return Rows(train, val, np.sort(test))


def few_of(y: np.ndarray, rows: np.ndarray, labels: int, seed: int) -> np.ndarray:
    """Return so many of some rows, classes in proportion; for one seed fewer lie among more."""
    classes = tuple(map(str, range(int(y.max()) + 1)))
    return rows[numbers(tl.data.subset(numbered(y[rows], classes), labels, seed))]


class Outcome(NamedTuple):
    """What an arm leaves: its score on the validation part, the round it kept, chances on the test part."""

    validation: float
    kept: int
    chances: np.ndarray | None

    def row(self, y: np.ndarray) -> dict[str, Any]:
        """Return a row of a table under the protocol, for test items of these classes ``[N]``."""
        row = {protocol.SEARCHED: self.validation, "kept": self.kept, "tested": len(y)}
        if self.chances is None:
            return row | dict.fromkeys(tl.stats.METRICS, float("nan"))
        return row | tl.stats.scores(self.chances, y)


def batches(part: Part, size: int, seed: int | None = None, steps: int | None = None) -> DataLoader:
    """Return batches of inputs and labels, shuffled when there is a seed.

    Args:
        steps: batches of a round, all full and shuffled, which pass over the part as often as it takes, each time
            in a new order; one pass a round when left out.
    """
    pairs = TensorDataset(*part)
    order = None if seed is None else torch.Generator().manual_seed(seed)
    if steps is None:
        return DataLoader(pairs, size, shuffle=seed is not None, generator=order)
    return DataLoader(pairs, size, sampler=RandomSampler(pairs, num_samples=steps * size, generator=order))


def drawn(
    part: Part, size: int, steps: int, order: torch.Generator | None = None, *, only_full: bool = False
) -> Iterator[Part]:
    """Yield so many batches, in a new order for each pass over the part.

    Args:
        order: what draws the orders; PyTorch's own generator, which dropout shares, when left out.
        only_full: leave out what does not fill a batch at the end of a pass; a part below ``size`` is one batch.
    """
    x, y = part
    used = len(y) - len(y) % size if only_full and len(y) >= size else len(y)

    def passes() -> Iterator[torch.Tensor]:
        while True:
            yield from torch.randperm(len(y), generator=order)[:used].split(size)

    for rows in islice(passes(), steps):
        yield x[rows], y[rows]


def in_order(part: Part, size: int) -> list[Part]:
    """Return batches of inputs and labels, without a loader: at each pass that draws a number of dropout's."""
    return list(zip(*(column.split(size) for column in part), strict=True))


# Stages


def stage_from(net: Backbone, share: float) -> str:
    """Return the last stage from which on, the head apart, at least a share of all parameters lie."""
    size = {name: sum(p.numel() for p in stage.parameters) for name, stage in net.stages.items() if name != "head"}
    above = 0
    for name in reversed(size):
        above += size[name]
        if above >= share * sum(size.values()):
            return name
    raise ValueError(f"share={share}; give a number above 0 and at most 1.")


def every_second_stage(net: Backbone) -> tuple[str, ...]:
    """Return every second stage above the stem, and the last one below the head."""
    body = [name for name in net.stages if name != "head"]
    return *body[1:-1:2], body[-1]


@torch.no_grad()
def features_of(net: Backbone | Suffix, inputs: torch.Tensor, size: int) -> torch.Tensor:
    """Return what enters the head, ``[N, width]``, for prepared images or what a prefix made of them."""
    device = device_of(net)
    with tl.models.evaluating(net):
        return torch.cat([net.features(to_device(x, device)).cpu() for x in inputs.split(size)])


# Training without a validation set


def take_steps(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Iterable[Part],
    *,
    penalty: Callable[[], torch.Tensor] | None = None,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = nn.functional.cross_entropy,
) -> None:
    """Take one step a batch, in the mode that ``net`` is in, and leave it with its last weights.

    Args:
        penalty: called at each step; what it returns is added to the loss.
        loss: of what the network gives and the labels.
    """
    # Not tlhelpers.train.fit: that puts the network in train mode, watches a validation set after each epoch and
    # goes back to the best one. Here there is neither, or what training did has to be seen, whatever came of it.
    device = device_of(net)
    for x, y in inputs:
        total = loss(net(to_device(x, device)), y.to(device))
        if penalty is not None:
            total = total + penalty()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()


# Models of scikit-learn


def chosen(
    models: Iterable[Any], train: tuple[Any, np.ndarray], val: tuple[Any, np.ndarray], metric: str
) -> tuple[Any, dict[str, float]]:
    """Fit each model and return the one that validation likes best, and its scores there."""
    tried = []
    for model in models:
        model.fit(*train)
        tried.append((model, tl.stats.scores(model.predict_proba(val[0]), val[1])))
    return max(tried, key=lambda pair: pair[1][metric])


def word_model(C: float) -> Pipeline:
    """Return a logistic regression on TF-IDF of words and pairs of words: nothing pretrained."""
    return make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=C, max_iter=1000, class_weight="balanced"),
    )


def word_models() -> list[Pipeline]:
    """Return :func:`word_model` by penalty."""
    return [word_model(C) for C in (0.1, 1.0, 10.0, 100.0)]


def ridge() -> Pipeline:
    """Return a ridge classifier on standardized features; leave-one-out in training sets its penalty."""
    return make_pipeline(StandardScaler(), RidgeClassifierCV(PENALTIES, class_weight="balanced"))


# Sentences


def tokens(texts: Sequence[str], encoder: Encoder, length: int) -> torch.Tensor:
    """Return token numbers and mask of sentences, ``[N, 2, T]``; what is beyond ``length`` tokens is cut off."""
    rows = encoder.tokenizer(list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt")
    return torch.stack([rows["input_ids"], rows["attention_mask"]], dim=1)


class SentenceClassifier(nn.Module):
    """A sentence encoder, the mean over its tokens, and a linear head."""

    encoder: Any  # a transformer, whose own methods nn.Module does not declare

    def __init__(self, encoder: nn.Module, head: nn.Linear, bf16: bool = False) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.bf16 = bf16 and has_bf16(next(encoder.parameters()).device.type)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``[B, D]`` for token numbers and mask ``[B, 2, T]``; what is only padding is not computed."""
        ids, mask = x[:, :, : int(x[:, 1].sum(dim=1).max())].unbind(dim=1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return tl.models.mean_pool(states.float(), mask)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``[B, C]``."""
        return self.head(self.features(x))


@torch.no_grad()
def by_layer(texts: Sequence[str], encoder: Encoder) -> list[np.ndarray]:
    """Return what :func:`tlhelpers.models.encode` gives for each layer ``[N, D]``, in one pass for all of them."""
    layers: list[list[np.ndarray]] = []
    for start in range(0, len(texts), 50):
        rows = encoder.tokenizer(
            list(texts[start : start + 50]), padding=True, truncation=True, max_length=64, return_tensors="pt"
        )
        states = encoder.model(**rows, output_hidden_states=True).hidden_states
        layers.append([tl.models.mean_pool(layer, rows["attention_mask"]).numpy() for layer in states])
    return [np.concatenate(pieces) for pieces in zip(*layers, strict=True)]


def with_lora(model: Any, **settings: Any) -> PeftModel:
    """Return a transformer with LoRA on queries and values, rank 8 (Hu et al. 2022), as all that is trained."""
    with warnings.catch_warnings():
        # peft 0.21 still asks for the old name of a setting; the reader can do nothing about it.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        return get_peft_model(model, LoraConfig(r=8, lora_alpha=16, lora_dropout=0.1, **settings))
