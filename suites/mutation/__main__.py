"""The command line: `python -m suites.mutation` measures the score, stores it, and prints it in its last line. Knows no mutant."""

import argparse
import sys
from pathlib import Path

from harness.devices import open_device
from harness.errors import AssayError
from reference.mutation import STORED
from suites.mutation import invariants, runner
from suites.mutation.registry import mutants
from suites.mutation.runner import Plan
from suites.mutation.seeds import Seed
from suites.mutation.wrapper import Mutant


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if the score is good enough, 1 if not, 2 for a wrong request."""
    options = _parser().parse_args(arguments)
    try:
        plan = Plan(open_device(options.device).name, options.benign_cases, options.fault_cases, tuple(options.mutant))
        for name in plan.only:
            if name not in mutants() and name not in invariants.names():
                raise AssayError(f"no mutant is called {name}; `python -m suites.mutation --list` lists all")
    except AssayError as error:
        print(f"mutation: {error}", file=sys.stderr)
        return 2
    if options.list:
        listed: list[Mutant | Seed] = [*mutants().values(), *invariants.SEEDS]
        print("\n".join(f"{'benign' if m.benign else 'fault ':6} {m.name}: {m.source}" for m in listed))
        return 0
    if options.stage:
        part, parts = map(int, options.part.split("/"))
        {"trace": runner.trace, "judge": runner.judge}[options.stage](plan, part, parts, options.folder)
        return 0
    score = runner.run(plan, options.processes, options.out)
    for missed in score.missed:
        print(f"missed: {missed.name} ({missed.source})")
    shortfalls = [] if plan.only else score.shortfalls()
    for shortfall in shortfalls:
        print(f"not good enough: {shortfall}")
    print(score.line())
    return 1 if shortfalls else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m suites.mutation", description="What the suite catches of seeded faults.")
    parser.add_argument("--device", default="cpu", help="the candidate that mutants are put on (default: cpu)")
    parser.add_argument(
        "--out", type=Path, default=STORED, metavar="FILE", help="where the score is stored (default: reference/mutation.json)"
    )
    parser.add_argument(
        "--benign-cases", type=int, default=20, metavar="N", help="cases that a benign variant is put to at most (default: 20)"
    )
    parser.add_argument("--fault-cases", type=int, default=120, metavar="N", help="cases that a fault is put to at most (default: 120)")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="processes at a time (default: 2)")
    parser.add_argument("--mutant", action="append", default=[], metavar="NAME", help="only this one (may be repeated)")
    parser.add_argument("--list", action="store_true", help="list the mutants")
    parser.add_argument("--stage", choices=("trace", "judge"), help=argparse.SUPPRESS)
    parser.add_argument("--part", default="0/1", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
