"""These tests need the real torch_npu on the emulator: `tox -e npu`. They are not collected elsewhere; Ascend's own need a checkout."""

import os
from collections.abc import Iterator

import pytest
import torch

collect_ignore_glob = [] if os.environ.get("ASSAY_EMULATOR") == "1" else ["*"]
collect_ignore = [] if os.environ.get("ASSAY_OP_PLUGIN") else ["test_public_tests.py"]


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors here too, but for the one that torch_npu gives on the first tensor of a process."""
    config.addinivalue_line("filterwarnings", "ignore:.*Cannot create tensor with internal format:UserWarning")


@pytest.fixture(autouse=True)
def as_in_a_new_process() -> Iterator[None]:
    """A case that is measured in this process demands deterministic algorithms and full float32; the next test finds the defaults."""
    yield
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(False)
        torch.npu.conv.allow_hf32, torch.npu.matmul.allow_hf32 = True, False
