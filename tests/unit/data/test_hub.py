"""Asking the hub is quiet, fails with one sentence, and leaves the libraries as loud as they were."""

from __future__ import annotations

from collections.abc import Iterator
from errno import ENOSPC
from pathlib import Path

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


class TestCause:
    """The message names the cause at hand."""

    def test_a_folder_here_is_not_sought_on_the_hub(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=f"{tmp_path.name} is here, but cannot be loaded: bad header$"):  # noqa: SIM117
            with tl.data.asking_hub(str(tmp_path)):
                raise OSError("bad header\nmore")

    def test_a_full_disk_is_told_as_such(self) -> None:
        with pytest.raises(OSError, match="No space left"), tl.data.asking_hub("owner/model"):
            raise OSError(ENOSPC, "No space left on device")

    def test_code_of_others_is_refused(self) -> None:
        with pytest.raises(ValueError, match="brings its own code"), tl.data.asking_hub("owner/model"):
            raise ValueError("contains custom code; set trust_remote_code=True")

    def test_a_path_that_is_not_there_is_told_as_one(self) -> None:
        with pytest.raises(tl.data.HubError, match=r"mine/spam is no folder seen from .*Mend the path"):  # noqa: SIM117
            with tl.data.asking_hub("mine/spam"):
                raise OSError("no route")
