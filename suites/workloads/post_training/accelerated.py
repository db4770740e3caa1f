"""The device that accelerate has chosen for this process: is it the one under test? And how to forget it. Knows no trainer's library."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.errors import AssayError


def assert_placed(trainer: Any, device: torch.device) -> None:
    """Raise AssayError where accelerate chose another device than the one under test: it does so in silence."""
    places = {parameter.device for parameter in trainer.model.parameters()} | {trainer.args.device}
    if any(place.type != device.type or (place.index or 0) != (device.index or 0) for place in places):
        raise AssayError(f"TRL trains on {', '.join(sorted(map(str, places)))}, not on {device}; it takes a machine's first device only")


def forget_device() -> None:
    """Let accelerate choose its device anew: it keeps the first one for the whole process, and lm-eval goes by it."""
    from accelerate.state import AcceleratorState  # here: it comes with an extra

    AcceleratorState._reset_state(reset_partial_state=True)


@contextmanager
def forgetting_if_it_fails() -> Iterator[None]:
    """Forget the device where the block raises."""
    try:
        yield
    except BaseException:
        forget_device()
        raise
