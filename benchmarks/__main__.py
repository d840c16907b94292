"""Make stored results: ``python -m benchmarks`` (``make results``), one by its name, ``--help`` for more."""

import os

# Both are read when torch and tqdm are loaded. Threads that wait asleep leave a busy machine its cores, and one
# bar over the cells tells more than one for each loop of each run.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TQDM_DISABLE", "1")

from benchmarks.experiment import main
from tools.settings import KEEP_MEMORY

if __name__ == "__main__":  # a worker process imports this file once more
    for name, value in KEEP_MEMORY.items():
        os.environ.setdefault(name, value)  # for the workers; of this process it is too late
    main()
