"""What an untrained model selects (experts, keys), compared by itself, apart from numeric drift. Knows no family and no device."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.case import Case, Promise, Scalar, Step
from harness.checks.selections import Selections
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from suites.assets.corpus import token_batches
from suites.assets.families import FAMILIES, PREFIX
from suites.assets.language_model import load
from suites.workloads.model import arithmetic, place
from suites.workloads.post_training.selecting import Selecting, exact_selections

_MASKED = -1e30  # models mask with the least number of a dtype, or with -inf; a score below this is one


@dataclass
class _Sites:
    """The names of the modules that are running, the innermost last."""

    running: list[str]

    def watch(self, model: nn.Module) -> None:
        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda *_, name=name: self.running.append(name))
            module.register_forward_hook(lambda *_: (self.running.pop(), None)[1])


def selections(inputs: Inputs, /, *, model: str, batch: int, length: int) -> Step:
    """Run a model that is not trained forward on `batch` rows of `length` tokens, and return what it selects.

    For the i-th selection, made in the module `site`: `scores/<i>/<site>` float [rows, candidates], masked ones -inf, and
    `chosen/<i>/<site>` int64 [rows, k]. Each is made from scores to which float64's selections have led.
    """
    language_model = load(model)
    host = token_batches(language_model.tokenizer, batch, length, 1)[0]
    exact = exact_selections(language_model.module, lambda module: module(input_ids=host, use_cache=False))
    tokens = inputs.given("tokens", host)
    given = [inputs.given(f"selection_{i}", indices) for i, indices in enumerate(exact)]
    module = place(inputs, language_model.module, torch.float32)
    sites = _Sites([])
    sites.watch(module)

    @torch.no_grad()
    def call() -> Mapping[str, Tensor]:
        names: list[str] = []

        class Named(Selecting):
            def take(self, scores: Tensor, chosen: Tensor, dim: int) -> Tensor:
                names.append(f"{len(names):02d}/{sites.running[-1]}")
                return super().take(scores, chosen, dim)

        with arithmetic(inputs, mixed=True), Named(given) as seen:
            module(input_ids=tokens, use_cache=False)
        found = {}
        for name, scores, chosen in zip(names, seen.scores, seen.chosen, strict=True):
            found[f"scores/{name}"] = scores.masked_fill(scores < _MASKED, float("-inf")).flatten(0, -2)
            found[f"chosen/{name}"] = chosen.flatten(0, -2)
        return found

    return Step(call, work=batch * length, unit="tokens")


_CHECKS: tuple[Promise, ...] = (Selections(), SpecialValues(only=("scores/*",)))


def _cases() -> Iterable[Case]:
    for family in (name for name, one in FAMILIES.items() if one.selects):
        float32 = f"post_training/selections/{family}[float32]"
        for dtype, golden_of in (("float32", None), ("bfloat16", float32)):
            params: dict[str, Scalar] = {"model": PREFIX + family, "batch": 2, "length": 64}
            name = f"post_training/selections/{family}[{dtype}]"
            yield Case(name, "post_training", selections, dtype, _CHECKS, params, golden_of=golden_of)


CASES = tuple(_cases())
