"""Make every stored result again: ``python -m benchmarks`` (``make results``)."""

from benchmarks import (
    bugs,
    forgetting,
    layers,
    matrix,
    negative,
    probes,
    rate_maps,
    rate_plans,
    repairs,
    sounds,
    strategies,
    targets,
    text_rates,
    texts,
)

for script in (
    strategies,
    repairs,
    probes,
    layers,
    targets,
    rate_maps,
    rate_plans,
    text_rates,
    texts,
    negative,
    forgetting,
    bugs,
    matrix,
    sounds,
):
    print(script.COMMAND, flush=True)
    script.main()
