"""Facts of two sides beside each other, and refusals."""

from harness.checks.fingerprint import READINGS, Fingerprint
from harness.verdict import Outcome
from tests.harness.checks.fingerprint.read import findings, recording


def support(refused: dict[str, str], double: float = 2.0**-40, **details: bool):
    said = {"add": "", "float64": "", "poisson": ""} | refused
    return recording({"double": [double]}, "float64", operators=said, **details)


def test_the_answer_of_the_reference_stands_beside_the_candidates() -> None:
    found = findings("support", support({"poisson": "not implemented"}), support({}))
    assert (found["common operators"].answer, found["common operators"].reference_answer) == ("2 of 3", "3 of 3")
    assert found["refused operators"].answer == "poisson"
    assert found["float64"].answer == "yes"
    assert all(f.outcome is Outcome.PASS for f in found.values())


def test_a_host_that_may_stand_in_is_told() -> None:
    assert findings("support", support({}, host_may_stand_in=True))["common operators"].answer == "3 of 3, some perhaps on the host"


def test_float64_that_is_none_is_told() -> None:
    narrow = support({}, 0.0)
    assert findings("support", narrow)["float64"].answer == "not to 40 bits"
    narrow.dtypes["double"] = "float32"  # type: ignore[index]  # a mapping, and here a dict
    assert findings("support", narrow)["float64"].answer == "float32 in its place"
    assert findings("support", support({"float64": "no"}))["float64"].answer == "refused"


def test_a_refused_probe_informs_and_an_error_fails() -> None:
    refused = {
        "matmul": {"words": "not implemented for 'Int'", "known": True, "expected": False},
        "sort": {"words": "aicore exception", "known": False, "expected": False},
    }
    found = findings("repeats", recording({"sum": [1.0, 1.0]}, refused=refused), recording({"sum": [1.0, 1.0]}))
    assert found["matmul, not probed"].outcome is Outcome.PASS
    assert (found["matmul, not probed"].answer, found["matmul, not probed"].reference_answer) == ("refuses", "computes")
    assert found["sort, not probed"].outcome is Outcome.ERROR


def test_a_fact_that_the_reference_lacks_has_no_answer_there() -> None:
    found = findings("generators", recording({"uniform": [[0.0]] * 6, "split": [0.0]}), recording({"split": [0.0]}))
    assert found["draw in two halves"].reference_answer == "no answer"


def test_every_kind_has_readings_and_a_check_is_plain_data() -> None:
    assert all(READINGS.values())
    assert Fingerprint("products") == Fingerprint("products")
