"""What is run and what must hold: `Case`, and the `Step` a workload returns. Knows neither devices nor files."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from torch import Tensor

Area = Literal["operators", "post_training", "inference", "accuracy", "performance"]
Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Step:
    """What a workload hands back: `call` is timed once a round and returns named outputs; `finish`, untimed, returns the last ones.

    `call` returns fresh tensors each time: what it returned is kept, and must not be written to by a later call.
    `work` is what one call processes, counted in `unit` (for example 512 tokens); a call that is not `timed` takes times of its own, and
    its duration says nothing. `details` returns JSON-able facts that are no tensors (per-sample answers, decoded text). `series` names
    outputs of `call` that are kept for every round and stacked along a new first dimension (or outputs of `finish` that are series
    already, of a call that takes all steps); every other output is kept from the first round.
    """

    call: Callable[[], Mapping[str, Tensor]]
    work: float = 1.0
    unit: str = "calls"
    series: tuple[str, ...] = ()
    finish: Callable[[], Mapping[str, Tensor]] | None = None
    details: Callable[[], Mapping[str, object]] | None = None
    timed: bool = True


class Promise(Protocol):
    """A check as a case sees it: a frozen dataclass with a name and JSON-able fields. What it does is in `harness/checks`."""

    @property
    def name(self) -> str:
        """What its findings are filed under."""


@dataclass(frozen=True)
class Case:
    """One workload with its parameters, dtype and seed, and what must hold of the result.

    `golden`: also evaluate in float64 on the host, and judge against that; `golden_of` names a case with the same inputs whose
    golden serves. `fresh`: give it a process of its own (a clean
    peak-memory figure, no state of earlier cases). `vouched_by`: the id of the case whose verdict says that what is timed
    here is right. `only_on` is the kind of device that can be a candidate for it ("npu": its own fused operators).
    `served`: an engine behind an endpoint can answer it, which continues and scores text and does nothing else.
    `probed`: ask the candidate what `harness.probes` lists, and judge a doubtful error beside other accepted forms.
    `band`: how many perturbed reruns of the reference tell how far sound training runs lie apart (`harness.manner.PERTURBED`).
    `wide`: one of the thousands that take an operator, or a stage of training, through its whole width; they can be left out by their mark.
    `long`: it takes minutes, and is run only when it is asked for, by that mark or by its id.
    `rounds`: so many are run, and their outputs kept; of performance as many are timed as it takes (`harness.rounds`), unless it is one.
    `timeout` is in seconds, for set-up and all rounds together.
    """

    id: str
    area: Area
    workload: Callable[..., Step]  # called as workload(inputs, **params)
    dtype: str
    checks: tuple[Promise, ...]
    params: Mapping[str, Scalar] = field(default_factory=dict)
    seed: int = 0
    rounds: int = 1
    golden: bool = True
    golden_of: str | None = None
    fresh: bool = False
    timeout: float = 300.0
    vouched_by: str | None = None
    listed_in: str | None = None
    only_on: str | None = None
    served: bool = False
    probed: bool = False
    wide: bool = False
    long: bool = False
    band: int = 0

    @property
    def module(self) -> str:
        """The importable module whose CASES hold this case: `listed_in`, or else where the workload is defined."""
        return self.listed_in or self.workload.__module__

    def with_params(self, **changes: Scalar) -> "Case":
        """Return the case with those of `changes` that it has as parameters replaced."""
        return replace(self, params={**self.params, **{k: v for k, v in changes.items() if k in self.params}})

    def definition(self) -> dict[str, object]:
        """Return what makes two recordings comparable, JSON-able: everything but the checks and how it is scheduled.

        Of a folder or file on this machine only its name counts; what lies in it is in the hashes of the inputs.
        """
        return {
            "id": self.id, "workload": f"{self.workload.__module__}:{self.workload.__name__}", "dtype": self.dtype,
            "params": {name: _portable(value) for name, value in self.params.items()}, "seed": self.seed, "rounds": self.rounds,
        }  # fmt: skip

    def key(self) -> str:
        """Return the SHA-256 of the definition as canonical JSON."""
        return hashlib.sha256(json.dumps(self.definition(), sort_keys=True).encode()).hexdigest()


def _portable(value: Scalar) -> Scalar:
    if isinstance(value, str) and "/" in value and Path(value).expanduser().exists():
        return Path(value).name
    return value
