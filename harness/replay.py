"""Make one saved call of one operator again, alone, and judge it: `python -m harness.replay RUN/localised/CASE`. Knows no workload."""

import argparse
import sys
from pathlib import Path

from harness.devices import open_device
from harness.errors import AssayError
from harness.localise.call import Call, Refusal, Side
from harness.localise.figures import Figures
from harness.localise.result import read


def replay(call: Call, candidate: Side, reference: Side) -> Figures:
    """Make the call on both sides and return its figures; the state "raised" or "unsupported" if a side does not compute."""
    ours, theirs = call.on(candidate), call.on(reference)
    for side, result in ((candidate, ours), (reference, theirs)):
        if isinstance(result, Refusal):
            return Figures("unsupported" if result.unsupported else "raised", message=f"{side.name}: {result.message}")
    assert not isinstance(ours, Refusal)
    assert not isinstance(theirs, Refusal)
    return call.judge(ours, theirs)


def main(arguments: list[str] | None = None) -> int:
    """Print the figures. Return 1 if the operator is off or raises, 2 for a wrong request, else 0."""
    parser = argparse.ArgumentParser(prog="python -m harness.replay", description=__doc__)
    parser.add_argument("stem", type=Path, help="a localisation in a Run: FOLDER/localised/CASE, without a suffix")
    parser.add_argument("--device", help="the candidate (default: as it was)")
    parser.add_argument("--reference", help="the reference (default: as it was)")
    options = parser.parse_args(arguments)
    try:
        document, call = read(options.stem.with_name(options.stem.name.removesuffix(".json")))
        devices = [open_device(options.device or document["candidate"]), open_device(options.reference or document["reference"])]
        for device in devices:
            device.deterministic(True)
        figures = replay(call, *(Side.of(device) for device in devices))
    except AssayError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    print(f"{call.name} on {devices[0].name}, reference {devices[1].name}, operands {call.operands()}")
    print(told(figures))
    return 1 if figures.state in ("off", "raised") else 0


def told(figures: Figures) -> str:
    """Say what figures mean, in a line or two."""
    if figures.state == "equal":
        return "equal: both give the same, bit by bit"
    if figures.measured is None or figures.bound is None:
        return f"{figures.state}: {figures.message}"
    own = f", the reference's own {figures.reference:.4g}" if figures.reference is not None else ""
    place = f", worst at {figures.where}" if figures.where else ""
    cause = f"\nlikely cause: {figures.cause}" if figures.cause else ""
    more = f"\n{figures.message}" if figures.message else ""
    return f"{figures.state}: {figures.metric} {figures.measured:.4g} {figures.unit}, allowed {figures.bound:.4g}{own}{place}{more}{cause}"


if __name__ == "__main__":
    sys.exit(main())
