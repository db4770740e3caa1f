"""Print what a night would run on, as JSON: `python -m suites.nightly.surroundings [DEVICE]`.

A process of its own, so that no device stays open.
"""

import json
import sys

from harness.environment import describe, prepare
from harness.errors import AssayError


def main() -> int:
    """Print one line; an unknown device is one line on standard error and exit status 2."""
    prepare()
    from harness.devices import open_device

    try:
        device = open_device(sys.argv[1] if len(sys.argv) > 1 else None)
        around = {"host": describe(), "device": device.describe()}
        for part in around.values():
            part.pop("memory_bytes")  # a reboot moves it by some pages
        print(json.dumps(around))
    except AssayError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
