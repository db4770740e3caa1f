"""A known difference that somebody signed: `Waiver`, how it is read from TOML, and where it holds. Knows no verdict and opens no device."""

import difflib
import importlib.util
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from harness.errors import AssayError
from reference.links import plain_address

#: The waivers that come with Assay: one file a kind of device.
PACKAGED = Path(__file__).parent / "waivers"

_REQUIRED = ("owner", "reason", "link")
_FINDINGS = ("check", "subject")
_KEYS = ("case", *_REQUIRED, "expires", *_FINDINGS, "device", "versions", "emulated")
_STEM = re.compile(r"([a-z][a-z0-9_]*)(:\d+)?")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LEADING = re.compile(r"\d+(\.\d+)*(\.?(rc|alpha|beta)\d+)?", re.IGNORECASE)  # "8.0.RC3" of CANN's "8.0.RC3.alpha001"


@dataclass(frozen=True)
class Waiver:
    """Somebody's word that a device is known to fail a case, why, and until when.

    `source` names file and entry. `concerns` is a kind of device ("npu") or one device's name ("npu:0"). `case`, `check`, `subject` (one
    or several of each) and `device` are exact or patterns in which `*` and `?` stand for anything and for one character; brackets, which
    case ids are full of, stand for themselves. `device` is held against the candidate's hardware and name. `versions` maps a package, or
    software that the device reports, to a PEP 440 specifier. `expires` is the last day. `emulated`: for a stand-in, and then not for the
    real device.
    """

    source: str
    concerns: str
    case: str | tuple[str, ...]
    owner: str
    reason: str
    link: str
    expires: date
    check: str | tuple[str, ...] = "*"
    subject: str | tuple[str, ...] = "*"
    device: str = "*"
    versions: Mapping[str, str] = field(default_factory=dict)
    emulated: bool = False

    def covers(self, case: str) -> bool:
        """Tell whether the waiver is about the case of that id."""
        return _any_matches(case, self.case)

    def excuses(self, check: str, subject: str) -> bool:
        """Tell whether the waiver is about a finding of that check on that subject."""
        return _any_matches(check, self.check) and _any_matches(subject, self.subject)

    def expired(self, today: date) -> bool:
        """Tell whether the last day is over."""
        return today > self.expires

    def inactive(self, environment: Mapping[str, Any]) -> str:
        """Say why the waiver does not hold where a case ran; empty when it does.

        `environment` is the block that a recording refers to: `host` with its `packages`, and `device` as `Device.describe` has it.
        """
        device = environment.get("device", {})
        names = [str(device.get(key, "unknown")) for key in ("hardware", "name")]
        if bool(device.get("emulated")) is not self.emulated:
            return "for an emulated device, and this one is not" if self.emulated else "for the real device, and this one is emulated"
        if not any(matches(name, self.device) for name in names):
            return f"for {self.device}, and this is {names[0]}"
        known = {**environment.get("host", {}).get("packages", {}), **device.get("versions", {})}
        versions: dict[str, str] = {canonicalize_name(name): str(version) for name, version in known.items()}
        return next(filter(None, (_outside(n, wanted, versions) for n, wanted in self.versions.items())), "")

    def to_json(self) -> dict[str, Any]:
        """Return the waiver as JSON-able values."""
        return {**asdict(self), "versions": dict(self.versions), "expires": self.expires.isoformat()}


def _any_matches(text: str, patterns: str | tuple[str, ...]) -> bool:
    return any(matches(text, pattern) for pattern in ((patterns,) if isinstance(patterns, str) else patterns))


def matches(text: str, pattern: str) -> bool:
    """Tell whether `text` is `pattern`, or matches it with `*` and `?` as wildcards and no others."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _outside(name: str, wanted: str, versions: Mapping[str, str]) -> str:
    """Say why a version is not in the range that was signed for, pre-releases included; empty when it is."""
    text = versions.get(canonicalize_name(name))
    if text is None:
        return f"for {name} {wanted}, and no version of it is known here"
    found = _version(text)
    return "" if found and SpecifierSet(wanted).contains(found, prereleases=True) else f"for {name} {wanted}, and here it is {text}"


def _version(text: str) -> Version | None:
    """Return the version, or of a vendor's spelling the beginning that PEP 440 can read."""
    try:
        return Version(text)
    except InvalidVersion:
        found = _LEADING.match(text)
        return Version(found[0]) if found else None


def load(folder: Path, cases: Collection[str]) -> tuple[Waiver, ...]:
    """Return the waivers of every file in `folder`, by file and in their order there. `cases` are the ids that there are.

    Raises AssayError, in one line that names file and entry: no such folder, no file in it, a file that is not TOML or not named after a
    kind of device, an entry that lacks something, has something unknown or malformed, or covers no case.
    """
    if not folder.is_dir():
        raise AssayError(f"{folder}: no such folder; give --waivers a folder of TOML files, one a kind of device (docs/waivers.md)")
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise AssayError(f"{folder}: holds no waivers; a file is named after a kind of device, as npu.toml (docs/waivers.md)")
    return tuple(waiver for path in files for waiver in _read(path, cases))


def _read(path: Path, cases: Collection[str]) -> list[Waiver]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # tomllib's error, and that of undecodable bytes, are ValueErrors
        raise AssayError(f"{path}: cannot be read as TOML ({error})") from None
    stem = _STEM.fullmatch(path.stem)
    if stem is None or importlib.util.find_spec(f"harness.devices.{stem[1]}") is None:
        raise AssayError(f"{path}: is named after no kind of device; name it like one (npu.toml), or like one device (npu:0.toml)")
    return [_entry(path, name, entry, cases) for name, entry in document.items()]


def _entry(path: Path, name: str, entry: object, cases: Collection[str]) -> Waiver:
    where = f"{path}: {name}"
    if not isinstance(entry, dict) or not _NAME.fullmatch(name):
        raise AssayError(f"{path}: {name!r} is no waiver; an entry is a table with a name of letters, digits, - and _, as [softmax-half]")
    for key in entry:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0)[0]
            raise AssayError(f"{where}: has the unknown key {key!r}; the nearest is {near!r}")
    texts = {key: _text(where, key, entry.get(key)) for key in (*_REQUIRED, "device") if key in entry or key in _REQUIRED}
    _check_link(where, texts["link"])
    covered = _cases(where, entry.get("case"), cases)
    found: dict[str, Any] = {key: _one_or_several(where, key, entry[key]) for key in _FINDINGS if key in entry}
    emulated = entry.get("emulated", False)
    if not isinstance(emulated, bool):
        raise AssayError(f"{where}: emulated is true or false, not {emulated!r}")
    expires, versions = _expires(where, entry.get("expires")), _versions(where, entry.get("versions", {}))
    return Waiver(f"{path.name}: {name}", path.stem, covered, expires=expires, versions=versions, emulated=emulated, **texts, **found)


def _text(where: str, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise AssayError(f'{where}: has no {key}; write {key} = "..."')
    return " ".join(value.split())


def _check_link(where: str, link: str) -> None:
    if not plain_address(link):
        raise AssayError(f"{where}: link is {link!r}; give the http or https address of where this is discussed, without a user's name")


def _cases(where: str, value: object, cases: Collection[str]) -> str | tuple[str, ...]:
    """Return the pattern or patterns, each of which must cover a case."""
    patterns = _one_or_several(where, "case", value)
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        if not any(matches(case, pattern) for case in cases):
            near = difflib.get_close_matches(pattern, cases, n=1, cutoff=0)
            raise AssayError(f"{where}: covers no case: {pattern!r}; the nearest is {near[0]!r}" if near else f"{where}: covers no case")
    return patterns


def _one_or_several(where: str, key: str, value: object) -> str | tuple[str, ...]:
    if isinstance(value, list) and value:
        return tuple(_text(where, key, one) for one in value)
    return _text(where, key, value)


def _expires(where: str, value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    found = "has no expires" if value is None else f"expires is {value!r}" if isinstance(value, str) else f"expires is {value}"
    raise AssayError(f"{where}: {found}; write the last day as a date without quotes, as expires = 2027-06-30")


def _versions(where: str, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise AssayError(f'{where}: versions is a table of ranges, as versions = {{ torch_npu = "<2.14" }}')
    for name, wanted in value.items():
        if not _is_range(wanted):
            raise AssayError(f'{where}: the version of {name!r} is {wanted!r}; write a range as PEP 440 has it, as ">=2.13,<2.14"')
    return dict(value)


def _is_range(wanted: object) -> bool:
    try:
        return isinstance(wanted, str) and len(SpecifierSet(wanted)) > 0
    except InvalidSpecifier:
        return False
