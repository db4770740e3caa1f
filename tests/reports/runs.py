"""Runs as they come from machines that are not here: an NPU against a recorded GPU, an emulated one, a failing one. Made, not measured."""

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.recording import slug
from harness.run import Run
from harness.verdict import WOULD_SAY, Cause, Finding, Outcome, Verdict
from suites.mutation.score import Score, row

HOST = {"python": "3.12.3", "cpu": "Kunpeng 920", "threads": 64, "packages": {"torch": "2.13.0"}, "variables": {"OMP_NUM_THREADS": "64"}}
DEVICES: dict[str, dict[str, Any]] = {
    "npu": {
        "name": "npu:0",
        "kind": "npu",
        "hardware": "Ascend 910B2",
        "versions": {"cann": "8.5"},
        "dtypes": ["float32"],
        "emulated": False,
    },
    "cuda": {
        "name": "cuda:0",
        "kind": "cuda",
        "hardware": "NVIDIA H100",
        "versions": {"cuda": "13.0"},
        "dtypes": ["float32"],
        "emulated": False,
    },
    "cpu": {"name": "cpu", "kind": "cpu", "hardware": "Xeon", "versions": {}, "dtypes": ["float32"], "emulated": False},
}
_WORDS = (
    "linalg",
    "special",
    "nn",
    "functional",
    "conv",
    "matmul",
    "fft",
    "masked",
    "index",
    "scatter",
    "sum",
    "norm",
    "pool",
    "attention",
)


def side(device: str, seconds: Iterable[float] = (), **more: Any) -> dict[str, Any]:
    blank = {"device": device, "status": "ok", "message": "", "environment": "e1", "setup_seconds": 1.0, "work": 256.0, "unit": "tokens"}
    return {**blank, "seconds": list(seconds), "memory": {"allocated_peak": 3 << 30}, "series": {}, "inputs": "ab" * 32, **more}


def verdict(case: str, outcome: Outcome = Outcome.PASS, findings: Iterable[Finding] = (), message: str = "", **evidence: Any) -> Verdict:
    area, dtype = case.split("/")[0], case.rsplit("[", 1)[-1].rstrip("]")
    reproduce = f"pytest suites/ --case '{case}' --device npu:0 --reference runs/h100"
    sides = {"candidate": side("npu:0"), "reference": side("cuda:0")} | evidence
    return Verdict(case, area, dtype, outcome, message, tuple(findings), {"id": case}, sides, reproduce)


def closeness(subject: str = "out rms", measured: float = 0.6, outcome: Outcome = Outcome.PASS, bound: float = 1.2) -> Finding:
    return Finding(
        "closeness", subject, outcome, measured, bound, "u", 0.55, where="index [3, 1]", message="" if outcome is Outcome.PASS else "off"
    )


def good() -> list[Verdict]:
    loss = {"loss": [3.7, 3.5, 3.2], "grad_norm": [9.0, 8.0, 7.5]}
    score = Finding(
        "score", "piqa", Outcome.PASS, 64.0, None, "%", 65.0, 53.0, 74.0, message="80 samples, b = 2, c = 1, p = 1; under 9 points unseen"
    )
    decode = Finding("decoding", "tokens", Outcome.PASS, 24.0, 24.0, "tokens", message="all 24 tokens equal")
    timed = {
        "candidate": side("npu:0", (0.5, 0.51, 0.49, 0.5, 0.52, 0.5, 0.48)),
        "reference": side("cuda:0", (0.25, 0.26, 0.24, 0.25, 0.25, 0.26, 0.24)),
    }
    return [
        verdict("operators/matmul[float32]", findings=[closeness(), closeness("out worst")]),
        verdict("operators/softmax[bfloat16]", findings=[closeness()]),
        verdict(
            "post_training/sft[float32]",
            findings=[closeness("loss rms")],
            candidate=side("npu:0", series=loss),
            golden=side("cpu", series=loss),
        ),
        verdict("inference/greedy-cached[float32]", findings=[decode, closeness("logits rms")]),
        verdict("accuracy/piqa[float32]", findings=[score]),
        verdict("performance/decode[float32]", findings=[Finding("throughput", "rate", Outcome.PASS, 512.0, unit="tokens/s")], **timed),
        verdict("performance/sft-step[float32]", findings=[Finding("throughput", "rate", Outcome.PASS, 512.0, unit="tokens/s")], **timed),
    ]


def bad() -> list[Verdict]:
    wrong = [
        closeness("out rms", 40.0, Outcome.FAIL),
        Finding("special_values", "out", Outcome.FAIL, float("nan"), 0.0, "elements", message="8 NaN"),
    ]
    hostile = "<script>alert('x')</script> \u202e $x_1$ " + "long " * 200
    return [
        verdict("operators/matmul[float32]", Outcome.FAIL, wrong, "closeness of out rms: 40 u, allowed 1.2 u"),
        verdict('operators/evil$<b>&"[float16]', Outcome.ERROR, [Finding("status", "npu:0", Outcome.ERROR, message=hostile)], hostile),
        verdict(
            "operators/rotary[float16]",
            Outcome.UNSUPPORTED,
            [Finding("status", "npu:0", Outcome.UNSUPPORTED, message="EZ1001")],
            "EZ1001 not supported",
        ),
        verdict(
            "inference/prefill[float32]",
            Outcome.INCOMPARABLE,
            [Finding("inputs", "reference", Outcome.INCOMPARABLE, message="weights")],
            "other inputs",
        ),
    ]


def fact(subject: str, ours: str, theirs: str, outcome: Outcome = Outcome.PASS) -> Finding:
    return Finding("fingerprint", subject, outcome, message=f"{ours}; the reference: {theirs}", answer=ours, reference_answer=theirs)


def fingerprint() -> list[Verdict]:
    """A device whose float32 products are coarser than the reference's, and whose batches matter."""
    coarse = fact("operands", "12 of 24 bits, as HF32", "all bits", Outcome.FAIL)
    return [
        verdict(
            "operators/fingerprint/product[float32]", Outcome.FAIL, [coarse, fact("sums", "24 bits", "24 bits")], "operands keep 12 bits"
        ),
        verdict("operators/fingerprint/product[bfloat16]", findings=[fact("operands", "all bits", "all bits")]),
        verdict("operators/fingerprint/batch[float32]", findings=[fact("a row of a batch", "matmul changes", "the same bits")]),
        verdict(
            "operators/fingerprint/support[float32]",
            findings=[fact("refused operators", "poisson, " * 30, "none"), fact("float64", "float32 in its place", "yes")],
        ),
    ]


WAIVER: dict[str, Any] = {
    "source": "npu.toml: tail", "concerns": "npu", "case": "operators/softmax[float16]", "check": "*", "subject": "*", "device": "*",
    "owner": "A. Person", "reason": "the tail is coarse", "link": "https://example.org/1?a=b&c=d", "versions": {"torch": "<2.12"},
    "expires": "2027-06-30", "emulated": False, "state": "inactive", "why": "for torch <2.12, and here it is 2.13.0",
}  # fmt: skip


def other_rules() -> list[Verdict]:
    """A verdict beside which other rules have had their say."""
    said = Finding("other_rules", f"{WOULD_SAY}msprobe", Outcome.PASS, message="fail: out: 3 of 4 elements mismatch")
    return [verdict("operators/rules[float32]", findings=[closeness(), said])]


def failing(cause: Cause) -> Verdict:
    return Verdict(
        "operators/x[float32]", "operators", "float32", Outcome.FAIL, "", (Finding("closeness", "out", Outcome.FAIL, cause=cause),)
    )


def score() -> dict[str, object]:
    """A mutation score with every kind of row."""
    rows = (
        row("caught-one", "dispatch", "somebody 12", ("aten::mm",), (Cause.TAIL,), 3, 5, [failing(Cause.TAIL)]),
        row("wrong-cause", "dispatch", "somebody 13", ("aten::mm",), (Cause.TAIL,), 3, 5, [failing(Cause.VALUES)]),
        row("missed-one", "dispatch", "somebody 14", ("aten::bmm",), (Cause.TAIL,), 7, 9, []),
        row("never-met", "dispatch", "somebody 15", ("aten::dot",), (Cause.TAIL,), 0, 0, []),
        row("silent-one", "dispatch", "legal", ("aten::mm",), (), 4, 4, []),
    )  # fmt: skip
    about = {
        "created": "2020-01-01T00:00:00+00:00", "seconds": 400, "device": "cpu", "hardware": "Xeon", "emulated": False,
        "packages": {"torch": "2.13.0"}, "benign_cases": 24, "fault_cases": 80, "emulator": "not switched on",
        "not_counted": {"gone": "it is gone"},
    }  # fmt: skip
    return {**Score(rows).to_json(), **about}


def waived(case: str, outcome: Outcome = Outcome.WAIVED, source: str = "npu.toml: tail") -> Verdict:
    found = [] if outcome is Outcome.FIXED else [closeness("out rms", 40.0, Outcome.FAIL)]
    signed = Finding("waiver", source, outcome, message="A. Person signed for closeness of out rms until 2027-06-30: the tail is coarse")
    return verdict(case, outcome, [*found, signed], f"waiver of {source}: {signed.message}")


def make(
    folder: Path, verdicts: Iterable[Verdict], ours: str = "npu", theirs: str = "cuda", emulated: bool = False, faults: str = "",
    waivers: Iterable[dict[str, Any]] = (WAIVER,), mutation: dict[str, object] | None = None,
    published: Mapping[str, Any] | None = None,
) -> Path:  # fmt: skip
    run = Run.create(folder, DEVICES[ours]["name"])
    run.add_environment({"host": HOST, "device": DEVICES[ours]})
    same = ours == theirs
    run.describe_comparison(
        {
            "candidate": {**DEVICES[ours], "emulated": emulated, "versions": {"seeded_faults": faults} if faults else {}},
            "reference": DEVICES[theirs],
            "reference_kind": "recorded",
            "model": "default",
            "reference_source": "runs/h100",
            "reference_created": "2026-11-01T00:00:00+00:00",
            "emulated": emulated,
            "self_comparison": same,
            "self_reason": "both sides are CPUs" if same else "",
            "reference_environments": {"e2": {"host": {**HOST, "cpu": "EPYC", "HF_TOKEN": "hunter2"}, "device": DEVICES[theirs]}},
        }
    )
    run.describe_waivers(list(waivers))
    run.describe_mutation(mutation or {})
    run.describe_published(published or {})
    for v in verdicts:
        run.write_verdict(v)
    return folder


def many(folder: Path, count: int) -> Path:
    """A Run of so many verdicts as wide operators have them: six findings each, figures that differ, and a failing one in 500."""
    run = make(folder, good()[2:])
    draw = random.Random(0)
    for i in range(count - 5):
        found = [closeness(f"{j:03}.0 {kind}", draw.uniform(0.01, 1.1)) for j in range(2) for kind in ("rms", "worst")]
        found += [
            Finding("answered", "samples", Outcome.PASS, message="12 samples"),
            Finding("probed", "cache", Outcome.PASS, message="same bits"),
        ]
        outcome, message = (
            (Outcome.FAIL, f"closeness of out: {draw.uniform(2, 90):.3g} u, allowed 1.2 u") if i % 500 == 0 else (Outcome.PASS, "")
        )
        name = (
            f"operators/opinfo/{draw.choice(_WORDS)}.{draw.choice(_WORDS)}_{i}[{draw.choice(('float32', 'bfloat16', 'float16', 'int64'))}]"
        )
        made = verdict(name, outcome, [replace(f, outcome=outcome) for f in found[:1]] + found[1:], message)
        (folder / "verdicts" / f"{slug(name)}.json").write_text(json.dumps({"format": 1, **made.to_json()}))  # no waiting for the disk
    return run
