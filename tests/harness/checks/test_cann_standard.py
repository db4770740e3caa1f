"""The CANN standard as a check: what it says, when it decides, and its re-check."""

from collections.abc import Mapping

import numpy as np
import pytest

from harness.checks.cann_standard import CannStandard
from harness.checks.evidence import Evidence
from harness.verdict import WOULD_SAY, Finding, Outcome, sum_up
from tests.harness.checks.build import evidence

GOLDEN = np.linspace(1.0, 2.0, 64)


def sides(factor: float, dtype: str = "float32", golden: np.ndarray = GOLDEN) -> Evidence:
    """The reference is off by a thousandth, the candidate by `factor` times that."""
    made = [{"out": (golden * (1 + k * 1e-3)).astype(np.float32)} for k in (factor, 1.0)]
    return evidence(*made, {"out": golden}, dtype)


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1
    return found[0]


def test_it_informs_unless_it_is_to_decide() -> None:
    told, decided = only(CannStandard()(sides(3.0))), only(CannStandard(decides=True)(sides(3.0)))
    assert (told.outcome, decided.outcome) == (Outcome.PASS, Outcome.FAIL)
    assert told.subject == f"{WOULD_SAY}CANN L0"
    assert decided.subject == "CANN L0"
    assert told.message == decided.message == "fail: out: MERE ratio 3 > 2"
    assert told.measured == pytest.approx(3, rel=1e-3)
    assert told.bound == 2


def test_informing_alone_is_no_verdict() -> None:
    assert sum_up(CannStandard()(sides(1.0)))[0] is Outcome.MISTRUSTED
    assert sum_up(CannStandard(decides=True)(sides(1.0)))[0] is Outcome.PASS


@pytest.mark.parametrize(("level", "passes"), [("L0", True), ("L1", True), ("L2", False)])
def test_levels(level: str, passes: bool) -> None:
    assert only(CannStandard(level)(sides(1.4))).message.startswith("pass" if passes else "fail")


def test_the_worst_output_is_the_finding() -> None:
    arrays = [{f"o{i}": (GOLDEN * (1 + k * 1e-3)).astype(np.float32) for i, k in enumerate(ks)} for ks in ((1, 7, 3), (1, 1, 1))]
    found = only(CannStandard()(evidence(*arrays, dict.fromkeys(("o0", "o1", "o2"), GOLDEN))))
    assert found.message.startswith("fail: o1: MERE ratio 7")


def test_the_table_of_another_dtype_can_be_asked_for() -> None:
    small = np.full(64, 2.0**-13)  # small for hifloat32, not for float32
    made = [{"out": np.full(64, 2.0**-13 + k * 2.0**-29, dtype=np.float32)} for k in (8, 1)]
    assert only(CannStandard()(evidence(*made, {"out": small}))).message.startswith("fail")
    assert "ErrorCount" in only(CannStandard(as_dtype="hifloat32")(evidence(*made, {"out": small}))).message


def test_integers_are_equal_or_off_by_a_step_and_booleans_always_equal() -> None:
    golden = {"out": np.arange(8, dtype=np.int32)}
    off = {"out": np.arange(8, dtype=np.int32) + 1}
    assert only(CannStandard()(evidence(off, golden, golden))).message == "fail: out: 8 of 8 elements differ"
    assert only(CannStandard(integers="step")(evidence(off, golden, golden))).message == "pass"
    truth, lie = {"out": np.array([False])}, {"out": np.array([True])}
    assert only(CannStandard(integers="step")(evidence(lie, truth, truth))).message.startswith("fail")


def test_moved_data_are_the_same_bits() -> None:
    golden, other = {"out": np.array([0.0, 1.0])}, {"out": np.array([-0.0, 1.0], dtype=np.float32)}
    same = {"out": np.array([0.0, 1.0], dtype=np.float32)}
    assert only(CannStandard(floats="bitwise")(evidence(same, same, golden))).message == "pass"
    assert "differ in their bits" in only(CannStandard(floats="bitwise")(evidence(other, same, golden))).message


def test_three_different_values_need_a_person() -> None:
    made = [{"out": np.array([x, 2.0], dtype=np.float32)} for x in (1.0, np.nan)]
    found = only(CannStandard(decides=True)(evidence(*made, {"out": np.array([np.inf, 2.0])})))
    assert found.outcome is Outcome.INCOMPARABLE
    assert found.message.startswith("investigate: out:")


def test_without_a_golden_or_with_another_shape_it_does_not_pass() -> None:
    arrays = {"out": GOLDEN.astype(np.float32)}
    assert only(CannStandard(decides=True)(evidence(arrays, arrays, None))).outcome is Outcome.INCOMPARABLE
    assert only(CannStandard(decides=True)(evidence({"out": arrays["out"][:3]}, arrays, {"out": GOLDEN}))).outcome is Outcome.FAIL


def test_what_it_does_not_cover_it_says_nothing_of() -> None:
    doubles = {"out": GOLDEN}
    assert CannStandard(decides=True)(evidence(doubles, doubles, doubles)) == []


def test_empty_outputs_are_no_obstacle() -> None:
    empty: Mapping[str, np.ndarray] = {"out": np.zeros((0, 3), dtype=np.float32)}
    assert CannStandard()(evidence(empty, empty, {"out": np.zeros((0, 3))})) == []


def seeded(first: float, others: float, seeds: int = 200) -> Evidence:
    """Outputs [1 + seeds, 64]: the ratio of the case itself, and of its other seeds."""
    factors = np.array([first] + [others] * seeds)[:, None]
    golden = np.tile(GOLDEN, (1 + seeds, 1))
    made = [{"out": (golden * (1 + k * 1e-3)).astype(np.float32)} for k in (factors, np.ones_like(factors))]
    return evidence(*made, {"out": golden})


def test_a_failure_that_other_seeds_do_not_share_passes_on_re_check() -> None:
    found = only(CannStandard(decides=True, seeds=True)(seeded(5.0, 0.9)))
    assert found.outcome is Outcome.PASS
    assert "MERE ratio 5 > 2, but the re-check passes" in found.message


def test_a_failure_that_other_seeds_share_fails() -> None:
    found = only(CannStandard(decides=True, seeds=True)(seeded(5.0, 1.1)))
    assert found.outcome is Outcome.FAIL
    assert "above 1" in found.message


def test_a_re_check_with_too_few_seeds_fails() -> None:
    found = only(CannStandard(decides=True, seeds=True)(seeded(5.0, 0.9, seeds=199)))
    assert found.outcome is Outcome.FAIL
    assert "199 seeds, at least 200 are needed" in found.message


def test_other_seeds_are_looked_at_only_after_a_failure() -> None:
    assert only(CannStandard(decides=True, seeds=True)(seeded(1.0, 9.0))).outcome is Outcome.PASS


def test_a_wrong_nan_is_not_re_checked() -> None:
    made = seeded(1.0, 1.0)
    made.candidate.tensors["out"][0, 3] = np.nan
    assert only(CannStandard(decides=True, seeds=True)(made)).outcome is Outcome.FAIL


def test_sixty_outputs_are_judged_together() -> None:
    arrays = [{f"o{i:02d}": (GOLDEN * (1 + k * 1e-3)).astype(np.float32) for i in range(60)} for k in (1.0, 1.0)]
    arrays[0]["o37"] = (GOLDEN * 1.01).astype(np.float32)
    found = only(CannStandard()(evidence(*arrays, {f"o{i:02d}": GOLDEN for i in range(60)})))
    assert found.message.startswith("fail: o37: MERE ratio 10")
