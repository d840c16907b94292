"""What the unit tests share: a quiet, default environment, small images, and a network small enough to train."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # read once, when tqdm is imported

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import tlhelpers as tl
from tlhelpers.data import ImageSet
from tlhelpers.models import Backbone


@pytest.fixture(autouse=True)
def one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compute on one thread, for arrays this small are sooner done than shared; a stored run keeps its threads."""
    before = torch.get_num_threads()
    if not request.node.get_closest_marker("slow"):
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin with the default profile."""
    monkeypatch.delenv("TLHELPERS_PROFILE", raising=False)
    monkeypatch.delenv("TLHELPERS_DATA", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images in the layout of the pediatric chest X-rays, with one brighter class: 80 in all, 40 a class."""
    rng = np.random.default_rng(0)
    root = tmp_path / "xray"
    for part, count in (("train", 24), ("val", 4), ("test", 12)):
        for label, name in enumerate(("NORMAL", "PNEUMONIA")):
            where = root / part / name
            where.mkdir(parents=True)
            for number in range(count):
                values = rng.integers(0, 120, (40, 36)) + 100 * label
                Image.fromarray(values.astype(np.uint8)).save(where / f"{number}.png")
    return root


@pytest.fixture
def numbered() -> Callable[..., ImageSet]:
    """Make a set with the given labels whose image ``i`` is one pixel of the value ``i``."""

    def make(labels: Sequence[int] | np.ndarray, classes: Sequence[str] = ("a", "b")) -> ImageSet:
        images = [np.full((1, 1), number, np.uint8) for number in range(len(labels))]
        return ImageSet(images, np.asarray(labels, dtype=int), tuple(classes))

    return make


@pytest.fixture
def numbers() -> Callable[[ImageSet], list[int]]:
    """Tell which images of a :func:`numbered` set another set holds."""
    return lambda images: [int(np.asarray(image)[0, 0]) for image in images.images]


class Tiny(nn.Module):
    """A network in the manner of a ResNet, with four stages: stem, layer1, layer2, head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Dropout(0.5))
        self.fc = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer2(self.layer1(self.bn1(self.conv1(x)).relu()))
        return self.fc(x.mean(dim=(2, 3)))


@pytest.fixture
def tiny() -> Callable[[], Backbone]:
    """Make the same tiny backbone at each call, for images of 8 x 8 pixels; BatchNorm stands in two stages."""

    def make() -> Backbone:
        torch.manual_seed(0)
        return Backbone(Tiny(), "tiny", tl.models.preprocessing(8, (0.5,) * 3, (0.5,) * 3))

    return make
