"""Cases to be localised in a process of their own."""

import ctypes
import time

import torch

from harness.case import Case, Step
from harness.checks.closeness import Closeness
from harness.inputs import Inputs
from tests.harness.localise.sides import TOKENS, network


def trained(inputs: Inputs, /) -> Step:
    model = inputs.module("weights", network())
    tokens = inputs.given("tokens", TOKENS)

    def call() -> dict[str, torch.Tensor]:
        logits = model(tokens)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()
        return {"logits": logits.detach()}

    return Step(call)


def crashing(inputs: Inputs, /) -> Step:
    x = inputs.normal("x", (4,))
    return Step(lambda: {"out": x.exp(), "never": ctypes.string_at(0)})  # type: ignore[dict-item]


def hanging(inputs: Inputs, /) -> Step:
    x = inputs.normal("x", (4,))
    return Step(lambda: {"out": x.exp(), "never": time.sleep(600)})  # type: ignore[dict-item]


def raising(inputs: Inputs, /) -> Step:
    raise ValueError("the width is 3")


def _case(workload) -> Case:
    return Case(f"operators/{workload.__name__}[float32]", "operators", workload, "float32", (Closeness(),))


CASES = tuple(map(_case, (trained, crashing, hanging, raising)))
BY_NAME = {case.workload.__name__: case for case in CASES}
