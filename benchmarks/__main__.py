"""Make every stored result again: ``python -m benchmarks`` (``make results``)."""

from benchmarks import layers, probes, repairs, strategies, targets, text_rates, texts

for script in (strategies, repairs, probes, layers, targets, text_rates, texts):
    print(script.COMMAND, flush=True)
    script.main()
