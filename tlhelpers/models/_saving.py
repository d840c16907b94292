"""A tuned network on the disk: its weights, and a card that says how to use them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tlhelpers._paths import checked, sha256_of
from tlhelpers.models import _backbones
from tlhelpers.models._backbones import Backbone

WEIGHTS, CARD = "weights.safetensors", "card.json"


def save(folder: str | Path, net: Backbone, image_size: int, classes: Sequence[str], **notes: Any) -> Path:
    """Write the weights (safetensors) and ``card.json``: what is needed to use the network, and ``notes``.

    Returns:
        The card's path.
    """
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    # A file holds plain rows; channels last is a layout in memory.
    save_file({name: t.detach().cpu().contiguous() for name, t in net.net.state_dict().items()}, folder / WEIGHTS)
    card = {
        "backbone": net.name,
        "classes": list(classes),
        "image_size": image_size,
        "transform": [" ".join(str(step).split()) for step in net.transform.transforms],  # type: ignore[attr-defined]
        "sha256": sha256_of(folder / WEIGHTS),
        "torch": torch.__version__,
        **notes,
    }
    path = folder / CARD
    path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load_saved(folder: str | Path) -> tuple[Backbone, dict[str, Any]]:
    """Return the network that :func:`save` wrote, in eval mode on the CPU, and its card. No network is needed.

    Raises:
        FileNotFoundError: when a file is missing.
        ValueError: when the weights are not those that the card names.
    """
    folder = Path(folder).expanduser()
    for name in (CARD, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}; give the folder that save wrote.")
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    checked(folder / WEIGHTS, card["sha256"], f"It changed after {CARD} was written; save the network again.")
    net = _backbones.load(card["backbone"], len(card["classes"]), pretrained=False, image_size=card["image_size"])
    net.net.load_state_dict(load_file(folder / WEIGHTS))
    return net.eval(), card
