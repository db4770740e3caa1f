"""The fingerprint of the CPU, and of CPUs made to be another kind of machine."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from harness.case import Case
from harness.checks.evidence import Check, Evidence
from harness.devices import open_device
from harness.measure import measure
from harness.recording import Recording, Status
from harness.verdict import Cause, Finding, Outcome
from suites.workloads.fingerprint import generators, integers, products, repeats, rounding, special, support
from suites.workloads.fingerprint.common_operators import common_operators
from suites.workloads.fingerprint.probing import allowed, probing

MODULES = (products, rounding, special, integers, repeats, generators, support)
CASES: dict[str, Case] = {case.id.removeprefix("operators/fingerprint/"): case for module in MODULES for case in module.CASES}


class Changed(TorchDispatchMode):
    """A machine that computes one operator, or several, in its own way."""

    def __init__(self, change: Callable[..., Any], *operators: str) -> None:
        super().__init__()
        self._change, self._operators = change, operators

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").split(".")[0]
        if name in self._operators:
            return self._change(func, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    state, precision = torch.get_rng_state(), torch.get_float32_matmul_precision()
    yield
    torch.set_rng_state(state)
    torch.set_float32_matmul_precision(precision)
    torch.use_deterministic_algorithms(False)


@contextmanager
def machine(change: Callable[..., Any] | None, *operators: str) -> Iterator[None]:
    if change is None:
        yield
        return
    with Changed(change, *operators):
        yield


def judged(case: Case, change: Callable[..., Any] | None = None, *operators: str) -> dict[str, Finding]:
    with machine(change, *operators):
        recording, arrays = measure(case, open_device("cpu"))
    assert recording.status is Status.OK, recording.message
    recording.__dict__["tensors"] = arrays
    check = case.checks[0]
    assert isinstance(check, Check)
    return {f.subject: f for f in check(Evidence(case, recording, recording))}


@pytest.mark.parametrize("name", CASES)
def test_the_cpu_breaks_no_promise_and_gives_every_fact(name: str) -> None:
    found = judged(CASES[name])
    assert found
    assert {f.outcome for f in found.values()} == {Outcome.PASS}
    assert all(f.answer and f.reference_answer == f.answer for f in found.values())


def test_the_answers_of_the_cpu() -> None:
    product = judged(CASES["product[float32]"])
    assert product["operands"].answer == "all bits"
    assert product["sums"].measured is not None
    assert product["sums"].measured >= 24
    assert judged(CASES["special[float16]"])["subnormal numbers"].answer == "kept"
    assert judged(CASES["rounding[bfloat16]"])["cast from float32"].answer == "nearest, ties to even"
    assert judged(CASES["generator[float32]"])["stream"].answer == "the CPU's"
    assert judged(CASES["support[float32]"])["float64"].answer == "yes"


def _cut(x: Any) -> Any:
    """Keep 11 digits of float32."""
    if not isinstance(x, Tensor) or x.dtype is not torch.float32:
        return x
    return ((x.contiguous().view(torch.int32) + (1 << 12)) & ~((1 << 13) - 1)).view(torch.float32)


def with_tf32(func: Any, *args: Any, **kwargs: Any) -> Any:
    return func(*map(_cut, args), **kwargs)


@pytest.mark.parametrize(("name", "operator"), [("product[float32]", "mm"), ("convolution[float32]", "convolution")])
def test_a_machine_with_tf32_fails_for_precision(name: str, operator: str) -> None:
    found = judged(CASES[name], with_tf32, operator)["operands"]
    assert (found.outcome, found.cause, found.measured) == (Outcome.FAIL, Cause.PRECISION, 11.0)


def test_a_machine_that_was_allowed_tf32_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suites.workloads.fingerprint.products.allowed", lambda device: ["float32_matmul_precision=high"])
    found = judged(CASES["product[float32]"], with_tf32, "mm")["operands"]
    assert found.outcome is Outcome.PASS
    assert "allowed by float32_matmul_precision=high" in found.answer


def test_a_machine_that_sums_bfloat16_in_bfloat16_is_seen() -> None:
    def mm(func: Any, a: Tensor, b: Tensor) -> Tensor:
        total = torch.zeros(a.shape[0], b.shape[1], dtype=a.dtype)
        for i in range(a.shape[1]):
            total = total + a[:, i : i + 1] * b[i : i + 1]
        return total

    found = judged(CASES["product[bfloat16]"], mm, "mm")
    assert (found["sums"].answer, found["sums"].cause) == ("8 bits, bfloat16", Cause.PRECISION)
    assert found["rounding of sums"].answer == "nearest, ties to even"
    assert found["products before the sum"].answer == "rounded"


def test_a_machine_that_rounds_to_zero_is_told() -> None:
    def cast(func: Any, x: Tensor, **kwargs: Any) -> Tensor:
        if kwargs.get("dtype") is not torch.bfloat16 or x.dtype is not torch.float32:
            return func(x, **kwargs)
        return func((x.view(torch.int32) & ~0xFFFF).view(torch.float32), **kwargs)

    found = judged(CASES["rounding[bfloat16]"], cast, "_to_copy")["cast from float32"]
    assert (found.answer, found.outcome) == ("toward zero", Outcome.PASS)


def test_a_machine_that_flushes_is_told() -> None:
    def mul(func: Any, a: Any, b: Any) -> Tensor:
        result = func(a, b)
        return torch.where(result.abs() < torch.finfo(result.dtype).tiny, torch.zeros_like(result), result)

    assert judged(CASES["special[float32]"], mul, "mul")["subnormal numbers"].answer == "results flushed: mul; kept: add, matmul"


def test_a_machine_that_wanders_fails() -> None:
    calls = iter(range(10**6))

    def wander(func: Any, *args: Any, **kwargs: Any) -> Tensor:
        return func(*args, **kwargs) * (1 + 2.0**-22 * (next(calls) % 2))

    found = judged(CASES["repetition[float32]"], wander, "index_add")["repetition"]
    assert (found.outcome, found.cause, found.answer) == (Outcome.FAIL, Cause.UNSTEADY, "index_add: 8 of 15 differ")


def test_a_refused_probe_is_a_fact_and_the_others_go_on() -> None:
    def refuse(func: Any, *args: Any, **kwargs: Any) -> Tensor:
        raise NotImplementedError("no such operator here")

    found = judged(CASES["integers[int32]"], refuse, "sort")
    assert found["sort, not probed"].answer == "refuses"
    assert found["arithmetic"].answer == "exact"


def test_a_probe_that_breaks_is_an_error() -> None:
    def break_down(func: Any, *args: Any, **kwargs: Any) -> Tensor:
        raise RuntimeError("aicore exception")

    assert judged(CASES["integers[int32]"], break_down, "sort")["sort, not probed"].outcome is Outcome.ERROR


def test_a_case_whose_probes_are_all_refused_is_unsupported() -> None:
    def refuse() -> Tensor:
        raise NotImplementedError("nothing")

    with pytest.raises(NotImplementedError, match="nothing"):
        probing({"a": refuse, "b": refuse}).call()


def test_what_is_allowed_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_float32_matmul_precision("highest")
    assert allowed(torch.device("cpu")) == []
    torch.set_float32_matmul_precision("high")
    assert allowed(torch.device("cpu")) == ["float32_matmul_precision=high"]
    torch.set_float32_matmul_precision("highest")
    part = SimpleNamespace(allow_hf32=True)
    monkeypatch.setattr(torch, "npu", SimpleNamespace(matmul=SimpleNamespace(allow_hf32=False), conv=part), raising=False)
    assert allowed(torch.device("meta")) == []
    assert allowed(SimpleNamespace(type="npu")) == ["conv.allow_hf32"]  # type: ignore[arg-type]  # a kind that is not built in here


def test_lack_of_memory_is_no_refusal() -> None:
    def starve() -> Tensor:
        raise torch.OutOfMemoryError("NPU out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        probing({"a": lambda: torch.ones(1), "b": starve}).call()


def test_the_common_operators_are_many_and_each_once() -> None:
    assert len(common_operators()) > 150
    assert list(common_operators()) == sorted(common_operators())


def test_recordings_are_small() -> None:
    for case in CASES.values():
        recording, arrays = measure(case, open_device("cpu"))
        assert isinstance(recording, Recording)
        assert sum(array.nbytes for array in arrays.values()) < 1 << 20, case.id
