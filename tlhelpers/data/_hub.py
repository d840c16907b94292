"""Weights and reviews from the Hugging Face hub, and one clear sentence where it cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EDQUOT, ENOSPC, EROFS
from functools import lru_cache
from pathlib import Path

import numpy as np


class HubError(RuntimeError):
    """The hub cannot be reached and there is no earlier download; the message says how to go on."""


@contextmanager
def quiet(bars: bool = False) -> Iterator[None]:
    """Let transformers and datasets report errors only, and show ``bars`` as they are set, or none.

    Loading weights under a new head is what a transfer does; a report of the new ones is noise each time.
    """
    import datasets
    from transformers.utils import logging

    verbosity = logging.get_verbosity(), datasets.logging.get_verbosity()
    shown = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    datasets.logging.set_verbosity_error()
    if not bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity[0])
        datasets.logging.set_verbosity(verbosity[1])
        if shown:
            logging.enable_progress_bar()


@contextmanager
def asking_hub(name: str) -> Iterator[None]:
    """Load something called ``name`` inside: no reports of new weights, and one clear error.

    ``TQDM_DISABLE=1`` hides the bars of a download; what is packaged, or a folder here, has none.

    Raises:
        HubError: when the hub cannot be reached, or does not know the name.
        ValueError: when ``name`` is a folder here, and something in it cannot be loaded; when what is called so
            brings its own code, or has no weights in safetensors.
    """
    here = Path(name).expanduser().exists()
    with quiet(bars="/" in name and not here):
        try:
            yield
        except (OSError, ValueError) as error:  # ConnectionError, too
            cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            if "trust_remote_code" in str(error):
                raise ValueError(
                    f"{name} brings its own code, which is not run here; take a model that transformers knows."
                ) from error
            if isinstance(error, ValueError) or error.errno in (EACCES, EDQUOT, ENOSPC, EROFS):
                raise
            if here:
                raise ValueError(f"{name} is here, but cannot be loaded: {cause}") from error
            if "safetensors" in cause and "have a file named" in cause:
                raise ValueError(
                    f"{name} has no weights in safetensors, the format that holds no code; take another model, or "
                    "convert the weights where you trust them."
                ) from error
            raise HubError(
                f"{name} is no folder seen from {Path.cwd()}, and is neither downloaded nor to be had from the "
                "Hugging Face hub now. Mend the path, if one is meant; else connect and run this again (the "
                "download is kept), or go on without a network: set TLHELPERS_PROFILE=offline, whose model and "
                "data are packages."
            ) from error


@lru_cache(maxsize=4)
def reviews(name: str, part: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return texts, labels ``[N]`` int64 and a number each ``[N]`` of one part of a data set in IMDB's format.

    That format, of Maas et al. (2011), has the columns ``text`` and ``label``: 0 negative, 1 positive, and -1 in
    the part ``unsupervised``.

    Raises:
        HubError: when the data must be downloaded and cannot be.
        ValueError: when there is no such part, or a column is missing.
    """
    from datasets import load_dataset

    with asking_hub(name):
        parts = load_dataset(name)
    if part not in parts:
        raise ValueError(f"{name} has no part {part!r}; it has {', '.join(parts)}.")
    rows = parts[part]
    if missing := {"text", "label"} - set(rows.column_names):
        raise ValueError(f"{name} lacks {', '.join(sorted(missing))}; it has {', '.join(rows.column_names)}.")
    return list(rows["text"]), np.array(rows["label"], dtype=np.int64), np.arange(len(rows))
