"""One seed for every generator that a chapter draws from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_everything(seed: int) -> torch.Generator:
    """Seed Python, NumPy and PyTorch (CPU and accelerator) and return a generator with the same seed.

    Raises:
        ValueError: when ``seed`` is not a whole number from 0 to 2**32 - 1, which NumPy cannot take.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed!r}; give a whole number from 0 to 4294967295.")
    random.seed(int(seed))
    np.random.seed(int(seed))
    torch.manual_seed(int(seed))
    return torch.Generator().manual_seed(int(seed))


@contextmanager
def random_state_kept(seed: int | None = None) -> Iterator[None]:
    """Leave PyTorch's generators, after a ``with`` block, as they were before, on the CPU and on CUDA.

    Args:
        seed: what they start at within the block; ``None`` lets them go on.
    """
    cuda = torch.cuda.is_initialized()
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count())) if cuda else []):
        if seed is not None:
            # torch.manual_seed would leave the seed waiting for a CUDA that starts later.
            (torch.manual_seed if cuda else torch.default_generator.manual_seed)(seed)
        yield
