"""Values reach the text as MyST-NB hands them over, and conditions of the text stop the default profile only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tlhelpers.book import _note
from tlhelpers.stats import Interval


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Collect data and metadata of what is displayed, by our function and by that of MyST-NB."""
    from myst_nb.ext import glue

    outputs: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def display(data: dict[str, Any], metadata: dict[str, Any], raw: bool) -> None:
        assert raw
        outputs.append((data, metadata))

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(glue, "ipy_display", display)
    return outputs


@pytest.mark.parametrize("value", [0.91, 5, "ahead of", True])
def test_a_value_is_handed_over_as_glue_does(shown: list[Any], value: object) -> None:
    from myst_nb import glue

    _note.note(**{"gain-7": value})
    glue("gain-7", value, display=False)
    assert len(shown) == 2 and shown[0] == shown[1]


@pytest.mark.parametrize(("value", "text"), [(np.float64(0.5), "0.5"), (np.int64(3), "3")])
def test_a_number_of_numpy_is_handed_over_as_a_plain_one(shown: list[Any], value: object, text: str) -> None:
    _note.note(gain=value)
    assert shown[0][0] == {_note.PREFIX + "text/plain": text}, "np.float64(0.5) fits no format of the text"


def test_several_values_keep_their_order(shown: list[Any]) -> None:
    _note.note(majority=0.6, gain=0.1, **{"a-b": 1})
    assert [metadata["scrapbook"]["name"] for _, metadata in shown] == ["majority", "gain", "a-b"]


def test_an_interval_is_handed_over_as_it_prints(shown: list[Any]) -> None:
    difference = Interval(0.0121, 0.0029, 0.0213, 5)
    _note.note(gain=difference, again=str(difference))
    assert shown[0][0] == shown[1][0] == {f"{_note.PREFIX}text/plain": "'0.012 [0.003, 0.021]'"}


@pytest.mark.parametrize("condition", [False, np.False_, 0, None, []])
def test_a_text_that_is_no_longer_true_stops_the_run(condition: object) -> None:
    with pytest.raises(AssertionError, match=r"^reword LoRA$"):
        _note.expect(condition, "reword LoRA")


@pytest.mark.parametrize("name", ["full", "smoke"])
def test_other_profiles_have_other_numbers(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TLHELPERS_PROFILE", name)
    _note.expect(False, "reword LoRA")


def test_a_text_that_is_true_stops_nothing() -> None:
    _note.expect(np.True_, "reword LoRA")
