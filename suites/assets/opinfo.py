"""PyTorch's own database of operators and sample inputs (OpInfo). Knows no device and no case.

It lies in `torch.testing._internal`, and changes with PyTorch: what was sampled is told by the hash of the inputs.
"""

import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch


@cache
def operators() -> Mapping[str, Any]:
    """Return the OpInfo of every operator by name, with its variant after a slash (`div/floor_rounding`)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # it misses hypothesis, which only PyTorch's own tests would use
        from torch.testing._internal import common_methods_invocations as database  # here: it takes two seconds

    # importing it forbids to set back-end flags outside a context manager, for the whole process
    torch.backends.flags_frozen.__globals__["__allow_nonbracketed_mutation_flag"] = True
    return {f"{op.name}/{op.variant_test_name}".rstrip("/"): op for op in database.op_db}


def dtypes(op: Any) -> frozenset[str]:
    """Return the dtypes that the operator takes on the CPU."""
    return frozenset(str(dtype).removeprefix("torch.") for dtype in op.supported_dtypes("cpu"))


def differentiable(op: Any, dtype: torch.dtype) -> bool:
    """Tell whether the operator has a backward for this dtype on the CPU."""
    return bool(op.supports_autograd and (dtype.is_floating_point or dtype.is_complex) and dtype in op.supported_backward_dtypes("cpu"))


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Let everything that draws in this block draw from `seed`, and leave the generators as they were."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed walks the stack, for devices that are not there yet
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def samples(op: Any, dtype: torch.dtype, seed: int) -> list[Any]:
    """Return the sample inputs of an operator (each has input, args, kwargs), on the host, drawn from `seed`."""
    with drawn_from(seed):
        return list(op.sample_inputs("cpu", dtype, requires_grad=differentiable(op, dtype), set_seed=False))


def refused(op: Any, seed: int) -> list[Any]:
    """Return sample inputs that the operator must refuse, on the host; most operators have none."""
    if op.error_inputs_func is None:
        return []
    with drawn_from(seed):
        return [e.sample_input for e in op.error_inputs("cpu")]
