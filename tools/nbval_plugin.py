"""A pytest plugin: nbval runs the notebooks under the same conditions as the build.

Use: ``pytest -p tools.nbval_plugin --nbval --nbval-sanitize-with tests/nbval.cfg book``. With ``-n 2 --dist
loadfile`` two notebooks run at a time, each on one thread.
"""

import os

from nbval.kernel import RunningKernel

from tools import settings

settings.apply(one_thread="PYTEST_XDIST_WORKER" in os.environ)


def execute_cell_input(self: RunningKernel, cell_input: str, allow_stdin: bool | None = None) -> str:
    """Send a cell to the kernel and return the message's id; takes the place of nbval's own method.

    The kernel keeps its history, as with every other front end. Without one IPython cannot see the semicolon that
    ends a cell, and nbval would report the value of ``ax.plot(x, y);`` as an output that the notebook lacks.
    """
    return self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


RunningKernel.execute_cell_input = execute_cell_input
