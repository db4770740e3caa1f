"""Documented behaviour of Ascend, off and on as on the real device."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from emulator import behaviour


@pytest.fixture
def hf32() -> Iterator[None]:
    torch.npu.matmul.allow_hf32 = True
    yield
    torch.npu.matmul.allow_hf32 = False


def test_products_are_float32_unless_hf32_is_allowed() -> None:
    x = torch.randn(64, 64)
    assert torch.equal((x.npu() @ x.npu()).cpu(), x @ x)


def test_hf32_leaves_as_many_bits_as_users_measured(hf32: None) -> None:
    torch.manual_seed(0)
    x, y = torch.rand(64, 64) + 1, torch.rand(64, 64) + 1
    exact = x.double() @ y.double()
    found = (x.npu() @ y.npu()).cpu().double()
    single = torch.rand(1000) + 1
    kept = behaviour.hf32(single).double()
    assert -torch.log2(((kept - single) / single).abs().max()) >= 12
    assert ((found - exact) / exact).abs().max() > 1e-6  # and not float32's 6e-8


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 0.0, -0.0, 1.0, 3.4e38, 1e-45])
def test_hf32_keeps_special_values(value: float) -> None:
    x = torch.tensor([value])
    rounded = behaviour.hf32(x)
    assert torch.equal(rounded.isnan(), x.isnan())
    assert torch.equal(rounded.isinf(), x.isinf() | (x.abs() > 3.4e38 * 1.0001))
    assert torch.equal(torch.signbit(rounded), torch.signbit(x)) or x.isnan().all()


def saturated(mode: str) -> str:
    script = """
import torch
x = torch.tensor([60000.0, -60000.0, 1.0]).half().npu()
print((x * 2).cpu().tolist(), torch.log(-x[2:]).cpu().tolist())
"""
    variables = {**os.environ, "INF_NAN_MODE_FORCE_DISABLE": mode}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=variables, check=False, timeout=120)
    return done.stdout or done.stderr


def test_overflow_gives_infinity() -> None:
    assert saturated("0") == "[inf, -inf, 2.0] [nan]\n"


def test_overflow_saturates_where_the_mode_says_so() -> None:
    assert saturated("1") == "[65504.0, -65504.0, 2.0] [0.0]\n"


def test_the_matrix_unit_has_no_float64() -> None:
    with pytest.raises(RuntimeError, match="self not implemented for DT_DOUBLE, should be in dtype support list"):
        behaviour.cube(0, torch.ones(2, 2, dtype=torch.float64))


def test_top_k_among_equals_takes_the_lowest_index_first() -> None:
    values, indices = torch.topk(torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0]).npu(), 3)
    assert values.tolist() == [3.0, 3.0, 3.0]
    assert indices.tolist() == [1, 2, 4]


def test_dropout_has_a_generator_of_its_own() -> None:
    torch.manual_seed(1)
    host = torch.nn.functional.dropout(torch.ones(1000), 0.5)
    torch.npu.manual_seed(1)
    first = torch.nn.functional.dropout(torch.ones(1000).npu(), 0.5).cpu()
    torch.npu.manual_seed(1)
    assert torch.equal(torch.nn.functional.dropout(torch.ones(1000).npu(), 0.5).cpu(), first)
    assert not torch.equal(first, host)
