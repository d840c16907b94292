"""One seed fixes all random numbers."""

from __future__ import annotations

import random
import re
from typing import Any

import numpy as np
import pytest
import torch

import tlhelpers as tl


def draw(generator: torch.Generator) -> tuple[float, float, float, float]:
    return (
        random.random(),
        float(np.random.rand()),
        torch.rand(1).item(),
        torch.rand(1, generator=generator).item(),
    )


def test_one_seed_gives_the_same_numbers_everywhere() -> None:
    first, again, other = (draw(tl.seed_everything(seed)) for seed in (7, 7, 8))
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_the_generator_has_the_seed_and_a_course_of_its_own() -> None:
    generator = tl.seed_everything(7)
    assert generator.initial_seed() == 7 and generator is not torch.default_generator
    before = torch.get_rng_state()
    torch.rand(5, generator=generator)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", [0, 2**32 - 1, np.int64(3), np.uint8(3)])
def test_each_whole_number_that_numpy_takes_will_do(seed: Any) -> None:
    assert tl.seed_everything(seed).initial_seed() == int(seed)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, 1.5, "1", None, True, np.float64(2)])
def test_anything_else_is_refused(seed: Any) -> None:
    message = re.escape(f"seed is {seed!r}; give a whole number from 0 to 4294967295")
    with pytest.raises(ValueError, match=message):
        tl.seed_everything(seed)
