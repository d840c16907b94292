"""What tuning does to the source task, measured there: the stored runs of chapter 12.

``images``: the packaged image network is tuned on 200 solar cells; ``source`` is the share of photo crops on which
its ImageNet classifier still names what it named before. ``text``: a MiniLM classifier of movie sentences (source)
is tuned on tweets (target), same question, same head; ``source`` and ``target`` are accuracies on test sentences,
``source_auroc`` that of the movies, ``refit`` the source accuracy of a new linear classifier on tuned
features: what is still in there, whatever the old head makes of it. ``before...`` is the same before tuning.
Resumable: a cell that stands in the CSV is not run again. ``python -m benchmarks.forgetting``;
``python -m benchmarks.forgetting choose`` shows validation scores of strengths on seed 100, not in the table.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from tqdm import tqdm

import tlhelpers as tl
from tlhelpers.data import ImageSet, TextSplits
from tlhelpers.models import Backbone

NAME, COMMAND = "forgetting", "python -m benchmarks.forgetting"
SEEDS = (0, 1, 2)
BATCH = 16

# Images: 200 labels, 40 steps.
LABELS, STEPS, SIDE, HEAD_RATE = 200, 40, 96, 1e-3
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
TEXT_ARMS: dict[str, tuple[str, float]] = {
    # name: (kind, its rate, strength or share)
    "full 1e-4": ("full", 1e-4),
    "full 2e-5": ("full", 2e-5),
    "LoRA": ("lora", LORA_RATE),
    "L2-SP": ("l2sp", 1.0),
    "EWC": ("ewc", 1e6),
    "replay 20%": ("replay", 0.2),
    "frozen": ("frozen", 1e-3),
}


def photos(count: int = PHOTOS) -> ImageSet:
    """Return random square crops of six photographs, always the same; their labels say which photograph."""
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
def original() -> tuple[nn.Module, torch.Tensor]:
    """Return the ImageNet classifier of the untouched network, and what it names for each photo."""
    net = tl.models.load(tl.profile.current().backbone, image_size=SIDE)
    return net.head.cpu(), named(net, net.head)


def image_run(arm: str, seed: int) -> dict[str, float]:
    """Tune on solar cells and return AUROC there and agreement on the photos."""
    p = tl.profile.current()
    rate, held = IMAGE_ARMS[arm]
    parts = tl.data.split(tl.data.load(p.image_data), LABELS, p.n_val, 400, seed)
    net = tl.models.load(p.backbone, 2, image_size=SIDE, seed=seed).to(memory_format=torch.channels_last)
    if rate is None:
        tl.models.freeze(net)
    tl.models.freeze_norms(net, held)
    groups = tl.train.param_groups(net, head_lr=HEAD_RATE, backbone_lr=rate or HEAD_RATE)
    optimizer = torch.optim.AdamW(groups)
    net.train()
    if rate is None and not held:
        for stage in net.stages.values():  # what requires_grad=False and train() leave behind
            for norm in stage.norms():
                norm.train()
    x = torch.stack([net.transform(parts.train[i][0]) for i in range(LABELS)]).to(
        memory_format=torch.channels_last
    )
    y = torch.from_numpy(parts.train.labels)
    for rows in endless(len(x), seed, STEPS):
        step(optimizer, nn.functional.cross_entropy(net(x[rows]), y[rows]))
    classifier, before = original()
    scores = tl.train.evaluate(net, tl.data.loader(parts.test, net.transform, 64))
    agreement = float((named(net, classifier) == before).float().mean())
    return {"before": 1.0, "source": agreement, "target": scores["auroc"]}


def endless(count: int, seed: int, steps: int) -> Iterator[torch.Tensor]:
    """Yield the rows of ``steps`` batches, a new order for each pass."""
    generator = torch.Generator().manual_seed(seed)
    done = 0
    while True:
        for rows in torch.randperm(count, generator=generator).split(BATCH):
            if done == steps:
                return
            done += 1
            yield rows


def step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """Take one step."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


class Classifier(nn.Module):
    """A sentence encoder, the mean over its tokens, and a linear head."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(384, 2)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``[B, 384]`` for token numbers and mask ``[B, 2, T]``; what is only padding is not computed."""
        ids, mask = x[:, :, : int(x[:, 1].sum(dim=1).max())].unbind(dim=1)
        with torch.autocast("cpu", torch.bfloat16, enabled=tl.train.has_bf16()):
            states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return tl.models.mean_pool(states.float(), mask)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``[B, 2]``."""
        return self.head(self.features(x))


Part = tuple[torch.Tensor, torch.Tensor]


class Source(NamedTuple):
    """A classifier that knows the source task, and both tasks' sentences as tokens and labels."""

    net: Classifier
    movies: dict[str, Part]
    tweets: dict[str, Part]


@lru_cache(maxsize=1)
def source(seed: int) -> Source:
    """Train the classifier of movie sentences."""
    encoder = tl.models.load_encoder()

    def tokens(splits: TextSplits) -> dict[str, Part]:
        found = {}
        for name, part in splits._asdict().items():
            rows = encoder.tokenizer(
                part.texts, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt"
            )
            pairs = torch.stack([rows["input_ids"], rows["attention_mask"]], dim=1)
            found[name] = pairs, torch.from_numpy(part.labels)
        return found

    movies = tokens(tl.data.split_texts(tl.data.load_texts("movies"), SOURCE, 300, TEST, seed))
    tweets = tokens(tl.data.split_texts(tl.data.load_texts("tweets"), TARGET, 300, TEST, seed))
    tl.seed_everything(seed)
    net = Classifier(encoder.model)
    tune(net, movies["train"], SOURCE_RATE, EPOCHS, seed)
    return Source(net, movies, tweets)


def tune(
    net: Classifier,
    part: Part,
    rate: float,
    epochs: int,
    seed: int,
    penalty: Callable[[], torch.Tensor] | None = None,
    rehearse: Callable[[], Part] | None = None,
) -> None:
    """Train what is trained of ``net`` at one rate; word vectors stay, for they are half of the weights."""
    x, y = part
    words = net.encoder.get_input_embeddings()  # type: ignore[operator]
    words.weight.requires_grad_(False)
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0, fused=True)
    net.train()
    for rows in endless(len(x), seed, epochs * -(-len(x) // BATCH)):
        inputs, labels = x[rows], y[rows]
        if rehearse:
            old = rehearse()
            inputs, labels = torch.cat([inputs, old[0]]), torch.cat([labels, old[1]])
        loss = nn.functional.cross_entropy(net(inputs), labels)
        step(optimizer, loss + penalty() if penalty else loss)


@torch.no_grad()
def embed(net: Classifier, x: torch.Tensor) -> torch.Tensor:
    """Return features ``[N, 384]``; sentences of like length share a batch."""
    net.eval()
    found = torch.empty(len(x), 384)
    for rows in x[:, 1].sum(dim=1).argsort().split(64):
        found[rows] = net.features(x[rows])
    return found


def scores(net: Classifier, part: Part) -> dict[str, float]:
    """Return accuracy and AUROC."""
    with torch.no_grad():
        return tl.stats.scores(net.head(embed(net, part[0])).softmax(dim=1).numpy(), part[1].numpy())


def refitted(net: Classifier, train: Part, test: Part) -> float:
    """Return the accuracy of a linear classifier fitted anew on the features of ``train``."""
    model = tl.look.linear_classifier(0.01).fit(embed(net, train[0]).numpy(), train[1].numpy())
    return float(model.score(embed(net, test[0]).numpy(), test[1].numpy()))


@lru_cache(maxsize=2)
def at_the_start(seed: int, part: str) -> dict[str, float]:
    """Return the scores of the classifier of movies before it is tuned."""
    net, movies, tweets = source(seed)
    found = scores(net, movies[part])
    return {
        "before": found["accuracy"],
        "before_auroc": found["auroc"],
        "before_refit": refitted(net, movies["train"], movies[part]),
        "target_before": scores(net, tweets[part])["accuracy"],
    }


def text_run(arm: str, seed: int, kind: str = "", value: float = 0.0, part: str = "test") -> dict[str, float]:
    """Tune on tweets and return scores on tweets and movies."""
    kind, value = (kind, value) if kind else TEXT_ARMS[arm]
    start, movies, tweets = source(seed)
    before = at_the_start(seed, part)
    net = copy.deepcopy(start)
    tl.seed_everything(seed)
    penalty, rehearse, rate = None, None, RATE
    if kind == "frozen":
        net.encoder.requires_grad_(False)
    if kind == "lora":
        wide = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.1, target_modules=["query", "value"])
        net.encoder = get_peft_model(net.encoder, wide)
        net.head.requires_grad_(False)  # so that the adapter is all that changes
    if kind in ("full", "lora", "frozen"):
        rate = value
    elif kind == "replay":
        rehearse = tl.train.replay(*movies["train"], tl.train.rehearsed(BATCH, value), seed)
    else:
        weights = tl.train.snapshot(net)
        if kind == "ewc":
            matters = tl.train.fisher(net, movies["train"][0][:FISHER], seed=seed)
            penalty = lambda: tl.train.ewc(net, weights, matters, value)  # noqa: E731
        else:
            penalty = lambda: tl.train.l2sp(net, weights, value)  # noqa: E731
    began = time.perf_counter()
    tune(net, tweets["train"], rate, EPOCHS, seed, penalty, rehearse)
    seconds = time.perf_counter() - began
    old = scores(net, movies[part])
    found = before | {
        "source": old["accuracy"],
        "target": scores(net, tweets[part])["accuracy"],
        "source_auroc": old["auroc"],
        "refit": refitted(net, movies["train"], movies[part]),
        "train_seconds": seconds,
    }
    if kind == "lora":
        with net.encoder.disable_adapter():  # type: ignore[operator]
            found["adapter_off"] = scores(net, movies[part])["accuracy"]
    return found


def cells() -> list[dict[str, Any]]:
    """Return the cells, images first, then text, each seed by seed: an unfinished run holds whole seeds."""
    order = [("images", IMAGE_ARMS), ("text", TEXT_ARMS)]
    return [
        {"experiment": name, "arm": arm, "seed": seed} for name, arms in order for seed in SEEDS for arm in arms
    ]


def main() -> None:
    """Run what is missing."""
    path = tl.book.folder() / f"{NAME}.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    missing = [cell for cell in cells() if not any(cell.items() <= row.items() for row in rows)]
    for cell in tqdm(missing, unit="run"):
        began = time.perf_counter()
        found = (image_run if cell["experiment"] == "images" else text_run)(cell["arm"], cell["seed"])
        rows.append(cell | found | {"seconds": time.perf_counter() - began})
        tl.book.save(NAME, pd.DataFrame(rows), COMMAND)


def choose() -> pd.DataFrame:
    """Return validation scores of several strengths, on a seed that is not in the table."""
    tried = [("full", 1e-4), ("l2sp", 0.1), ("l2sp", 1.0), ("ewc", 1e4), ("ewc", 1e6)]
    return pd.DataFrame(
        [{"kind": kind, "value": value} | text_run("", 100, kind, value, "val") for kind, value in tried]
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["choose"]:
        print(choose().to_string())
    else:
        main()
