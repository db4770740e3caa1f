"""Seeded faults of the emulated NPU are localised to exactly the operator that has them, with its place; a sound pair names none."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

_SCRIPT = """
import json, sys, time
import torch
from harness.devices import open_device
from harness.localise.call import Side
from harness.localise.lockstep import LockStep
from harness.localise.whereabouts import Whereabouts
from tests.emulator.tiny_models import TOKENS, model


class Transposed(torch.nn.Module):
    def forward(self, x):
        return x * x.mT


def work(name, device):
    if name == "transposed":
        module = Transposed()
        return lambda: module(torch.arange(600.0, device=device).reshape(6, 10, 10).sin())
    tokens = (TOKENS % 9).to(device)  # tokens that repeat
    network = model("llama", attn_implementation="eager").to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), foreach=False, fused=False)

    def step():
        network(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        optimizer.step()

    return step


npu, cpu = Side.of(open_device("npu:0")), Side.of(open_device("cpu"))
found = {}
for name in ("llama", "transposed"):
    for drives in (False, True):
        where = Whereabouts()
        run = work(name, npu.device if drives else cpu.device)
        mode = LockStep(npu, cpu, where, time.monotonic() + 100, lambda *_: None, drives)
        with where, mode:
            run()
        first = mode.found.first
        found[f"{name} {mode.found.driver}"] = [first.operator, first.phase, first.path, first.figures.cause] if first else None
        assert mode.found.counts["equal"] > (40 if name == "llama" else 0), mode.found.counts
print(json.dumps(found))
"""


@cache
def localised(fault: str) -> dict[str, list[str] | None]:
    variables = {**os.environ, "ASSAY_EMULATOR_FAULTS": fault}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SCRIPT], capture_output=True, text=True, env=variables, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_sound_pair_names_no_operator() -> None:
    assert set(localised("").values()) == {None}


@pytest.mark.parametrize(
    ("fault", "work", "operator", "path"),
    [
        ("softmax-tail", "llama cpu", ["aten::_softmax", "forward"], "model.layers.0.self_attn"),
        ("softmax-tail", "llama npu:0", ["aten::_softmax", "forward"], "model.layers.0.self_attn"),
        ("embedding-gradient-duplicates", "llama cpu", ["aten::embedding_dense_backward", "backward"], "model.embed_tokens"),
        ("embedding-gradient-duplicates", "llama npu:0", ["aten::embedding_dense_backward", "backward"], "model.embed_tokens"),
        ("matmul-hf32", "llama cpu", ["aten::mm", "forward"], "model.layers.0.self_attn.q_proj"),
        ("strides-ignored", "transposed cpu", ["aten::mul.Tensor", "forward"], ""),
    ],
)
def test_the_operator_with_the_fault_is_the_first(fault: str, work: str, operator: list[str], path: str) -> None:
    first = localised(fault)[work]
    assert first is not None
    assert first[:3] == [*operator, path]


def test_a_failing_run_names_the_operator_and_a_command_that_makes_its_call_alone(tmp_path: Path) -> None:
    variables = {**os.environ, "ASSAY_EMULATOR_FAULTS": "softmax-tail"}
    options = ["--device", "npu:0", "--case", "operators/softmax-strided[float32]", "--run", str(tmp_path / "run"), "--localise"]

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=variables, check=False, timeout=200)

    done = python("pytest", "suites/", *options, "-q", "-p", "no:cacheprovider")
    assert done.returncode == 1, done.stdout
    assert "localised: the first operator that is off by itself is aten::_softmax (forward, outside of any module;" in done.stdout
    (stem,) = (tmp_path / "run" / "localised").glob("*.json")
    assert f"alone: python -m harness.replay '{stem.with_suffix('')}'" in done.stdout
    again = python("harness.replay", str(stem.with_suffix("")))
    assert again.returncode == 1, again.stderr
    assert "likely cause: tail" in again.stdout
