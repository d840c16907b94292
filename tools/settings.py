"""The environment in which the book's code runs: the same for the build, for nbval, and for the benchmarks.

Libraries read some of it when they are imported, so call `apply` before torch is.
"""

from __future__ import annotations

import os

# Threads that wait at a barrier sleep. By default they spin, and beside another busy process they starve the one
# they wait for: a chapter took seven times as long. `make numbers` measures it.
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
# The C library keeps the memory that a training step frees for the next one, in place of asking the system for
# fresh pages: a step of the two-stage pipeline took 0.97 s for 1.11 s, with the same loss to the last digit. It is
# read when a process starts, so it serves those that are started from here; other systems ignore it.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8000000000", "MALLOC_TOP_PAD_": "268435456"}
SETTINGS = {
    **PATIENT,
    **KEEP_MEMORY,
    "TQDM_DISABLE": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    # tqdm's advice to install widgets, which nothing here draws.
    "PYTHONWARNINGS": "ignore:IProgress not found",
}
# For processes that share the cores: two on one thread each are sooner done than two on two.
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


def apply(*, one_thread: bool = False) -> None:
    """Put the settings into this process's environment, for it and for what it starts."""
    os.environ.update(SETTINGS)
    if one_thread:
        os.environ.update(ONE_THREAD)
