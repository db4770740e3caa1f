"""Probes of the random generator: seeds, states, successive draws. Knows no device and no distribution."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from suites.workloads.fingerprint.probing import Probe, cases, probing

_COUNT = 1024
_SEEDS = (20261, 20262)


def generators(inputs: Inputs, /) -> Step:
    """Draw by several operators, in the order that `harness.checks.fingerprint.generators` states."""
    ones = inputs.given("ones", torch.ones(_COUNT, dtype=inputs.dtype))
    operators: dict[str, Callable[[], Tensor]] = {
        "uniform": lambda: torch.rand(_COUNT, device=inputs.device, dtype=inputs.dtype),
        "normal": lambda: torch.randn(_COUNT, device=inputs.device, dtype=inputs.dtype),
        "integers": lambda: torch.randint(0, 1 << 20, (_COUNT,), device=inputs.device),
        "permutation": lambda: torch.randperm(_COUNT, device=inputs.device),
        "bernoulli": lambda: torch.bernoulli(ones * 0.5),
        "dropout": lambda: F.dropout(ones, 0.5),
        "exponential": lambda: torch.empty_like(ones).exponential_(),
    }
    probes = {name: _drawn(operator, inputs.device) for name, operator in operators.items()}
    return probing({**probes, "split": lambda: _split(inputs), "host_uniform": lambda: _on_host(inputs)})


def _drawn(operator: Callable[[], Tensor], device: torch.device) -> Probe:
    def run() -> Tensor:
        drawn = []
        for seed in (_SEEDS[0], None, _SEEDS[0], _SEEDS[1]):
            if seed is not None:
                torch.manual_seed(seed)
            drawn.append(operator())
        backend = torch if device.type == "cpu" else getattr(torch, device.type)
        state = backend.get_rng_state()
        drawn.append(operator())
        backend.set_rng_state(state)
        return torch.stack([*drawn, operator()])

    return run


def _split(inputs: Inputs) -> Tensor:
    """The first draw of the first seed, in two halves."""
    torch.manual_seed(_SEEDS[0])
    return torch.cat([torch.rand(_COUNT // 2, device=inputs.device, dtype=inputs.dtype) for _ in range(2)])


def _on_host(inputs: Inputs) -> Tensor:
    """What the host's generator draws with the first seed."""
    torch.manual_seed(_SEEDS[0])
    return torch.rand(_COUNT, dtype=inputs.dtype)


CASES = cases(generators, "generator", "generators", ("float32",))
