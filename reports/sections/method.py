"""How a verdict is reached, and what this cannot say. Knows no run."""

from collections.abc import Sequence

from reports.blocks import Block, Mark, Table, Text
from reports.frame import Frames

ORDER, TITLE = 70, "Method"

_OUTCOMES = (
    ("pass", "every finding is within its bound"),
    ("fail", "a finding is out of its bound, or NaN or infinity is where it must not be"),
    ("error", "exception, crash, time-out or lack of memory"),
    ("incomparable", "the two sides did not do the same thing, or one is missing, altered or not finite"),
    ("mistrusted", "it agreed, but could not have disagreed"),
    ("fixed", "somebody signed that this case fails, and it does not any more: the waiver has to go"),
    ("inconclusive", "its samples cannot tell: neither equal within the margin nor different beyond chance; never counted as a pass"),
    ("waived", "it fails, and somebody signed for just that, with a reason and until a date; never counted as a pass"),
    ("unsupported", "the device says that it cannot do this; never counted as a pass"),
)


def render(frames: Frames) -> Sequence[Block]:
    """Return the method in plain words."""
    outcomes: list[list[str | Mark]] = [[Mark(name), meaning] for name, meaning in _OUTCOMES]
    return [
        Text(
            "Both sides run the same code on the same inputs and initial weights, drawn on the host by a portable integer generator and "
            "proved identical by SHA-256 in both recordings. The result is compared with a float64 evaluation of the same rounded inputs. "
            "The candidate's error against float64 may be at most twice the reference device's own (root mean square) and ten times in a "
            "single element, the ratios of level L0 of the CANN operator precision standard; a faithfully rounded result always passes. "
            "u is the unit roundoff of the dtype: 2⁻²⁴ for float32, 2⁻¹¹ for float16, 2⁻⁸ for bfloat16."
        ),
        Text(
            "Training is compared by loss, gradient norm, each parameter's first gradient and its total update. Decoding is compared token "
            "by token; a swap of two tokens that float64 cannot tell apart is no fault. Tasks are paired by sample. Throughput comes from "
            "raw rounds; intervals are of 95 %; where the interval of a ratio holds 1, it is given as 'cannot tell'. "
            "An interval covers the scatter between rounds, not the drift of a shared or throttled machine between two runs."
        ),
        Table("Outcomes", ["outcome", "meaning"], outcomes),
        Text(
            "What this cannot say: an error that the reference device shares passes up to twice its size. One seed was run. Bounds "
            "follow published ratios and arithmetic; how many faults they miss has not been measured yet."
        ),
    ]
