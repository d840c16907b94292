"""Asking the hub is quiet, fails with one sentence, and leaves the libraries as loud as they were."""

from __future__ import annotations

from collections.abc import Iterator

import datasets
import pytest
from transformers.utils import logging

import tlhelpers as tl


def loudness() -> tuple[object, ...]:
    shown = logging.is_progress_bar_enabled(), datasets.are_progress_bars_disabled()
    return logging.get_verbosity(), datasets.logging.get_verbosity(), *shown


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    logging.set_verbosity_warning()
    logging.enable_progress_bar()
    datasets.enable_progress_bars()


@pytest.mark.parametrize("name", ["minilm", "owner/model"])
@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("error", [None, OSError("no route"), ValueError("another fault")])
def test_bars_and_reports_are_left_as_they_were(name: str, shown: bool, error: Exception | None) -> None:
    logging.set_verbosity_info()
    for library in (logging, datasets):
        switch = {True: "enable", False: "disable"}[shown]
        bars = getattr(library, f"{switch}_progress_bar", None) or getattr(library, f"{switch}_progress_bars")
        bars()
    before = loudness()
    try:
        with tl.data.asking_hub(name):
            assert logging.get_verbosity() == logging.ERROR
            if error is not None:
                raise error
    except (tl.data.HubError, ValueError) as caught:
        assert isinstance(caught, tl.data.HubError) == isinstance(error, OSError)
    assert loudness() == before
