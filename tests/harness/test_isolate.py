"""What a worker process survives: each disaster is the status of one case, and the next case runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import AssayError
from harness.isolate import Request, find_case
from harness.recorder import Recorder
from harness.recording import Status
from harness.run import Run
from tests.harness.odd_workloads import BY_NAME


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    recorder = Recorder(Run.create(tmp_path_factory.mktemp("runs") / "r", "cpu"), "cpu")
    yield recorder
    recorder.close()


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("well_behaved", Status.OK, ""),
        ("chatty", Status.OK, ""),
        ("segfault", Status.CRASH, "SIGSEGV"),
        ("killed", Status.OUT_OF_MEMORY, "SIGKILL"),
        ("hang", Status.TIMEOUT, "no result after 1.5 s"),
        ("wrong", Status.ERROR, "ValueError: the width is 3, expected 4"),
        ("unsupported", Status.UNSUPPORTED, "'frobnicate' is not implemented for 'Half'"),
        ("too_large", Status.OUT_OF_MEMORY, "tried to allocate 80 GiB"),
    ],
)
def test_a_disaster_is_the_status_of_one_case(recorder: Recorder, name: str, status: Status, words: str) -> None:
    recording = recorder.record(BY_NAME[f"operators/{name}[float32]"])
    assert recording.status is status
    assert words in recording.message
    assert "\n" not in recording.message


def test_a_disk_that_is_full_is_one_line(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    case = BY_NAME["operators/well_behaved[float32]"]
    request = Request(case.module, case.id, {}, 0, str(tmp_path / "file" / "below"), "", "plain")
    with pytest.raises(AssayError, match=r"cannot be written .*go on with --resume"):
        recorder.worker.run(request, 60)


def test_parameters_from_the_command_line_reach_the_worker() -> None:
    case = BY_NAME["operators/well_behaved[float32]"]
    assert find_case(case.module, case.id, {"size": 9, "stranger": 1}).params == {"size": 9}


def test_an_unknown_case_is_named() -> None:
    with pytest.raises(AssayError, match="has no case 'nonsense'"):
        find_case("tests.harness.odd_workloads", "nonsense", {})


def test_a_device_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    recorder = Recorder(Run.create(tmp_path / "r", "cuda:77"), "cuda:77")
    with pytest.raises(AssayError, match="cuda:77"):
        recorder.record(BY_NAME["operators/well_behaved[float32]"])


def test_a_finished_case_is_not_repeated_but_a_failed_one_is(recorder: Recorder) -> None:
    good, bad = BY_NAME["operators/well_behaved[float32]"], BY_NAME["operators/wrong[float32]"]
    recorder.record(good)
    recorder.record(bad)
    again = Recorder(Run.create(recorder.run.folder, "cpu", resume=True), "cpu")
    assert again.finished(good) is not None
    assert again.finished(bad) is None
    assert again.finished(good.with_params(size=65)) is None
