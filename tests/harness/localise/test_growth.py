"""Both sides freely: the table shows where a divergence begins and that it grows; nothing is shown where there is no module."""

import torch
from torch import Tensor, nn

from harness.localise.growth import Tap, table
from tests.harness.localise.sides import TOKENS, network

U = 2.0**-24


def outputs(model: nn.Module) -> dict[tuple[str, int], Tensor]:
    with torch.no_grad(), Tap() as tap:
        model(TOKENS)
    return tap.outputs


def test_the_divergence_begins_where_a_weight_is_wrong() -> None:
    sound, spoilt = network(), network()
    with torch.no_grad():
        spoilt[2].up.weight.mul_(1.01)
    rows = table(outputs(spoilt), outputs(sound), {}, U)
    assert [row.path for row in rows] == ["0", "1.norm", "1.up", "1.down", "1", "2.norm", "2.up", "2.down", "2", "3", ""]
    assert [row.between > 0 for row in rows] == [False] * 6 + [True] * 5
    assert all(row.candidate is None for row in rows)


def test_beside_float64_each_side_has_its_own_distance() -> None:
    rows = table(outputs(network().bfloat16()), outputs(network()), outputs(network().double()), U)
    assert all(row.candidate is not None and row.reference is not None for row in rows)
    assert all(row.candidate > 1000 and row.reference < 100 for row in rows[:-1])  # type: ignore[operator]


def test_calls_of_one_module_are_one_row() -> None:
    layer = nn.Linear(3, 3)
    with torch.no_grad(), Tap() as tap:
        layer(torch.ones(2, 3)), layer(torch.ones(2, 3))
    (row,) = table(tap.outputs, tap.outputs, {}, U)
    assert (row.calls, row.between) == (2, 0.0)


def test_of_a_large_output_a_sample_is_kept() -> None:
    with Tap() as tap:
        nn.Identity()(torch.ones(1000, 1000))
    assert tap.outputs["", 0].numel() <= 4200


def test_of_many_modules_the_outermost_are_shown() -> None:
    deep = nn.Sequential(*(nn.Sequential(*(nn.Sequential(nn.Identity()) for _ in range(6))) for _ in range(6)))
    with Tap() as tap:
        deep(torch.ones(4))
    assert len(tap.outputs) > 48
    assert {row.path.count(".") for row in table(tap.outputs, tap.outputs, {}, U)} == {0, 1}
