"""Make every stored result again: ``python -m benchmarks`` (``make results``)."""

from benchmarks import repairs, strategies

for script in (strategies, repairs):
    print(script.COMMAND, flush=True)
    script.main()
