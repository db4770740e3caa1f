"""What every stage promises, and the cases of a stage on all tiny families. Knows no stage."""

from collections.abc import Callable, Iterable, Mapping

from harness.case import Case, Promise, Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.held_out import HeldOut
from harness.checks.parameters import Parameters
from harness.checks.special_values import SpecialValues
from harness.checks.trajectory import Trajectory
from suites.assets.families import FAMILIES, PREFIX

_SERIES = ("loss", "grad_norm")

RERUNS = 3  # of the reference, that span the band of a tiny model's run; one of a real model's, where each takes a minute


def promised(series: tuple[str, ...] = ()) -> tuple[Promise, ...]:
    """Return the promises of a stage that also follows `series`, apart from those of an untrained model.

    NaN among the gradients and updates is for Parameters to report: it names one parameter instead of all.
    """
    followed = (*_SERIES, *series)
    return (
        SpecialValues(only=followed), Trajectory(series=followed), Parameters(prefix="grad/"), Parameters(prefix="update/"), HeldOut(),
    )  # fmt: skip


CHECKS = promised()
DETAILED: tuple[Promise, ...] = (Closeness(only=("first/*",)), *CHECKS)


def on_tiny_families(
    stage: str, workload: Callable[..., Step], checks: tuple[Promise, ...], params: Mapping[str, Scalar],
    *, families: Iterable[str] = tuple(FAMILIES), replays: bool = False,
) -> tuple[Case, ...]:  # fmt: skip
    """Return a case for each family and dtype, named `post_training/<stage>/<family>[<dtype>]`; a golden serves both dtypes.

    In bfloat16 a sound device selects otherwise here and there, and everything downstream differs. So a family that selects (experts,
    keys) is compared in bfloat16 only where the stage `replays`: its parameter `replay` then gives selections to both sides
    (`selections.replayed`), which makes other inputs, and a golden of its own.
    """
    band = RERUNS if any(isinstance(check, Trajectory) for check in checks) else 0
    rounds = params.get("steps", 1)
    assert isinstance(rounds, int)
    cases = []
    for family in families:
        first = ""
        selects = FAMILIES[family].selects
        for dtype in ("float32", "bfloat16") if replays or not selects else ("float32",):
            name = f"post_training/{stage}/{family}[{dtype}]"
            given = {"model": PREFIX + family, **params, **({"replay": True} if selects and dtype == "bfloat16" else {})}
            cases.append(Case(name, "post_training", workload, dtype, checks, given, rounds=rounds, golden_of=first or None, band=band))
            first = "" if selects else name
    return tuple(cases)
