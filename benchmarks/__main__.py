"""Make every stored result again: ``python -m benchmarks`` (``make results``)."""

from benchmarks import layers, probes, repairs, strategies, targets

for script in (strategies, repairs, probes, layers, targets):
    print(script.COMMAND, flush=True)
    script.main()
