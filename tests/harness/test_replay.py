"""One saved call, made again alone: off on the side that is wrong, equal on a sound one; a broken or missing file is one line."""

from pathlib import Path

import pytest
import torch

from harness import replay
from harness.errors import AssayError
from harness.localise.call import Call
from harness.localise.figures import Figures
from harness.localise.lockstep import Pass, Step
from harness.localise.result import Localisation, read, write
from tests.harness.localise.sides import CPU, HEALTHY, compared, network, raising, train, wrong


def saved(folder: Path, operator: str = "aten::_softmax") -> Path:
    """Localise a fault in a training step, and write it."""
    found = compared(wrong(operator, lambda r: r * 1.01), lambda: train(network()))
    write(Localisation("operators/x[float32]", "float32", "cpu", "cpu", [found]), folder / "localised" / "x")
    return folder / "localised" / "x"


def test_it_is_off_on_the_wrong_side_and_equal_on_a_sound_one(tmp_path: Path) -> None:
    document, call = read(saved(tmp_path))
    assert document["first"]["operator"] == call.name == "aten::_softmax"
    assert replay.replay(call, wrong("aten::_softmax", lambda r: r * 1.01), HEALTHY).state == "off"
    assert replay.replay(call, HEALTHY, HEALTHY).state == "equal"
    assert replay.replay(call, raising("aten::_softmax", RuntimeError("E1")), HEALTHY).state == "raised"


def test_the_operands_are_those_of_the_workload(tmp_path: Path) -> None:
    _, call = read(saved(tmp_path, "aten::addmm"))
    bias, x, weight = call.arguments[0]
    block = network()[1]
    assert torch.equal(bias, block.up.bias)
    assert torch.equal(weight, block.up.weight.T)
    assert weight.stride() == (1, 24)
    assert x.shape == (30, 24)


def test_the_command_prints_the_figures_and_its_status_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main([str(saved(tmp_path)), "--device", "cpu"]) == 0  # this machine's CPU is sound
    out = capsys.readouterr().out
    assert "aten::_softmax on cpu, reference cpu, operands float32 [2, 15, 40]" in out
    assert "equal" in out


def test_a_wrong_result_is_status_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures("off", "rms", 400.0, 2.0, 1.0, "u", "index [3]", "400 u, allowed 2 u")
    monkeypatch.setattr(replay, "replay", lambda *_: figures)
    assert replay.main([str(saved(tmp_path))]) == 1
    assert "off: rms 400 u, allowed 2, the reference's own 1, worst at index [3]" in capsys.readouterr().out


def test_a_json_suffix_is_forgiven(tmp_path: Path) -> None:
    assert replay.main([f"{saved(tmp_path)}.json"]) == 0


@pytest.mark.parametrize("what", ["missing", "truncated", "no operator", "other operator"])
def test_what_cannot_be_replayed_is_one_line(tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    stem = saved(tmp_path)
    tensors, document = stem.with_suffix(".safetensors"), stem.with_suffix(".json")
    if what == "missing":
        tensors.unlink()
    elif what == "truncated":
        tensors.write_bytes(tensors.read_bytes()[:40])
    elif what == "no operator":
        write(Localisation("operators/x[float32]", "float32", "cpu", "cpu", [Pass("cpu")]), stem)
    else:
        document.write_text(document.read_text().replace("aten::_softmax", "aten::_softmix"))
    assert replay.main([str(stem)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(document) in error


def test_operands_that_are_too_large_are_not_saved_and_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.localise.result._LARGEST", 8)
    stem = saved(tmp_path)
    assert not stem.with_suffix(".safetensors").exists()
    with pytest.raises(AssayError, match="no operator was saved"):
        read(stem)


def test_a_generator_among_the_arguments_is_no_obstacle_to_the_result(tmp_path: Path) -> None:
    call = Call(torch.ops.aten.exp.default, ([torch.ones(2), torch.Generator()], {}), CPU)
    step = Step(1, "aten::exp", "forward", "", "", Figures("off", "rms", 2.0, 1.0, 0.1))
    found = Localisation("operators/x[float32]", "float32", "cpu", "cpu", [Pass("cpu", first=step, call=call)])
    document = write(found, tmp_path / "x")
    assert document["replay"] is None
    assert "cannot be replayed alone" in document["notes"][0]
