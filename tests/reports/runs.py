"""Runs as they come from machines that are not here: an NPU against a recorded GPU, an emulated one, a failing one. Made, not measured."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.run import Run
from harness.verdict import Finding, Outcome, Verdict

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


def make(
    folder: Path, verdicts: Iterable[Verdict], ours: str = "npu", theirs: str = "cuda", emulated: bool = False, faults: str = ""
) -> Path:
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
    for v in verdicts:
        run.write_verdict(v)
    return folder
