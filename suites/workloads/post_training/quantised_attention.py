"""DeepSeek-V4's indexer in four bits and its entries in eight, on given queries, keys and entries. Knows no device.

Source: DeepSeek-V4 technical report, arXiv 2606.19348, on FP4 quantization-aware training (queries and keys of the indexer are MXFP4) and
on its cache (entries are FP8 but for the turned part, bfloat16). Four bits are coarse: other keys are selected than without them. So the
golden is of the same quantised operands, and what a device selects is compared margin-aware.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.case import Case, Promise, Step
from harness.checks.closeness import Closeness
from harness.checks.exact import Exact
from harness.checks.selections import Selections
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from reference.oracles.block_formats import FP8_ENTRIES, MXFP4
from reference.oracles.deepseek_v4.quantisation import cached
from suites.assets.families import FAMILIES, PREFIX, tiny_module
from suites.workloads.model import arithmetic
from suites.workloads.post_training.on_the_edge import on_the_edge
from suites.workloads.post_training.quantised import at, places, quantise_activations, stored

_FAMILY = "deepseek_v4-flash"
_QUERIES, _RATE, _WIDTH, _TURNED = 96, 4, 512, 64  # as long as the published heads are


class Scoring(nn.Module):
    """The indexer's scorer of the family alone, under its name."""

    def __init__(self, family: str) -> None:
        super().__init__()
        model = tiny_module(PREFIX + family)
        self.config = FAMILIES[family].tiny_config()
        self.layer = nn.Module()
        self.layer.compressor, scorer = nn.Module(), next(part for name, part in model.named_modules() if name.endswith(".scorer"))
        self.layer.compressor.indexer = nn.Module()
        self.layer.compressor.indexer.scorer = scorer

    def forward(self, *given: Tensor) -> Tensor:
        """Return the scores of given queries, keys and hidden states."""
        scorer: Any = self.get_submodule("layer.compressor.indexer.scorer")
        found: Tensor = scorer(*given)
        return found


def quantised_indexer(inputs: Inputs, /, *, model: str) -> Step:
    """Score keys and select among them as the family does, from given queries and keys, in four bits; work is counted in queries.

    Outputs: `operand/queries`, `operand/keys` float32, as the scorer was given them; `scores/indexer` float [queries, keys], -inf for keys
    that a query must not see; `chosen/indexer` int64 [queries, k]; `grad/queries`, `grad/keys`. Raises AssayError: no such family.
    """
    scoring = Scoring(model.removeprefix(PREFIX))
    config: Any = scoring.config
    placed = inputs.module("weights", scoring, torch.float32)
    heads, width, keys = config.index_n_heads, config.index_head_dim, _QUERIES // _RATE
    q, k = (
        inputs.given(name, on_the_edge(inputs.seed, name, shape, MXFP4, inputs.dtype)).requires_grad_()
        for name, shape in (("queries", (1, _QUERIES, heads, width)), ("keys", (1, keys, width)))
    )
    hidden = inputs.normal("hidden", (1, _QUERIES, config.hidden_size))
    upstream = inputs.normal("upstream", (1, _QUERIES, keys), dtype=torch.float32)
    seen = (torch.arange(keys) < (torch.arange(_QUERIES)[:, None] + 1) // _RATE).to(inputs.device)[_RATE * config.index_topk :]
    where = places(placed, {})
    quantise_activations(placed, where)
    operands: dict[str, Tensor] = {}
    for one, name in zip(where, ("queries", "keys"), strict=True):
        at(placed, one, lambda x, name=name: operands.setdefault(f"operand/{name}", x))  # type: ignore[misc]

    def call() -> Mapping[str, Tensor]:
        operands.clear()
        with arithmetic(inputs, mixed=True):
            scores = placed(q, k, hidden)
        gradients = torch.autograd.grad((scores * upstream).sum(), (q, k))
        rows = scores.detach()[0, -len(seen) :].masked_fill(~seen, -torch.inf)
        return {
            **{name: operand.detach().float() for name, operand in operands.items()}, "scores/indexer": rows,
            "chosen/indexer": rows.topk(config.index_topk, dim=-1).indices, "grad/queries": gradients[0], "grad/keys": gradients[1],
        }  # fmt: skip

    return Step(call, work=_QUERIES, unit="queries")


def quantised_entries(inputs: Inputs, /, *, model: str) -> Step:
    """Take entries of keys and values through the cache's format and back, straight through; work is counted in entries.

    The golden is the definition's (`reference/oracles/deepseek_v4/quantisation.py`). Outputs: `entries` and `grad/entries`, float32
    [96, 512]; the gradient is what came from above, bit for bit.
    """
    inputs.told("model", model)
    x = inputs.given("x", on_the_edge(inputs.seed, "x", (_QUERIES, _WIDTH), FP8_ENTRIES, inputs.dtype)).requires_grad_()
    upstream = inputs.normal("upstream", x.shape)

    def call() -> Mapping[str, Tensor]:
        entries = (cached if inputs.golden else stored)(x, _TURNED)
        (gradient,) = torch.autograd.grad(entries, x, upstream)
        return {"entries": entries.detach().float(), "grad/entries": gradient.float()}

    return Step(call, work=_QUERIES, unit="entries")


_SELECTED: tuple[Promise, ...] = (
    Exact(only=("operand/*",)), Selections(), SpecialValues(only=("scores/*", "grad/*")), Closeness(only=("grad/*",)),
)  # fmt: skip
_KEPT: tuple[Promise, ...] = (Exact(only=("entries", "grad/entries")), SpecialValues())

CASES = tuple(
    Case(f"post_training/{name}/{_FAMILY}[{dtype}]", "post_training", workload, dtype, checks, {"model": PREFIX + _FAMILY})
    for name, workload, checks in (
        ("quantised-indexer", quantised_indexer, _SELECTED),
        ("quantised-entries", quantised_entries, _KEPT),
    )
    for dtype in ("float32", "bfloat16")
)
