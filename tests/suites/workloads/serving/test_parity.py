"""An engine behind a socket is judged as any device is: right where it is right, and a fault is named by the verdict."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from harness.devices import open_device
from harness.judge import judge
from harness.manner import Manner
from harness.measure import measure
from harness.recording import write_recording
from harness.serving.engine import Continuation
from harness.verdict import Outcome, Verdict
from suites.assets.families import byte_tokenizer, tiny_module
from suites.serving.in_process import InProcess
from suites.workloads.serving import load, parity
from tests.suites.serving.server import MINDIE, VLLM, Behaviour, serving
from tests.suites.workloads.tiny_model import draw_integers

MODEL = "tiny:llama"
CASES = {case.id: case for case in (*parity.CASES, *load.CASES)}


def batches(_tokenizer, batch, length, steps):
    return torch.from_numpy(draw_integers(0, "text", batch * length * steps, 32, 126)).reshape(steps, batch, length)


@pytest.fixture(autouse=True)
def text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "token_batches", batches)
    monkeypatch.setattr(load, "token_batches", batches)


@pytest.fixture
def judged(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """A function that judges a case with the tiny model behind a server of that behaviour."""

    def verdict(name: str, change=lambda module: module, behave=None, **params) -> Verdict:
        case = CASES[name].with_params(model=MODEL, **params)
        behaviour = Behaviour(InProcess(change(tiny_module(MODEL)), byte_tokenizer(), nullcontext), byte_tokenizer())
        for key, value in (behave or {}).items():
            setattr(behaviour, key, value)
        with serving(behaviour) as url:
            for key, value in (("", url), ("_MODEL", ""), ("_HARDWARE", "a test"), ("_TIMEOUT", "20")):
                monkeypatch.setenv(f"ASSAY_ENDPOINT{key}", value)
            sides = {}
            for side, device, manner in (
                ("candidate", "endpoint", Manner.PLAIN),
                ("reference", "cpu", Manner.PLAIN),
                ("golden", "cpu", Manner.GOLDEN),
            ):
                if side != "golden" or case.golden:
                    sides[side] = write_recording(tmp_path / side, *measure(case, open_device(device), manner=manner))
        return judge(case, sides["candidate"], sides["reference"], sides.get("golden"))

    return verdict


SMALL = {"prompts": 3, "length": 20}


def test_a_right_engine_passes(judged) -> None:
    for name in ("score", "greedy"):
        found = judged(f"inference/served/{name}[float32]", **SMALL, new_tokens=6)
        assert found.outcome is Outcome.PASS, found.message
    company = [f for f in found.findings if f.check == "company"]
    assert [f.measured for f in company] == [0.0, 0.0]
    assert "equal to the last bit" in company[0].message


def test_an_engine_in_bfloat16_is_judged_beside_one_in_bfloat16(judged) -> None:
    found = judged("inference/served/score[bfloat16]", lambda module: module.bfloat16(), **SMALL)
    assert found.outcome is Outcome.PASS, found.message


def other_weights(module):
    with torch.no_grad():
        module.lm_head.weight.mul_(1.05)
    return module


def narrower(module):
    return module.bfloat16()


@pytest.mark.parametrize(
    ("change", "behave", "says"),
    [
        (lambda module: module, {"faults": {"shifted"}}, "shifted by one"),
        (other_weights, {}, "u, allowed"),
        (narrower, {}, "u, allowed"),
        (lambda module: module, {"faults": {"cuts the prompt"}}, "miscounted|cut"),
    ],
)
def test_a_score_that_is_off_fails_and_says_how(judged, change, behave, says: str) -> None:
    found = judged("inference/served/score[float32]", change, behave, prompts=3, length=24)
    assert found.outcome in (Outcome.FAIL, Outcome.ERROR, Outcome.UNSUPPORTED)
    assert found.outcome is not Outcome.PASS
    assert any(word in found.message for word in says.split("|")), found.message


def test_tokens_that_change_in_company_fail_as_such(judged) -> None:
    found = judged("inference/served/greedy[float32]", behave={"faults": {"other tokens in company"}}, **SMALL, new_tokens=6)
    assert found.outcome is Outcome.FAIL
    assert "in company are wrong" in found.message
    assert next(f for f in found.findings if f.subject == "alone_tokens").outcome is Outcome.PASS


def test_a_wrong_token_fails_with_its_margin(judged) -> None:
    def third_is_wrong(found: Continuation) -> Continuation:
        return replace(found, tokens=(*found.tokens[:2], 7, *found.tokens[3:])) if found.count > 3 else found

    found = judged("inference/served/greedy[float32]", behave={"on_new": third_is_wrong}, **SMALL, new_tokens=6)
    assert found.outcome is Outcome.FAIL
    assert "token 7 instead of" in found.message
    assert "step 2" in next(f for f in found.findings if f.outcome is Outcome.FAIL).where


@pytest.mark.parametrize("case", ["score", "greedy"])
def test_what_the_api_lacks_is_unsupported_with_its_reason(judged, case: str) -> None:
    found = judged(f"inference/served/{case}[float32]", behave={"dialect": MINDIE}, **SMALL, new_tokens=6)
    assert found.outcome is Outcome.UNSUPPORTED
    assert "the server" in found.message


def test_a_start_token_too_many_is_found_in_what_was_read(judged) -> None:
    case = "inference/served/prompts[float32]"
    assert judged(case, behave={"dialect": VLLM}).outcome is Outcome.PASS
    started = judged(case, behave={"faults": {"adds a start token"}})
    assert started.outcome in (Outcome.FAIL, Outcome.ERROR)


def test_load_is_counted_request_by_request(judged) -> None:
    how = {"prompts": 2, "length": 16, "new_tokens": 4, "requests": 24, "users": 4, "rates": "60%"}
    found = judged("performance/served/load[float32]", behave={"seconds": 0.002}, **how)
    told = found.evidence["told"]["load"]
    assert [phase["name"] for phase in told["candidate"]] == ["1 user", "4 users", "arrivals at 60%"]
    assert sum(phase["requests"] for phase in told["candidate"]) == 72
    assert told["reference"] == []
    assert next(f for f in found.findings if f.subject == "load_tokens").outcome is Outcome.PASS
    assert next(f for f in found.findings if f.subject == "failed").outcome is Outcome.PASS


def test_failures_under_load_are_counted_and_named(judged) -> None:
    numbers = iter(range(1, 1000))

    def drops_some(found: Continuation) -> Continuation:
        return Continuation((), (), 0) if found.count == 4 and next(numbers) % 5 == 0 else found

    how = {"prompts": 2, "length": 16, "new_tokens": 4, "requests": 20, "users": 4, "rates": "50%"}
    found = judged("performance/served/load[float32]", behave={"on_new": drops_some}, **how)
    failed = next(f for f in found.findings if f.subject == "failed")
    assert failed.outcome is Outcome.FAIL
    assert failed.measured == 12
    assert "of 60 requests" in failed.message
