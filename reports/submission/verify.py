"""Check a submission that was made elsewhere, and trust nothing in it. Knows no section of the report."""

import datetime
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import AssayError
from harness.run import Run
from reports.submission import archive, checks, statement
from reports.submission.checks import Level, Point
from reports.submission.pack import REPORT, SUMS
from reports.submission.privacy import found_in
from reports.submission.statement import Statement, Told


@dataclass(frozen=True)
class Verified:
    """An unpacked submission: its SHA-256, what it says of itself, its Runs' folders, and all that is to be said of it."""

    digest: str
    statement: Statement
    runs: tuple[Path, ...]
    points: tuple[Point, ...]

    @property
    def sound(self) -> bool:
        """Whether it is what it says, and hides nothing that can be seen."""
        return all(point.level is not Level.ERROR for point in self.points)


@contextmanager
def verified(path: Path, limit: int, today: datetime.date, against: Path | None = None) -> Iterator[Verified]:
    """Unpack, check, and remove it again afterwards. `against` is a Run of one's own whose catalogue it has to cover.

    Raises AssayError: no submission, damaged, not to be unpacked, or of another format.
    """
    own = Run.open(against).catalogue() if against else {}
    with tempfile.TemporaryDirectory(prefix="assay-") as name:
        folder = Path(name)
        room = shutil.disk_usage(folder).free
        names = archive.unpack(path, folder, min(limit, room))
        said = statement.read(folder / statement.NAME)
        points = [*_files(folder, said, names)]
        runs: list[Path] = []
        for told in said.runs:
            place = folder / str(told.get("folder"))
            if f"{told.get('folder')}/run.json" not in names:
                points.append(Point(Level.ERROR, f"{told.get('folder')}: is no run in it"))
                continue
            runs.append(place)
            points += _run(folder, place, told, today, own)
            points += _reference(place, [other.get("created") for other in said.runs])
        points += _strays(said, names)
        yield Verified(statement.digest_of(path)[1], said, tuple(runs), tuple(_relative(points, folder)))


def _files(folder: Path, said: Statement, names: list[str]) -> Iterator[Point]:
    """Hold every file against its size and SHA-256, and look for what is missing, added, or private."""
    here = set(names) - {statement.NAME, SUMS}
    for name in sorted(set(said.files) - here):
        yield Point(Level.ERROR, f"{name}: is missing")
    for name in sorted(here - set(said.files)):
        yield Point(Level.ERROR, f"{name}: is in the archive, and not in {statement.NAME}")
    good = 0
    for name in sorted(here & set(said.files)):
        if statement.digest_of(folder / name) != said.files[name]:
            yield Point(Level.ERROR, f"{name}: altered (its SHA-256 is not the one in {statement.NAME})")
        else:
            good += 1
        if what := found_in(folder / name):
            yield Point(Level.WARNING, f"{name}: holds {what}; tell whoever sent it")
    sums = {**said.files, statement.NAME: statement.digest_of(folder / statement.NAME)}
    if (folder / SUMS).exists() and (folder / SUMS).read_text() != "".join(f"{d}  {n}\n" for n, (_, d) in sorted(sums.items())):
        yield Point(Level.ERROR, f"{SUMS}: says other sums than {statement.NAME}")
    if REPORT not in here:
        yield Point(Level.WARNING, f"{REPORT}: is missing; make one with -o")
    yield Point(Level.NOTE, f"{good} of {len(said.files)} files have the SHA-256 that was stated")


def _run(folder: Path, place: Path, told: object, today: datetime.date, own: dict[str, str]) -> Iterator[Point]:
    """Check one Run; what is broken beyond reading is a point and ends its checks."""
    try:
        run = Run.open(place)
        again = Told.of(run, place.relative_to(folder).as_posix())
        said = told if isinstance(told, dict) else {}
        if names := sorted(name for name, value in statement.plain(again).items() if said.get(name) != value):
            yield Point(Level.ERROR, f"{again.folder}: {statement.NAME} says otherwise than the run of {', '.join(names)}")
        yield from _labels(again)
        yield from checks.sealed(run)
        yield from checks.complete(run)
        golden = {path.parent.name: path.parent for path in place.glob("golden/recordings/*/recording.json")}
        yield from checks.agreed(run, golden)
        yield from checks.signed(run, today)
        if missing := sorted(case for case, key in own.items() if run.catalogue().get(case) != key):
            some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            yield Point(
                Level.WARNING,
                f"{len(missing)} of the {len(own)} cases of your own version are not in its catalogue as you have them: {some}",
            )
    except (AssayError, KeyError, TypeError, ValueError, AttributeError) as error:
        yield Point(Level.ERROR, str(error) if isinstance(error, AssayError) else f"{place}: is no sound run ({error!r})")


def _reference(place: Path, created: list[object]) -> Iterator[Point]:
    """Say where a Run was judged against a recorded one whether that is here too."""
    about = Run.open(place).manifest["comparison"]
    if about.get("reference_kind") == "recorded" and about.get("reference_created") not in created:
        when = about.get("reference_created")
        yield Point(
            Level.WARNING, f"{place}: was judged against a run recorded {when}, which is not here: ask for it, to check the reference too"
        )


def _labels(told: Told) -> Iterator[Point]:
    """Say loudly what a Run is no evidence for."""
    if told.emulated:
        yield Point(
            Level.WARNING, f"{told.folder}: EMULATED. A stand-in took a device's place: it says nothing of a device's numerics or speed"
        )
    if told.self_comparison:
        yield Point(Level.WARNING, f"{told.folder}: NOT A COMPARISON BETWEEN DEVICES. Both sides are one")
    for side in (told.candidate, told.reference):
        if faults := dict(side.get("versions", {})).get("seeded_faults"):
            yield Point(Level.WARNING, f"{told.folder}: SEEDED FAULTS. It was made to be wrong on purpose: {faults}")


def _strays(said: Statement, names: list[str]) -> Iterator[Point]:
    """Name files below runs/ that belong to no stated Run."""
    folders = tuple(f"{told.get('folder')}/" for told in said.runs)
    stray = [name for name in names if name.startswith("runs/") and not name.startswith(folders)]
    if stray:
        yield Point(
            Level.ERROR,
            f"{stray[0]}: belongs to no run that {statement.NAME} states" + (f", and {len(stray) - 1} more" if stray[1:] else ""),
        )


def _relative(points: list[Point], folder: Path) -> Iterator[Point]:
    """Yield the points without the place where it was unpacked, which is gone afterwards."""
    for point in points:
        yield Point(point.level, point.text.replace(f"{folder}/", ""))
