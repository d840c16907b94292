"""Weights and reviews from the Hugging Face hub, and one clear sentence where it cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np


class HubError(RuntimeError):
    """The hub cannot be reached and there is no earlier download; the message says how to go on."""


@contextmanager
def asking_hub(name: str) -> Iterator[None]:
    """Load something called ``name`` inside: no reports of new weights, and one clear error.

    ``TQDM_DISABLE=1`` hides the bars of a download; a packaged model, without a slash in its name, has none.

    Raises:
        HubError: when the hub cannot be reached, or does not know the name.
    """
    import datasets
    from transformers.utils import logging

    verbosity = logging.get_verbosity(), datasets.logging.get_verbosity()
    shown = logging.is_progress_bar_enabled()
    # Loading weights under a new head is what a transfer does; a report of the new ones is noise each time.
    logging.set_verbosity_error()
    datasets.logging.set_verbosity_error()
    if "/" not in name:
        logging.disable_progress_bar()
    try:
        yield
    except OSError as error:  # ConnectionError, too
        raise HubError(
            f"{name} is neither downloaded nor to be had from the Hugging Face hub now. Connect and run this "
            "again (the download is kept), or go on without a network: set TLHELPERS_PROFILE=offline, whose model "
            "and data are packages."
        ) from error
    finally:
        logging.set_verbosity(verbosity[0])
        datasets.logging.set_verbosity(verbosity[1])
        if shown:
            logging.enable_progress_bar()


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
