"""A working pipeline with one bug at a time, and what each bug does to the score: the stored run of chapter 13.

Bugs of the inputs, the labels and the splits are measured on frozen features, which every image gets once for each
way of preparing it; bugs of the training loop need the network, at 64 pixels and with 200 labels.
Resumable: rows of a bug and a seed that stand in the CSV are not made again. ``python -m benchmarks.bugs``
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms import v2
from tqdm import tqdm

import tlhelpers as tl
from benchmarks import recipes
from tlhelpers.data import ImageSet
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile

NAME, COMMAND = "bugs", "python -m benchmarks.bugs"
SIZE = 64  # pixels; small, so that every bug can be run on every seed
TUNED_LABELS, TUNED_EPOCHS = 200, 6
CACHED_SEEDS, TUNED_SEEDS = tuple(range(20)), tuple(range(5))
CANDIDATES = (1, 3, 10, 30, 100, 300, 1000)
Row = dict[str, Any]


def profile() -> Profile:
    """Return the current profile at the size of these runs."""
    return replace(tl.profile.current(), image_size=SIZE)


@cache
def cells() -> ImageSet:
    """Return all images."""
    return tl.data.load(profile().image_data)


def parts(seed: int) -> dict[str, np.ndarray]:
    """Return the indices of the images in the train, validation and test part of a seed."""
    p, y = profile(), cells().labels
    numbered = ImageSet(list(range(len(y))), y, cells().classes)  # type: ignore[arg-type]  # split never opens them
    found = tl.data.split(numbered, p.n_train, p.n_val, p.n_test, seed)
    return {name: np.array(images.images) for name, images in found._asdict().items()}


@cache
def transforms() -> dict[str, Callable]:
    """Return the ways to prepare an image: as the weights ask, and three that raise no error."""
    right: Any = _net().transform
    # Two numbers from the training images of seed 0, for all seeds: pictures are prepared once.
    grays = [np.asarray(tl.data.open_rgb(cells().images[i]).convert("L")) / 255 for i in parts(0)["train"]]
    mean = float(np.mean([gray.mean() for gray in grays]))
    std = float(np.sqrt(np.mean([((gray - mean) ** 2).mean() for gray in grays])))
    raw = [*right.transforms[:-2], v2.ToDtype(torch.float32, scale=False), right.transforms[-1]]
    return {
        "right": right,
        "ImageNet": tl.models.preprocessing(SIZE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "own": tl.models.preprocessing(SIZE, (mean,) * 3, (std,) * 3),
        "0 to 255": v2.Compose(raw),
        "mirrored": v2.Compose([*right.transforms, v2.functional.horizontal_flip]),
    }


def _net(seed: int = 0) -> Backbone:
    return tl.models.load(profile().backbone, len(cells().classes), image_size=SIZE, seed=seed)


@cache
def features(kind: str) -> np.ndarray:
    """Return frozen features ``[N, width]`` of all images prepared in one way."""
    net = _net()
    net.transform = transforms()[kind]
    return tl.look.extract(net, cells())[0].numpy()


def judge() -> Pipeline:
    """Return the classifier on frozen features, as in chapter 01."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))


def _scores(model: Any, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    return tl.stats.scores(model.predict_proba(x), y)


def normalization(seed: int) -> Iterator[Row]:
    """Train and judge on inputs prepared one way, or train on the right ones and serve others."""
    y, part = cells().labels, parts(seed)
    train, test = part["train"], part["test"]
    right = judge().fit(features("right")[train], y[train])
    for kind in ("right", "ImageNet", "own", "0 to 255"):
        x = features(kind)
        yield {"variant": f"{kind}, throughout", **_scores(judge().fit(x[train], y[train]), x[test], y[test])}
        yield {"variant": f"{kind}, when served", **_scores(right, x[test], y[test])}


def labels(seed: int) -> Iterator[Row]:
    """Shift or swap the training labels; the test labels stay right."""
    x, y, part = features("right"), cells().labels, parts(seed)
    train, test = part["train"], part["test"]
    by_class = train[np.argsort(y[train], kind="stable")]
    for variant, index, given in (
        ("right", train, y[train]),
        ("classes in another order", train, 1 - y[train]),
        ("off by one, sorted by class", by_class, np.roll(y[by_class], 1)),
        ("off by one, shuffled", train, np.roll(y[train], 1)),
    ):
        yield {"variant": variant, **_scores(judge().fit(x[index], given), x[test], y[test])}


def copies(seed: int) -> Iterator[Row]:
    """Mirror 1,000 images before or after four fifths of them become the training part.

    ``reported`` is the AUROC on the held-out fifth, ``auroc`` that on images that nobody has seen.
    """
    y, n = cells().labels, len(cells().labels)
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    owned, fresh = order[:1000], order[1000:]
    x = np.concatenate([features("right"), features("mirrored")])  # image i has its mirror image at n + i
    doubled = rng.permutation(np.concatenate([owned, owned + n]))
    cuts = {
        "split, then copy": (np.concatenate([owned[:800], owned[:800] + n]), owned[800:]),
        "copy, then split": (doubled[:1600], doubled[1600:]),
    }
    models = {"linear": judge, "nearest": lambda: KNeighborsClassifier(5, weights="distance", metric="cosine")}
    for variant, (train, held) in cuts.items():
        for name, make in models.items():
            model = make().fit(x[train], y[train % n])
            reported = _scores(model, x[held], y[held % n])["auroc"]
            yield {"variant": f"{variant}: {name}", **_scores(model, x[fresh], y[fresh]), "reported": reported}


def candidate_heads(x: np.ndarray, y: np.ndarray, seed: int, heads: int = 40, epochs: int = 25) -> np.ndarray:
    """Train many linear heads at once on 200 features; return the weights ``[heads * epochs, width + 1]``.

    Their rates, weight decays and starts are drawn at random, as in a search over settings.
    """
    generator = torch.Generator().manual_seed(seed)
    xs, ys = torch.from_numpy(x), torch.from_numpy(y).float()
    rates = 10 ** (-4 + 2 * torch.rand(heads, generator=generator))
    decays = 10 ** (-4 + 4 * torch.rand(heads, generator=generator))
    rows: list[torch.Tensor] = [
        nn.Parameter(0.03 * torch.randn(x.shape[1], generator=generator)) for _ in range(heads)
    ]
    groups = [
        {"params": [row], "lr": float(rate), "weight_decay": float(decay)}
        for row, rate, decay in zip(rows, rates, decays, strict=True)
    ]
    optimizer = torch.optim.AdamW(groups)
    found = []
    for _ in range(epochs):
        for batch in torch.randperm(len(xs), generator=generator).split(40):
            logits = xs[batch] @ torch.stack(rows).T
            each = nn.functional.binary_cross_entropy_with_logits(
                logits, ys[batch, None].expand_as(logits), reduction="none"
            )
            optimizer.zero_grad()
            each.mean(dim=0).sum().backward()
            optimizer.step()
        found.append(torch.stack(rows).detach().clone())
    return torch.cat(found).numpy()


def aurocs(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the AUROC of each column of ``scores [N, K]`` (Mann & Whitney 1947)."""
    positive, n = y == 1, len(y)
    k = int(positive.sum())
    return (rankdata(scores, axis=0)[positive].sum(axis=0) - k * (k + 1) / 2) / (k * (n - k))


def selection(seed: int) -> Iterator[Row]:
    """Choose among more and more candidates by their score on 100 images, and look at that on fresh ones.

    ``reported`` is the AUROC on the 100 images named ``test``, ``auroc`` that on images that nobody has seen, of
    the candidate with the best AUROC; ``reported_accuracy`` and ``accuracy`` are those of the most accurate one.
    Means over 20 draws of the images and of the order of the candidates.
    """
    y, train = cells().labels, parts(seed)["train"][:TUNED_LABELS]
    width = np.float32(np.sqrt(features("right").shape[1]))
    x = StandardScaler().fit(features("right")[train]).transform(features("right")).astype(np.float32) / width
    heads = candidate_heads(x[train], y[train], seed)
    logits, others = x @ heads.T, np.setdiff1d(np.arange(len(y)), train)
    judges = {"auroc": aurocs, "accuracy": lambda z, truth: ((z > 0) == truth[:, None]).mean(axis=0)}
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for _ in range(20):
        val, test, fresh = np.split(rng.permutation(others), [100, 200])
        order = rng.permutation(len(heads))
        on = {m: {"val": f(logits[val], y[val]), "test": f(logits[test], y[test])} for m, f in judges.items()}
        for n in CANDIDATES:
            for where in ("test", "val"):
                row: Row = {"variant": f"{n} candidates, chosen on {where}"}
                for metric, reported in (("auroc", "reported"), ("accuracy", "reported_accuracy")):
                    best = order[:n][on[metric][where][order[:n]].argmax()]
                    row[metric] = float(judges[metric](logits[fresh][:, [best]], y[fresh])[0])
                    row[reported] = float(on[metric]["test"][best])
                rows.append(row)
    yield from pd.DataFrame(rows).groupby("variant", sort=False).mean().reset_index().to_dict("records")


def fit_head(net: Backbone, seed: int, train: np.ndarray, val: np.ndarray, epochs: int = 60) -> None:
    """Train the head of ``net`` on cached features and keep its best epoch."""
    x, y = torch.from_numpy(features("right")), torch.from_numpy(cells().labels)
    order = torch.Generator().manual_seed(seed)
    batches = DataLoader(TensorDataset(x[train], y[train]), 32, shuffle=True, generator=order)
    optimizer = torch.optim.AdamW(net.head.parameters(), lr=recipes.HEAD_RATE, weight_decay=0.01)
    weights = tl.train.class_weights(cells().labels[train])
    tl.train.fit(net.head, batches, [(x[val], y[val])], optimizer, epochs, class_weights=weights, patience=10)


def mode(seed: int) -> Iterator[Row]:
    """Serve a network in train mode, in batches of different make, beside the same network in eval mode."""
    tl.seed_everything(seed)
    part, y = parts(seed), cells().labels
    test = part["test"]
    net = _net(seed)
    fit_head(net, seed, part["train"], part["val"])
    shuffled = np.random.default_rng(seed).permutation(test)
    by_class = test[np.argsort(y[test], kind="stable")]
    start = {key: value.clone() for key, value in net.state_dict().items()}
    served = (("eval", test, 32), ("batches of 32", shuffled, 32), ("sorted by class", by_class, 32),
              ("one at a time", test[:: len(test) // 250], 1))  # fmt: skip
    for variant, index, size in served:
        net.load_state_dict(start)
        net.net.train(variant != "eval")
        batches = tl.data.loader(cells().take(index), net.transform, size)
        with torch.no_grad():
            out = [net.net(x.to(memory_format=torch.channels_last)) for x, _ in batches]
        yield {"variant": variant, **tl.stats.scores(torch.cat(out).softmax(dim=1).numpy(), y[index])}


def drift(seed: int, epochs: int = 5) -> Iterator[Row]:
    """Train a head on a backbone without gradients whose BatchNorm stands still, or moves.

    ``another head`` was trained on the still backbone, as for a second task, and is judged after the drift.
    """
    part, y = parts(seed), cells().labels
    train, val = (cells().take(part[name]) for name in ("train", "val"))
    test = part["test"]
    x = torch.from_numpy(features("right"))

    def judged(head: nn.Module, inputs: torch.Tensor) -> Row:
        with torch.no_grad():
            return tl.stats.scores(head(inputs).softmax(dim=1).numpy(), y[test])

    tl.seed_everything(seed)
    still = _net(seed)
    fit_head(still, seed, part["train"], part["val"], epochs)
    yield {"variant": "held", **judged(still.head, x[test])}
    tl.seed_everything(seed)
    net = tl.models.freeze(_net(seed)).to(memory_format=torch.channels_last)
    batches = tl.data.loader(train, net.transform, 32, shuffle=True, seed=seed, keep=True)
    optimizer = torch.optim.AdamW(net.head.parameters(), lr=recipes.HEAD_RATE, weight_decay=0.01)
    weights = tl.train.class_weights(train.labels)
    watched = tl.data.loader(val, net.transform, 64, keep=True)
    # The plain network knows nothing of frozen stages, so its train() wakes every BatchNorm.
    tl.train.fit(net.net, batches, watched, optimizer, epochs, class_weights=weights)
    moved = tl.look.extract(net, cells().take(test))[0]
    yield {"variant": "moving", **judged(net.head, moved)}
    yield {"variant": "another head", **judged(still.head, moved)}


TUNED = ("working", "one rate, 1e-3", "one rate, 1e-2", "stem left out", "optimizer first")


def tune(variant: str, seed: int) -> tuple[dict[str, float], pd.DataFrame]:
    """Run both stages with 200 labels and one bug of the optimizer; return test scores and epochs of stage 2."""
    tl.seed_everything(seed)
    part = parts(seed)
    train, val, test = part["train"][:TUNED_LABELS], part["val"], part["test"]
    net = _net(seed)
    if variant == "optimizer first":  # its optimizers hold the parameters of the head that was thrown away
        net.head.requires_grad_(False)
    else:
        fit_head(net, seed, train, val)
    tl.models.freeze_norms(net.to(memory_format=torch.channels_last))
    if variant.startswith("one rate"):
        groups: list[Row] = [{"params": list(net.parameters()), "lr": float(variant.split(", ")[1])}]
    else:
        groups = tl.train.param_groups(net, head_lr=recipes.HEAD_RATE, backbone_lr=recipes.BACKBONE_RATE)
    if variant == "stem left out":
        groups = [group for group in groups if not group["name"].startswith("stem")]
    images = cells()
    batches = tl.data.loader(
        images.take(train), net.transform, 32, True, tl.data.augment_cells(), seed=seed, keep=True
    )
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    steps = TUNED_EPOCHS * len(batches)
    schedule = tl.train.warmup_cosine(optimizer, steps, warmup=steps // 4)
    history = tl.train.fit(
        net,
        batches,
        tl.data.loader(images.take(val), net.transform, 64, keep=True),
        optimizer,
        TUNED_EPOCHS,
        schedule,
        class_weights=tl.train.class_weights(images.labels[train]),
    )
    found = tl.train.predict_proba(net, tl.data.loader(images.take(test), net.transform, 64))
    return tl.stats.scores(*found), history


def optimizer(seed: int) -> Iterator[Row]:
    """Tune with a working optimizer and with four that are not."""
    for variant in TUNED:
        start = time.perf_counter()
        found, history = tune(variant, seed)
        kept = history[history["best"]].iloc[0]
        yield {
            "variant": variant,
            **found,
            "first_loss": history["train_loss"].iloc[0],
            "last_loss": history["train_loss"].iloc[-1],
            "kept_epoch": int(kept["epoch"]),
            "seconds": time.perf_counter() - start,
        }


BUGS: dict[str, tuple[Callable[[int], Iterator[Row]], tuple[int, ...]]] = {
    "normalization": (normalization, CACHED_SEEDS),
    "labels": (labels, CACHED_SEEDS),
    "copies": (copies, CACHED_SEEDS),
    "selection": (selection, CACHED_SEEDS),
    "mode": (mode, TUNED_SEEDS),
    "drift": (drift, TUNED_SEEDS),
    "optimizer": (optimizer, TUNED_SEEDS),
}


def main(bugs: Iterable[str] = BUGS) -> None:
    """Run what is missing of these bugs, bug by bug on the first seed before the second."""
    path = tl.book.folder() / f"{NAME}.csv"
    lock = FileLock(Path(tempfile.gettempdir()) / f"tlhelpers-{NAME}.lock")

    def stored() -> list[Row]:
        return pd.read_csv(path).to_dict("records") if path.exists() else []

    def there(bug: str, seed: int) -> bool:
        return any(row["bug"] == bug and row["seed"] == seed for row in stored())

    todo = [(bug, seed) for seed in CACHED_SEEDS for bug in bugs if seed in BUGS[bug][1]]
    for bug, seed in tqdm(todo, unit="bug"):
        if there(bug, seed):
            continue
        start = time.perf_counter()
        new = [{"bug": bug, "seed": seed, **row} for row in BUGS[bug][0](seed)]
        each = (time.perf_counter() - start) / len(new)
        # Another process may run other bugs meanwhile.
        with lock:
            if not there(bug, seed):
                rows = [*stored(), *({"seconds": each} | row for row in new)]
                tl.book.save(NAME, pd.DataFrame(rows), COMMAND)


if __name__ == "__main__":
    main()
