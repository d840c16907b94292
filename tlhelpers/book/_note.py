"""Values for the text of a chapter, and conditions under which the text is right."""

from __future__ import annotations

from tlhelpers import profile

#: Hides a value from the reader and marks it for MyST-NB, which fills it into the text: what its ``glue`` does.
PREFIX = "application/papermill.record/"


def note(**values: object) -> None:
    """Hand values to the text, each under its name; an interval as the text that it prints as.

    The text repeats them with MyST's role ``glue:text``. Names with a dash go in as ``**{"gain-7": x}``.
    """
    import numpy as np
    from IPython.core.formatters import format_display_data
    from IPython.display import display

    from tlhelpers.stats import Interval

    for name, value in values.items():
        if isinstance(value, np.generic):
            value = value.item()  # it would print as np.float64(0.5), which no format of the text can read
        data, metadata = format_display_data(str(value) if isinstance(value, Interval) else value)
        metadata["scrapbook"] = {"name": name, "mime_prefix": PREFIX}
        display({PREFIX + kind: text for kind, text in data.items()}, metadata=metadata, raw=True)


def expect(condition: object, message: str) -> None:
    """Stop the run where the text would no longer be true; other profiles than offline have other numbers.

    Raises:
        AssertionError: with the message, in profile offline only.
    """
    if not condition and profile.current().name == "offline":
        raise AssertionError(message)
