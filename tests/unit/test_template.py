"""Chapter 17, the template, runs on data that it was not written for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tlhelpers as tl
from tools import build, notebooks

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)


def write(path: Path, shape: tuple[int, ...]) -> Path:
    """Save an image of coarse, smooth noise, so that a thumbnail tells it from others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = RNG.integers(0, 255, (5, 6, *shape[2:]), dtype=np.uint8)
    Image.fromarray(blocks).resize((shape[1], shape[0]), Image.Resampling.BICUBIC).save(path)
    return path


def run_template(settings: dict[str, object], folder: Path) -> None:
    """Execute the template with other values in its first cell, as a reader would."""
    notebook = notebooks.read_source(ROOT / "book" / "17-your-own-data.md")
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert all(f"{name}" in first.source for name in settings)
    first.source += "\n" + "\n".join(f"{name} = {value!r}" for name, value in settings.items())
    notebooks.execute(notebook, folder)


@pytest.mark.slow
class TestTemplate:
    """Slow: the template runs on data that it was not written for."""

    @pytest.fixture(autouse=True)
    def settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in build.SETTINGS.items():
            monkeypatch.setenv(name, value)

    def test_a_folder_of_two_gray_classes_of_any_size_without_groups(self, folder: Path, tmp_path: Path) -> None:
        for number, path in enumerate(sorted(folder.rglob("*.png"))[::7]):
            with Image.open(path) as image:
                image.resize((30 + number, 90)).save(path)
        out = tmp_path / "model"
        run_template(
            {"DATA": str(folder), "GROUP": None, "EPOCHS": 2, "OUT": str(out), "FLIP": False, "IMAGE_SIZE": 64},
            tmp_path,
        )
        card = json.loads((out / "card.json").read_text())
        assert card["classes"] == ["NORMAL", "PNEUMONIA"] and card["image_size"] == 64
        assert card["test"]["auroc"][0] > 0.8, "one class is far brighter"

    def test_a_table_of_three_colored_classes_with_groups(self, tmp_path: Path) -> None:
        rows = ["photo;what;day"]
        for number in range(90):
            shape = (50 + number % 5, 60, 3)
            path = write(tmp_path / "shots" / f"{number}.jpg", shape)
            with Image.open(path) as image:
                tint = Image.new("RGB", image.size, ("red", "green", "blue")[number % 3])
                Image.blend(image, tint, 0.6).save(path)
            rows.append(f"{number}.jpg;{('rust', 'moss', 'dew')[number % 3]};day {number // 9}")
        (tmp_path / "list.csv").write_text("\n".join(rows), encoding="utf-8")
        out = tmp_path / "model"
        run_template(
            {"DATA": str(tmp_path / "list.csv"), "IMAGE_COLUMN": "photo", "LABEL_COLUMN": "what", "GROUP": "day",
             "ROOT": str(tmp_path / "shots"), "EPOCHS": 2, "OUT": str(out), "IMAGE_SIZE": 64, "SEEDS": (1, 2),
             "NEW": str(tmp_path / "shots" / "0.jpg"), "DISTANCE": "near"},
            tmp_path,
        )  # fmt: skip
        net, card = tl.models.load_saved(out)
        assert card["classes"] == ["dew", "moss", "rust"] and sum(card["data"]["groups"].values()) == 10
        assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
        assert card["test"]["accuracy"][0] > 0.8 and tl.profile.current().backbone == card["backbone"]
