"""Every mutant does something, and every benign variant stays near the accuracy of what it replaces. By the samples, not by any case."""

import warnings
from functools import cache

import pytest
import torch
from torch import Tensor

from suites.mutation.registry import benign_variants, faults, mutants
from suites.mutation.wrapper import Mutant, Seeded
from tests.suites.mutation.samples import SAMPLES, Draw

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
ROUNDOFF = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
NOT_DETERMINED = {"draws", "special", "choices"}  # of these there is no accuracy to speak of


def run(name: str, dtype: torch.dtype, mutant: Mutant | None = None, wide: bool = False) -> tuple[list[Tensor], Seeded]:
    mode = Seeded(mutant)
    with mode, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [out.detach() for out in SAMPLES[name](Draw(dtype, wide))], mode


@cache
def right(name: str, dtype: torch.dtype) -> tuple[list[Tensor], frozenset[str]]:
    outputs, mode = run(name, dtype)
    return outputs, frozenset(mode.seen)


@cache
def golden(name: str, dtype: torch.dtype) -> list[Tensor]:
    return run(name, dtype, wide=True)[0]


def reached(mutant: Mutant) -> list[tuple[str, torch.dtype]]:
    return [(name, dtype) for name in SAMPLES for dtype in DTYPES if any(map(mutant.strikes, right(name, dtype)[1]))]


def differs(a: Tensor, b: Tensor) -> bool:
    if (a.dtype, a.shape, a.stride(), a.storage_offset()) != (b.dtype, b.shape, b.stride(), b.storage_offset()):
        return True
    return not torch.equal(torch.nan_to_num(a.double(), 123.0), torch.nan_to_num(b.double(), 123.0))


@pytest.mark.parametrize("mutant", mutants().values(), ids=lambda mutant: mutant.name)
def test_a_mutant_changes_something_and_never_stumbles(mutant: Mutant) -> None:
    changed = False
    for name, dtype in reached(mutant):
        try:
            outputs, mode = run(name, dtype, mutant)
        except RuntimeError:  # a wrong result may be one that a later operator refuses
            assert not mutant.benign
            changed = True
            continue
        assert not mode.stumbled
        changed |= any(differs(a, b) for a, b in zip(outputs, right(name, dtype)[0], strict=True))
    assert changed


def error(output: Tensor, exact: Tensor) -> tuple[float, float]:
    """Relative root mean square, and the worst element, as closeness measures them."""
    if not output.numel():
        return 0.0, 0.0
    difference, size = output.double() - exact.double(), exact.double().square().mean().sqrt()
    size = size if size else torch.ones(())
    return float(difference.square().mean().sqrt() / size), float((difference.abs() / (exact.double().abs() + size)).max())


@pytest.mark.parametrize("mutant", benign_variants(), ids=lambda mutant: mutant.name)
def test_a_benign_variant_is_about_as_accurate_as_what_it_replaces(mutant: Mutant) -> None:
    """At most four times as far from float64, or four roundoffs (eight in a single element), and of the same form."""
    for name, dtype in reached(mutant):
        if name in NOT_DETERMINED:
            continue
        for ours, theirs, exact in zip(run(name, dtype, mutant)[0], right(name, dtype)[0], golden(name, dtype), strict=True):
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
            if ours.is_floating_point() and torch.isfinite(exact).all() and torch.isfinite(theirs).all():
                u = ROUNDOFF.get(ours.dtype, 2.0**-24)
                (rms, worst), (own_rms, own_worst) = error(ours, exact), error(theirs, exact)
                assert rms <= max(4 * own_rms, 4 * u)
                assert worst <= max(4 * own_worst, 8 * u)


def test_there_are_enough_of_different_kinds() -> None:
    assert len(faults()) >= 40
    assert len(benign_variants()) >= 80
    assert len({cause for fault in faults() for cause in fault.causes}) >= 12
    assert all(mutant.source for mutant in mutants().values())
    assert len({mutant.function for mutant in mutants().values() if "float64" not in mutant.name}) > 200
