"""A pytest plugin: nbval runs the notebooks under the same conditions as the build, and compares as `near` does.

Use: ``pytest -p tools.nbval_plugin --nbval --nbval-sanitize-with tests/nbval.cfg book``. With ``-n 2 --dist
loadfile`` two notebooks run at a time, each on one thread.
"""

import os
from typing import Any

from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell

from tools import settings
from tools.near import far

settings.apply(one_thread="PYTEST_XDIST_WORKER" in os.environ)

sanitize = IPyNbCell.sanitize
format_output_compare = IPyNbCell.format_output_compare


def execute_cell_input(self: RunningKernel, cell_input: str, allow_stdin: bool | None = None) -> str:
    """Send a cell to the kernel and return the message's id; takes the place of nbval's own method.

    The kernel keeps its history, as with every other front end. Without one IPython cannot see the semicolon that
    ends a cell, and nbval would report the value of ``ax.plot(x, y);`` as an output that the notebook lacks.
    """
    return self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


class Output(str):
    """The text of an output, equal to each that is near; nbval compares the stored one with ``!=``."""

    def __eq__(self, new: object) -> bool:
        return isinstance(new, str) and far(self, new) == []

    def __ne__(self, new: object) -> bool:
        return not self == new

    __hash__ = str.__hash__


def sanitize_output(self: IPyNbCell, output: Any) -> Any:
    """Replace what may not be compared, as nbval does, and have the rest compared as text of an output."""
    clean = sanitize(self, output)
    return Output(clean) if isinstance(clean, str) else clean


def format_difference(self: IPyNbCell, key: str, stored: Any, new: Any) -> None:
    """Note which numbers are too far from the stored ones; where more differs, show both as nbval does."""
    numbers = far(stored, new) if isinstance(stored, str) and isinstance(new, str) else None
    if numbers:
        self.comparison_traceback += [f" mismatch '{key}'", *(f"  {line}" for line in numbers)]
    else:
        format_output_compare(self, key, stored, new)


RunningKernel.execute_cell_input = execute_cell_input
IPyNbCell.sanitize = sanitize_output
IPyNbCell.format_output_compare = format_difference
