"""Random operators: draws with fixed seeds, to be compared with the laws that they are to follow. Knows no device and no law."""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.case import Case, Promise, Scalar, Step
from harness.checks.distribution import Distribution
from harness.checks.dropout import Dropout
from harness.inputs import Inputs

_DRAWN = 1 << 15  # values of a draw
_ROWS = 1 << 14  # rows of a draw without replacement
_PERMUTED, _SHORT = 1024, 4  # permutations of a draw, and how long each is
_BEGINNING = 256
_WEIGHTS = (1.0, 4.0, 0.0, 2.0, 0.5, 0.25, 8.0, 2.25)
FLOATS, INTEGERS = ("float32", "bfloat16", "float16"), ("int64", "int32", "int16")

Draw = Callable[[], Tensor]


def draws(inputs: Inputs, /, *, operator: str, count: int, p: float) -> Step:
    """Draw twice; then again after the same seed, and after another. `operator` names one of `_draw`; `p` is its parameter."""
    draw = _draw(inputs, operator, count, p)

    def call() -> dict[str, Tensor]:
        torch.manual_seed(inputs.seed + 1)
        first, second = draw(), draw()
        torch.manual_seed(inputs.seed + 1)
        anew = draw()[:_BEGINNING].clone()
        torch.manual_seed(inputs.seed + 2)
        return {"first": first, "second": second, "anew": anew, "other": draw()[:_BEGINNING].clone()}

    return Step(call)


def _draw(inputs: Inputs, operator: str, count: int, p: float) -> Draw:
    """Return a function that draws `count` values by an operator, into memory that held other values."""
    empty = inputs.given("filling", torch.full((count,), 7).to(inputs.dtype))

    def filled(method: str, *args: float) -> Draw:
        return lambda: getattr(empty.clone(), method)(*args)

    methods: Mapping[str, Draw] = {
        "uniform": filled("uniform_"), "uniform-wide": filled("uniform_", -2.0, 6.0), "normal": filled("normal_"),
        "normal-moved": filled("normal_", 3.0, 0.5), "exponential": filled("exponential_", p), "cauchy": filled("cauchy_", 1.0, 2.0),
        "log_normal": filled("log_normal_", 0.5, 0.75), "geometric": filled("geometric_", p), "bernoulli": filled("bernoulli_", p),
        "random": filled("random_"), "random-range": filled("random_", -5, 20), "random-wide": filled("random_", 0, 1 << 30),
        "rand": lambda: torch.rand(count, device=inputs.device, dtype=inputs.dtype),
        "randint": lambda: torch.randint(-5, 20, (count,), device=inputs.device, dtype=inputs.dtype),
        "randperm": lambda: torch.randperm(count, device=inputs.device, dtype=inputs.dtype),
        "randperm-short": lambda: torch.stack([torch.randperm(_SHORT, device=inputs.device, dtype=inputs.dtype) for _ in range(count)]),
    }  # fmt: skip
    return methods[operator] if operator in methods else _draw_of(inputs, operator, count, p)


def _draw_of(inputs: Inputs, operator: str, count: int, p: float) -> Draw:
    """Return a function that draws by an operator that takes parameters as tensors."""
    if operator == "multinomial":
        weights = inputs.given("weights", torch.tensor(_WEIGHTS).to(inputs.dtype))
        return lambda: torch.multinomial(weights, count, replacement=True)
    if operator == "multinomial-once":
        rows = inputs.given("weights", torch.tensor(_WEIGHTS).to(inputs.dtype).repeat(count, 1))
        return lambda: torch.multinomial(rows, 2)
    ones = inputs.given("ones", torch.ones(count, dtype=inputs.dtype))
    return {
        "bernoulli-tensor": lambda: torch.bernoulli(ones * p), "poisson": lambda: torch.poisson(ones * p),
        "normal-tensor": lambda: torch.normal(ones * p, ones * 0.5), "rrelu": lambda: -F.rrelu(-ones, 0.125, 0.375, training=True),
    }[operator]  # fmt: skip


def dropout(inputs: Inputs, /, *, count: int, pixels: int, p: float) -> Step:
    """Drop of [count] values, or of whole channels of [count, pixels]; returns also `grad` of the first, for ones, and `operand`."""
    drawn = inputs.normal("operand", (count, pixels) if pixels else (count,))
    operand = torch.where(drawn.abs() < 0.125, torch.ones_like(drawn), drawn)

    def drop(x: Tensor) -> Tensor:
        return F.dropout2d(x.reshape(1, count, pixels, 1), p).reshape(count, pixels) if pixels else F.dropout(x, p)

    def call() -> dict[str, Tensor]:
        torch.manual_seed(inputs.seed + 1)
        leaf = operand.clone().requires_grad_()
        first, second = drop(leaf), drop(operand)
        (grad,) = torch.autograd.grad(first.sum(), leaf)
        torch.manual_seed(inputs.seed + 1)
        anew = drop(operand)[:_BEGINNING].clone()
        torch.manual_seed(inputs.seed + 2)
        outputs = {"first": first.detach(), "second": second, "grad": grad, "operand": operand.clone()}
        return {**outputs, "anew": anew, "other": drop(operand)[:_BEGINNING].clone()}

    return Step(call)


def _cases(name: str, dtypes: Sequence[str], check: Promise, count: int = _DRAWN, p: float = 0.0) -> tuple[Case, ...]:
    params: dict[str, Scalar] = {"operator": name, "count": count, "p": p}
    return tuple(Case(f"operators/random/{name}[{dtype}]", "operators", draws, dtype, (check,), params, golden=False) for dtype in dtypes)


def _dropouts(name: str, p: float, count: int = _DRAWN, pixels: int = 0) -> tuple[Case, ...]:
    params: dict[str, Scalar] = {"count": count, "pixels": pixels, "p": p}
    return tuple(
        Case(f"operators/random/{name}[{dtype}]", "operators", dropout, dtype, (Dropout(p),), params, golden=False) for dtype in FLOATS
    )


CASES = (
    *_cases("uniform", FLOATS, Distribution("uniform", (0.0, 1.0))),
    *_cases("uniform-wide", FLOATS, Distribution("uniform", (-2.0, 6.0))),
    *_cases("rand", FLOATS, Distribution("uniform", (0.0, 1.0))),
    *_cases("normal", FLOATS, Distribution("normal", (0.0, 1.0))),
    *_cases("normal-moved", FLOATS, Distribution("normal", (3.0, 0.5))),
    *_cases("normal-tensor", FLOATS, Distribution("normal", (-1.0, 0.5)), p=-1.0),
    *_cases("exponential", FLOATS, Distribution("exponential", (0.5,)), p=0.5),
    *_cases("cauchy", FLOATS, Distribution("cauchy", (1.0, 2.0))),
    *_cases("log_normal", FLOATS, Distribution("log_normal", (0.5, 0.75))),
    *_cases("rrelu", ("float32", "bfloat16"), Distribution("uniform", (0.125, 0.375, 1.0))),
    *_cases("geometric", FLOATS, Distribution("geometric", (0.25,)), p=0.25),
    *_cases("poisson", FLOATS, Distribution("poisson", (4.0,)), p=4.0),
    *_cases("bernoulli", FLOATS, Distribution("bernoulli", (0.25,)), p=0.25),
    *_cases("bernoulli-tensor", FLOATS, Distribution("bernoulli", (0.75,)), p=0.75),
    *_cases("random", ("float32",), Distribution("integers", (0.0, 2.0**24 + 1))),
    *_cases("random", ("int32",), Distribution("integers", (0.0, 2.0**31))),
    *_cases("random", ("int64",), Distribution("integers", (0.0, 2.0**63))),
    *_cases("random-range", (*FLOATS, *INTEGERS), Distribution("integers", (-5.0, 20.0))),
    *_cases("random-wide", ("int32", "int64"), Distribution("integers", (0.0, 2.0**30))),
    *_cases("randint", ("int64", "int32"), Distribution("integers", (-5.0, 20.0))),
    *_cases("randperm", ("int64", "int32"), Distribution("integers", (0.0, float(_DRAWN)), distinct=True)),
    *_cases("randperm-short", ("int64",), Distribution("permutations", (float(_SHORT),)), _PERMUTED),
    *_cases("multinomial", FLOATS, Distribution("categories", _WEIGHTS)),
    *_cases("multinomial-once", FLOATS, Distribution("pairs", _WEIGHTS), _ROWS),
    *_dropouts("dropout", 0.5),
    *_dropouts("dropout-tenth", 0.1),
    *_dropouts("dropout-most", 0.9),
    *_dropouts("dropout2d", 0.25, 1 << 13, 4),
)
