"""Which errors mean "not supported", which "out of memory", and which are neither."""

import re

import pytest
import torch

from harness.devices import open_device
from harness.devices.refusals import OUT_OF_MEMORY, UNSUPPORTED, says_out_of_memory, says_unsupported


@pytest.mark.parametrize(("pattern", "example"), [*UNSUPPORTED, *OUT_OF_MEMORY])
def test_each_pattern_matches_its_example_and_no_other_does(pattern: str, example: str) -> None:
    assert [p for p, _ in (*UNSUPPORTED, *OUT_OF_MEMORY) if re.search(p, example)] == [pattern]


@pytest.mark.parametrize("example", [example for _, example in UNSUPPORTED])
def test_examples_are_unsupported(example: str) -> None:
    error = RuntimeError(f"call failed, detail: {example} and more") if not example.startswith("Unsupported") else RuntimeError(example)
    assert says_unsupported(error)
    assert not says_out_of_memory(error)


@pytest.mark.parametrize("example", [example for _, example in OUT_OF_MEMORY])
def test_examples_are_out_of_memory_and_not_unsupported(example: str) -> None:
    assert says_out_of_memory(RuntimeError(example))
    assert not says_unsupported(RuntimeError(example))


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")])
def test_types_that_mean_out_of_memory(error: BaseException) -> None:
    assert open_device("cpu").out_of_memory(error)
    assert not open_device("cpu").unsupported(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"),
        RuntimeError("expected scalar type Float but found Int"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError(
            "cumsum_cuda_kernel does not have a deterministic implementation, but you set 'torch.use_deterministic_algorithms(True)'"
        ),
        RuntimeError("this scheduler is not supported"),
        ValueError("\"addmm_impl_cpu_\" not implemented for 'Half'"),
        TypeError("not implemented"),
        NotImplementedError(),
        NotImplementedError("  "),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_are_neither(error: BaseException) -> None:
    assert not says_unsupported(error)
    assert not says_out_of_memory(error)


def test_a_missing_kernel_of_the_real_cpu_is_unsupported() -> None:
    with pytest.raises(NotImplementedError) as caught:
        torch.ones(2, 2, dtype=torch.bool) @ torch.ones(2, 2, dtype=torch.bool)
    assert open_device("cpu").unsupported(caught.value)


def test_a_refused_allocation_of_the_real_cpu_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55, dtype=torch.uint8)
    assert open_device("cpu").out_of_memory(caught.value)
    assert not open_device("cpu").unsupported(caught.value)
