"""Make a submission of Runs: everything that somebody else needs to check them, in one archive. Knows no check."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.errors import AssayError
from harness.run import Run
from reports.submission import archive, statement
from reports.submission.privacy import found_in

REPORT = "report.html"
SUMS = "SHA256SUMS"
README = "README.txt"
_LEFT_OUT = ("logs", ".lock")  # what workers printed may tell of people and machines; a lock is nobody's result
_NAMED = 3
_README = """A submission of Assay: conformance and cost of a device, judged against a reference and float64.

report.html       what people read; open it in a browser, it needs no network
submission.json   which Runs are here, how they ended, which cases were not run, waivers, environments, every file with its SHA-256
SHA256SUMS        the same sums for `sha256sum -c SHA256SUMS`
runs/             the Runs: recordings, verdicts, and what they were judged against

To check it: python -m reports verify FILE
"""

Render = Callable[[Sequence[Path]], str]


def pack(folders: Sequence[Path], output: Path, render: Render, tensors: bool = True, private: bool = False) -> str:
    """Write the submission and return its SHA-256. `render` makes the report of the Runs; without `tensors` what was computed is left out.

    Raises AssayError: no Run, nothing judged, a file that tells something private unless `private` allows it, or not writable.
    """
    runs = {name: Run.open(folder) for name, folder in zip(_names(folders), folders, strict=True)}
    members: dict[str, Path | bytes] = {
        f"{name}/{path.relative_to(run.folder).as_posix()}": path for name, run in runs.items() for path in _files(run.folder, tensors)
    }
    if not private and (telling := [f"{name} ({what})" for name, what in _private(members)]):
        more = f" and {len(telling) - _NAMED} more" if len(telling) > _NAMED else ""
        raise AssayError(
            f"not packed, because of {', '.join(telling[:_NAMED])}{more}: whoever receives it would read that. Record these cases again "
            "without it, or add --private to send it all the same"
        )
    members |= {REPORT: render(folders).encode("utf-8", "replace"), README: _README.encode()}
    files = {name: statement.digest_of(content) for name, content in sorted(members.items())}
    members[statement.NAME] = statement.made(runs, files, tensors).to_json()
    sums = {**files, statement.NAME: statement.digest_of(members[statement.NAME])}
    members[SUMS] = "".join(f"{digest}  {name}\n" for name, (_, digest) in sorted(sums.items())).encode()
    archive.write(output, members.items())
    return statement.digest_of(output)[1]


def _names(folders: Sequence[Path]) -> list[str]:
    """Return a folder in the submission for each Run: its own name, numbered where two are alike."""
    names: list[str] = []
    for folder in folders:
        plain = "".join(c if c.isascii() and (c.isalnum() or c in "-._") else "_" for c in folder.resolve().name).strip(".") or "run"
        same = sum(name.rpartition("/")[2].rpartition("~")[0] == plain or name == f"runs/{plain}" for name in names)
        names.append(f"runs/{plain}" + (f"~{same + 1}" if same else ""))
    return names


def _files(folder: Path, tensors: bool) -> Iterator[Path]:
    """Yield what belongs to a Run. Raises AssayError for a link: what it leads to is not the Run's."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_symlink():
            raise AssayError(f"{path}: is a link; copy what it leads to in its place")
        hidden = any(part in _LEFT_OUT or part.startswith(".partial-") for part in inside.parts)
        stray = len(inside.parts) == 1 and path.suffix in (".html", ".xml", ".zip")  # reports that were written into the Run's folder
        if path.is_file() and not hidden and not stray and (tensors or path.suffix != ".safetensors"):
            yield path


def _private(members: dict[str, Path | bytes]) -> Iterator[tuple[str, str]]:
    for name, path in members.items():
        if isinstance(path, Path) and (what := found_in(path, own=True)):
            yield name, what
