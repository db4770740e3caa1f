"""Seeded faults: each is wrong where it says so and right elsewhere; they are switched on by name, and a wrong name is refused."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from emulator import faults
from emulator.fault import FAULTS, seeded
from emulator.operator import OPERATORS

torch.manual_seed(0)


def call(name: str, *arguments: Any, fault: str = "") -> Any:
    """Run an operator's function, with a fault or without."""
    function: Callable[..., Any] = OPERATORS[name].function
    faults._calls.clear(), faults._kept.clear()
    return seeded(name, function, [FAULTS[fault]] if fault else [])(*arguments)


def differs(fault: str, name: str, *arguments: Any) -> bool:
    """Whether the fault changes the result."""
    right, wrong = call(name, *arguments), call(name, *arguments, fault=fault)
    pairs = zip(right, wrong, strict=True) if isinstance(right, (list, tuple)) else [(right, wrong)]
    return any(not torch.equal(a, b) for a, b in pairs)


def test_there_are_twelve_of_different_kinds_and_each_names_its_source() -> None:
    kinds = {fault.kind for fault in FAULTS.values()}
    assert len(FAULTS) >= 12
    assert len(kinds) >= 12
    assert all(fault.source for fault in FAULTS.values())
    assert all(set(fault.operators) <= set(OPERATORS) for fault in FAULTS.values())


def test_softmax_tail_depends_on_the_shape() -> None:
    assert differs("softmax-tail", "aclnnSoftmax", torch.randn(3, 33), 1, torch.empty(3, 33))
    assert not differs("softmax-tail", "aclnnSoftmax", torch.randn(3, 32), 1, torch.empty(3, 32))


def test_matmul_hf32_depends_on_the_type() -> None:
    x = torch.randn(8, 8)
    assert differs("matmul-hf32", "aclnnMm", x, x, torch.empty(8, 8), 0)
    assert not differs("matmul-hf32", "aclnnMm", x.bfloat16(), x.bfloat16(), torch.empty(8, 8, dtype=torch.bfloat16), 0)


def test_bit_flip_strikes_every_64th_call() -> None:
    function = seeded("aclnnMm", OPERATORS["aclnnMm"].function, [FAULTS["bit-flip"]])
    faults._calls.clear()
    x = torch.randn(4, 4)
    results = [function(x, x, torch.empty(4, 4), 0).clone() for _ in range(128)]
    assert [i for i, result in enumerate(results, 1) if not torch.equal(result, x @ x)] == [64, 128]


def test_stale_weight_does_not_see_an_update() -> None:
    function = seeded("aclnnMm", OPERATORS["aclnnMm"].function, [FAULTS["stale-weight"]])
    faults._kept.clear()
    x, weight = torch.randn(4, 4), torch.randn(4, 4)
    first = function(x, weight, torch.empty(4, 4), 0).clone()
    weight.mul_(2)
    assert torch.equal(function(x, weight, torch.empty(4, 4), 0), first)


def test_embedding_gradients_lose_duplicates_only() -> None:
    grad = torch.randn(3, 4)
    rest = (5, -1, False, torch.empty(5, 4))
    assert differs("embedding-gradient-duplicates", "aclnnEmbeddingDenseBackward", grad, torch.tensor([1, 2, 1]), *rest)
    assert not differs("embedding-gradient-duplicates", "aclnnEmbeddingDenseBackward", grad, torch.tensor([1, 2, 3]), *rest)


def test_mask_rows_dropped_needs_a_mask_that_is_broadcast() -> None:
    row, full = torch.tensor([[True, False, True]]), torch.ones(2, 3, dtype=torch.bool)
    right, wrong = (call("aclnnInplaceMaskedFillScalar", torch.zeros(2, 3), row, -1.0, fault=f) for f in ("", "mask-rows-dropped"))
    assert not torch.equal(right, wrong)
    right, wrong = (call("aclnnInplaceMaskedFillScalar", torch.zeros(2, 3), full, -1.0, fault=f) for f in ("", "mask-rows-dropped"))
    assert torch.equal(right, wrong)


def test_strides_ignored_needs_a_transposed_operand() -> None:
    x = torch.randn(3, 3)
    assert differs("strides-ignored", "aclnnMul", x, x.T, torch.empty(3, 3))
    assert not differs("strides-ignored", "aclnnMul", x, x, torch.empty(3, 3))


def test_exp_saturates_on_overflow_only() -> None:
    assert call("aclnnExp", torch.tensor([1e3]), torch.empty(1), fault="exp-saturates").item() == torch.finfo(torch.float32).max
    assert not differs("exp-saturates", "aclnnExp", torch.randn(9), torch.empty(9))


def test_integers_through_float_needs_more_than_24_bits() -> None:
    large, small = torch.tensor([2**24 + 1], dtype=torch.int32), torch.tensor([5], dtype=torch.int32)
    assert differs("integers-through-float", "aclnnAdd", large, small * 0, 1, torch.empty(1, dtype=torch.int32))
    assert not differs("integers-through-float", "aclnnAdd", small, small, 1, torch.empty(1, dtype=torch.int32))


def test_sum_order_differs_between_calls() -> None:
    name = "aclnnReduceSum"
    function = seeded(name, OPERATORS[name].function, [FAULTS["sum-order"]])
    arguments = (torch.rand(100), (0,), False, 0, torch.empty(()))
    assert len({float(function(*arguments)) for _ in range(6)}) > 1


def test_topk_second_strikes_among_many() -> None:
    def topk(length: int) -> bool:
        name = "aclnnTopk" if "aclnnTopk" in OPERATORS else "aclnnTopkV2"
        more = (1,) if name.endswith("V2") else ()
        outs = (torch.empty(4), torch.empty(4, dtype=torch.int64))
        return differs("topk-second", name, torch.randn(length), 4, 0, True, True, *more, *outs)

    assert topk(64)
    assert not topk(16)


def run(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, **variables}, check=False, timeout=120
    )


def test_faults_are_switched_on_by_name_and_those_of_the_runtime_too() -> None:
    script = """
import torch
x = torch.arange(5000, dtype=torch.float32)
print(torch.equal(torch.exp(torch.tensor([1e3]).npu()).cpu(), torch.tensor([torch.finfo(torch.float32).max])))
print(int((x.npu().cpu() != x).sum()))
before = torch.npu.mem_get_info()[0]
y = torch.empty(64 << 20, dtype=torch.uint8, device="npu")
del y
torch.npu.empty_cache()
print(before - torch.npu.mem_get_info()[0] >= 64 << 20)
"""
    done = run(script, ASSAY_EMULATOR_FAULTS="exp-saturates, copy-tail,freed-memory-counted")
    assert done.stdout == f"True\n{(20000 % 2048) // 4}\nTrue\n", done.stderr


def test_a_file_of_ones_own_adds_faults(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(from emulator.fault.*?)```", page, re.DOTALL)
    assert example
    (tmp_path / "mine.py").write_text(example[1])
    script = "import torch; print(torch.neg(torch.ones(2).npu()).cpu().tolist())"
    done = run(script, ASSAY_EMULATOR_FAULTS="negation-off-by-one", ASSAY_EMULATOR_FAULTS_FILE=str(tmp_path / "mine.py"))
    assert done.stdout == "[0.0, 0.0]\n", done.stderr


def test_a_name_that_no_fault_bears_is_refused() -> None:
    done = run("import torch; torch.ones(1).npu()", ASSAY_EMULATOR_FAULTS="bit-flop")
    assert done.returncode
    assert "no fault is called bit-flop; there are: all-reduce-tail, bit-flip," in done.stderr


def test_a_fault_that_strikes_the_suites_fails_a_case(tmp_path: Path) -> None:
    """The way that the next users go: a fault on, the suite run, and the verdict not a pass, with the fault named in the Run."""
    variables = {**os.environ, "ASSAY_EMULATOR_FAULTS": "matmul-hf32"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "suites/",
        "--device",
        "npu:0",
        "--run",
        str(tmp_path / "run"),
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, "--case", "operators/matmul[float32]"], capture_output=True, text=True, env=variables, check=False, timeout=200
    )
    assert done.returncode == 1, done.stdout
    assert "SEEDED FAULTS on npu:0: matmul-hf32" in done.stdout
    assert "operators/matmul[float32]: fail" in done.stdout
    environments = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["environments"]
    assert [block["device"]["emulated"] for block in environments.values()] == [True]
    assert [block["device"]["versions"]["seeded_faults"] for block in environments.values()] == ["matmul-hf32"]
