"""What every stage promises, and the cases of a stage on all tiny families. Knows no stage."""

from collections.abc import Callable, Iterable, Mapping

from harness.case import Case, Promise, Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.parameters import Parameters
from harness.checks.special_values import SpecialValues
from harness.checks.trajectory import Trajectory
from suites.assets.families import FAMILIES, PREFIX

_SERIES = ("loss", "grad_norm")


def promised(series: tuple[str, ...] = ()) -> tuple[Promise, ...]:
    """Return the promises of a stage that also follows `series`, apart from those of an untrained model.

    NaN among the gradients and updates is for Parameters to report: it names one parameter instead of all.
    """
    followed = (*_SERIES, *series)
    return (
        SpecialValues(only=followed), Trajectory(series=followed), Parameters(prefix="grad/"), Parameters(prefix="update/"),
    )  # fmt: skip


CHECKS = promised()
DETAILED: tuple[Promise, ...] = (Closeness(only=("first/*", "held_out_loss")), *CHECKS)


def on_tiny_families(
    stage: str, workload: Callable[..., Step], checks: tuple[Promise, ...], params: Mapping[str, Scalar],
    *, families: Iterable[str] = tuple(FAMILIES),
) -> tuple[Case, ...]:  # fmt: skip
    """Return a case for each family and dtype, named `post_training/<stage>/<family>[<dtype>]`; a golden serves both dtypes.

    A family that selects (experts, keys) is compared in float32 only: in bfloat16 a sound device selects otherwise here and there, and
    everything downstream differs.
    """
    rounds = params["steps"]
    assert isinstance(rounds, int)
    cases = []
    for family in families:
        first = ""
        for dtype in ("float32",) if FAMILIES[family].selects else ("float32", "bfloat16"):
            name = f"post_training/{stage}/{family}[{dtype}]"
            given = {"model": PREFIX + family, **params}
            cases.append(Case(name, "post_training", workload, dtype, checks, given, rounds=rounds, golden_of=first or None))
            first = first or name
    return tuple(cases)
