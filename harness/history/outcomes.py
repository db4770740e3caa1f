"""Does a case fail that did not? A regression of another kind than a slower one. Knows no figure but the outcome."""

from collections.abc import Sequence

from harness.history.accuracy import GoodNights
from harness.history.figures import Figures
from harness.history.rules import Ruling, State
from harness.history.series import came_with
from harness.verdict import FAILING, Outcome

_WORKS = frozenset({Outcome.PASS, Outcome.FIXED})
_FAILS = frozenset(FAILING - {Outcome.FIXED})


def outcomes(nights: Sequence[Figures], good: GoodNights) -> list[Ruling]:
    """Return a ruling on every case of the last night that worked on an earlier night and does not now.

    It is confirmed when every repeat of this night, or the night before, fails too; when some repeats work it is unsteady, and stays
    suspected. A case that never worked is no regression. One that is waived by now was signed for.
    """
    found = [_ruling(case, Outcome(outcome), nights, good) for case, outcome in nights[-1].outcomes.items() if _worse(Outcome(outcome))]
    return [ruling for ruling in found if ruling]


def _worse(outcome: Outcome) -> bool:
    return outcome in _FAILS or outcome is Outcome.UNSUPPORTED


def _ruling(case: str, outcome: Outcome, nights: Sequence[Figures], good: GoodNights) -> Ruling | None:
    name = f"{case} outcome"
    known = [
        (night.created, Outcome(night.outcomes[case])) for night in nights[:-1]
        if case in night.outcomes and night.keys.get(case) == nights[-1].keys.get(case) and good.counts(name, night.created)
    ]  # fmt: skip
    worked = [i for i, (_, before) in enumerate(known) if before in _WORKS]
    if not worked:
        return None
    since = [*(created for created, _ in known), nights[-1].created][worked[-1] + 1]
    lasted = len(known) - worked[-1]
    again = [Outcome(o) for o in nights[-1].again.get(case, ())]
    steady = all(map(_worse, again))
    state = State.CONFIRMED if steady and (again or lasted > 1) else State.SUSPECTED
    text = f"{outcome}, and {known[worked[-1]][1]} on {known[worked[-1]][0][:10]}" + (
        "" if steady else "; not in every repeat: it is unsteady"
    )
    causes = came_with(nights, since) if state is State.CONFIRMED else ()
    return Ruling(name, case, state, text, since=since, nights=lasted, repeats=len(again), causes=causes)
