"""The store: append-only, sealed, checked, safe with several writers, and silent about credentials."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from harness.errors import AssayError
from harness.history.store import Store
from tests.harness.history.runs import make_run

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A real S3 server on a socket of this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    old = dict(os.environ)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir("assay")
    yield "s3://assay"
    os.environ.clear()
    os.environ |= old
    server.stop()


@pytest.fixture(params=["folder", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/{tmp_path.name}"
    return str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path.name}"


def stored(url: str, name: str) -> Any:
    """Return the file system and the path of an object of the only stored Run."""
    files, root = fsspec.core.url_to_fs(url)
    files.invalidate_cache()
    (found,) = [path for path in files.find(root) if path.endswith(f"/{name}")]
    return files, found


def test_a_run_comes_back_as_it_was(url: str, tmp_path: Path) -> None:
    run, store = make_run(tmp_path / "run", labels={"compiler": "1a2b"}), Store(url)
    entry = store.publish(run, {"confirmed": []})
    assert store.runs().entries == (entry,)
    assert (entry.outcomes, entry.labels, entry.facts["device driver"]) == ({"pass": 3}, {"compiler": "1a2b"}, "25.1")
    back = store.fetch(entry, tmp_path / "back", None)
    assert list(back.verdicts()) == list(run.verdicts())
    assert back.recording("accuracy/arithmetic[float32]").tensors["correct"].tolist() == [1, 0, 1]


def test_the_catalogue_comes_back_so_that_a_case_left_out_is_still_seen(tmp_path: Path) -> None:
    run, store = make_run(tmp_path / "run"), Store(str(tmp_path / "store"))
    run.describe_catalogue({"operators/relu[float32]": "ab", "operators/never-run[float32]": "cd"})
    assert store.fetch(store.publish(run), tmp_path / "back").catalogue() == run.catalogue()


def test_recordings_stay_where_they_are_unless_they_are_asked_for(url: str, tmp_path: Path) -> None:
    store = Store(url)
    back = store.fetch(store.publish(make_run(tmp_path / "run")), tmp_path / "back")
    assert len(list(back.verdicts())) == 3
    assert not (back.folder / "recordings").exists()


def test_figures_are_read_without_the_run(url: str, tmp_path: Path) -> None:
    store = Store(url)
    figures = store.figures(store.publish(make_run(tmp_path / "run")))
    assert {f.metric for f in figures.figures} == {"seconds", "reference seconds", "ratio", "peak", "error closeness of out"}
    assert figures.answers["accuracy/arithmetic[float32]"].runs == ((True, False, True),)


def test_storing_twice_stores_once(url: str, tmp_path: Path) -> None:
    run, store = make_run(tmp_path / "run"), Store(url)
    first = store.publish(run)
    files, seal = stored(url, "seal.json")
    before = files.info(seal)
    assert store.publish(run) == first
    assert files.info(seal) == before


def test_an_interrupted_upload_is_unseen_and_then_finished(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, store = make_run(tmp_path / "run"), Store(url)
    put, calls = store.files.put_file, []

    def twice(*arguments: Any, **options: Any) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise ConnectionError("the line went dead")
        put(*arguments, **options)

    monkeypatch.setattr(store.files, "put_file", twice)
    with pytest.raises(AssayError, match="the line went dead"):
        store.publish(run)
    assert store.runs().entries == ()
    monkeypatch.setattr(store.files, "put_file", lambda *a, **k: (calls.append(a), put(*a, **k)))
    entry = store.publish(run)
    assert store.runs().entries == (entry,)
    assert len(calls) == 3 + len(entry.parts) - 2  # what had arrived is not sent again


@pytest.mark.parametrize("how", ["altered", "cut off"])
def test_a_broken_object_is_named_in_one_line(url: str, tmp_path: Path, how: str) -> None:
    store = Store(url)
    entry = store.publish(make_run(tmp_path / "run"))
    files, path = stored(url, "verdicts.tar.gz")
    content = files.cat_file(path)
    files.pipe_file(path, content[:-3] if how == "cut off" else content[:40] + bytes([content[40] ^ 1]) + content[41:])
    with pytest.raises(AssayError, match=r"verdicts\.tar\.gz: altered or cut off") as caught:
        store.fetch(entry, tmp_path / "back")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "back").exists()


def test_a_broken_seal_hides_its_run_and_no_other(url: str, tmp_path: Path) -> None:
    store = Store(url)
    store.publish(make_run(tmp_path / "a", "2026-03-01T02:00:00+00:00"))
    files, seal = stored(url, "seal.json")
    files.pipe_file(seal, files.cat_file(seal).replace(b'"pass": 3', b'"pass": 4'))
    good = store.publish(make_run(tmp_path / "b", "2026-03-02T02:00:00+00:00"))
    listing = store.runs()
    assert listing.entries == (good,)
    assert len(listing.broken) == 1
    assert "altered" in listing.broken[0]


def test_runs_are_chosen_by_machine_and_time(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    days = [store.publish(make_run(tmp_path / f"{d}", f"2026-03-0{d}T02:00:00+00:00")) for d in (1, 2, 3)]
    other = store.publish(make_run(tmp_path / "other", machine="feedfeedfeedfeed"))
    assert list(store.runs(days[0].machine).entries) == days
    assert list(store.runs(days[0].machine, before=days[2].created).entries) == days[:2]
    assert store.runs(where=lambda e: e.machine == other.machine).entries == (other,)


def test_only_what_was_never_sealed_is_tidied_away(url: str, tmp_path: Path) -> None:
    store = Store(url)
    store.publish(make_run(tmp_path / "half", "2026-03-01T02:00:00+00:00"))
    files, seal = stored(url, "seal.json")
    files.rm_file(seal)
    kept = store.publish(make_run(tmp_path / "whole", "2026-03-02T02:00:00+00:00"))
    assert store.tidy(days=1) == []
    assert len(store.tidy(days=-1)) == 1
    assert store.runs().entries == (kept,)


_WRITER = """
import sys
from pathlib import Path
from harness.history.store import Store
from tests.harness.history.runs import make_run
url, name, day = sys.argv[1:]
store = Store(url)
run = make_run(Path(name), f"2026-03-0{day}T02:00:00+00:00")
print(store.publish(run).id)
print(store.publish(make_run(Path(name + "-same"), "2026-02-01T02:00:00+00:00")).id)
"""


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_several_processes_write_at_once(where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = str(tmp_path / "store") if where == "folder" else f"{request.getfixturevalue('s3')}/{tmp_path.name}"
    commands = [[sys.executable, "-c", _WRITER, url, str(tmp_path / f"run{day}"), str(day)] for day in range(1, 4)]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in commands]
    told = [process.communicate(timeout=100)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len({ids[1] for ids in told}) == 1, "the same bytes have one name, whoever stores them"
    listing = Store(url).runs()
    assert {entry.id for entry in listing.entries} == {name for ids in told for name in ids}
    assert not listing.broken


def test_no_secret_of_the_url_is_shown(tmp_path: Path) -> None:
    store = Store(f"file://someone:hunter2@{tmp_path}/file?sig=topsecret")
    for text in (str(store), repr(store), json.dumps(store.shown)):
        assert "hunter2" not in text
        assert "topsecret" not in text


def test_a_store_that_cannot_be_reached_is_one_line_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(f"{tmp_path}/file")
    with pytest.raises(AssayError, match="check the URL, the network and the credentials") as caught:
        store.publish(make_run(tmp_path / "run"))
    assert "\n" not in str(caught.value)


def test_wrong_credentials_are_one_line(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(AssayError, match="credentials"):
        Store(f"{s3}/x").runs()
    fsspec.filesystem("s3").clear_instance_cache()


def test_a_bucket_that_does_not_exist_is_not_made(s3: str, tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="s3://asay"):
        Store("s3://asay/x").publish(make_run(tmp_path / "run"))
    assert not fsspec.filesystem("s3").exists("asay")


def test_an_unknown_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="give a folder, or a URL"):
        Store("carrier-pigeon://loft")
