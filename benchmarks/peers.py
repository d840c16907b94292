"""The two-stage job in other libraries and in ours: a stored run. ``make peers`` sets up what it needs, and runs.

An ImageNet network is tuned on 500 solar cells, modules kept apart, at 128 pixels: 5 epochs of a new head, then 10
of everything, in batches of 32, on one thread of a CPU. Each arm does that as its own documentation recommends,
with its own loading and augmentation, and takes what that leaves open from its defaults:

- ``ours``: chapter 05. Stage 1 on features computed once; stage 2 with a rate for head and body each, BatchNorm
  held, flips both ways, classes weighed, and the epoch (0 is stage 1) that validation AUROC likes best.
- ``fastai`` 2.8: ``vision_learner`` with the name of timm's architecture, and ``fine_tune`` at its default rate;
  ``item_tfms`` and ``aug_transforms`` as in the tutorial, in proportion to the smaller side; last epoch.
  https://docs.fast.ai/vision.learner.html https://docs.fast.ai/callback.schedule.html#learner.fine_tune
  https://docs.fast.ai/tutorial.vision.html
- ``lightning`` 2.6: ``BackboneFinetuning`` with head, optimizer and factor of its own example; mirrored pictures
  as in Lightning's example of fine-tuning, ``computer_vision_fine_tuning.py``; last epoch.
  https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.BackboneFinetuning.html
- ``pytorch tutorial``: the "fixed feature extractor", then "finetuning", each with SGD and StepLR and the epoch of
  the best validation accuracy. https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html
- ``keras order``: the guide's end-to-end example in PyTorch: the base in inference mode throughout, dropout before
  the head, Adam, then Adam at 1e-5; last epoch. https://keras.io/guides/transfer_learning/
- ``listing``: the recipe of a blog post, "Transfer Learning Explained" by Abstract Algorithms: a head of two
  layers, Adam, then a rate for each of four parts of the body, which leave the stem out; last epoch.

What is the same for all: images, split, pretrained weights, and the mean and standard deviation that they demand,
also where a recipe types those of ImageNet: a wrong normalization is no property of a library. Sizes before a crop
keep the recipe's ratio. Rates are not searched for, so this compares recipes as they are found, not libraries at
their best. The size of the batch is the job's, so the tutorial (4) and fastai (64) run at rates meant for another.

Each cell is trained in a process of its own, for those of the runner go on from cell to cell and keep the memory
that they once had. The clocks run from network and images in memory to the trained network: with loading,
augmentation and validation, without the import of libraries and the test. ``cpu_seconds`` counts all threads of
the process; ``wall_seconds`` depends on what else the machine does. ``peak_memory_mb`` is the most resident
memory, looked at 200 times a second, above that at the start, in 2**20 bytes. ``moved_in_stage_1`` and
``moved_buffers`` count the running means and variances of the body, ``buffers`` in all, that differ from the
pretrained ones.
"""

from __future__ import annotations

import copy
import gc
import importlib
import logging
import multiprocessing
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

import tlhelpers as tl
from benchmarks.experiment import Cell, Experiment, Row
from benchmarks.parts import Part
from tlhelpers.data import ImageSet, Splits
from tlhelpers.models import Backbone
from tlhelpers.profile import Profile

SIDE, BATCH = 128, 32
SIZES = (500, 200, 1000)  # images to train on, to watch, to test on
EPOCHS = (5, 10)  # of the head, of the whole network
SEEDS = range(940, 943)
EXTRAS = {
    "fastai": "fastai.vision.all",
    "lightning": "lightning.pytorch",
}  # arm, which is its package: what it uses
EVERY = 0.005  # seconds between two looks at the memory


class Buffers:
    """The running statistics of BatchNorm in a body, and how many of them moved until when."""

    def __init__(self, body: nn.Module) -> None:
        self.start = [statistic.clone() for statistic in _statistics(body)]
        self.moved: list[int] = []

    def count(self, body: nn.Module) -> None:
        """Note how many differ from the start; ``body`` may be another copy of the same network."""
        pairs = zip(self.start, _statistics(body), strict=True)
        self.moved.append(sum(not torch.equal(before, after) for before, after in pairs))


def _statistics(body: nn.Module) -> list[torch.Tensor]:
    return [value for name, value in body.named_buffers() if name.endswith(("running_mean", "running_var"))]


@dataclass
class Job:
    """What each arm is given.

    Attributes:
        net: the pretrained network with a new head.
        splits: images to train on and to watch; and to test on, which no arm looks at.
        epochs: of the head, of the whole network.
        batch: images a step.
        buffers: to be counted after each stage.
    """

    net: Backbone
    splits: Splits
    epochs: tuple[int, int]
    seed: int
    batch: int = BATCH
    buffers: Buffers = field(init=False)

    def __post_init__(self) -> None:
        self.buffers = Buffers(self.net)

    @property
    def side(self) -> int:
        return self.net.image_size

    @property
    def classes(self) -> int:
        return len(self.splits.train.classes)


Ask = Callable[[ImageSet], np.ndarray]
"""From images to the chance of each class ``[N, C]``."""


# Ours


def ours(job: Job) -> Ask:
    """Chapter 05, with tlhelpers."""
    net, train, val = job.net, *job.splits[:2]
    weights = tl.train.class_weights(train.labels)
    tl.models.freeze(net)
    known = tl.look.extract(net, train), tl.look.extract(net, val)
    tl.train.fit_head(
        net.head, *known, seed=job.seed, lr=1e-3, batch_size=job.batch, epochs=job.epochs[0], class_weights=weights
    )
    job.buffers.count(net)
    tl.models.freeze_norms(tl.models.unfreeze(net))
    optimizer = torch.optim.AdamW(tl.train.param_groups(net, head_lr=1e-3, backbone_lr=3e-5))
    tl.train.check_groups(net, optimizer)
    batches = tl.data.loader(
        train, net.transform, job.batch, True, tl.data.augment_cells(), seed=job.seed, cache=True
    )
    watched = tl.data.loader(val, net.transform, 2 * BATCH, cache=True)
    tl.train.fit(
        net,
        batches,
        watched,
        optimizer,
        job.epochs[1],
        batch_scheduler=tl.train.warmup_cosine(optimizer, job.epochs[1] * len(batches)),
        class_weights=weights,
        monitor="auroc",
        keep_start=True,
    )
    job.buffers.count(net)
    return lambda images: tl.train.predict_proba(net, tl.data.loader(images, net.transform, 2 * BATCH))[0]


# What is written in plain PyTorch


class Pictures(Dataset):
    """Images and labels, each image opened and transformed when it is asked for."""

    def __init__(self, images: ImageSet, transform: Callable) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image, label = self.images[index]
        return self.transform(image), label


class Plain(NamedTuple):
    """A network as its library makes it: a body that gives features ``[B, width]``, and the width."""

    body: nn.Module
    width: int


def plain(job: Job) -> Plain:
    """Return the network without our wrapper, its head, and the layout of its weights; in train mode."""
    width, inner = job.net.width, job.net.net
    head = next(name for name, module in inner.named_modules() if module is job.net.head)
    inner.set_submodule(head, nn.Identity())
    return Plain(inner.to(memory_format=torch.contiguous_format).train(), width)


def topped(body: nn.Module, head: nn.Module) -> nn.Sequential:
    """Return body and head as one network, whose parts have these names."""
    return nn.Sequential(OrderedDict(body=body, head=head))


def prepared(job: Job, *steps: Callable) -> v2.Compose:
    """Return steps on a picture, then what makes a normalized tensor of it."""
    normalize = v2.Normalize(job.net.mean.flatten().tolist(), job.net.std.flatten().tolist())
    return v2.Compose([*steps, v2.ToImage(), v2.ToDtype(torch.float32, scale=True), normalize])


def loaders(job: Job, train: Callable, val: Callable) -> tuple[DataLoader, DataLoader]:
    """Return batches to train on, in new orders, and to watch."""
    return (
        DataLoader(Pictures(job.splits.train, train), job.batch, shuffle=True),
        DataLoader(Pictures(job.splits.val, val), job.batch),
    )


def learn(net: nn.Module, batches: Iterable[Part], optimizer: torch.optim.Optimizer) -> None:
    """Take one step a batch, in the modes that the modules are in."""
    for x, y in batches:
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def logits(net: nn.Module, batches: Iterable[Part]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what a network says in eval mode ``[N, C]``, and the labels ``[N]``."""
    net.eval()
    said = [(net(x), y) for x, y in batches]
    return torch.cat([x for x, _ in said]), torch.cat([y for _, y in said])


def accuracy(net: nn.Module, batches: Iterable[Part]) -> float:
    """Return the share of right answers."""
    said, y = logits(net, batches)
    return float((said.argmax(dim=1) == y).float().mean())


def asking(net: nn.Module, transform: Callable) -> Ask:
    """Return how a network is asked for chances."""

    def ask(images: ImageSet) -> np.ndarray:
        return logits(net, DataLoader(Pictures(images, transform), BATCH))[0].softmax(dim=1).numpy()

    return ask


def pytorch_tutorial(job: Job) -> Ask:
    """Both scenarios of the tutorial, one after the other; ``train()`` moves BatchNorm in each."""
    body, width = plain(job)
    body.requires_grad_(False)
    head = nn.Linear(width, job.classes)
    net = topped(body, head)
    flip, wide = v2.RandomHorizontalFlip(), round(job.side * 256 / 224)
    seen = prepared(job, v2.Resize(wide), v2.CenterCrop(job.side))
    batches, watched = loaders(job, prepared(job, v2.RandomResizedCrop(job.side), flip), seen)
    for stage, epochs in enumerate(job.epochs):
        body.requires_grad_(stage == 1)
        trained = net if stage else head
        optimizer = torch.optim.SGD(trained.parameters(), lr=0.001, momentum=0.9)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
        best, kept = 0.0, copy.deepcopy(net.state_dict())
        for _ in range(epochs):
            learn(net.train(), batches, optimizer)
            schedule.step()
            score = accuracy(net, watched)
            if score > best:
                best, kept = score, copy.deepcopy(net.state_dict())
        net.load_state_dict(kept)
        job.buffers.count(body)
    return asking(net, seen)


def keras_order(job: Job) -> Ask:
    """The order of the guide: the base is called in inference mode, also when all of it is trained."""
    body, width = plain(job)
    net = topped(body, nn.Sequential(nn.Dropout(0.2), nn.Linear(width, job.classes)))
    rim = round(job.side * 0.21)  # a turn by 36 degrees takes what Keras reflects from so far outside
    turn = (v2.Pad(rim, padding_mode="reflect"), v2.RandomRotation(36, v2.InterpolationMode.BILINEAR))
    square, cut = v2.Resize((job.side, job.side)), v2.CenterCrop(job.side)
    seen = prepared(job, square)
    batches, watched = loaders(job, prepared(job, square, v2.RandomHorizontalFlip(), *turn, cut), seen)
    for stage, epochs in enumerate(job.epochs):
        body.requires_grad_(stage == 1)
        moving = [weights for weights in net.parameters() if weights.requires_grad]
        optimizer = torch.optim.Adam(moving, lr=1e-5 if stage else 1e-3, eps=1e-7)
        for _ in range(epochs):
            net.train()
            body.eval()
            learn(net, batches, optimizer)
            accuracy(net, watched)
        job.buffers.count(body)
    return asking(net, seen)


def listing(job: Job) -> Ask:
    """The listing of the post: ``train()`` in both stages, and parameter groups without the stem."""
    stages = [stage for name, stage in job.net.stages.items() if name not in ("stem", "head")]
    body, width = plain(job)
    body.requires_grad_(False)
    head = nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Dropout(0.4), nn.Linear(256, job.classes))
    net = topped(body, head)
    square = v2.Resize((job.side, job.side))
    changes = (v2.RandomHorizontalFlip(), v2.RandomRotation(10), v2.ColorJitter(brightness=0.2, contrast=0.2))
    seen = prepared(job, square)
    batches, watched = loaders(job, prepared(job, square, *changes), seen)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    schedule: Any = torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)
    for stage, epochs in enumerate(job.epochs):
        if stage:
            body.requires_grad_(True)
            rates = (1e-5, 1e-5, 2e-5, 5e-5)  # of what is layer1 to layer4 in the ResNet-50 of the post
            groups = [
                {"params": [weights for at in part for weights in stages[at].parameters], "lr": rate}
                for part, rate in zip(np.array_split(np.arange(len(stages)), len(rates)), rates, strict=True)
            ]
            optimizer = torch.optim.Adam([*groups, {"params": list(head.parameters()), "lr": 1e-4}])
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
        for _ in range(epochs):
            learn(net.train(), batches, optimizer)
            accuracy(net, watched)
            schedule.step()
        job.buffers.count(body)
    return asking(net, seen)


# Other libraries


def fastai(job: Job) -> Ask:
    """``vision_learner`` and ``fine_tune``; the name of an architecture is one of timm."""
    from fastai.vision import all as fa

    body: Any = plain(job).body

    def items(*sets: ImageSet) -> list[SimpleNamespace]:
        return [SimpleNamespace(images=images, row=row) for images in sets for row in range(len(images))]

    both = items(*job.splits[:2])
    block = fa.DataBlock(
        blocks=(fa.ImageBlock, fa.CategoryBlock),
        get_x=lambda item: item.images[item.row][0],
        get_y=lambda item: int(item.images.labels[item.row]),
        splitter=fa.IndexSplitter(range(len(job.splits.train), len(both))),
        item_tfms=fa.Resize(round(job.side * 460 / 224)),
        batch_tfms=fa.aug_transforms(size=job.side),
    )

    class Count(fa.Callback):
        def after_fit(self) -> None:  # fine_tune fits twice
            job.buffers.count(self.learn.model[0])

    with TemporaryDirectory() as folder:
        weights = Path(folder) / "pretrained.safetensors"
        save_file(body.state_dict(), weights)
        dls = block.dataloaders(both, bs=job.batch, num_workers=0, device=torch.device("cpu"), path=folder)
        learner = fa.vision_learner(
            dls,
            body.default_cfg["architecture"],
            metrics=fa.accuracy,
            path=folder,
            pretrained_cfg_overlay={"file": str(weights)},
        )
        with learner.no_bar(), learner.no_logging():
            learner.fine_tune(job.epochs[1], freeze_epochs=job.epochs[0], cbs=Count())

    def ask(images: ImageSet) -> np.ndarray:
        with learner.no_bar(), learner.no_logging():
            return learner.get_preds(dl=dls.test_dl(items(images), rm_type_tfms=0))[0].numpy()

    return ask


def lightning(job: Job) -> Ask:
    """``BackboneFinetuning``, with what its example leaves open from other examples."""
    import lightning.pytorch as pl
    from lightning.pytorch.callbacks import BackboneFinetuning

    class Tuned(pl.LightningModule):
        def __init__(self, backbone: nn.Module, width: int) -> None:
            super().__init__()
            self.backbone = backbone  # the callback asks for this name
            self.head = nn.Sequential(nn.Linear(width, 512), nn.ReLU(), nn.Linear(512, job.classes))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.backbone(x))

        def training_step(self, batch: Part, _: int) -> torch.Tensor:
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch: Part, _: int) -> None:
            self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.head.parameters(), lr=1e-3)  # the callback adds the rest

        def on_train_epoch_start(self) -> None:
            if self.current_epoch == job.epochs[0]:
                job.buffers.count(self.backbone)

    square, flip = v2.Resize((job.side, job.side)), v2.RandomHorizontalFlip()
    seen = prepared(job, square)
    batches, watched = loaders(job, prepared(job, square, flip), seen)
    tuned = Tuned(*plain(job))
    with TemporaryDirectory() as folder, quiet():
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=sum(job.epochs),
            callbacks=[BackboneFinetuning(job.epochs[0], lambda epoch: 1.5, backbone_initial_ratio_lr=0.1)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(tuned, batches, watched)
    job.buffers.count(tuned.backbone)
    return asking(tuned, seen)


@contextmanager
def quiet() -> Iterator[None]:
    """Let Lightning speak of errors only."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        logger.setLevel(before)


ARMS: dict[str, Callable[[Job], Ask]] = {
    "ours": ours,
    "fastai": fastai,
    "lightning": lightning,
    "pytorch tutorial": pytorch_tutorial,
    "keras order": keras_order,
    "listing": listing,
}


# Measuring


class Peak(threading.Thread):
    """Watches, in a ``with`` block, how far the resident memory of this process rises above that at its start."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.process, self.over = psutil.Process(), threading.Event()
        self.start_at = self.most = 0

    def look(self) -> None:
        """Take the memory of this moment into account."""
        self.most = max(self.most, self.process.memory_info().rss)

    def run(self) -> None:
        while not self.over.wait(EVERY):
            self.look()

    def __enter__(self) -> Peak:
        gc.collect()
        self.look()
        self.start_at = self.most
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.look()
        self.over.set()
        self.join()

    @property
    def megabytes(self) -> float:
        return (self.most - self.start_at) / 2**20


def check_installed(library: str) -> None:
    """Do nothing when what an arm uses is there.

    Raises:
        ModuleNotFoundError: when it is not, with the way to it.
    """
    if library in EXTRAS and util.find_spec(library) is None:
        raise ModuleNotFoundError(
            f"{library} is not installed: `make peers` sets up .venv-peers with it and runs what is missing."
        )


def measured(library: str, job: Job) -> Row:
    """Train as an arm does, and return its scores on the test part and what they cost."""
    if library in EXTRAS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what these libraries import; the reader can do nothing about it
            importlib.import_module(EXTRAS[library])
    package = library if library in EXTRAS else "torch"
    tl.seed_everything(job.seed)
    with Peak() as peak:
        cpu, wall = time.process_time(), time.perf_counter()
        ask = ARMS[library](job)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    scores = tl.stats.scores(ask(job.splits.test), job.splits.test.labels)
    in_stage_1, moved = job.buffers.moved
    return {
        **scores,
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "peak_memory_mb": peak.megabytes,
        "moved_in_stage_1": in_stage_1,
        "moved_buffers": moved,
        "buffers": len(job.buffers.start),
        "version": f"{package} {metadata.version(package)}",
    }


def job_of(p: Profile, seed: int) -> Job:
    """Return the job of a seed."""
    images = tl.data.load(p.image_data)
    splits = tl.data.split(images, *SIZES, seed, groups=tl.data.load_groups(p.image_data))
    return Job(tl.models.load(p.backbone, len(images.classes), image_size=SIDE, seed=seed), splits, EPOCHS, seed)


def alone(p: Profile, library: str, seed: int) -> Row:
    """Run one cell in this process, on one thread."""
    torch.set_num_threads(1)
    return measured(library, job_of(p, seed))


def run(p: Profile, library: str, seed: int) -> Row:
    """Run one cell in a process of its own."""
    check_installed(library)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(alone, p, library, seed).result()


def cells(p: Profile) -> list[Cell]:
    """Return the cells, the arms of a split together."""
    return [{"library": library, "seed": seed} for seed in SEEDS for library in ARMS]


Experiment("peers", cells, run, check=[{"library": "ours", "seed": SEEDS[0]}], needs=tuple(EXTRAS))
