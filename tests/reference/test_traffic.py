"""The least traffic, against sums by hand and against what a model really holds."""

from types import SimpleNamespace

import pytest
import torch

from harness.errors import AssayError
from reference import flops, traffic
from suites.assets.families import FAMILIES
from tests.suites.workloads.tiny_model import tiny

MODEL = tiny()  # a tied head: 512 words, width 64, 2 layers, 4 heads of 16, 2 of them for keys
PARAMETERS = sum(p.numel() for p in MODEL.parameters())


def test_a_pass_reads_every_weight_once_and_a_row_for_each_token() -> None:
    cached = 2 * 2 * 2 * 16  # keys and values, layers, heads, size
    assert traffic.forward(MODEL.config, 10, 2) == 2 * (PARAMETERS + 10 * (64 + cached))


def test_decoding_reads_the_weights_for_each_token_and_what_is_cached_of_those_before() -> None:
    cached = 2 * 2 * 2 * 16
    read, written = 6 + 7 + 8, 5 + 4 - 1
    assert traffic.decoding(MODEL.config, 5, 4, 4) == 4 * (4 * PARAMETERS + written * 64 + (read + written) * cached)
    assert traffic.decoding(MODEL.config, 5, 1, 4) == traffic.forward(MODEL.config, 5, 4)


def test_a_training_step_reads_and_writes_weights_and_two_moments() -> None:
    assert traffic.training(MODEL.config, 16) == 24 * PARAMETERS


def test_of_a_pass_only_the_logits_that_are_kept_are_computed() -> None:
    whole = sum(part.forward for part in flops.needed(MODEL.config, 1, 8).values())
    head = 2 * 512 * 64
    assert traffic.operations(MODEL.config, 8, 8) == whole
    assert traffic.operations(MODEL.config, 8, 1) == whole - 7 * head


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_has_a_bound_below_all_its_weights(family: str) -> None:
    config = FAMILIES[family].tiny_config()
    counts = flops.parameters(config)
    assert 0 < traffic.forward(config, 1, 1) <= counts.total + counts.embedding + 10_000
    assert traffic.operations(config, 4, 1) > 0


def test_a_family_that_is_not_described_has_none() -> None:
    with pytest.raises(AssayError, match="is not described"):
        traffic.forward(SimpleNamespace(model_type="mamba"), 1, torch.float32.itemsize)
