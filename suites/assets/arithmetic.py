"""Sums to be learnt: prompts, right answers and wrong ones, generated, the same on every machine. Knows no model and no tokens."""

from dataclasses import dataclass

from harness.errors import AssayError
from harness.inputs import draw_bits, draw_integers

_EXAMPLE = {1: "2 + 3 = 5\n", 2: "23 + 45 = 68\n"}
_OFF = (-10, -2, -1, 1, 2, 10)


@dataclass(frozen=True)
class Sum:
    """A prompt up to the equals sign, its answer, and a wrong answer of as many digits. Answers begin with a space and end the line."""

    prompt: str
    answer: str
    wrong: str


def sums(digits: int, count: int, start: int = 0, example: bool = False) -> list[Sum]:
    """Return `count` different sums of two numbers of one digit, or of two with a sum below 100, in a drawn order, `start` left out.

    With `example` a worked sum stands before each. Of one digit there are 100, of two 3240. Raises AssayError when they are used up.
    """
    numbers = range(10 ** (digits - 1) if digits > 1 else 0, 10**digits)
    pairs = [(a, b) for a in numbers for b in numbers if digits == 1 or a + b < 10**digits]
    if start + count > len(pairs):
        raise AssayError(f"{start + count} sums of {digits} digits asked for, there are {len(pairs)}; ask for fewer")
    order = draw_bits(0, f"sums-{digits}", len(pairs)).argsort(kind="stable")
    return [_sum(*pairs[int(at)], _EXAMPLE[digits] if example else "") for at in order[start : start + count]]


def _sum(a: int, b: int, example: str) -> Sum:
    right = a + b
    wrong = [right + off for off in _OFF if right + off >= 0 and len(str(right + off)) == len(str(right))]
    chosen = wrong[int(draw_integers(0, f"wrong-{a}-{b}", 1, 0, len(wrong))[0])]
    return Sum(f"{example}{a} + {b} =", f" {right}\n", f" {chosen}\n")
