"""Draws of right and of wrong generators; the power that the check's description claims is measured here."""

from collections.abc import Callable

import numpy as np
import pytest

from harness.checks.chance import Statistic
from harness.checks.distribution import Distribution, seeds_of, statistics_of
from harness.checks.laws import LAWS
from harness.verdict import Cause, Outcome
from tests.harness.checks.build import evidence

N = 1 << 15
Maker = Callable[[np.random.Generator], np.ndarray]


def bfloat16(x: np.ndarray) -> np.ndarray:
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    return (((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32)).view(np.float32)


def failing(law: str, args: tuple[float, ...], make: Maker, dtype: str = "float32", seed: int = 0) -> set[str]:
    rng = np.random.default_rng(seed)
    return {test.name for test in statistics_of(LAWS[law](*args), make(rng), make(rng), dtype) if test.outcome is not Outcome.PASS}


def single(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32)


SOUND: list[tuple[str, tuple[float, ...], Maker]] = [
    ("uniform", (0.0, 1.0), lambda g: g.random(N, dtype=np.float32)),
    ("normal", (3.0, 0.5), lambda g: g.normal(3, 0.5, N)),
    ("exponential", (0.5,), lambda g: g.exponential(2, N)),
    ("cauchy", (1.0, 2.0), lambda g: 1 + 2 * g.standard_cauchy(N)),
    ("log_normal", (0.5, 0.75), lambda g: g.lognormal(0.5, 0.75, N)),
    ("geometric", (0.25,), lambda g: g.geometric(0.25, N)),
    ("poisson", (4.0,), lambda g: g.poisson(4, N)),
    ("bernoulli", (0.25,), lambda g: g.random(N) < 0.25),
    ("integers", (0.0, 2.0**31), lambda g: g.integers(0, 2**31, N)),
    ("categories", (1.0, 0.0, 2.0), lambda g: g.choice(3, N, p=[1 / 3, 0, 2 / 3])),
    ("permutations", (3.0,), lambda g: g.permuted(np.tile(np.arange(3), (1000, 1)), axis=1)),
]  # fmt: skip


@pytest.mark.parametrize(("law", "args", "make"), SOUND, ids=[law for law, _, _ in SOUND])
def test_a_sound_generator_passes(law: str, args: tuple[float, ...], make: Maker) -> None:
    for seed in range(3):
        assert not failing(law, args, lambda g: make(g).astype(np.float64), seed=seed, dtype="float16")


@pytest.mark.parametrize(("law", "args", "make"), SOUND[1:5], ids=[law for law, _, _ in SOUND[1:5]])
@pytest.mark.parametrize("rounded", ["nearest", "cut"])
def test_rounding_to_bfloat16_is_no_fault(law: str, args: tuple[float, ...], make: Maker, rounded: str) -> None:
    def cut(x: np.ndarray) -> np.ndarray:
        return (x.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)

    assert not failing(law, args, lambda g: (bfloat16 if rounded == "nearest" else cut)(make(g)), "bfloat16")


def test_what_is_too_large_for_float16_is_a_rounded_draw() -> None:
    def with_infinities(g: np.random.Generator) -> np.ndarray:
        wide = 100 * g.standard_cauchy(N)
        return np.where(np.abs(wide) > 65519, np.copysign(np.inf, wide), wide)

    assert np.isinf(with_infinities(np.random.default_rng(0))).any()
    assert not failing("cauchy", (0.0, 100.0), with_infinities, "float16")


def on_grid(bits: int) -> Maker:
    return lambda g: single(g.integers(0, 1 << bits, N) / (1 << bits))


def correlated(g: np.random.Generator) -> np.ndarray:
    x = g.standard_normal(N + 1)
    return single((x[1:] + 0.05 * x[:-1]) / np.sqrt(1 + 0.05**2))


WRONG: list[tuple[str, str, tuple[float, ...], Maker, set[str]]] = [
    ("mean", "normal", (0.0, 1.0), lambda g: single(g.standard_normal(N) + 0.04), {"moments"}),
    ("deviation", "normal", (0.0, 1.0), lambda g: single(g.standard_normal(N) * 1.04), {"moments", "tails"}),
    ("rate", "exponential", (1.0,), lambda g: single(g.exponential(1.04, N)), {"moments"}),
    ("probability", "bernoulli", (0.5,), lambda g: single(g.random(N) < 0.515), {"distribution"}),
    ("correlated", "normal", (0.0, 1.0), correlated, {"independence"}),
    ("2^16 values", "uniform", (0.0, 1.0), on_grid(16), {"grain"}),
    ("2^21 values", "uniform", (0.0, 1.0), on_grid(21), {"grain"}),
    ("tail cut off", "normal", (0.0, 1.0), lambda g: single(np.clip(g.standard_normal(N), -3.2, 3.2)), {"tails"}),
    ("last bits", "integers", (0.0, 2.0**30), lambda g: g.integers(0, 2**27, N) * 8, {"distribution"}),
    ("other law", "poisson", (4.0,), lambda g: np.maximum(0, np.round(g.normal(4, 2, N))), {"distribution"}),
    ("a weight of 0", "categories", (1.0, 0.0, 2.0), lambda g: g.choice(3, N, p=[0.33, 0.001, 0.669]), {"support"}),
    ("NaN", "normal", (0.0, 1.0), lambda g: np.where(g.random(N) < 1e-3, np.nan, g.standard_normal(N)), {"support"}),
    ("zeros", "exponential", (1.0,), lambda g: np.where(g.random(N) < 1e-3, 0.0, g.exponential(1, N)), {"support"}),
]


@pytest.mark.parametrize(("law", "args", "make", "tests"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_wrong_generator_fails_in_the_test_that_is_for_it(law: str, args: tuple[float, ...], make: Maker, tests: set[str]) -> None:
    for seed in range(3):
        assert tests <= failing(law, args, make, seed=seed)


def test_a_one_among_uniform_draws_is_impossible() -> None:
    def with_the_end(g: np.random.Generator) -> np.ndarray:
        return bfloat16(g.random(N))  # rounds up to 1 once in 512

    assert failing("uniform", (0.0, 1.0), with_the_end, "bfloat16") == {"support"}


def test_a_repeated_draw_fails() -> None:
    kept = np.random.default_rng(0).random(N, dtype=np.float32)
    assert failing("uniform", (0.0, 1.0), lambda _: kept) == {"repetition", "independence", "grain"}


def test_seeds() -> None:
    a, b = np.arange(4), np.arange(4) + 1
    assert seeds_of(a, a, b).outcome is Outcome.PASS
    assert "the same seed" in seeds_of(a, b, b).message
    assert "another seed" in seeds_of(a, a, a).message


def outputs(rng: np.random.Generator) -> dict[str, np.ndarray]:
    first = single(rng.standard_normal(N))
    return {"first": first, "second": single(rng.standard_normal(N)), "anew": first[:256], "other": single(rng.standard_normal(256))}


def test_a_case_has_a_finding_a_test_with_the_references_figure() -> None:
    ours, theirs = outputs(np.random.default_rng(0)), outputs(np.random.default_rng(1))
    found = Distribution("normal", (0.0, 1.0))(evidence(ours, theirs, None))
    assert [f.subject for f in found] == ["support", "distribution", "tails", "moments", "independence", "repetition", "grain", "seeds"]
    assert all(f.outcome is Outcome.PASS and f.cause is None and f.reference is not None for f in found)


def test_a_fault_has_a_cause() -> None:
    ours = outputs(np.random.default_rng(0))
    ours["anew"] = ours["other"]
    found = Distribution("normal", (0.0, 1.0))(evidence(ours, ours, None))
    assert [(f.subject, f.cause) for f in found if f.outcome is Outcome.FAIL] == [("seeds", Cause.RANDOM)]


def test_a_permutation_with_a_value_twice_fails() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.permutation(1024), rng.permutation(1024)
    second[0] = second[1]
    drawn = {"first": first, "second": second, "anew": first[:256], "other": second[:256]}
    found = {f.subject: f for f in Distribution("integers", (0.0, 1024.0), distinct=True)(evidence(drawn, drawn, None))}
    assert found["distinct"].outcome is Outcome.FAIL
    assert "1 values came twice" in found["distinct"].message


def test_a_statistic_that_is_not_a_number_fails() -> None:
    assert Statistic("x", float("nan"), 1.0).outcome is Outcome.FAIL
