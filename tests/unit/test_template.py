"""Chapter 06, the template, runs on data that it was not written for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pytest
import tifffile
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


def run_template(settings: dict[str, object], folder: Path, last: str = "") -> None:
    """Execute the template with other values in its one cell to change, as readers do, and code after its last."""
    notebook = notebooks.read_source(ROOT / "book" / "06-your-own-data.md")
    first = next(c for c in notebook.cells if c.cell_type == "code" and "DATA = None" in c.source)
    assert all(f"{name}" in first.source for name in settings)
    first.source += "\n" + "\n".join(f"{name} = {value!r}" for name, value in settings.items())
    if last:
        notebook.cells.append(nbformat.v4.new_code_cell(last))
    notebooks.execute(notebook, folder)


LOADING = """
import json, sys
import numpy as np
import tlhelpers as tl
net, card = tl.models.load_saved(sys.argv[1])
white = card.get("white")
for path, known in json.load(open(sys.argv[2])).items():
    found = net(net.transform(tl.data.open_rgb(path, white=white))[None]).softmax(1).detach().numpy()[0]
    assert np.abs(found - known).max() < 1e-4, (path, found, known)
"""
ANSWERS = """
import json as _json
_paths = [str(Path(image).resolve()) for image in cut["test"].images]
Path({path!r}).write_text(_json.dumps(dict(zip(_paths, probabilities.tolist()))))
"""


def loads_elsewhere(model: Path, answers: Path) -> None:
    """Load a saved network in a fresh process by ten lines and compare its answers."""
    done = subprocess.run(
        [sys.executable, "-c", LOADING, model, answers], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def script(last: str) -> str:
    """Return the ten lines that the chapter offers and that end with this call."""
    text = (ROOT / "book" / "06-your-own-data.md").read_text(encoding="utf-8")
    (lines,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if f"tl.{last}(" in block]
    assert len([line for line in lines.splitlines() if line.strip()]) <= 10
    return lines


def run_lines(lines: str, folder: Path) -> None:
    """Run lines in a fresh process that has nothing but the package."""
    settings = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", lines], cwd=folder, capture_output=True, text=True, env=settings)
    assert done.returncode == 0, done.stderr[-2000:]


def classes_of_three(folder: Path, count: int, each: int = 3) -> dict[str, object]:
    """Many classes, few images each; a class is a color."""
    for label in range(count):
        for number in range(each):
            path = write(folder / f"kind {label:03}" / f"{number}.png", (24, 24, 3))
            tint = Image.new("RGB", (24, 24), tuple(np.random.default_rng(label).integers(0, 255, 3).tolist()))
            with Image.open(path) as image:
                Image.blend(image, tint, 0.7).save(path)
    return {"DATA": str(folder)}


def fifty(folder: Path) -> dict[str, object]:
    return classes_of_three(folder, 50)


def two_hundred(folder: Path) -> dict[str, object]:
    return classes_of_three(folder, 200)


def one_group_a_class(folder: Path) -> dict[str, object]:
    for patient in range(9):
        for number in range(4):
            write(folder / "abc"[patient % 3] / f"patient{patient}-{number}.png", (30, 30 + patient, 3))
    return {"DATA": str(folder), "GROUP": r"patient\d+"}


def twelve_bits(folder: Path) -> dict[str, object]:
    for number in range(24):
        path = folder / ("thin", "thick")[number % 2] / f"{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, RNG.integers(0, 2000 + 2000 * (number % 2), (40, 40)).astype(np.uint16))
    return {"DATA": str(folder), "WHITE": 4095}


def mixed_case(folder: Path) -> dict[str, object]:
    for number in range(30):
        suffix = (".JPG", ".jpg", ".Png", ".TIFF", ".jpeg")[number % 5]
        write(folder / ("Cat", "dog", "CAFE\u0301")[number % 3] / f"{number}{suffix}", (30, 40, 3))
    (folder / "dog" / "Thumbs.db").write_bytes(b"of another program")
    return {"DATA": str(folder)}


def a_class_called_train(folder: Path) -> dict[str, object]:
    for number in range(30):
        write(folder / ("bus", "car", "train")[number % 3] / f"{number}.png", (30, 40, 3))
    return {"DATA": str(folder)}


def one_huge_picture(folder: Path) -> dict[str, object]:
    for number in range(18):
        write(folder / "ab"[number % 2] / f"{number}.png", (30, 40, 3))
    write(folder / "a" / "huge.png", (5000, 6000, 3))
    write(folder / "b" / "strip.png", (20000, 4, 3))
    return {"DATA": str(folder)}


def shuffled_table(folder: Path) -> dict[str, object]:
    rows = ["sep=;", "label ; image; day"]
    for number in RNG.permutation(36).tolist():
        write(folder / "shots" / f"{number}.png", (40, 30, 3))
        rows.append(f"{('rust', 'moss')[number % 2]} ;shots\\{number}.png;{number // 4} ")
    (folder / "list.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    return {"DATA": str(folder / "list.csv"), "GROUP": "day"}


ODD = (twelve_bits, shuffled_table)
ODD_TOO = (fifty, two_hundred, one_group_a_class, mixed_case, a_class_called_train, one_huge_picture)


class TestOddData:
    """The template runs to its saved model on odd data, and a fresh process gives its answers."""

    @pytest.fixture(autouse=True)
    def settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in build.SETTINGS.items():
            monkeypatch.setenv(name, value)

    @pytest.mark.parametrize(
        "make",
        [*ODD, *(pytest.param(make, marks=pytest.mark.slow) for make in ODD_TOO)],
        ids=lambda make: make.__name__,
    )
    def test_the_notebook(self, make: Callable[[Path], dict[str, object]], tmp_path: Path) -> None:
        small = {"GROUP": None, "EPOCHS": 1, "SEEDS": (0, 1), "IMAGE_SIZE": 32, "OUT": str(tmp_path / "model")}
        answers = tmp_path / "answers.json"
        run_template(small | make(tmp_path / "data"), tmp_path, ANSWERS.format(path=str(answers)))
        loads_elsewhere(tmp_path / "model", answers)

    @pytest.mark.parametrize(
        "make", [shuffled_table, *(pytest.param(make, marks=pytest.mark.slow) for make in (fifty, twelve_bits))],
        ids=lambda make: make.__name__,
    )  # fmt: skip
    def test_the_ten_lines(self, make: Callable[[Path], dict[str, object]], tmp_path: Path) -> None:
        chosen = make(tmp_path / "data")
        lines = script("models.save")
        given = '"my-photos", group=r"patient\\d+"'
        assert given in lines
        own = f"{chosen['DATA']!r}, group={chosen.get('GROUP')!r}, white={chosen.get('WHITE')!r}"
        lines = lines.replace(given, own)
        answers = tmp_path / "answers.json"
        lines += f"""
import json
net.eval()
known = [net(net.transform(images[i][0])[None]).softmax(1)[0].tolist() for i in test]
json.dump(dict(zip([str(images.images[i]) for i in test], known)), open({str(answers)!r}, "w"))
"""
        run_lines(lines, tmp_path)
        loads_elsewhere(tmp_path / "model", answers)

    def test_the_ten_lines_for_texts(self, tmp_path: Path) -> None:
        rows = ["sep=;", "Text;LABEL ;author"]
        for number in RNG.permutation(160).tolist():
            word = ("good", "bad", "so so")[number % 3]
            rows.append(f'"it was {word}; truly;\n{number} of ""them""";{word} ;writer {number // 4} ')
        (tmp_path / "texts.csv").write_text("\n".join(rows), encoding="utf-8-sig")
        lines = script("train.save_text_classifier")
        for given, small in (
            ('"my-texts.csv"', '"texts.csv", "Text", "LABEL"'),
            ("200, 60, 60", "96, 24, 24"),
            ("settings(p)", "settings(p, num_train_epochs=1)"),
        ):
            assert given in lines
            lines = lines.replace(given, small)
        ask = "import numpy, tlhelpers as tl\nnew = ['it was good; truly', 'bad ' * 60]\n"
        run_lines(
            f"{lines}\n{ask}numpy.save('known.npy', tl.train.predict_texts(model, tokenizer, new, length))",
            tmp_path,
        )
        run_lines(
            f"{ask}model, tokenizer, card = tl.train.load_text_classifier('my-classifier')\n"
            "found = tl.train.predict_texts(model, tokenizer, new)\n"
            "assert abs(found - numpy.load('known.npy')).max() < 1e-5\n"
            "assert list(model.config.id2label.values()) == ['bad', 'good', 'so so']",
            tmp_path,
        )


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
