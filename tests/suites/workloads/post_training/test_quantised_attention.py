"""The indexer in four bits and entries in eight: scores of the quantised operands, and selections that change by them."""

import torch

from reference.oracles.block_formats import MXFP4
from suites.workloads.post_training import quantised_attention as module
from suites.workloads.post_training.quantised_attention import quantised_entries, quantised_indexer
from tests.suites.workloads.tiny_model import inputs

MODEL = "tiny:deepseek_v4-flash"


def test_selects_the_largest_of_the_scores_of_four_bits():
    found = quantised_indexer(inputs(), model=MODEL).call()
    queries, keys = found["operand/queries"], found["operand/keys"]
    assert torch.equal(queries, MXFP4.round_trip(queries))
    assert torch.equal(keys, MXFP4.round_trip(keys))
    scores = found["scores/indexer"]
    assert (scores.shape, found["chosen/indexer"].shape) == ((80, 24), (80, 4))
    assert torch.equal(scores.gather(1, found["chosen/indexer"]).amin(1), scores.topk(4).values[:, -1])
    assert torch.isfinite(scores).sum(1).tolist() == [(i + 1) // 4 for i in range(16, 96)]


def test_without_four_bits_other_keys_are_selected(monkeypatch):
    four = quantised_indexer(inputs(), model=MODEL).call()["chosen/indexer"]
    monkeypatch.setattr(module, "quantise_activations", lambda *_: None)
    wide = quantised_indexer(inputs(), model=MODEL).call()["chosen/indexer"]
    assert (four.sort(1).values != wide.sort(1).values).any(1).sum() > 3


def test_entries_and_their_gradients_are_those_of_the_golden():
    for dtype in (torch.float32, torch.bfloat16):
        ours, exact = (quantised_entries(i, model=MODEL).call() for i in (inputs(dtype), inputs(dtype, golden=True)))
        assert all(torch.equal(ours[name].double(), exact[name].double()) for name in ("entries", "grad/entries"))
