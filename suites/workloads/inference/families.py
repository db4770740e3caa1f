"""The cases of an inference workload: on `--model`, and on every tiny family that bears it. Knows no workload."""

from collections.abc import Callable, Iterable, Mapping

from harness.case import Case, Promise, Scalar, Step
from harness.checks.definition import Definition
from suites.assets.families import FAMILIES, PREFIX

ALL = tuple(FAMILIES)

#: Kinds of model that cannot be padded on the left: padding is compressed with the tokens, or taken by the indexer for a document's begin.
UNPADDED = ("deepseek_v4", "deepseek_v32")

#: Families that bear padding on the left.
PADDED = tuple(name for name, family in FAMILIES.items() if family.kind not in UNPADDED)

DTYPES = ("float32", "bfloat16")
DEFAULT = "default"

_IN_BOTH = ("prefill", "decode", "batched", "greedy-cached")

LIMIT = 1e-5  # relative distance of float32 results from float64's; a tiny family on a CPU has 3e-7, the embedded model 1e-6


def on_families(
    name: str, workload: Callable[..., Step], checks: tuple[Promise, ...], params: Mapping[str, Scalar], *,
    families: Iterable[str] = ALL, replays: bool = False, defined: tuple[str, ...] = (), default: bool = True,
) -> tuple[Case, ...]:  # fmt: skip
    """Return `inference/<name>/<family>[<dtype>]`, and `inference/<name>[<dtype>]` on the embedded model.

    Wide are the embedded model, where each takes seconds, and bfloat16 but for a few names.

    A family that selects is compared in bfloat16 only where the workload `replays` selections, in its parameter `replay`. `defined` are
    outputs whose golden is another program than the one on trial (no cache, no company): in float32 nothing but rounding excuses them.
    """
    made = []
    for family in (DEFAULT, *families) if default else families:
        selects = family != DEFAULT and FAMILIES[family].selects
        for dtype in DTYPES if replays or not selects else ("float32",):
            given: dict[str, Scalar] = {"model": family if family == DEFAULT else PREFIX + family, **params}
            if selects and dtype == "bfloat16":
                given["replay"] = True
            held = (*checks, Definition(defined, LIMIT)) if defined and dtype == "float32" else checks
            place = f"inference/{name}[{dtype}]" if family == DEFAULT else f"inference/{name}/{family}[{dtype}]"
            wide = family == DEFAULT or (dtype == "bfloat16" and name not in _IN_BOTH)
            made.append(Case(place, "inference", workload, dtype, held, given, wide=wide))
    return tuple(made)
