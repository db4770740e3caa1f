"""Find the operator behind a failing case: `python -m suites.localise --case ID --device npu:0 --run FOLDER`. Knows no operator."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.case import Case
from harness.errors import AssayError
from harness.localise.apart import localise_apart
from harness.localise.result import not_localised, stem_of
from harness.verdict import Outcome, Verdict
from suites.catalogue import all_cases, choose
from suites.session import Request, parse

#: Outcomes that an operator can be the cause of. An incomparable case has none, and a mistrusted one agreed.
LOCALISED = (Outcome.FAIL, Outcome.ERROR)


def localise(case: Case, request: Request, show: Callable[[str], None] | None = None, seconds: float = 0.0, rounds: int = 1) -> list[str]:
    """Localise a case in a process of its own, store the result in the Run, and return it in lines. `seconds` 0: the case's time-out."""
    if isinstance(request.reference, Path):
        why = f"the reference is the recorded run {request.reference.name}; an operator can only be fed to a live one: --reference cpu"
        document = not_localised(case, request.device, request.reference.name, why, stem_of(request.run, case.id))
    else:
        document = localise_apart(case, request.device, request.reference, request.run, seconds or case.timeout, show, rounds)
    return lines(document, stem_of(request.run, case.id))


def explained(verdict: Verdict, case: Case, request: Request, show: Callable[[str], None] | None = None) -> list[str]:
    """Return the lines for a verdict, none for one that no operator can be the cause of."""
    if verdict.outcome not in LOCALISED or case.area == "performance":
        return []
    return [f"  localised: {line}" for line in localise(case, request, show)]


def lines(document: dict[str, Any], stem: Path) -> list[str]:
    """Return the conclusion and, where an operator was saved, the command that makes its call alone."""
    found = [str(document["conclusion"])]
    if document.get("replay"):
        found.append(f"alone: python -m harness.replay '{stem}'")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Localise one case by hand. Return 1 if an operator is off, 2 for a wrong request, else 0."""
    parser = argparse.ArgumentParser(prog="python -m suites.localise", description=__doc__)
    parser.add_argument("--case", required=True, metavar="ID")
    parser.add_argument("--device", metavar="NAME", help="candidate (default: the best device found)")
    parser.add_argument("--reference", metavar="NAME", default="cpu")
    parser.add_argument("--run", metavar="FOLDER", help="where the result goes (default: runs/<time>-<device>)")
    parser.add_argument("--model", metavar="ID|FOLDER", default="default")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after this long (default: the time-out of the case)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of the case that are compared; an error of state may need two")
    options = parser.parse_args(arguments)
    try:
        case = choose(all_cases(), [options.case])[options.case].with_params(model=options.model)
        request = parse(options.device, options.reference, options.run, resume=True, model=options.model)
        for line in localise(case, request, _shown if sys.stderr.isatty() else None, options.seconds, options.rounds):
            print(line)
    except (AssayError, OSError) as error:
        print(f"localise: {error}", file=sys.stderr)
        return 2
    return 0


def _shown(text: str) -> None:
    print(f"\r{text[:120]:<120}", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
