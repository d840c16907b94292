"""What augmentation is worth, policy by policy, on cells and on digits: a stored run of chapter 05.

Most policies offer a few views of each training picture beside the picture itself, and what is frozen is computed
once for each of them. The arm ``frozen`` trains a head on their features. In ``last stages`` the head is trained
first, on the pictures as they are, and the policy changes what the stages then learn from. Rates and steps are
fixed: those that the protocol's search chose for these two tasks without a policy. Validation chooses the round.
Exploratory: the protocol has no word on it. Four splits that no other table uses, modules apart.

On digits two columns tell of the one pair that a turn makes out of each other: ``swapped`` is the share of sixes
and nines in the test part that were called the other, ``others`` the share of right answers on all other digits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import nn
from torchvision.transforms import v2

import tlhelpers as tl
from benchmarks import cells, engine, others, parts, pictures
from benchmarks.experiment import Cell, Experiment, Row
from benchmarks.parts import Rows
from benchmarks.pictures import Pool
from tlhelpers.data import ImageSet
from tlhelpers.look import Suffix
from tlhelpers.profile import Profile

SEEDS, SIDE = range(960, 964), 128
SIZES = (400, 200, 600)  # to train on, at most; to watch; to test on
MEASURE = {"defects": "auroc", "digits": "balanced_accuracy"}
RULES = {"defects": cells.CELLS.rules, "digits": others.DIGITS.rules}
HEAD_RATE = {"defects": 1e-3, "digits": 1e-3}
RATE = 1e-3  # of the last stages, on either task
SIX, NINE = 6, 9

DRAWS = 3
BICUBIC = v2.InterpolationMode.BICUBIC
CHANGES: dict[str, Callable] = {
    # Squares of 80 to 100 % of a side, cut from a larger picture, so that the smallest is not blown up.
    "crop": v2.Compose([
        v2.Resize(SIDE * 5 // 4, BICUBIC),
        v2.RandomResizedCrop(SIDE, (0.64, 1.0), (1.0, 1.0), BICUBIC),
    ]),
    "light": v2.ColorJitter(brightness=0.3, contrast=0.3),
}  # fmt: skip
DRAWN = {change: tuple(f"{change} {number}" for number in range(1, DRAWS + 1)) for change in CHANGES}
POLICIES: dict[str, tuple[str, ...]] = {  # views beside the picture itself
    "none": (),
    "mirror": ("mirrored",),
    "flips": ("mirrored", "upside down", "turned"),
    "turn": ("turned",),
    "crops": DRAWN["crop"],
    "light": DRAWN["light"],
}
# Tuning costs twenty-five times a head, so it tries fewer.
LABELS = {"frozen": (25, 100, 400), "last stages": (100,)}
TUNED = {"defects": ("none", "flips", "crops"), "digits": ("none", "flips", "turn", "crops")}


def tried(task: str, arm: str) -> tuple[str, ...]:
    """Return the policies that an arm compares."""
    return TUNED[task] if arm == "last stages" else tuple(POLICIES)


def views(images: ImageSet, transform: Callable, seed: int) -> dict[str, torch.Tensor]:
    """Return pictures as they are and in every view that a policy offers, each ``[N, 3, S, S]``."""
    flipped = engine.views(engine.pixels(images, transform))
    made = dict(zip(("as it is", "mirrored", "upside down", "turned"), flipped, strict=True))
    tl.seed_everything(seed)
    for change, names in DRAWN.items():
        changed = v2.Compose([CHANGES[change], transform])
        made |= {name: engine.pixels(images, changed) for name in names}
    return made


def prepared(p: Profile, task: str, arm: str, seed: int) -> tuple[Pool, Rows, dict[str, torch.Tensor]]:
    """Return what enters the last stages: the parts of a split as a pool, and the views of its training part.

    Fewer labels are the first rows of more, as :func:`tlhelpers.data.subset` orders them.
    """
    labels, names = max(LABELS[arm]), {name for policy in tried(task, arm) for name in POLICIES[policy]}
    splits = tl.data.IMAGE_TASKS[task](seed, sizes=SIZES)
    known = tl.data.subset(splits.train, labels, seed)
    rules = {**RULES[task], "measure": MEASURE[task]}
    y = np.concatenate([part.labels for part in (known, splits.val, splits.test)])
    transform = tl.models.load(p.backbone, image_size=SIDE).transform
    seen = views(known, transform, seed)
    pool = Pool(seen["as it is"], torch.from_numpy(y), len(known.classes), p.backbone, p.device, False, rules)
    net = pool.net(0).eval()
    stage = parts.stage_from(net, pictures.SHARE)
    held = [engine.prefix(net, engine.pixels(part, transform), stage, pool.dtype) for part in splits[1:]]
    entering = {
        name: engine.prefix(net, x, stage, pool.dtype) for name, x in seen.items() if name in names | {"as it is"}
    }
    whole = torch.cat([entering["as it is"], *held])
    suffix = Suffix(net, stage, SIDE)
    pool.made = {"entering": ([whole], stage), "features": engine.features(suffix, whole, pool.dtype)}
    pool.made["views"] = {name: engine.features(suffix, x, pool.dtype) for name, x in entering.items()}
    edges = np.cumsum([labels, *SIZES[1:]])
    return pool, Rows(*np.split(np.arange(edges[-1]), edges[:-1])), entering


def head(
    pool: Pool, rows: Rows, few: np.ndarray, seen: list[torch.Tensor], rate: float, seed: int
) -> tuple[nn.Module, torch.Tensor, pd.DataFrame]:
    """Train a new head on the features of some views; return it, the features it is tested on, its rounds."""
    rules, net, x = pool.rules, pool.net(seed), pool.features()
    history = engine.fit(
        net.head,
        engine.Drawn([view[few] for view in seen], pool.y[few], rules["batch"], rules["head"]["steps"], seed),
        (x[rows.val], pool.y[rows.val]),
        [{"params": list(net.head.parameters()), "lr": rate}],
        rounds=rules["head"]["rounds"],
        measure=rules["measure"],
        weights=tl.train.class_weights(pool.y[few].numpy(), pool.classes),
        schedule="constant",
    )
    return net.head, x, history


def mixed_up(chances: np.ndarray, y: np.ndarray) -> Row:
    """Return how a test part of digits fares by what a turn makes of each."""
    called, pair = chances.argmax(axis=1), np.isin(y, (SIX, NINE))
    return {
        "swapped": float((called[pair] == SIX + NINE - y[pair]).mean()),
        "others": float((called[~pair] == y[~pair]).mean()),
    }


def grid(p: Profile) -> list[Cell]:
    """Return the cells, so that an unfinished run holds whole splits."""
    return [{"task": task, "arm": arm, "seed": seed} for seed in SEEDS for task in MEASURE for arm in LABELS]


def run(p: Profile, task: str, arm: str, seed: int) -> list[Row]:
    """Run one cell: a row for each policy and number of labels."""
    pool, rows, entering = prepared(p, task, arm, seed)
    y = pool.y[rows.test].numpy()
    whole, stage = pool.made["entering"]
    found = []
    for policy in tried(task, arm):
        names = POLICIES[policy]
        for labels in LABELS[arm]:
            few = rows.train[:labels]
            tl.seed_everything(seed)
            if arm == "frozen":
                seen = [pool.made["views"][name] for name in ("as it is", *names)]
                trained, x, history = head(pool, rows, few, seen, HEAD_RATE[task], seed)
            else:
                pool.made["entering"] = [*whole[:1], *(entering[name] for name in names)], stage
                _, trained, x, history = pictures.tuned(pool, rows, few, arm, RATE, seed)
            test = parts.in_order((x[rows.test], pool.y[rows.test]), engine.CHUNK)
            chances = tl.train.predict_proba(trained, test)[0]
            best = history.query("best").iloc[0]
            row = {"policy": policy, "labels": labels, "validation": float(best[f"val_{MEASURE[task]}"])}
            row |= {"kept": int(best["epoch"]), **tl.stats.scores(chances, y)}
            found.append(row | (mixed_up(chances, y) if task == "digits" else {}))
    return found


Experiment(
    "augmentations",
    grid,
    run,
    check=[{"task": "digits", "arm": "frozen", "seed": 961}],
    bf16=pictures.in_bf16,
)
