"""Questions that need no reference: faulty workloads answer them wrongly, sound ones do not."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from harness.case import Case, Step
from harness.devices import open_device
from harness.inputs import Inputs
from harness.manner import Manner
from harness.measure import measure
from harness.probes import differences, rotations

_KEPT: dict[int, Tensor] = {}
_CALLS = [0]


def sound(x: Tensor) -> Tensor:
    return x.exp()


def writes(x: Tensor) -> Tensor:
    x.view(-1)[0] += 1
    return x.exp()


def wanders(x: Tensor) -> Tensor:
    _CALLS[0] += 1
    return x.exp() * (1 + 1e-7 * (_CALLS[0] % 3))


def remembers(x: Tensor) -> Tensor:
    return _KEPT.setdefault(x.data_ptr(), x.exp())


def ignores_strides(x: Tensor) -> Tensor:
    return torch.as_strided(x, x.shape, (x.shape[1], 1), x.storage_offset()).exp()


def case(function: Callable[[Tensor], Tensor]) -> Case:
    def workload(inputs: Inputs, /) -> Step:
        x = inputs.normal("x", (5, 7))
        return Step(lambda: {"out": function(x)})

    return Case(f"operators/{function.__name__}", "operators", workload, "float32", (), probed=True)


def probed(function: Callable[[Tensor], Tensor]) -> dict:  # type: ignore[type-arg]
    _KEPT.clear()
    recording, arrays = measure(case(function), open_device("cpu"), manner=Manner.PROBED)
    assert recording.status == "ok", recording.message
    return {**recording.details["probes"], "altered": recording.details["altered"], "names": sorted(arrays)}


def test_a_sound_workload_has_nothing_to_report() -> None:
    found = probed(sound)
    assert (found["stale"], found["unsteady"], found["altered"], found["names"]) == ([], {}, [], ["out"])
    assert found["layouts"] == {f"rotation{n}": {"same": 1, "other": 0} for n in range(3)}


def test_an_operand_that_is_written_to_is_noticed() -> None:
    assert probed(writes)["altered"] == [0]


def test_a_result_that_wanders_is_noticed() -> None:
    assert set(probed(wanders)["unsteady"]) == {"out"}


def test_a_result_kept_by_address_is_noticed() -> None:
    assert probed(remembers)["stale"] == ["out"]


def test_an_operator_that_ignores_strides_gives_other_outputs_to_be_judged() -> None:
    names = probed(ignores_strides)["names"]
    assert "out" in names
    assert any(name.startswith("out@rotation") for name in names)


def test_only_a_candidate_is_probed() -> None:
    recording, arrays = measure(case(sound), open_device("cpu"), manner=Manner.PLAIN)
    assert "probes" not in recording.details
    assert list(arrays) == ["out"]


@pytest.mark.parametrize(("operands", "tried"), [(1, 3), (8, 3), (9, 1)])
def test_few_operands_are_tried_in_every_rotation(operands: int, tried: int) -> None:
    assert len(rotations(operands)) == tried


def test_nan_is_the_same_bits_as_nan_and_a_missing_output_is_different() -> None:
    a = {"x": torch.tensor([1.0, torch.nan]).numpy(), "y": torch.ones(2).numpy()}
    assert differences(a, {"x": a["x"].copy()}) == {"y": -1}
    assert differences(a, {"x": torch.tensor([1.5, torch.nan]).numpy(), "y": a["y"]}) == {"x": 1}


def test_integers_cannot_tell_what_is_remembered() -> None:
    """No other values are put in their place, so that the decoy is the same call."""

    def workload(inputs: Inputs, /) -> Step:
        x = inputs.integers("x", (5,), 0, 9)
        return Step(lambda: {"out": x + 1})

    recording, _ = measure(
        Case("operators/whole", "operators", workload, "int64", (), probed=True), open_device("cpu"), manner=Manner.PROBED
    )
    assert recording.details["probes"]["stale"] == []
