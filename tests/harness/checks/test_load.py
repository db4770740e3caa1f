"""What a verdict says of a load: failures count, refusals beyond saturation do not, slow never does."""

import numpy as np

from harness.checks.evidence import Evidence
from harness.checks.load import Load
from harness.verdict import Finding, Outcome
from tests.harness.checks.build import case, recording

N = 100


def recorded(failure=(), late: float = 0.0, seconds: float = 0.5, phases=None):
    phases = phases or [{"loop": "closed", "users": 1}, {"loop": "open", "offered": 1.0, "share": "50%"}]
    rng, total = np.random.default_rng(0), N * len(phases)
    scheduled = np.tile(np.arange(float(N)), len(phases))
    sent = scheduled + late
    first = sent + 0.1 * rng.lognormal(0, 0.02, total)
    ended = first + seconds
    codes = np.zeros(total, int)
    codes[list(failure)] = 1
    arrays = {
        "load_phase": np.repeat(np.arange(len(phases)), N), "load_prompt": np.zeros(total, int), "load_count": np.full(total, 2),
        "load_failure": codes, "load_scheduled": scheduled, "load_sent": sent, "load_ended": ended,
        "load_token_at": np.stack([first, ended], 1),
    }  # fmt: skip
    return arrays, {"phases": phases, "failures": [{"kind": "refused", "message": "too busy"}], "ttft": 1.0, "tpot": 1.0}


def judged(reference=None, kind: str = "refused", **how) -> dict[str, Finding]:
    arrays, details = recorded(**how)
    details["failures"][0]["kind"] = kind
    theirs = recording(*reference[:1], details=reference[1]) if reference else recording({})
    given = Evidence(case(), recording(arrays, details=details), theirs)
    told = Load().told(given)["load"]
    assert len(told["candidate"]) == len(details["phases"])
    return {f.subject: f for f in Load()(given)}


def test_a_sound_load_passes_with_percentiles_and_rates() -> None:
    found = judged()
    assert {f.outcome for f in found.values()} == {Outcome.PASS}
    p95 = found["arrivals at 50%: time to first token p95"]
    assert 0.1 < p95.low < p95.measured <= p95.high < 0.11
    assert "at none of the rates" in found["saturation"].message


def test_slow_is_no_failure_and_stands_beside_another_run() -> None:
    found = judged(recorded(seconds=0.1), seconds=5.0)
    further = found["1 user: time a further token p95"]
    assert (round(further.measured, 1), round(further.reference, 1)) == (5.0, 0.1)
    assert further.outcome is Outcome.PASS
    assert found["1 user: goodput"].measured == 0.0


def test_a_broken_request_fails_wherever_it_was_and_a_refusal_in_a_closed_loop_too() -> None:
    broken = judged(kind="dropped", failure=(3, 150))["failed"]
    assert (broken.outcome, broken.measured) == (Outcome.FAIL, 2.0)
    assert "2 dropped (too busy)" in broken.message
    assert judged(failure=(3,))["failed"].outcome is Outcome.FAIL


def test_a_refusal_of_arrivals_is_saturation() -> None:
    found = judged(failure=(150,))
    assert found["failed"].outcome is Outcome.PASS
    assert "were refused" in found["failed"].message
    assert (found["saturation"].measured, found["saturation"].low) == (1.0, None)


def test_a_late_client_cannot_tell() -> None:
    assert judged(late=0.3)["client"].outcome is Outcome.INCONCLUSIVE


def test_no_request_is_no_evidence() -> None:
    given = Evidence(case(), recording({}), recording({}))
    assert [f.outcome for f in Load()(given)] == [Outcome.MISTRUSTED]
