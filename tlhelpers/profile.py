"""Which model, which data, which sizes: the one place that reads the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from tlhelpers._paths import book_folder


@dataclass(frozen=True)
class Profile:
    """Names, sizes and paths of one way to run the book.

    Attributes:
        name: ``offline``, ``full``, or ``smoke``: ``full`` in small, to check its way without its data.
        backbone: a name that :func:`tlhelpers.models.load` understands.
        image_data: a name or a folder that :func:`tlhelpers.data.load` understands.
        image_size: side of the square input, in pixels.
        label_counts: training set sizes of the learning curves, in images.
        n_train, n_val, n_test: sizes of the splits, in images.
        epochs: passes over the training set when the backbone is tuned.
        seeds: one run of every comparison for each.
        batch_size: images a step.
        text_model: a name that :func:`tlhelpers.models.load_encoder` understands.
        text_data: one of :data:`tlhelpers.data.TEXT_DOMAINS`, or a data set on the Hugging Face hub.
        text_train, text_val, text_test: sizes of the splits, in texts.
        text_unlabeled: texts without labels for domain-adaptive pretraining.
        text_length: tokens read of a text; the rest is cut off.
        text_epochs: passes over the training texts when the encoder is tuned.
        text_rate: learning rate of full fine-tuning.
        device: ``cpu``, ``cuda`` or ``mps``.
    """

    name: str
    backbone: str
    image_data: str
    image_size: int
    label_counts: tuple[int, ...]
    n_train: int
    n_val: int
    n_test: int
    epochs: int
    seeds: tuple[int, ...]
    batch_size: int
    text_model: str
    text_data: str
    text_train: int
    text_val: int
    text_test: int
    text_unlabeled: int
    text_length: int
    text_epochs: int
    text_rate: float
    device: str = "cpu"


_OFFLINE = Profile(
    name="offline",
    backbone="efficientnet_lite0",
    image_data="elpv",
    image_size=128,
    label_counts=(25, 50, 100, 250, 500),
    n_train=500,
    n_val=200,
    n_test=1000,
    epochs=5,
    seeds=(0, 1, 2, 3, 4),
    batch_size=32,
    text_model="minilm",
    text_data="movies",
    text_train=500,
    text_val=500,
    text_test=1000,
    text_unlabeled=4000,
    text_length=48,
    text_epochs=3,
    text_rate=1e-4,
)
_FULL = replace(
    _OFFLINE,
    name="full",
    backbone="resnet50",
    image_data="data/chest_xray",
    image_size=224,
    epochs=10,
    text_model="distilbert/distilbert-base-uncased",
    text_data="stanfordnlp/imdb",
    text_train=22_000,  # of 25,000, some of which are copies and stay together
    text_val=2_500,
    text_test=25_000,
    text_unlabeled=50_000,
    text_length=256,
    text_rate=2e-5,
)
_SMOKE = replace(
    _FULL,
    name="smoke",
    image_data="_build/smoke/images",
    image_size=64,
    label_counts=(25, 50, 100),
    n_train=120,
    n_val=60,
    n_test=120,
    epochs=1,
    seeds=(0, 1),
    text_train=64,
    text_val=32,
    text_test=64,
    text_unlabeled=64,
    text_length=32,
    text_epochs=1,
)
_PROFILES = {p.name: p for p in (_OFFLINE, _FULL, _SMOKE)}


def current() -> Profile:
    """Return the profile named by ``TLHELPERS_PROFILE`` (default ``offline``).

    ``TLHELPERS_DATA`` replaces the image folder of the profile. A relative folder is looked for here, then in the
    repository. All profiles but ``offline`` run on an accelerator when there is one.

    Raises:
        ValueError: when the variable names no profile.
    """
    name = os.environ.get("TLHELPERS_PROFILE", "offline")
    if name not in _PROFILES:
        raise ValueError(
            f"TLHELPERS_PROFILE is {name!r}, but the profiles are {', '.join(_PROFILES)}; set one of them."
        )
    chosen = _PROFILES[name]
    folder = _seen_from_here(os.environ.get("TLHELPERS_DATA") or chosen.image_data)
    return replace(chosen, image_data=folder, device="cpu" if name == "offline" else _device())


def _seen_from_here(folder: str) -> str:
    # A chapter runs in book/, but a reader names a folder from where `make` was called.
    in_repository = book_folder().parent / folder
    return str(in_repository) if not Path(folder).exists() and in_repository.is_dir() else folder


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
