"""What operators, training and inference cost, as cases to be timed: no workload of its own. Knows no device.

Each case names the conformance case whose verdict says that the same work is done right. Without that a time means nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from harness.case import Case, Scalar, Step
from harness.checks.special_values import SpecialValues
from harness.checks.throughput import Throughput
from suites.assets.families import FAMILIES, PREFIX
from suites.workloads.inference.greedy import greedy
from suites.workloads.inference.prefill import prefill
from suites.workloads.inference.serving_costs import CASES as WAITS
from suites.workloads.inference.serving_costs import first_token, next_token
from suites.workloads.operators.attention import attention
from suites.workloads.operators.matmul import matmul
from suites.workloads.post_training.sft import CASES as STAGE
from suites.workloads.post_training.sft import sft

_DTYPES = ("float32", "bfloat16")


def _timed(name: str, workload: Callable[..., Step], vouched_by: str, rounds: int, **params: Scalar) -> tuple[Case, ...]:
    """Return `performance/<name>[<dtype>]` for each dtype; `vouched_by` is a case id without its dtype."""
    checks = (SpecialValues(), Throughput())
    return tuple(
        Case(
            f"performance/{name}[{dtype}]", "performance", workload, dtype, checks, params, rounds=rounds,
            golden=False, vouched_by=f"{vouched_by}[{dtype}]",
        )
        for dtype in _DTYPES
    )  # fmt: skip


def _training() -> tuple[Case, ...]:
    """Return `performance/train/<family>[<dtype>]`, a step of each tiny family in each dtype in which its conformance is judged."""
    judged = {case.id for case in STAGE}
    timed = [
        case for family in FAMILIES
        for case in _timed(
            f"train/{family}", sft, f"post_training/sft/{family}", 6, model=PREFIX + family, batch=4, length=128, steps=7,
            learning_rate=2e-3, sketches=False,
        )
    ]  # fmt: skip
    return tuple(case for case in timed if case.vouched_by in judged)


def _waiting() -> Iterator[Case]:
    """Yield `performance/ttft/...` and `performance/tpot/...`: `--model` by batch and context, and each tiny family at one point."""
    judged = {case.id for case in WAITS}
    for name, workload, vouched_by in (("ttft", first_token, "inference/first-token"), ("tpot", next_token, "inference/next-token")):
        found = [
            case for batch, context in ((1, 128), (1, 512), (1, 2048), (4, 128), (4, 512))
            for case in _timed(f"{name}/{batch}x{context}", workload, vouched_by, 6, model="default", batch=batch, context=context)
        ]  # fmt: skip
        for family in FAMILIES:
            found += _timed(f"{name}/{family}", workload, f"{vouched_by}/{family}", 6, model=PREFIX + family, batch=2, context=512)
        yield from (replace(case, wide=True) for case in found if case.vouched_by in judged)


# One call of an operator is forward and backward: three matrix products of 2 x 1024^3 floating-point operations, for example.
CASES = (
    *_timed("matmul", matmul, "operators/matmul", 10, batch=1, rows=1024, inner=1024, columns=1024),
    *_timed("attention", attention, "operators/attention-gqa", 10, batch=1, heads=9, kv_heads=3, length=512, width=64, mask="causal"),
    *_timed("sft-step", sft, "post_training/sft", 6, model="default", batch=1, length=128, steps=7, learning_rate=2e-5, sketches=False),
    *_training(),
    *_timed("prefill", prefill, "inference/prefill", 8, model="default", batch=1, length=256, last_only=True),
    *_timed("decode", greedy, "inference/greedy-cached", 6, model="default", prompt=16, new_tokens=16, cache="dynamic"),
    *_waiting(),
)
