"""What a linear probe reads at every stage, on three tasks: a stored run of chapter 05.

Ten draws rather than the profile's five: a draw costs seconds. Resumable: what stands in the CSV is not run again.
``python -m benchmarks.probes``
"""

from __future__ import annotations

import time
from functools import lru_cache

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

import tlhelpers as tl
from tlhelpers.data import ImageSet
from tlhelpers.profile import Profile

NAME, COMMAND = "probes", "python -m benchmarks.probes"
TASKS = ("objects", "textures", "defects")
WEIGHTS = ("pretrained", "random")
SEEDS = range(10)


def parts(task: str, p: Profile, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return training and test images of a task; for photographs, from the two sides of a line through each."""
    if task == "defects":
        splits = tl.data.split(tl.data.load(p.image_data), p.n_train, p.n_val, p.n_test, seed)
        return splits.train, splits.test
    if task == "objects":
        photos = tl.data.photographs()
        return tl.data.pieces(photos, 12, 0, seed), tl.data.pieces(photos, 24, 1, seed)
    photos, look = tl.data.textures(), {"shares": (0.2, 0.35), "turned": True}
    return tl.data.pieces(photos, 12, 0, seed, **look), tl.data.pieces(photos, 24, 1, seed, **look)


def probe(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    """Return the balanced accuracy of a ridge classifier; its penalty is chosen by leave-one-out in training."""
    ridge = RidgeClassifierCV(alphas=np.logspace(0, 5, 11), class_weight="balanced")
    model = make_pipeline(StandardScaler(), ridge).fit(x, y)
    return float(balanced_accuracy_score(y_test, model.predict(x_test)))


@lru_cache(maxsize=2)
def network(weights: str, seed: int) -> tl.models.Backbone:
    """Return the backbone with pretrained weights, or with the random ones of a seed."""
    p = tl.profile.current()
    return tl.models.load(p.backbone, pretrained=weights == "pretrained", image_size=p.image_size, seed=seed)


def run(task: str, weights: str, seed: int) -> dict[str, float]:
    """Return the balanced accuracy on test images for every stage."""
    train, test = parts(task, tl.profile.current(), seed)
    net = network(weights, seed if weights == "random" else 0)
    (x, y), (x_test, y_test) = tl.look.pooled(net, train), tl.look.pooled(net, test)
    return {stage: probe(x[stage], y, x_test[stage], y_test) for stage in x}


def main() -> None:
    """Run what is missing."""
    path = tl.book.folder() / f"{NAME}.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    there = {(row["task"], row["weights"], row["seed"]) for row in rows}
    cells = [(t, w, s) for s in SEEDS for w in WEIGHTS for t in TASKS if (t, w, s) not in there]
    for task, weights, seed in tqdm(cells, unit="run"):
        start = time.perf_counter()
        found = run(task, weights, seed)
        seconds = (time.perf_counter() - start) / len(found)
        rows += [
            {"task": task, "weights": weights, "seed": seed, "stage": stage, "depth": depth,
             "balanced_accuracy": score, "seconds": seconds}
            for depth, (stage, score) in enumerate(found.items())
        ]  # fmt: skip
        tl.book.save(NAME, pd.DataFrame(rows), COMMAND)


if __name__ == "__main__":
    main()
