"""Machine sound as pictures: ways to use labels x label counts x seeds, on machines never heard (chapter 15).

How hard the task is was settled before any test score was seen. First came severity 0.25, at which the classic
measurements reach a validation AUROC near 0.8 with 200 labels. There the pictures stood so close to guessing that
nothing could be compared (0.59), so it became 0.5; `choose` shows the classic scores by severity. The window of
8 ms was chosen on the validation machines, at severity 0.25, from 64, 32, 16 and 8 ms, by the frozen features.
Resumable: a cell that stands in the CSV is not run again. ``python -m benchmarks.sounds``
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tlhelpers as tl
from benchmarks import grid, recipes
from tlhelpers.profile import Profile

NAME, COMMAND = "sounds", "python -m benchmarks.sounds"
MACHINES, CLIPS, SEVERITY = 30, 36, 0.5
TRAIN, VAL = 14, 6  # machines; the other ten are for the test
LABELS = (20, 50, 100, 200)
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
EPOCHS = {"scratch": 24, "tuned": 12}
TOP = ("blocks.6", "top", "head")
UPPER = 3  # of _layers: what TOP names
CHANGED = ("frozen flip", "frozen shift", "scratch flip", "scratch shift")


class Parts(NamedTuple):
    """Indices of clips: labeled ones of the training machines, all of the validation and of the test machines."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


@cache
def clips() -> tl.data.Sounds:
    """Return the clips of all machines."""
    return tl.data.sound_collection(MACHINES, CLIPS, SEVERITY)


def targets() -> np.ndarray:
    """Return 0 for a normal clip and 1 for a faulty one, ``[N]``."""
    return (clips().faults > 0).astype(np.int64)


def images(change: str = "") -> tl.data.ImageSet:
    """Return the clips as pictures: as they are, upside down (``flip``), or moved in time (``shift``)."""
    pictures = tl.data.sound_picture(tl.data.sound_levels(clips().waves))
    if change == "flip":
        pictures = pictures[:, ::-1]
    if change == "shift":
        moves = np.random.default_rng(0).integers(
            tl.data.SOUND_SIDE // 4, tl.data.SOUND_SIDE * 3 // 4, len(pictures)
        )
        pictures = np.stack([np.roll(p, m, axis=1) for p, m in zip(pictures, moves, strict=True)])
    return tl.data.ImageSet([np.ascontiguousarray(p) for p in pictures], targets(), ("normal", "faulty"))


def parts(labels: int, seed: int) -> Parts:
    """Return the clips of a seed; the labels of a smaller count lie in a larger one."""
    train, val, test = tl.data.by_machine(clips().machines, TRAIN, VAL, seed)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(train))
    # Normal and faulty in turn, so that every count holds both.
    by_class = [order[targets()[order] == c] for c in (0, 1)]
    order = np.stack([part[: min(map(len, by_class))] for part in by_class], axis=1).ravel()
    return Parts(order[:labels], np.flatnonzero(val), np.flatnonzero(test))


@cache
def features(kind: str, change: str = "") -> np.ndarray:
    """Return what an arm sees of all clips, ``[N, F]``: ``classic``, ``frozen``, or ``random`` weights."""
    if kind == "classic":
        return tl.data.classic_features(clips().waves)
    p = tl.profile.current()
    net = tl.models.load(p.backbone, pretrained=kind != "random", image_size=p.image_size)
    return tl.look.extract(net, images(change))[0].numpy()


def probe(x: np.ndarray, cut: Parts, extra: np.ndarray | None = None) -> recipes.Run:
    """Fit a logistic regression, with the penalty that the validation machines prefer.

    ``extra`` are features of changed copies of the same clips, which join those with labels.
    """
    y = targets()
    fit_x, fit_y = x[cut.train], y[cut.train]
    if extra is not None:
        fit_x, fit_y = np.concatenate([fit_x, extra[cut.train]]), np.concatenate([fit_y, fit_y])
    tried = {
        c: make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=3000)).fit(fit_x, fit_y)
        for c in PENALTIES
    }
    seen = {c: tl.stats.scores(m.predict_proba(x[cut.val]), y[cut.val]) for c, m in tried.items()}
    best = max(seen, key=lambda c: seen[c]["auroc"])
    return _run(tried[best].predict_proba(x[cut.test]), seen[best], cut)


def neighbors(x: np.ndarray, cut: Parts) -> recipes.Run:
    """Ask the labeled clips whose features point nearest; how many, the validation machines say."""
    y = targets()
    tried = {
        k: KNeighborsClassifier(k, metric="cosine").fit(x[cut.train], y[cut.train])
        for k in (1, 3, 5, 9, 15)
        if k < len(cut.train)
    }
    seen = {k: tl.stats.scores(m.predict_proba(x[cut.val]), y[cut.val]) for k, m in tried.items()}
    best = max(seen, key=lambda k: seen[k]["auroc"])
    return _run(tried[best].predict_proba(x[cut.test]), seen[best], cut)


def _run(probabilities: np.ndarray, seen: dict[str, float], cut: Parts) -> recipes.Run:
    history = pd.DataFrame({"val_accuracy": [seen["accuracy"]]})
    found = tl.stats.scores(probabilities, targets()[cut.test])
    kinds = clips().faults[cut.test]
    for kind, name in enumerate(tl.data.FAULTS[1:], start=1):
        asked = (kinds == 0) | (kinds == kind)
        found[name] = tl.stats.scores(probabilities[asked], targets()[cut.test][asked])["auroc"]
    return recipes.Run(nn.Identity(), history, found | {"val_auroc": seen["auroc"]})


def scratch(cut: Parts, p: Profile, seed: int, change: str = "") -> recipes.Run:
    """Train a small network from random weights on the pictures, some of them changed at random."""
    tl.seed_everything(seed)
    everything = images()
    transform = tl.models.preprocessing(p.image_size, (0.5,) * 3, (0.5,) * 3)
    net = recipes.small_cnn(width=12)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    train = tl.data.loader(
        everything.take(cut.train), transform, p.batch_size, True, augment=_changes(change), seed=seed, keep=True
    )
    val = tl.data.loader(everything.take(cut.val), transform, 2 * p.batch_size, keep=True)
    history = _fit(net, train, val, optimizer, EPOCHS["scratch"])
    found, _ = tl.train.predict_proba(net, tl.data.loader(everything.take(cut.test), transform, 2 * p.batch_size))
    return _run(found, _seen(history), cut)


def _changes(change: str) -> Any:
    if change == "flip":
        return lambda x: x.flip(1) if torch.rand(()) < 0.5 else x
    if change == "shift":
        return lambda x: x.roll(int(torch.randint(x.shape[2], ())), 2)
    return None


def _fit(net: nn.Module, train: Any, val: Any, optimizer: torch.optim.Optimizer, epochs: int) -> pd.DataFrame:
    # An epoch is as many steps as 200 labels give, so that few labels do not mean few steps.
    train = _Repeated(train, -(-max(LABELS) // tl.profile.current().batch_size) // len(train))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * len(train))
    return tl.train.fit(net, train, val, optimizer, epochs, scheduler=schedule)


class _Repeated:
    """A loader that is run through several times."""

    def __init__(self, loader: DataLoader, times: int) -> None:
        self.loader, self.times = loader, max(1, times)

    def __len__(self) -> int:
        return self.times * len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.times):
            yield from self.loader


def _seen(history: pd.DataFrame) -> dict[str, float]:
    best = history[history["best"]].iloc[0]
    return {"accuracy": float(best["val_accuracy"]), "auroc": float(best["val_auroc"])}


@cache
def below() -> torch.Tensor:
    """Return what the stages that stay frozen make of all pictures: computed once."""
    net = _whole()
    found = []
    with torch.no_grad():
        for x, _ in tl.data.loader(images(), net.transform, 64):
            for layer in _layers(net)[:-UPPER]:
                x = layer(x)
            found.append(x)
    return torch.cat(found)


def _whole(seed: int = 0) -> tl.models.Backbone:
    return tl.models.load("efficientnet_lite0", image_size=tl.profile.current().image_size, seed=seed).eval()


def _layers(net: tl.models.Backbone) -> list[nn.Module]:
    body: Any = net.net
    ends = nn.Sequential(body.conv_head, body.bn2, body.global_pool)
    return [body.conv_stem, body.bn1, *body.blocks, ends, body.classifier]


def tuned(cut: Parts, p: Profile, seed: int) -> recipes.Run:
    """Head first, on frozen features; then the top stages too, ten times slower, with BatchNorm held."""
    tl.seed_everything(seed)
    x, y, net = below(), torch.from_numpy(targets()), _whole(seed)
    upper = nn.Sequential(*_layers(net)[-UPPER:])
    tl.models.freeze(net)
    with torch.no_grad():
        inputs = torch.cat([upper[:-1](batch) for batch in x.split(64)])
    optimizer = torch.optim.AdamW(net.head.parameters(), lr=recipes.HEAD_RATE, weight_decay=0.01)
    tl.train.fit(
        net.head,
        _batches(inputs, y, cut.train, p, seed),
        [(inputs[cut.val], y[cut.val])],
        optimizer,
        epochs=60,
        patience=10,
    )
    tl.models.unfreeze(net, TOP)
    body = [q for q in upper.parameters() if q.requires_grad and not any(q is h for h in net.head.parameters())]
    optimizer = torch.optim.AdamW(
        [
            {"params": body, "lr": recipes.BACKBONE_RATE},
            {"params": list(net.head.parameters()), "lr": recipes.HEAD_RATE},
        ]
    )
    held = _Held(upper)
    train = _batches(x, y, cut.train, p, seed)
    history = _fit(held, train, [(x[cut.val], y[cut.val])], optimizer, EPOCHS["tuned"])
    found, _ = tl.train.predict_proba(held, [(x[cut.test], y[cut.test])])
    return _run(found, _seen(history), cut)


class _Held(nn.Module):
    """The upper layers, with BatchNorm in eval mode whatever is asked."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)

    def train(self, mode: bool = True) -> _Held:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, tl.models.NORMS):
                module.eval()
        return self


def _batches(x: torch.Tensor, y: torch.Tensor, which: np.ndarray, p: Profile, seed: int) -> DataLoader:
    order = torch.Generator().manual_seed(seed)
    return DataLoader(TensorDataset(x[which], y[which]), p.batch_size, shuffle=True, generator=order)


def run(arm: str, labels: int, seed: int) -> recipes.Run:
    """Run one cell."""
    p, cut = tl.profile.current(), parts(labels, seed)
    kind, _, change = arm.partition(" ")
    if kind == "scratch":
        return scratch(cut, p, seed, change)
    if kind == "tuned":
        return tuned(cut, p, seed)
    if kind == "knn":
        return neighbors(features("frozen"), cut)
    return probe(features(kind), cut, features(kind, change) if change else None)


def cells(p: Profile) -> Iterator[dict[str, Any]]:
    """Yield the cells seed by seed, those of seconds first, so that an unfinished run holds whole seeds."""
    for arms in (("classic", "random", "frozen", "knn"), ("scratch", "tuned")):
        for seed in p.seeds:
            yield from ({"arm": arm, "labels": labels, "seed": seed} for labels in LABELS for arm in arms)
    for seed in p.seeds:
        yield from ({"arm": arm, "labels": max(LABELS), "seed": seed} for arm in CHANGED)


def choose(severities: tuple[float, ...] = (1.0, 0.5, 0.25, 0.125)) -> pd.Series:
    """Return the validation AUROC of the classic measurements with 200 labels, by severity, mean over seeds."""
    found = {}
    for severity in severities:
        made = tl.data.sound_collection(MACHINES, CLIPS, severity)
        x = tl.data.classic_features(made.waves)
        scores = []
        for seed in tl.profile.current().seeds:
            cut = parts(max(LABELS), seed)  # the same machines and clips at every severity
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=3000))
            model.fit(x[cut.train], targets()[cut.train])
            scores.append(tl.stats.scores(model.predict_proba(x[cut.val]), targets()[cut.val])["auroc"])
        found[severity] = float(np.mean(scores))
    return pd.Series(found, name="validation AUROC")


def main() -> None:
    """Run what is missing."""
    grid.fill(NAME, COMMAND, cells(tl.profile.current()), run)


if __name__ == "__main__":
    main()
