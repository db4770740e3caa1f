"""The command line takes an endpoint as the candidate, and the documentation's commands are ones that it takes."""

import os
import re
import shlex
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from harness.case import Case
from harness.errors import AssayError
from harness.run import Run
from harness.verdict import Outcome
from suites.assets.families import byte_tokenizer, tiny_module
from suites.serving import asked
from suites.serving.in_process import InProcess
from suites.workloads.serving import load, parity
from tests.suites.serving.server import Behaviour, serving

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "serving.md"


def options(**given):
    values = {name: how.get("default") for name, how in asked.OPTIONS} | {"--device": None}
    values |= {f"--{name.replace('_', '-')}": value for name, value in given.items()}
    return values.__getitem__


def documented() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.startswith("pytest ")]


def test_an_endpoint_is_judged_from_the_command_line_and_leaves_no_address(tmp_path: Path) -> None:
    words = documented()[0]
    engine = InProcess(tiny_module("tiny:llama"), byte_tokenizer(), nullcontext)
    with serving(Behaviour(engine, engine.tokenizer, key="secret-7")) as url:
        words[words.index("--endpoint") + 1] = url
        words[words.index("--model") + 1] = "tiny:llama"
        words[words.index("--run") + 1] = str(tmp_path / "run")
        case = ["--case", "inference/served/prompts[float32]", "--endpoint-dtype", "float32", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-m", *words, *case],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=200,
            env={**os.environ, "ASSAY_ENDPOINT_KEY": "secret-7"},
            check=False,
        )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "endpoint (8 x Ascend 910B3, as its owner states)" in done.stdout
    verdict = Run.open(tmp_path / "run").verdict("inference/served/prompts[float32]")
    assert verdict is not None
    assert verdict.outcome is Outcome.PASS
    assert '--endpoint "$ASSAY_ENDPOINT"' in verdict.reproduce
    written = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert b"secret-7" not in written
    assert url.removeprefix("http://").encode() not in written


@pytest.mark.parametrize("words", documented(), ids=lambda words: words[3])
def test_documented_options_are_known(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", "_MODEL", "_HARDWARE", "_TIMEOUT"):
        monkeypatch.setenv(f"ASSAY_ENDPOINT{name}", "")
    known = {name for name, _ in asked.OPTIONS} | {"--model", "--run", "--reference"}
    given = {word for word in words if word.startswith("--")}
    assert given <= known
    assert asked.candidate(options(endpoint=words[words.index("--endpoint") + 1])) == "endpoint"


def test_an_endpoint_gets_the_cases_that_it_can_answer_in_its_dtype() -> None:
    cases = {case.id: case for case in (*parity.CASES, *load.CASES)}
    cases |= {"other[bfloat16]": Case("other[bfloat16]", "operators", parity.scored, "bfloat16", ())}
    cases |= {"task[bfloat16]": Case("task[bfloat16]", "accuracy", parity.scored, "bfloat16", (), served=True)}
    found = asked.answerable(cases, options(load="users=3,rates=1:2"))
    assert {name.rpartition("[")[2] for name in found} == {"bfloat16]"}
    assert "other[bfloat16]" not in found
    assert "task[bfloat16]" in found
    changed = found["performance/served/load[bfloat16]"]
    assert (changed.params["users"], changed.params["rates"], changed.params["requests"]) == (3, "1:2", 100)
    assert asked.told(changed, load.CASES[0]).endswith("--load users=3,rates=1:2")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"endpoint": "npu-host:8000"}, "no web address"),
        ({"endpoint": "http://me:secret@host/v1"}, "no name, password or query"),
        ({"endpoint": "http://host:x/v1"}, "no web address"),
        ({"endpoint": "http://host/v1", "device": "npu:0"}, "one candidate"),
        ({"endpoint": "http://host/v1", "endpoint_timeout": -1.0}, "give seconds"),
    ],
)
def test_a_wrong_address_is_one_line_without_the_secret(given, says: str) -> None:
    with pytest.raises(AssayError, match=says) as caught:
        asked.candidate(options(**given))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["users", "users=x", "users=0", "rates=1:-2", "colour=3"])
def test_a_wrong_load_is_one_line(text: str) -> None:
    with pytest.raises(AssayError, match="--load"):
        asked.figures(text)
