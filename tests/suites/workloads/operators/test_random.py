"""Random operators of the CPU, and of generators that were broken on purpose."""

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.case import Case
from harness.checks.evidence import Check, Evidence
from harness.devices import open_device
from harness.measure import measure
from harness.recording import Status
from harness.verdict import Cause, Finding, Outcome
from suites.workloads.operators.random import CASES

BY_ID = {case.id.removeprefix("operators/random/"): case for case in CASES}


@pytest.fixture(autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)
    torch.use_deterministic_algorithms(False)


def judged(case: Case) -> list[Finding]:
    recording, arrays = measure(case, open_device("cpu"))
    assert recording.status is Status.OK, recording.message
    recording.__dict__["tensors"] = arrays
    check = case.checks[0]
    assert isinstance(check, Check)
    return check(Evidence(case, recording, recording))


def failing(name: str) -> dict[str, Cause | None]:
    return {f.subject: f.cause for f in judged(BY_ID[name]) if f.outcome is not Outcome.PASS}


@pytest.mark.parametrize("name", BY_ID)
def test_the_cpu_draws_what_it_is_to_draw(name: str) -> None:
    assert not failing(name)


def test_every_operator_is_there() -> None:
    names = {name.split("[")[0] for name in BY_ID}
    wanted = "uniform normal exponential cauchy log_normal geometric bernoulli poisson random randperm multinomial rrelu dropout dropout2d"
    assert set(wanted.split()) <= names


def broken(method: str, change: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(Tensor, method)
    monkeypatch.setattr(Tensor, method, lambda self, *args: self.copy_(change(right(self, *args))))


@pytest.mark.parametrize(
    ("name", "method", "change", "test"),
    [
        ("uniform[float32]", "uniform_", lambda x: 1 - x.mul(2**14).floor() / 2**14, "support"),
        ("normal[float32]", "normal_", lambda x: x.bfloat16().float(), "grain"),
        ("normal[float32]", "normal_", lambda x: x + 0.04, "moments"),
        ("exponential[float32]", "exponential_", lambda x: x * 1.05, "moments"),
        ("geometric[float32]", "geometric_", lambda x: x - 1, "support"),
        ("random-wide[int32]", "random_", lambda x: x.float().int(), "distribution"),
    ],
)  # fmt: skip
def test_a_broken_generator_fails_for_being_random(
    name: str, method: str, change: Callable[[Tensor], Tensor], test: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(method, change, monkeypatch)
    found = failing(name)
    assert found[test] is Cause.RANDOM


def test_a_dropout_that_keeps_its_mask_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = torch.rand(1 << 15) < 0.5
    monkeypatch.setattr(F, "dropout", lambda x, p: x * mask / (1 - p))
    assert {"repetition", "seeds"} <= failing("dropout[float32]").keys()


def test_a_dropout_with_the_scale_of_another_rate_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    right = F.dropout
    monkeypatch.setattr(F, "dropout", lambda x, p: right(x, p) * (1 + p / 100))
    assert failing("dropout[float32]").keys() == {"scale", "gradient"}
