"""Where a store is, by its URL, and how to speak of it without its secrets. Knows no Run.

Credentials come from the environment, as each file system of fsspec reads them (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, FSSPEC_S3_KEY ...).
One that is written into the URL is used and never shown.
"""

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import fsspec

from harness.errors import AssayError

_SECRET = re.compile(r"(?<=://)[^/\s]*@")
_QUERY = re.compile(r"(?<=\S)\?\S+")  # signatures (Azure's SAS, presigned URLs) are given there
_EXTRA = {"s3": "pip install 'ascend-assay[history]'"}


class Place(NamedTuple):
    """A file system, the folder in it, and the URL as it may be shown."""

    files: Any
    root: str
    shown: str


def redact(text: str) -> str:
    """Return the text with user, password and query of every URL in it replaced by stars."""
    return _QUERY.sub("?***", _SECRET.sub("***@", text))


def place(url: str) -> Place:
    """Open a folder, or what fsspec makes of a URL. Raises AssayError: unknown protocol, package missing, nonsense."""
    protocol = url.partition("://")[0] if "://" in url else "file"
    try:
        # object stores have no folders, and a bucket with a misspelt name is not to be made
        files, root = fsspec.core.url_to_fs(url, **({"auto_mkdir": True} if protocol in ("file", "local") else {}))
    except ImportError as error:
        remedy = _EXTRA.get(protocol, "install the package that it names")
        raise AssayError(f"{redact(url)}: needs a package that is not installed ({error}); {remedy}") from None
    except (ValueError, OSError) as error:
        raise AssayError(f"{redact(url)}: no store ({redact(str(error))}); give a folder, or a URL such as s3://bucket/folder") from None
    return Place(files, str(root).rstrip("/"), redact(url))


@contextmanager
def told(where: Place, doing: str) -> Iterator[None]:
    """Turn whatever the file system raises meanwhile into one line that names the store, and no secret."""
    try:
        yield
    except _errors() as error:
        text = redact(" ".join(f"{error}".split()))[:300] or type(error).__name__
        raise AssayError(f"{where.shown}: {doing} failed ({text}); check the URL, the network and the credentials, and try again") from None


def _errors() -> tuple[type[Exception], ...]:
    """Return what file systems raise: some let their client's own exceptions through."""
    found: list[type[Exception]] = [OSError, ValueError, RuntimeError]
    for module, name in (("botocore.exceptions", "BotoCoreError"), ("aiohttp", "ClientError")):
        with suppress(ImportError):
            found.append(getattr(importlib.import_module(module), name))
    return tuple(found)
