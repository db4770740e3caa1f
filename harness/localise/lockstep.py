"""Run a piece of work on one side, and make every call of an operator on the other side too, with the same operands.

Knows no case and no file. The side that drives goes on with its own results, so an error of the other is never passed on: what is
off, is off by itself.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from harness.dispatch import Dispatch
from harness.errors import AssayError
from harness.localise.arguments import placed, tensors_in
from harness.localise.call import Call, Refusal, Side, to_host
from harness.localise.figures import Figures
from harness.localise.operators import why_skipped, written
from harness.localise.whereabouts import Whereabouts

_KEPT = 10  # worst steps that are kept, beside the first offenders
_OFFENDERS = 20
_HOST = torch.device("cpu")


class OutOfTime(AssayError):
    """The time that was allowed is over; what was found until then stands."""


@dataclass(frozen=True)
class Step:
    """One call of an operator: the how-many-th of its pass, its name, where it ran, on what, and how it compares."""

    index: int
    operator: str
    phase: str
    path: str
    operands: str
    figures: Figures

    def to_json(self) -> dict[str, object]:
        """Return JSON-able values."""
        values = asdict(self)
        return {**{k: v for k, v in values.items() if k != "figures"}, **values["figures"], "ratio": self.figures.ratio}


@dataclass
class Pass:
    """What one pass over the work found. Steps are in the order in which they ran; the worst are in order of their ratio."""

    driver: str
    seen: int = 0
    counts: Counter[str] = field(default_factory=Counter)  # compared calls by state, others by why they were not compared
    first: Step | None = None
    call: Call | None = None  # the first offender, with its operands
    offenders: list[Step] = field(default_factory=list)
    worst: list[Step] = field(default_factory=list)
    refused: dict[tuple[str, str, bool], int] = field(default_factory=dict)  # (operator, message, unsupported) -> calls
    note: str = ""


class LockStep(Dispatch):
    """While entered, every operator of `driver` is repeated on the other side. `candidate_drives` says who is judged by whom.

    `told` is called with each step's number and name before it runs on the other side. Raises OutOfTime at `deadline`
    (seconds of `time.monotonic`).
    """

    def __init__(
        self, candidate: Side, reference: Side, whereabouts: Whereabouts, deadline: float, told: Callable[[int, str], None],
        candidate_drives: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.found = Pass((candidate if candidate_drives else reference).name)
        self._driver, self._other = (candidate, reference) if candidate_drives else (reference, candidate)
        self._candidate_drives = candidate_drives
        self._where, self._deadline, self._told = whereabouts, deadline, told

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operator, compare it unless there is nothing to compare, and return what the driver computed."""
        arguments = (args, kwargs or {})
        if time.monotonic() > self._deadline:
            raise OutOfTime(f"the time allowed was over after {self.found.seen} operators")
        self.found.seen += 1
        phase, path = self._where.now(tensors_in(arguments))
        if reason := why_skipped(func, arguments):
            self.found.counts[reason] += 1
            return func(*arguments[0], **arguments[1])
        here = self._driver.device
        call = Call(func, placed(arguments, here) if written(func, arguments) else arguments, here)
        self._told(self.found.seen, f"{call.name} ({phase}, {path or 'outside of any module'})")
        returned = func(*arguments[0], **arguments[1])
        self._compare(call, phase, path, to_host(call.results(returned, arguments)))
        return returned

    def _compare(self, call: Call, phase: str, path: str, results: list[Any]) -> None:
        others = call.on(self._other)
        if isinstance(others, Refusal):
            key = (call.name, others.message, others.unsupported)
            self.found.refused[key] = self.found.refused.get(key, 0) + 1
            self.found.counts["unsupported" if others.unsupported else "raised"] += 1
            if not others.unsupported and not self._candidate_drives:
                self._file(call, Step(self.found.seen, call.name, phase, path, call.operands(), Figures("raised", message=others.message)))
            return
        figures = call.judge(results, others) if self._candidate_drives else call.judge(others, results)
        self.found.counts[figures.state] += 1
        if figures.state != "equal":
            self._file(call, Step(self.found.seen, call.name, phase, path, call.operands(), figures))

    def _file(self, call: Call, step: Step) -> None:
        found, state = self.found, step.figures.state
        earlier = found.first.figures.state if found.first else ""
        if (state == "off" and earlier != "off") or (state == "raised" and not earlier):
            # what comes later may write to the operands, so they are copied
            found.first, found.call = step, Call(call.operator, placed(call.arguments, call.here, _HOST), _HOST)
        if state in ("off", "raised") and len(found.offenders) < _OFFENDERS:
            found.offenders.append(step)
        found.worst = sorted([*found.worst, step], key=lambda s: -s.figures.ratio)[:_KEPT]
