"""An endpoint that the command line names as the candidate: its options, and the cases that it can answer. Knows no server and no pytest.

The address reaches the workers through the environment and no file: it would name a host. The key comes from ASSAY_ENDPOINT_KEY alone.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from harness import environment
from harness.case import Case, Scalar
from harness.errors import AssayError
from suites.workloads.serving.load import load
from suites.workloads.serving.parity import DTYPES, ENDPOINT

_LOAD = "requests=100,users=16,length=64,new_tokens=32,prompts=8,rates=50%%:70%%:90%%:110%%:150%%,ttft=2,tpot=0.1"

OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--endpoint", {"metavar": "URL", "help": "candidate: the OpenAI-compatible API of a serving engine, http://HOST:PORT/v1"}),
    ("--endpoint-model", {"metavar": "NAME", "default": "", "help": "what it calls the model (default: the only one that it serves)"}),
    (
        "--endpoint-hardware",
        {"metavar": "TEXT", "default": "", "help": "what it runs on, in its owner's words: it cannot be seen from here"},
    ),
    ("--endpoint-dtype", {"metavar": "DTYPE", "default": DTYPES[0], "choices": DTYPES, "help": "in which it computes (default: bfloat16)"}),
    ("--endpoint-timeout", {"metavar": "SECONDS", "type": float, "default": 120.0, "help": "for one request (default: %(default)s)"}),
    ("--load", {"metavar": "FIGURES", "default": "", "help": f"of the load put on it, any of (these are the defaults) {_LOAD}"}),
)


def candidate(option: Callable[[str], Any]) -> str | None:
    """Return the device that the options name, an endpoint or another; None for the best one. Raises AssayError: both, no address."""
    url, device = option("--endpoint"), option("--device")
    if url is None:
        return None if device is None else str(device)
    if device not in (None, ENDPOINT):
        raise AssayError(f"--device {device} and --endpoint: there is one candidate; leave one of them out")
    if not 0 < option("--endpoint-timeout") < 86400:
        raise AssayError(f"--endpoint-timeout {option('--endpoint-timeout'):g}: give seconds, above 0 and below a day")
    environment.name_endpoint(_address(url), option("--endpoint-model"), option("--endpoint-hardware"), option("--endpoint-timeout"))
    return ENDPOINT


def _address(url: str) -> str:
    """Return an address as it is. Raises AssayError where it is none, or where a secret is in it."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise AssayError(f"--endpoint {url!r}: no web address; give http://HOST:PORT/v1") from None
    if "@" in parts.netloc or parts.query:
        raise AssayError("--endpoint: no name, password or query in the address; a key goes into ASSAY_ENDPOINT_KEY")
    if not sound:
        raise AssayError(f"--endpoint {url!r}: no web address; give http://HOST:PORT/v1")
    return url


def answerable(cases: Mapping[str, Case], option: Callable[[str], Any], asked: Collection[str] = ()) -> dict[str, Case]:
    """Return the cases that an endpoint can answer, in the dtype that it computes in, under the load that was asked for.

    Those of `asked` are there in their own dtype. Raises AssayError: no such load.
    """
    dtype, changes = option("--endpoint-dtype"), figures(option("--load"))
    found = {
        name: case for name, case in cases.items() if (case.dtype == dtype or name in asked) and (case.only_on == ENDPOINT or case.served)
    }
    return {name: case.with_params(**changes) if case.workload is load else case for name, case in found.items()}


def figures(text: str) -> dict[str, Scalar]:
    """Return the parameters of a load that `--load` names. Raises AssayError: unknown, no number, none above 0."""
    kinds: dict[str, type[int] | type[float] | type[str]] = {
        **dict.fromkeys(("requests", "users", "length", "new_tokens", "prompts"), int), "ttft": float, "tpot": float, "rates": str,
    }  # fmt: skip
    found: dict[str, Scalar] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        try:
            found[name] = kinds[name](value)
            numbers = [float(rate.removesuffix("%")) for rate in value.split(":")]
        except (KeyError, ValueError):
            raise AssayError(f"--load {part!r}: give NAME=NUMBER with a name of {', '.join(kinds)} (rates: 1:2:4, or 50%:90%)") from None
        if not all(0 < number < 1e9 for number in numbers):
            raise AssayError(f"--load {part!r}: must be above 0")
    return found


def told(case: Case, listed: Case) -> str:
    """Return the options that ask an endpoint for a case again; its address is in no Run."""
    changed = [
        f"{name}={value}"
        for name, value in case.params.items()
        if case.workload is load and value != listed.params.get(name) and name != "model"
    ]
    figures_ = f" --load {','.join(changed)}" if changed else ""
    return f'--endpoint "$ASSAY_ENDPOINT" --endpoint-dtype {case.dtype}{figures_}'
