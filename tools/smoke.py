"""What a check of profile full needs where there is no hub and no X-ray: random weights and generated images.

`python -m tools.smoke FOLDER`, as `make gpu-smoke` runs it. The weights lie where the clients of the hubs look for
their downloads (`TORCH_HOME`, `HF_HOME`), so that the chapters take the same way as with the real ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.transforms.v2.functional import pil_to_tensor, resize

CLASSES = ("NORMAL", "PNEUMONIA")
TIMM_NAME = "resnet50.tv2_in1k"  # the same network and the same names of tensors as torchvision's


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
    revision = "0" * 40
    for name, text in {"refs/main": revision, f"snapshots/{revision}/.keep": ""}.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    save_file(weights, repository / "snapshots" / revision / "model.safetensors")


def main() -> None:
    """Command line: write everything below one folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    paths = generate_images(folder / "images")
    write_weights(random_resnet50(paths), folder / "torch", folder / "hf")
    print(f"random weights and {len(paths)} generated images for profile smoke")


if __name__ == "__main__":
    main()
