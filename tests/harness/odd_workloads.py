"""Workloads that behave, and workloads that do what real ones do on a bad day. Used by tests through a worker process."""

import ctypes
import os
import signal
import time

import torch

from harness.case import Case, Step
from harness.checks.closeness import Closeness
from harness.inputs import Inputs


def well_behaved(inputs: Inputs, /, *, size: int) -> Step:
    x = inputs.normal("x", (size,))
    return Step(lambda: {"out": x * 2})


def chatty(inputs: Inputs, /) -> Step:
    x = inputs.normal("x", (4,))
    print('{"done": "a lie"}', flush=True)
    return Step(lambda: {"out": x})


def segfault(inputs: Inputs, /) -> Step:
    return Step(lambda: ctypes.string_at(0))  # type: ignore[arg-type,return-value]


def killed(inputs: Inputs, /) -> Step:
    return Step(lambda: os.kill(os.getpid(), signal.SIGKILL))  # type: ignore[arg-type,return-value]


def hang(inputs: Inputs, /) -> Step:
    return Step(lambda: time.sleep(600))  # type: ignore[arg-type,return-value]


def wrong(inputs: Inputs, /) -> Step:
    raise ValueError("the width is 3,\nexpected 4")


def unsupported(inputs: Inputs, /) -> Step:
    raise NotImplementedError("'frobnicate' is not implemented for 'Half'")


def too_large(inputs: Inputs, /) -> Step:
    raise torch.OutOfMemoryError("tried to allocate 80 GiB")


def counting(inputs: Inputs, /) -> Step:
    state = {"n": 0}

    def call() -> dict[str, torch.Tensor]:
        state["n"] += 1
        return {"loss": torch.tensor(float(state["n"])), "once": torch.tensor(state["n"])}

    return Step(call, work=8, unit="tokens", series=("loss",), finish=lambda: {"last": torch.tensor(state["n"])})


def case(workload, dtype: str = "float32", **options) -> Case:
    name = workload.__name__
    return Case(f"operators/{name}[{dtype}]", "operators", workload, dtype, (Closeness(),), **options)


CASES = (
    case(well_behaved, params={"size": 64}),
    case(well_behaved, "bfloat16", params={"size": 64}),
    case(chatty),
    case(segfault),
    case(killed),
    case(hang, timeout=1.5),
    case(wrong),
    case(unsupported),
    case(too_large),
    case(counting, rounds=3),
)
BY_NAME = {c.id: c for c in CASES}
