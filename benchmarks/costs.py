"""What a training step costs in time, part by part, and what each way to save costs in accuracy: chapter 08.

CPU milliseconds an image on one thread, as the clock of the process counts them: a busy neighbor disturbs them
little. Solar cells at 128 pixels, read from PNG files that lie in memory, in batches of 32; modules stay together.
Run it with ``OMP_NUM_THREADS=1``, so that the notes of the rows say so, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from itertools import islice, pairwise

import numpy as np
import torch
from PIL import Image
from torch import nn

import tlhelpers as tl
from benchmarks import engine, parts
from benchmarks.experiment import Cell, Experiment, Row
from benchmarks.parts import Part
from tlhelpers.data import ImageSet, Splits
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile
from tlhelpers.train import has_bf16

SIDE, BATCH = 128, 32
SIZES = (256, 64, 320)  # images to train on, to watch, to test on
WARM, TIMED = 1, 3  # steps; the first one fills caches and lets libraries choose their ways
EPOCHS, RATE = 2, 1e-4  # of fine-tuning, for its score
LAPS = ("decode", "resize", "augment", "forward", "backward", "optimizer")
PLAIN, FIRST, BF16, CACHED, FLIPS = "channels last", "channels first", "bf16", "cached", "cached flips"
WAYS = {
    "frozen": (PLAIN, FIRST, BF16, CACHED, FLIPS),
    "last stages": (PLAIN,),
    "full": (PLAIN, FIRST, BF16),
}
SCORED = [("frozen", way) for way in WAYS["frozen"]] + [("full", PLAIN), ("full", BF16)]
SEEDS = range(20, 25)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, then on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=1)
def splits(p: Profile, seed: int) -> Splits:
    """Return the cells of each part."""
    images = tl.data.load(p.image_data)
    return tl.data.split(images, *SIZES, seed, groups=tl.data.load_groups(p.image_data))


@lru_cache(maxsize=1)
def prepared(p: Profile, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images to train on and to test on, as the network takes them ``[N, 3, S, S]``."""
    transform = tl.models.load(p.backbone, 2, image_size=SIDE).transform
    train, _, test = splits(p, seed)
    return engine.pixels(train, transform), engine.pixels(test, transform)


def network(p: Profile, arm: str, way: str, seed: int) -> Backbone:
    """Return the pretrained network with a new head, BatchNorm held, ready to train what an arm trains."""
    net = tl.models.freeze_norms(tl.models.load(p.backbone, 2, image_size=SIDE, seed=seed).to(p.device))
    net.to(memory_format=torch.contiguous_format if way == FIRST else torch.channels_last)
    names = list(net.stages)
    if arm != "full":
        cut = "head" if arm == "frozen" else parts.stage_from(net, 0.5)
        tl.models.freeze(net, names[: names.index(cut)])
    return net.train()


def laid(x: torch.Tensor, way: str, device: str) -> torch.Tensor:
    """Return images ``[B, 3, S, S]`` on a device, in the layout of a way."""
    return x.to(device) if way == FIRST else tl.train.to_device(x, torch.device(device))


def computing(way: str, device: str) -> torch.autocast:
    """Return the context in which a way computes."""
    return torch.autocast(device, torch.bfloat16, enabled=way == BF16)


# Time


def files(images: ImageSet) -> list[bytes]:
    """Return each image as the bytes of a PNG file."""
    held = []
    for row in range(len(images)):
        buffer = BytesIO()
        images[row][0].convert("L").save(buffer, "png")
        held.append(buffer.getvalue())
    return held


def clock(device: str) -> float:
    """Return the CPU seconds of this process, once the device has done its work."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.process_time()


def laps(p: Profile, net: Backbone, way: str, seed: int) -> dict[str, float]:
    """Return CPU milliseconds an image of each part of a training step, the medians of several steps."""
    train = splits(p, seed).train
    order = np.random.default_rng(seed).permutation(len(train))[: (WARM + TIMED) * BATCH]
    drawn, held = train.labels[order].reshape(-1, BATCH), files(train.take(order))
    flip = tl.data.augment_cells()
    optimizer = torch.optim.AdamW([w for w in net.parameters() if w.requires_grad], lr=RATE)
    taken = []
    for step, labels in enumerate(torch.from_numpy(drawn).to(p.device)):
        marks = [clock(p.device)]
        opened = [Image.open(BytesIO(file)).convert("RGB") for file in held[step * BATCH : (step + 1) * BATCH]]
        marks.append(clock(p.device))
        images = [net.transform(image) for image in opened]
        marks.append(clock(p.device))
        x = laid(torch.stack([flip(image) for image in images]), way, p.device)
        marks.append(clock(p.device))
        with computing(way, p.device):
            loss = nn.functional.cross_entropy(net(x).float(), labels)
        marks.append(clock(p.device))
        loss.backward()
        marks.append(clock(p.device))
        optimizer.step()
        optimizer.zero_grad()
        marks.append(clock(p.device))
        taken.append(np.diff(marks))
    return dict(zip(LAPS, np.median(taken[WARM:], axis=0) * 1000 / BATCH, strict=True))


def head_laps(x: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    """Return the same for a head on cached features ``[N, width]``: no picture is touched any more."""
    head = nn.Linear(x.shape[1], 2)
    optimizer = torch.optim.AdamW(head.parameters())
    taken = []
    for batch, labels in islice(engine.Drawn([x], y, BATCH, 40, seed=0), 40):
        marks = [time.process_time()]
        loss = nn.functional.cross_entropy(head(batch), labels)
        marks.append(time.process_time())
        loss.backward()
        marks.append(time.process_time())
        optimizer.step()
        optimizer.zero_grad()
        marks.append(time.process_time())
        taken.append([later - sooner for sooner, later in pairwise(marks)])
    found = np.median(taken[WARM:], axis=0) * 1000 / BATCH
    return dict.fromkeys(LAPS, 0.0) | dict(zip(LAPS[3:], found, strict=True))


# What it costs in accuracy


@torch.no_grad()
def features(p: Profile, net: Backbone, x: torch.Tensor, way: str) -> torch.Tensor:
    """Return what enters the head ``[N, width]`` float32 for images ``[N, 3, S, S]``."""
    with tl.models.evaluating(net), computing(way, p.device):
        return torch.cat([net.features(laid(part, way, p.device)).float().cpu() for part in x.split(BATCH)])


def frozen_scores(x: Sequence[torch.Tensor], y: np.ndarray, x_test: torch.Tensor, y_test: np.ndarray) -> Row:
    """Return the scores of a linear classifier on frozen features, of each image in one view or in several."""
    model = tl.look.linear_classifier().fit(torch.cat([*x]).numpy(), np.tile(y, len(x)))
    return tl.stats.scores(model.predict_proba(x_test.numpy()), y_test)


def tuned_scores(p: Profile, net: Backbone, train: Part, test: Part, way: str, seed: int) -> Row:
    """Return the scores after a short fine-tuning of all layers, on flipped images."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.01)
    weights = tl.train.class_weights(train[1].numpy()).to(p.device)
    steps = EPOCHS * len(train[1]) // BATCH
    falling = tl.train.warmup_cosine(optimizer, steps, max(1, steps // 20))
    for x, y in engine.Drawn(engine.views(train[0]), train[1], BATCH, steps, seed):
        with computing(way, p.device):
            out = net(laid(x, way, p.device)).float()
        optimizer.zero_grad()
        nn.functional.cross_entropy(out, y.to(p.device), weight=weights).backward()
        optimizer.step()
        falling.step()
    with torch.no_grad(), tl.models.evaluating(net), computing(way, p.device):
        logits = torch.cat([net(laid(x, way, p.device)).float().cpu() for x in test[0].split(BATCH)])
    return tl.stats.scores(logits.softmax(1).numpy(), test[1].numpy())


def scores(p: Profile, arm: str, way: str, seed: int) -> Row:
    """Return the scores on test cells, and how far features are from those of the plain way, of their norm."""
    (x, x_test), (train, _, test) = prepared(p, seed), splits(p, seed)
    net, looked = network(p, arm, way, seed), x_test[: 2 * BATCH]
    exact, found = features(p, network(p, arm, FIRST, seed), looked, FIRST), features(p, net, looked, way)
    gap = {"gap": float((found - exact).norm() / exact.norm())}
    if arm == "full":
        pairs = (x, torch.from_numpy(train.labels)), (x_test, torch.from_numpy(test.labels))
        return gap | tuned_scores(p, net, *pairs, way, seed)
    seen = [features(p, net, view, way) for view in (engine.views(x) if way == FLIPS else [x])]
    return gap | frozen_scores(seen, train.labels, features(p, net, x_test, way), test.labels)


def run(p: Profile, arm: str, way: str, seed: int) -> Row:
    """Run one cell."""
    with one_thread():
        net = network(p, arm, way, seed)
        if way in (CACHED, FLIPS):
            x = features(p, net, prepared(p, seed)[0], way)
            taken = head_laps(x, torch.from_numpy(splits(p, seed).train.labels))
        else:
            taken = laps(p, net, way, seed)
        row: Row = {f"{name}_ms": value for name, value in taken.items()}
        row |= {"step_ms": sum(taken.values()), "native": has_bf16(p.device)}
        if (arm, way) in SCORED:
            return row | scores(p, arm, way, seed)
        return row | dict.fromkeys(("gap", *tl.stats.METRICS), float("nan"))


def grid(p: Profile) -> list[Cell]:
    """Return the cells seed by seed, so that an unfinished run holds whole seeds."""
    return [{"arm": arm, "way": way, "seed": s} for s in SEEDS for arm, ways in WAYS.items() for way in ways]


Experiment(
    "step_costs",
    grid,
    run,
    check=[{"arm": "frozen", "way": CACHED, "seed": SEEDS[0]}],
    bf16=lambda cell: cell["way"] == BF16,
)
