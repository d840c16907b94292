"""A pytest plugin: let nbval's kernel keep its history, as every other front end does.

Without a history IPython cannot see the semicolon that ends a cell, so nbval would report the value of
`ax.plot(x, y);` as an output that the notebook lacks. Use: `pytest -p tools.nbval_history --nbval ...`.
"""

from nbval.kernel import RunningKernel


def execute_cell_input(self: RunningKernel, cell_input: str, allow_stdin: bool | None = None) -> str:
    """Send a cell to the kernel and return the message's id; takes the place of nbval's own method."""
    return self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


RunningKernel.execute_cell_input = execute_cell_input
