"""What tuning does to the source task, measured there: the stored runs of chapter 12.

``images``: the packaged image network is tuned on 200 solar cells; ``source`` is the share of photo crops on which
its ImageNet classifier still names what it named before. ``text``: a MiniLM classifier of movie sentences (source)
is tuned on tweets (target), same question, same head; ``source`` and ``target`` are accuracies on test sentences,
``source_auroc`` that of the movies, ``refit`` the source accuracy of a new linear classifier on tuned
features: what is still in there, whatever the old head makes of it. ``before...`` is the same before tuning.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

import tlhelpers as tl
from benchmarks import parts
from benchmarks.experiment import Cell, Experiment, Row
from benchmarks.parts import Part, SentenceClassifier
from tlhelpers.data import ImageSet, TextSplits
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile

SEEDS = (20, 21, 22)
BATCH = 16

# Images: 200 labels, 40 steps.
LABELS, STEPS, SIDE, HEAD_RATE = 200, 40, 128, 1e-3
PHOTOS = 300
IMAGE_ARMS = {
    # name: (learning rate of the backbone, None for a frozen one; whether BatchNorm is held)
    "full 1e-4": (1e-4, False),
    "held 1e-5": (1e-5, True),
    "held 1e-4": (1e-4, True),
    "held 1e-3": (1e-3, True),
    "frozen, norms move": (None, False),
    "frozen, norms held": (None, True),
}

# Text: 500 movie sentences, then 256 tweets. Strengths: the strongest of those tried (see choose) that cost at
# most two points of the target's validation accuracy.
SOURCE, TARGET, TEST, TOKENS = 500, 256, 500, 40
SOURCE_RATE, EPOCHS, RATE, LORA_RATE = 1e-4, 3, 1e-4, 1e-3
FISHER = 200  # source examples
STRENGTHS = {  # that are tried, in the loss and outside of it
    "l2sp": (0.1, 1.0, 10.0),
    "ewc": (1e4, 1e6, 1e8),
    "l2sp outside": (3.0, 30.0, 300.0, 1000.0, 3000.0),
    "ewc outside": (1e6, 1e7, 1e8, 1e9),
}
TEXT_ARMS: dict[str, tuple[str, float]] = {
    # name: (kind, its rate, strength or share)
    "full 1e-4": ("full", 1e-4),
    "full 2e-5": ("full", 2e-5),
    "LoRA": ("lora", LORA_RATE),
    "L2-SP": ("l2sp", 10.0),
    "EWC": ("ewc", 1e6),
    "L2-SP, outside": ("l2sp outside", 1000.0),
    "EWC, outside": ("ewc outside", 1e8),
    "replay 20%": ("replay", 0.2),
    "frozen": ("frozen", 1e-3),
}


def photos(count: int = PHOTOS) -> ImageSet:
    """Return random square crops of six photographs, always the same; their labels say which photograph."""
    # Not a task of tlhelpers.data: squares of many sizes from whole pictures, and nothing to train on. Chapter 12
    # shows these lines to readers.
    rng = np.random.default_rng(12)
    images = []
    for number in range(count):
        whole = tl.data.photo(tl.data.PHOTOS[number % len(tl.data.PHOTOS)])
        side = int(rng.uniform(0.4, 1.0) * min(whole.shape[:2]))
        y, x = (int(rng.integers(0, size - side + 1)) for size in whole.shape[:2])
        images.append(np.ascontiguousarray(whole[y : y + side, x : x + side]))
    return ImageSet(images, np.arange(count) % len(tl.data.PHOTOS), tl.data.PHOTOS)


def named(net: Backbone, classifier: nn.Module) -> torch.Tensor:
    """Return the class that the source's classifier names for each photo ``[N]``, on the features of ``net``."""
    features, _ = tl.look.extract(net, photos())
    with torch.no_grad():
        return classifier(features).argmax(dim=1)


@lru_cache(maxsize=1)
def original(p: Profile) -> tuple[nn.Module, torch.Tensor]:
    """Return the ImageNet classifier of the untouched network, and what it names for each photo."""
    net = tl.models.load(p.backbone, image_size=SIDE)
    return net.head, named(net, net.head)


def image_run(p: Profile, arm: str, seed: int) -> Row:
    """Tune on solar cells and return AUROC there and agreement on the photos."""
    rate, held = IMAGE_ARMS[arm]
    groups = tl.data.load_groups(p.image_data)
    splits = tl.data.split(tl.data.load(p.image_data), LABELS, p.n_val, 400, seed, groups=groups)
    net = tl.models.load(p.backbone, 2, image_size=SIDE, seed=seed).to(p.device)
    if rate is None:
        tl.models.freeze(net)
    tl.models.freeze_norms(net, held)
    optimizer = torch.optim.AdamW(tl.train.param_groups(net, head_lr=HEAD_RATE, backbone_lr=rate or HEAD_RATE))
    net.train()
    if rate is None and not held:
        for stage in net.stages.values():  # what requires_grad=False and train() leave behind
            for norm in stage.norms():
                norm.train()
    x = torch.stack([net.transform(splits.train[i][0]) for i in range(LABELS)])
    y = torch.from_numpy(splits.train.labels)
    parts.take_steps(net, optimizer, drawn((x, y), STEPS, seed))
    classifier, before = original(p)
    scores = tl.train.evaluate(net, tl.data.loader(splits.test, net.transform, 64))
    agreement = float((named(net, classifier) == before).float().mean())
    return {"before": 1.0, "source": agreement, "target": scores["auroc"]}


def drawn(part: Part, steps: int, seed: int) -> Iterator[Part]:
    """Yield so many batches in the order of a seed."""
    return parts.drawn(part, BATCH, steps, torch.Generator().manual_seed(seed))


class Source(NamedTuple):
    """A classifier that knows the source task, and both tasks' sentences as tokens and labels."""

    net: SentenceClassifier
    movies: dict[str, Part]
    tweets: dict[str, Part]


@lru_cache(maxsize=1)
def source(p: Profile, seed: int) -> Source:
    """Train the classifier of movie sentences."""
    encoder = tl.models.load_encoder()

    def tokens(splits: TextSplits) -> dict[str, Part]:
        return {
            name: (parts.tokens(part.texts, encoder, TOKENS), torch.from_numpy(part.labels))
            for name, part in splits._asdict().items()
        }

    movies = tokens(tl.data.split_texts(tl.data.load_texts("movies"), SOURCE, 300, TEST, seed))
    tweets = tokens(tl.data.split_texts(tl.data.load_texts("tweets"), TARGET, 300, TEST, seed))
    tl.seed_everything(seed)
    config: Any = encoder.model.config
    head = nn.Linear(config.hidden_size, 2)
    net = SentenceClassifier(encoder.model, head, bf16=True)
    tune(net, drawn(movies["train"], passes(movies["train"]), seed), SOURCE_RATE)
    return Source(net, movies, tweets)


def passes(part: Part) -> int:
    """Return the steps of all epochs over a part."""
    return EPOCHS * -(-len(part[0]) // BATCH)


def tune(
    net: SentenceClassifier,
    batches: Iterable[Part],
    rate: float,
    penalty: Callable[[], torch.Tensor] | None = None,
    pull: Callable[[torch.optim.Optimizer], object] | None = None,
) -> None:
    """Train what is trained of ``net`` at one rate; word vectors stay, for they are half of the weights.

    Args:
        penalty: is added to the loss.
        pull: is given the optimizer, whose steps it may bend.
    """
    words = net.encoder.get_input_embeddings()
    words.weight.requires_grad_(False)
    trained = [q for q in net.parameters() if q.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0, fused=True)
    if pull is not None:
        pull(optimizer)
    net.train()
    parts.take_steps(net, optimizer, batches, penalty=penalty)


def with_old(batches: Iterable[Part], rehearse: Callable[[], Part]) -> Iterator[Part]:
    """Yield batches that source examples join."""
    for x, y in batches:
        x_old, y_old = rehearse()
        yield torch.cat([x, x_old]), torch.cat([y, y_old])


@torch.no_grad()
def embed(net: SentenceClassifier, x: torch.Tensor) -> torch.Tensor:
    """Return features ``[N, D]``; sentences of like length share a batch."""
    net.eval()
    vectors = torch.empty(len(x), net.head.in_features)
    for rows in x[:, 1].sum(dim=1).argsort().split(64):
        vectors[rows] = net.features(x[rows])
    return vectors


def scores(net: SentenceClassifier, part: Part) -> dict[str, float]:
    """Return accuracy and AUROC."""
    with torch.no_grad():
        return tl.stats.scores(net.head(embed(net, part[0])).softmax(dim=1).numpy(), part[1].numpy())


def refitted(net: SentenceClassifier, train: Part, test: Part) -> float:
    """Return the accuracy of a linear classifier fitted anew on the features of ``train``."""
    model = tl.look.linear_classifier(0.01).fit(embed(net, train[0]).numpy(), train[1].numpy())
    return float(model.score(embed(net, test[0]).numpy(), test[1].numpy()))


@lru_cache(maxsize=2)
def at_the_start(p: Profile, seed: int, part: str) -> Row:
    """Return the scores of the classifier of movies before it is tuned."""
    net, movies, tweets = source(p, seed)
    old = scores(net, movies[part])
    return {
        "before": old["accuracy"],
        "before_auroc": old["auroc"],
        "before_refit": refitted(net, movies["train"], movies[part]),
        "target_before": scores(net, tweets[part])["accuracy"],
    }


def text_run(p: Profile, kind: str, value: float, seed: int, part: str = "test") -> Row:
    """Tune on tweets in one way and return scores on tweets and movies."""
    start, movies, tweets = source(p, seed)
    before = at_the_start(p, seed, part)
    net = copy.deepcopy(start)
    tl.seed_everything(seed)
    batches: Iterable[Part] = drawn(tweets["train"], passes(tweets["train"]), seed)
    penalty, outside = None, None
    if kind == "frozen":
        net.encoder.requires_grad_(False)
    elif kind == "lora":
        net.encoder = parts.with_lora(net.encoder, target_modules=["query", "value"])
        net.head.requires_grad_(False)  # so that the adapter is all that changes
    elif kind == "replay":
        batches = with_old(batches, tl.train.replay(*movies["train"], tl.train.rehearsed(BATCH, value), seed))
    elif kind.endswith("outside"):
        start_weights = tl.train.snapshot(net)
        stiff = tl.train.fisher(net, movies["train"][0][:FISHER], seed=seed) if kind.startswith("ewc") else None
        outside = partial(_pulled, net, start_weights, value, stiff)
    elif kind != "full":
        penalty = pull(net, kind, value, movies["train"][0][:FISHER], seed)
    began = time.perf_counter()
    tune(net, batches, value if kind in ("full", "lora", "frozen") else RATE, penalty, outside)
    seconds = time.perf_counter() - began
    old = scores(net, movies[part])
    row = before | {
        "source": old["accuracy"],
        "target": scores(net, tweets[part])["accuracy"],
        "source_auroc": old["auroc"],
        "refit": refitted(net, movies["train"], movies[part]),
        "train_seconds": seconds,
    }
    if kind == "lora":
        with net.encoder.disable_adapter():
            row["adapter_off"] = scores(net, movies[part])["accuracy"]
    return row


def _pulled(
    net: SentenceClassifier,
    start: Any,
    strength: float,
    importance: Any,
    optimizer: torch.optim.Optimizer,
) -> object:
    return tl.train.pull_back(net, optimizer, start, strength, importance)


def pull(
    net: SentenceClassifier, kind: str, strength: float, x: torch.Tensor, seed: int
) -> Callable[[], torch.Tensor]:
    """Return the penalty that pulls ``net`` back to what it is now."""
    start = tl.train.snapshot(net)
    if kind == "l2sp":
        return lambda: tl.train.l2sp(net, start, strength)
    importance = tl.train.fisher(net, x, seed=seed)
    return lambda: tl.train.ewc(net, start, importance, strength)


def cells(p: Profile) -> list[Cell]:
    """Return the cells, images first, then text, each seed by seed: an unfinished run holds whole seeds."""
    order: list[tuple[str, dict[str, Any]]] = [("images", IMAGE_ARMS), ("text", TEXT_ARMS)]
    return [
        {"experiment": name, "arm": arm, "seed": seed} for name, arms in order for seed in SEEDS for arm in arms
    ]


def run(p: Profile, experiment: str, arm: str, seed: int) -> Row:
    """Run one cell."""
    return image_run(p, arm, seed) if experiment == "images" else text_run(p, *TEXT_ARMS[arm], seed)


def in_bf16(cell: Cell) -> bool:
    """Tell whether a cell is one of text."""
    return cell["experiment"] == "text"


def choose(p: Profile) -> pd.DataFrame:
    """Return validation scores of several strengths, on a seed that is not in the table."""
    tried = [("full", 1e-4), *((kind, value) for kind, values in STRENGTHS.items() for value in values)]
    return pd.DataFrame(
        [{"kind": kind, "value": value} | text_run(p, kind, value, 100, "val") for kind, value in tried]
    )


Experiment(
    "forgotten_sources",
    cells,
    run,
    check=[{"experiment": "images", "arm": "frozen, norms move", "seed": 21}],
    score="source",
    within=0.05,
    bf16=in_bf16,
    choose=choose,
)
