"""What a file must not tell to whoever receives it: tokens, keys, passwords, and the folders, names and hosts of people. Knows no Run.

`harness/environment.py` keeps such things out of what it describes; this is the second lock, over all text. It finds known shapes, and
cannot prove that there is nothing else.
"""

import platform
import re
from collections.abc import Iterator
from pathlib import Path

_SHAPES = {
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{20,}",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}",
    "an access key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "an API key": r"\bsk-[A-Za-z0-9_-]{20,}",
    "a bearer token": r"\b[Bb]earer +[A-Za-z0-9._~+/-]{16,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password in an address": r"\b[a-z][a-z0-9+]*://[^/\s:@\"']+:[^/\s@\"']+@",
    "a password or secret": r"\b(?i:password|passwd|secret|api_?key|access_?token)\b[\"']?\s*[=:]\s*[\"']?[^\s\"',}]{6,}",
    "a home folder": r"/(?:home|Users)/[A-Za-z0-9._-]+|\b[A-Za-z]:\\+Users\\+[^\\\s\"]+|/root/[A-Za-z0-9._-]+",
    "an IP address": r"(?<![\d.])(?:(?:10|127)\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2}(?![\d.])",
}
_FOUND = re.compile("|".join(f"(?P<s{n}>{shape})" for n, shape in enumerate(_SHAPES.values())))
_TEXT = {".json", ".html", ".txt", ".toml", ".xml", ".log", ".md"}
_ORDINARY = {"localhost", "localhost.localdomain"}


def found_in(path: Path, own: bool = False) -> str:
    """Say what a text file tells and should not; empty where it does not. `own`: also this machine's name and the user's folder."""
    if path.suffix not in _TEXT:
        return ""
    text = path.read_text(encoding="utf-8", errors="replace")
    for name, value in _own() if own else ():
        if re.search(rf"(?<![A-Za-z0-9_.-]){re.escape(value)}(?![A-Za-z0-9_-])", text):
            return name
    hit = _FOUND.search(text)
    return list(_SHAPES)[int(str(hit.lastgroup)[1:])] if hit else ""


def _own() -> Iterator[tuple[str, str]]:
    """Yield what names this machine and its user."""
    host = platform.node()
    if len(host) > 3 and host not in _ORDINARY:
        yield "this machine's name", host
    home = str(Path.home())
    if len(Path(home).parts) > 2:
        yield "the user's folder", home
