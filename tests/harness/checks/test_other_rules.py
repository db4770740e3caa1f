"""What other people's rules say beside our verdict, with the faults that they let through."""

from dataclasses import replace

import numpy as np
import pytest

from harness.checks.closeness import Closeness
from harness.checks.other_rules import OtherRules, operator_of
from harness.checks.special_values import SpecialValues
from harness.verdict import WOULD_SAY, Outcome, sum_up
from tests.harness.checks.build import case, evidence

GOLDEN = 1.0 + np.arange(64) / 64
SOUND = GOLDEN.astype(np.float32)


def said(candidate: np.ndarray, reference: np.ndarray = SOUND, golden: np.ndarray = GOLDEN, dtype: str = "float16") -> dict[str, str]:
    found = OtherRules()(evidence({"out": candidate}, {"out": reference}, {"out": golden}, dtype))
    assert all(f.outcome is Outcome.PASS for f in found)
    return {f.subject.removeprefix(WOULD_SAY): f.message.split(":")[0] for f in found}


def ours(candidate: np.ndarray, reference: np.ndarray = SOUND, golden: np.ndarray = GOLDEN, dtype: str = "float16") -> Outcome:
    made = evidence({"out": candidate}, {"out": reference}, {"out": golden}, dtype)
    return sum_up([*SpecialValues()(made), *Closeness()(made)])[0]


def test_a_sound_output_passes_every_rule() -> None:
    assert said(SOUND) == {"assert_close": "pass", "cosine > 0.99": "pass", "cosine > 0.999": "pass", "msprobe dual L0": "pass"}


def test_eight_nan_pass_msprobe() -> None:
    device = SOUND.copy()
    device[:8] = np.nan
    assert said(device) == {"assert_close": "fail", "cosine > 0.99": "fail", "cosine > 0.999": "fail", "msprobe dual L0": "pass"}
    assert ours(device) is Outcome.FAIL


def test_eight_infinities_pass_msprobe() -> None:
    device = SOUND.copy()
    device[:8] = np.inf
    assert said(device)["msprobe dual L0"] == "pass"
    assert ours(device) is Outcome.FAIL


def test_saturation_passes_msprobe() -> None:
    golden, reference, device = np.append(GOLDEN, np.inf), np.append(SOUND, np.float32("inf")), np.append(SOUND, np.float32(65504))
    assert said(device, reference, golden)["msprobe dual L0"] == "pass"
    assert ours(device, reference, golden) is Outcome.FAIL


def test_a_scaled_output_passes_the_cosines() -> None:
    found = said(SOUND * 3)
    assert (found["cosine > 0.99"], found["cosine > 0.999"], found["assert_close"]) == ("pass", "pass", "fail")
    assert ours(SOUND * 3) is Outcome.FAIL


def test_half_a_per_cent_of_noise_passes_one_cosine_and_not_the_other() -> None:
    device = SOUND * (1 + 0.08 * np.where(np.arange(64) % 2, 1, -1)).astype(np.float32)
    found = said(device)
    assert (found["cosine > 0.99"], found["cosine > 0.999"]) == ("pass", "fail")


def test_one_finding_a_rule_names_the_worst_output() -> None:
    bad = {f"o{i}": SOUND * (1.1 if i == 3 else 1) for i in range(6)}
    good = {f"o{i}": SOUND for i in range(6)}
    found = OtherRules()(evidence(bad, good, {f"o{i}": GOLDEN for i in range(6)}))
    assert len(found) == 4
    assert found[0].message == "fail: o3: 64 of 64 elements mismatch"


def test_integers_are_compared_exactly_by_the_rules_that_know_them() -> None:
    ints = [{"out": np.arange(4) + k} for k in (1, 0)]
    assert {f.subject: f.message for f in OtherRules()(evidence(*ints, ints[1]))} == {
        f"{WOULD_SAY}assert_close": "fail: out: 4 elements differ", f"{WOULD_SAY}msprobe dual L0": "fail: out: 4 elements differ",
    }  # fmt: skip


def test_complex_and_empty_outputs_are_left_out() -> None:
    odd = {"z": np.zeros(3, dtype=np.complex64), "e": np.zeros((0, 2), dtype=np.float32)}
    assert OtherRules()(evidence(odd, odd, odd)) == []


def test_without_a_golden_msprobe_says_nothing() -> None:
    found = OtherRules()(evidence({"out": SOUND}, {"out": SOUND}, None))
    assert [f.subject.removeprefix(WOULD_SAY) for f in found] == ["assert_close", "cosine > 0.99", "cosine > 0.999"]


def test_another_shape_fails() -> None:
    assert said(SOUND[:5])["assert_close"] == "fail"


@pytest.mark.parametrize(("name", "operator"), [
    ("operators/layer_norm-odd[float32]", "layer_norm"), ("operators/opinfo/MatMul[float16]", "matmul"), ("operators/x[float32]", "x"),
])  # fmt: skip
def test_the_operator_is_read_from_the_id(name: str, operator: str) -> None:
    assert operator_of(replace(case(), id=name)) == operator
