"""Memory of a training step: exact where the configuration decides, told where it does not, refused where it cannot be."""

import numpy as np

from harness.checks.evidence import Evidence
from harness.checks.footprint import Footprint
from harness.verdict import Outcome
from tests.harness.checks.build import case, recording

PARTS = {"weights": 100, "gradients": 80, "optimizer": 160}


def side(activations: int = 500, peak: int | None = None, **parts: int):
    found = PARTS | parts
    details = {"costs": {"memory": {**found, "activations": activations}}}
    memory = {} if peak is None else {"allocated_peak": peak}
    return recording({name: np.array([size]) for name, size in found.items()}, details=details, memory=memory)


def judged(candidate, golden=PARTS):
    counted = recording({name: np.array([size]) for name, size in golden.items()})
    return {f.subject: f for f in Footprint()(Evidence(case(), candidate, side(400), counted))}


def test_equal_parts_pass_and_activations_stand_beside_the_reference() -> None:
    found = judged(side())
    assert {f.outcome for f in found.values()} == {Outcome.PASS}
    assert (found["activations"].measured, found["activations"].reference, found["activations"].bound) == (500, 400, None)
    assert "peak" not in found


def test_one_byte_more_fails_even_where_the_reference_has_it_too() -> None:
    counted = recording({name: np.array([size]) for name, size in (PARTS | {"gradients": 79}).items()})
    found = {f.subject: f for f in Footprint()(Evidence(case(), side(), side(), counted))}
    assert found["gradients"].outcome is Outcome.FAIL
    assert "80 bytes, and the configuration makes 79" in found["gradients"].message
    assert found["weights"].outcome is Outcome.PASS


def test_no_activations_cannot_be() -> None:
    assert judged(side(activations=0))["activations"].outcome is Outcome.MISTRUSTED


def test_an_allocator_that_holds_less_than_tensors_fails() -> None:
    least = 100 + 160 + 500
    assert judged(side(peak=least - 1))["peak"].outcome is Outcome.FAIL
    assert judged(side(peak=least))["peak"].outcome is Outcome.PASS
    assert "140 bytes above" in judged(side(peak=least + 140))["peak"].message


def test_a_missing_part_is_incomparable() -> None:
    assert judged(side(), {"weights": 100, "gradients": 80})["optimizer"].outcome is Outcome.INCOMPARABLE
