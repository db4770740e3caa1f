"""The cases of inference: which there are, that they pass on a CPU, and that faults fail them."""

from dataclasses import replace
from unittest.mock import patch

import pytest
import torch

from harness.verdict import Outcome
from suites.assets.families import FAMILIES
from suites.workloads.inference import batched, continuous, decode, greedy, long_context, prefill, quantised, serving_costs, speculative
from suites.workloads.inference.families import PADDED, UNPADDED, on_families
from tests.suites.workloads.inference.judging import case_of, judged, recorded

MODULES = (batched, continuous, decode, greedy, long_context, prefill, quantised, serving_costs, speculative)
SHOWN = [
    (batched, "batched/llama"), (batched, "padded-right/deepseek_v4-flash"), (batched, "padded-left/llama"),
    (continuous, "continuous/llama"),
    (continuous, "continuous/deepseek_v4-flash"), (decode, "decode/deepseek_v4-flash"), (decode, "decode-static/llama"),
    (prefill, "prefill/qwen3_moe"), (quantised, "quantised-hif8/llama"), (quantised, "quantised-mxfp4/deepseek_v32"),
    (serving_costs, "next-token/llama"), (speculative, "speculative/llama"), (speculative, "speculative-mtp/deepseek_v4-flash"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name"), SHOWN, ids=[name for _, name in SHOWN])
def test_sound_code_passes(module, name):
    verdict = judged(case_of(module.CASES, name))
    assert (verdict.outcome, verdict.message) == (Outcome.PASS, "")


def test_every_workload_is_on_any_model_and_on_the_families():
    for module in MODULES:
        models = {case.params["model"] for case in module.CASES}
        assert "default" in models
        assert len(models) > 1
    assert {case.params["model"] for case in decode.CASES} >= {f"tiny:{family}" for family in FAMILIES}


def test_families_that_select_are_in_bfloat16_only_with_selections_given():
    for case in (case for module in MODULES for case in module.CASES if case.golden and case.dtype == "bfloat16"):
        family = str(case.params["model"]).removeprefix("tiny:")
        assert family == "default" or not FAMILIES[family].selects or case.params["replay"], case.id


def test_no_family_is_padded_on_the_left_that_does_not_bear_it():
    padded = {case.params["model"] for case in batched.CASES if case.params.get("padding") == "left"} - {"default"}
    assert padded == {f"tiny:{family}" for family in PADDED}
    assert not any(FAMILIES[family].kind in UNPADDED for family in PADDED)
    with pytest.raises(NotImplementedError, match="deepseek_v32: transformers does not leave out padding"):
        batched.batched(None, model="tiny:deepseek_v32", batch=1, length=8, new_tokens=1, padding="left")


def test_replayed_selections_let_bfloat16_be_compared():
    case = next(c for c in decode.CASES if c.id == "inference/decode/qwen3_moe[bfloat16]")
    assert judged(case).outcome is Outcome.PASS


def test_embedded_models_are_wide():
    assert all(case.wide for case in on_families("x", decode.decode, (), {}) if case.params["model"] == "default")


@pytest.mark.parametrize(("module", "name"), [(continuous, "continuous/llama"), (continuous, "continuous/deepseek_v4-flash")])
def test_sequences_really_run_side_by_side(module, name):
    passes = recorded(case_of(module.CASES, name)).details["sequences_a_pass"]
    assert max(passes) == 3
    assert min(passes) == 1


def test_a_row_of_a_left_sequence_in_the_cache_is_seen():
    """The place of one who left goes to another, with what is in it."""
    case = case_of(continuous.CASES, "continuous/llama")
    right = continuous.parted

    def stale(cache, rows):
        return right(cache, rows)[::-1]

    with patch.object(continuous, "parted", stale):
        candidate = recorded(case)
    assert judged(case, candidate).outcome is Outcome.FAIL


def test_a_proposal_that_is_always_accepted_is_seen():
    case = case_of(speculative.CASES, "speculative/llama")
    with patch.object(
        speculative, "_speculated", lambda module, draft, start, count, ahead, counts: speculative._plain(draft, start, count)
    ):
        candidate = recorded(case)
    assert judged(case, candidate).outcome is Outcome.FAIL


def test_a_scale_rule_of_another_format_is_seen():
    case = case_of(quantised.CASES, "quantised-mxfp8/llama")
    with patch.dict(quantised.SERVED, {"mxfp8": (quantised.MXFP8, quantised.FP8_ACTIVATIONS)}):
        candidate = recorded(case)
    assert judged(case, candidate).outcome is Outcome.FAIL


def test_weights_rounded_otherwise_are_not_comparable():
    case = case_of(quantised.CASES, "quantised-w4a16/llama")
    with patch.dict(quantised.SERVED, {"w4a16": (quantised.INT8, None)}):
        candidate = recorded(case)
    assert judged(case, candidate).outcome is Outcome.INCOMPARABLE


def test_reach_predicts_by_a_line_and_stops_before_memory_ends():
    peaks = {1024: 3000, 2048: 4000}
    assert long_context._line(peaks) == (pytest.approx(2000), pytest.approx(1000 / 1024))

    class Small:
        room = staticmethod(lambda: (4000, 5000))

    assert long_context._fits(Small, long_context._line(peaks)) == 2560
    assert "4096 tokens need about" in long_context._too_much(Small, long_context._line(peaks), 4096)
    assert long_context._too_much(Small, long_context._line(peaks), 2560) == ""


def test_a_context_that_cannot_fit_is_unsupported_and_says_why():
    case = replace(case_of(long_context.CASES, "context-4096/llama"), params={"model": "tiny:llama", "length": 4096})
    with patch.object(long_context, "_too_much", lambda *_: "4096 tokens need about 9.0 GiB"):
        recording = recorded(case)
    assert (str(recording.status), recording.message.split(" (")[0]) == (
        "unsupported",
        "NotImplementedError: 4096 tokens need about 9.0 GiB",
    )


def test_the_cache_is_counted_as_it_is_measured():
    costs = recorded(case_of(serving_costs.CASES, "next-token/llama")).details["costs"]["serving"]
    assert costs["cache_bytes"] == costs["cache_counted"] == 2 * 3 * 2 * 2 * 16 * 48 * 4
    assert torch.float32.itemsize == 4
