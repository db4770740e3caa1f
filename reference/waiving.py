"""What waivers do to a verdict: excuse what was signed for, say so, and fail when they are out of date. Knows no file and no device."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from harness.verdict import FAILING, Finding, Outcome, Verdict, sum_up
from reference.waiver import Waiver

#: The check under which a waiver's own finding is filed.
CHECK = "waiver"

# A crash says nothing of the answer, and where nothing was compared there is nothing to excuse.
_JUDGED = (Outcome.PASS, Outcome.FAIL, Outcome.MISTRUSTED)
_APPEAL = "appeal"  # its finding says of others whether they stand (harness/appeal.py): who excuses those excuses it
_NAMED = 3  # findings that are named one by one


def apply(verdict: Verdict, waivers: Iterable[Waiver], today: date, conclusive: bool = True) -> Verdict:
    """Return the verdict with a finding for every one of `waivers`, all of which hold here, that has a say in it.

    The findings stay as they are. When each failing one is excused the outcome is `waived`; when one is not, the verdict fails for that
    one. A waiver whose last day is over excuses nothing: the verdict is `fail`. A waiver that excuses nothing of a case that otherwise
    passes or is waived makes it `fixed`, unless the comparison is not `conclusive` (a device with itself). Verdicts other than `pass`,
    `fail` and `mistrusted`, and one that fails without a finding, are returned as they are.
    """
    failing = [f for f in verdict.findings if f.outcome in FAILING and f.check != _APPEAL]
    holding = [w for w in waivers if w.covers(verdict.case)]
    if not holding or verdict.outcome not in _JUDGED or (verdict.outcome is not Outcome.PASS and not failing):
        return verdict
    excused = [[f for f in failing if w.excuses(f.check, f.subject)] for w in holding]
    notes = [_note(w, found, today) for w, found in zip(holding, excused, strict=True) if found]
    left = [f for f in failing if not any(w.excuses(f.check, f.subject) for w in holding)]
    left += [note for note in notes if note.outcome is Outcome.FAIL]
    if not left and conclusive:
        notes += [_fixed(w) for w, found in zip(holding, excused, strict=True) if not found]
    if not notes:
        return verdict
    outcome, message = sum_up(left or notes)
    return replace(verdict, outcome=outcome, message=message, findings=(*verdict.findings, *notes))


def _note(waiver: Waiver, excused: Sequence[Finding], today: date) -> Finding:
    what = ", ".join(f"{f.check} of {f.subject}" for f in excused[:_NAMED])
    if len(excused) > _NAMED:
        what += f" and {len(excused) - _NAMED} more"
    signed = f"{waiver.owner} signed for {what} until {waiver.expires}: {waiver.reason} ({waiver.link})"
    if waiver.expired(today):
        text = f"expired, its last day was {waiver.expires}; renew or remove it. {signed}"
        return Finding(CHECK, waiver.source, Outcome.FAIL, message=text)
    return Finding(CHECK, waiver.source, Outcome.WAIVED, message=signed)


def _fixed(waiver: Waiver) -> Finding:
    text = (
        f"finds nothing to excuse; remove it, or narrow what it covers. "
        f"{waiver.owner} signed until {waiver.expires}: {waiver.reason} ({waiver.link})"
    )
    return Finding(CHECK, waiver.source, Outcome.FIXED, message=text)


def stated(waivers: Iterable[Waiver], environment: Mapping[str, Any], today: date) -> list[dict[str, Any]]:
    """Return the waivers, JSON-able, each with its `state` (in force, expired, inactive) and, where it is inactive, `why`."""
    found = []
    for waiver in waivers:
        why = waiver.inactive(environment)
        state = "inactive" if why else "expired" if waiver.expired(today) else "in force"
        found.append({**waiver.to_json(), "state": state, "why": why})
    return found


def told(waivers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return lines for a terminal about what `stated` returned: how many are in force, and which are not and why."""
    if not waivers:
        return []
    states = [w["state"] for w in waivers]
    lines = ["waivers: " + ", ".join(f"{states.count(s)} {s}" for s in ("in force", "expired", "inactive") if s in states)]
    lines += [f"  expired: {w['source']}, its last day was {w['expires']}" for w in waivers if w["state"] == "expired"]
    return lines + [f"  inactive: {w['source']}: {w['why']}" for w in waivers if w["state"] == "inactive"]
