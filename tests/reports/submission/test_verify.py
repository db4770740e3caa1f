"""What a customer's check finds in a submission that was made elsewhere."""

import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.recording import slug, write_json
from harness.run import Run
from reports.__main__ import main
from reports.submission import statement
from reports.submission.pack import SUMS
from tests.reports.submission.submitted import CASES, excused, packed, rebuilt, submitted

FIRST = slug(CASES[0])


def said(archive: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    capsys.readouterr()
    status = main(["verify", str(archive), *options])
    out = capsys.readouterr()
    return status, out.out + out.err


def test_an_honest_one_is_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(packed(tmp_path, submitted(tmp_path / "npu")), capsys, "-o", str(tmp_path / "mine.html"))
    assert status == 0, text
    assert "sound: it is what it says" in text
    assert "4 recordings bear the seal" in text
    assert "2 of 2 errors that can be computed again" in text
    assert "runs/npu: npu:0" in text
    assert "Is it normal?" in (tmp_path / "mine.html").read_text(encoding="utf-8")


def change(name: str, old: str, new: str) -> Callable[[dict[str, bytes]], None]:
    def apply(members: dict[str, bytes]) -> None:
        assert old.encode() in members[name]
        members[name] = members[name].replace(old.encode(), new.encode())

    return apply


def remove(name: str) -> Callable[[dict[str, bytes]], None]:
    return lambda members: [members.pop(known) for known in list(members) if known.startswith(name)] and None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (change(f"runs/npu/verdicts/{FIRST}.json", '"npu:0"', '"npu:1"'), "altered (its SHA-256 is not the one in submission.json)"),
        (change("report.html", "Is it normal?", "Is it good?"), "report.html: altered"),
        (remove(f"runs/npu/verdicts/{FIRST}"), "is missing"),
        (lambda members: members.update({"runs/npu/extra.json": b"{}"}), "is in the archive, and not in submission.json"),
        (lambda members: members.update({"runs/other/x.json": b"{}"}), "belongs to no run"),
        (change("SHA256SUMS", "  report.html", "  other.html"), "says other sums"),
        (change("submission.json", '"pass": 2', '"pass": 3'), "submission.json: altered"),
        (change("submission.json", '"format": 1', '"format": 9'), "format 9, this version reads 1"),
        (remove("submission.json"), "this is no submission"),
    ],
)
def test_a_file_that_was_changed_on_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: Callable[[dict[str, bytes]], None], words: str
) -> None:
    status, text = said(rebuilt(packed(tmp_path, submitted(tmp_path / "npu")), changed), capsys)
    assert status in (1, 2)
    assert words in text
    assert "Traceback" not in text


def resealed(run: Path, case: str, **values: object) -> None:
    """Change a verdict as somebody would who then makes all checksums anew."""
    path = run / "verdicts" / f"{slug(case)}.json"
    write_json(path, {**json.loads(path.read_text()), **values})


def found(run: Path) -> list[dict[str, object]]:
    return list(json.loads((run / "verdicts" / f"{FIRST}.json").read_text())["findings"])


def worse(run: Path) -> None:
    resealed(run, CASES[0], findings=[{**found(run)[0], "outcome": "fail", "measured": 90.0}])


def prettier(run: Path) -> None:
    resealed(run, CASES[0], findings=[{**found(run)[0], "measured": 0.1}])


def faster(run: Path) -> None:
    document = json.loads((run / "verdicts" / f"{FIRST}.json").read_text())
    candidate = {**document["evidence"]["candidate"], "seconds": [1e-6]}
    resealed(run, CASES[0], evidence={**document["evidence"], "candidate": candidate})


def unjudged(run: Path) -> None:
    (run / "verdicts" / f"{FIRST}.json").unlink()


def unrecorded(run: Path) -> None:
    for path in (run / "recordings" / FIRST).iterdir():
        path.unlink()


def unsealed(run: Path) -> None:
    path = run / "recordings" / FIRST / "recording.json"
    path.write_text(path.read_text().replace('"setup_seconds": 0.0', '"setup_seconds": 7.0'))


def other_tensors(run: Path) -> None:
    other = run / "recordings" / slug(CASES[1]) / "tensors.safetensors"
    (run / "golden" / "recordings" / FIRST / "tensors.safetensors").write_bytes(other.read_bytes())


def unsigned(run: Path) -> None:
    resealed(run, CASES[0], outcome="waived")


def moved(run: Path) -> None:
    (run / "recordings" / FIRST).rename(run / "recordings" / "another-00000000")


def broken(run: Path) -> None:
    (run / "verdicts" / f"{FIRST}.json").write_text('{"format": 1, "case": "x", "outcome": "pass"}')


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (worse, "is called pass, and its findings amount to fail"),
        (prettier, "says 0.1 u, and its tensors give"),
        (faster, "its evidence of the candidate is not that of the recording (seconds)"),
        (unjudged, "recorded, and the verdict is missing"),
        (unrecorded, "judged, and the candidate's recording is missing"),
        (unsealed, "altered (its SHA-256 does not match its content)"),
        (other_tensors, "altered or truncated"),
        (unsigned, "is called waived, and no waiver is among its findings"),
        (moved, "which belongs elsewhere"),
        (broken, "is no sound run"),
    ],
)
def test_a_run_that_was_forged_before_the_checksums_were_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], forge: Callable[[Path], None], words: str
) -> None:
    run = submitted(tmp_path / "npu")
    honest = packed(tmp_path, run)
    forge(run)

    def sums_anew(members: dict[str, bytes]) -> None:
        """Make an archive that is whole, whatever it says."""
        for name in [n for n in members if n.startswith("runs/")]:
            del members[name]
        kept = [p for p in run.rglob("*") if p.is_file() and p.name != ".lock"]
        members |= {f"runs/npu/{p.relative_to(run).as_posix()}": p.read_bytes() for p in kept}
        files = {n: statement.digest_of(c) for n, c in members.items() if n not in (statement.NAME, SUMS)}
        old = json.loads(members[statement.NAME])
        told = [{**old["runs"][0], "outcomes": ended(run), "not_run": not_run(run)}]
        members[statement.NAME] = statement.Statement(old["made_with"], 1, True, tuple(told), files).to_json()
        everything = {**files, statement.NAME: statement.digest_of(members[statement.NAME])}
        members[SUMS] = "".join(f"{d}  {n}\n" for n, (_, d) in sorted(everything.items())).encode()

    status, text = said(rebuilt(honest, sums_anew), capsys)
    assert status == 1, text
    assert words in text
    assert "SHA-256 is not the one" not in text


def ended(run: Path) -> dict[str, int]:
    outcomes = [json.loads(p.read_text())["outcome"] for p in (run / "verdicts").glob("*.json")]
    return {o: outcomes.count(o) for o in sorted(set(outcomes))}


def not_run(run: Path) -> list[str]:
    judged = {json.loads(p.read_text())["case"] for p in (run / "verdicts").glob("*.json")}
    return sorted(set(Run.open(run).catalogue()) - judged)


def test_what_was_not_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(packed(tmp_path, submitted(tmp_path / "npu", (*CASES, "operators/hard[float32]"))), capsys)
    assert status == 0
    assert "1 of 3 cases were not run, among them operators/hard[float32]" in text


def test_a_catalogue_that_was_cut_is_found_with_a_run_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = submitted(tmp_path / "own", (*CASES, "operators/hard[float32]"))
    status, text = said(packed(tmp_path, submitted(tmp_path / "npu")), capsys, "--against", str(own))
    assert status == 0
    assert "1 of the 3 cases of your own version are not in its catalogue as you have them: operators/hard[float32]" in text


@pytest.mark.parametrize(("expires", "status", "words"), [
    ("2099-01-01", 0, "A. Person signed until 2099-01-01"),
    ("2020-01-01", 1, "whose last day was 2020-01-01: it excuses nothing any more"),
])  # fmt: skip
def test_waivers_are_held_against_today(tmp_path: Path, capsys: pytest.CaptureFixture[str], expires: str, status: int, words: str) -> None:
    found = said(packed(tmp_path, excused(tmp_path / "npu", expires)), capsys)
    assert found[0] == status, found[1]
    assert words in found[1]


def test_what_is_no_evidence_is_said_loudly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = submitted(tmp_path / "npu", ours="cpu", theirs="cpu", emulated=True, faults="bit-flip")
    _, text = said(packed(tmp_path, run), capsys)
    assert "EMULATED" in text
    assert "NOT A COMPARISON BETWEEN DEVICES" in text
    assert "SEEDED FAULTS" in text
    assert "was judged against a run recorded 2026-11-01T00:00:00+00:00, which is not here" in text


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.create_system = mode << 16, 3
    return info


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (entry("../outside.json"), "no plain relative name"),
        (entry("/etc/passwd"), "no plain relative name"),
        (entry("runs/npu/../../x"), "no plain relative name"),
        (entry("C:/x"), "no plain relative name"),
        (entry("runs/a\x1b[2J"), "no plain relative name"),
        (entry("runs/link", stat.S_IFLNK | 0o777), "no regular file"),
        (entry("runs/pipe", stat.S_IFIFO | 0o644), "no regular file"),
        (entry("REPORT.html"), "is there twice"),
    ],
    ids=lambda value: value.filename.replace("/", "_") if isinstance(value, zipfile.ZipInfo) else "",
)
def test_an_archive_that_leads_elsewhere_is_not_unpacked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], info: zipfile.ZipInfo, words: str
) -> None:
    archive = packed(tmp_path, submitted(tmp_path / "npu"))
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(info, b"/etc")
    status, text = said(archive, capsys)
    assert (status, text.count("\n")) == (2, 1)
    assert words in text
    assert "\x1b" not in text
    assert not (tmp_path / "outside.json").exists()


def test_a_bomb_is_not_unpacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = packed(tmp_path, submitted(tmp_path / "npu"))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("runs/npu/zeros.json", bytes(8 << 20))
    status, text = said(archive, capsys, "--limit", "0.005")
    assert status == 2
    assert "more than the 0.0 GiB that --limit allows" in text


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_archive_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (tmp_path / "s.zip").write_bytes(content)
    status, text = said(tmp_path / "s.zip", capsys)
    assert (status, text.count("\n")) == (2, 1)


def test_a_damaged_archive_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = packed(tmp_path, submitted(tmp_path / "npu"))
    content = bytearray(archive.read_bytes())
    content[len(content) // 3] ^= 0xFF
    archive.write_bytes(content)
    status, text = said(archive, capsys)
    assert status in (1, 2)
    assert "Traceback" not in text


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(tmp_path / "none.zip", capsys) == (2, f"reports: {tmp_path / 'none.zip'}: no such file\n")
