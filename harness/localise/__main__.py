"""Localise one case in this process: `python -m harness.localise MODULE CASE --device D --into FOLDER`. Knows no suite by name."""

import argparse
import faulthandler
import json
import sys
from pathlib import Path

from harness.devices import open_device
from harness.errors import AssayError
from harness.isolate import find_case
from harness.localise.localise import localise
from harness.localise.result import write
from harness.recording import slug


def main(arguments: list[str] | None = None) -> int:
    """Localise, write the result into a folder, and print where; what goes on is kept in a small file meanwhile, in case this dies."""
    parser = argparse.ArgumentParser(prog="python -m harness.localise", description=__doc__)
    parser.add_argument("module", help="the importable module whose CASES hold the case")
    parser.add_argument("case")
    parser.add_argument("--params", default="{}", help="JSON: parameters to replace")
    parser.add_argument("--device", required=True)
    parser.add_argument("--reference", default="cpu")
    parser.add_argument("--into", type=Path, required=True, help="a folder for the result")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args(arguments)
    stem = options.into / slug(options.case)
    options.into.mkdir(parents=True, exist_ok=True)
    try:
        case = find_case(options.module, options.case, json.loads(options.params))
        sides = open_device(options.device), open_device(options.reference)
        with (options.into / f"{stem.name}.at").open("w", encoding="utf-8") as at:

            def told(text: str) -> None:
                at.seek(0)
                at.write(f"{text[:200]:<200}\n")
                at.flush()

            found = localise(case, *sides, options.seconds, told, options.rounds)
        write(found, stem)
    except (AssayError, OSError) as error:
        print(f"localise: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
