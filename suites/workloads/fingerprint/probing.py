"""Runs the probes of a fingerprint one by one, so that a refusal is a fact about one of them. Knows no probe and no device."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from harness.case import Case, Step
from harness.checks.fingerprint import Fingerprint
from harness.devices.refusals import says_out_of_memory, says_unsupported

Probe = Callable[[], Tensor]
FLOATS = ("float32", "bfloat16", "float16")


def probing(probes: Mapping[str, Probe], may_raise: Sequence[str] = (), **facts: object) -> Step:
    """Return a step that runs every probe; a refused one is kept in `details["refused"]`, with the device's words.

    `expected` there tells that it is one of `may_raise`, and `known` that the device or the framework said that it cannot; anything else
    is an error. If all are refused the last error is raised, so that the case has the status that it deserves.
    """
    refused: dict[str, dict[str, object]] = {}

    def call() -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = {}
        last: RuntimeError | None = None
        refused.clear()
        for name, probe in probes.items():
            try:
                outputs[name] = probe()
                outputs[name].to("cpu")  # here: a device that works behind its host's back raises when it is waited for
            except RuntimeError as error:
                if says_out_of_memory(error):
                    raise
                refused[name], last = _said(error, name in may_raise), error
                outputs.pop(name, None)
        if not outputs and last is not None:
            raise last
        return outputs

    return Step(call, details=lambda: {"refused": refused, **facts})


def _said(error: RuntimeError, expected: bool) -> dict[str, object]:
    words = " ".join(str(error).split())[:300]
    return {"words": words, "expected": expected, "known": says_unsupported(error) or "deterministic" in words}


def allowed(device: torch.device) -> list[str]:
    """Return which coarser arithmetic this process allows on that device, in PyTorch's names: TF32, HF32, sums in 16 bits."""
    found = (
        [] if torch.get_float32_matmul_precision() == "highest" else [f"float32_matmul_precision={torch.get_float32_matmul_precision()}"]
    )
    backend = getattr(torch, device.type, None)
    for part in ("matmul", "conv"):
        if getattr(getattr(backend, part, None), "allow_hf32", False):
            found.append(f"{part}.allow_hf32")
    if device.type == "cuda":
        switches = ("allow_fp16_accumulation", "allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")
        found += [name for name in switches if getattr(torch.backends.cuda.matmul, name, False)]
    return found


def cases(workload: Callable[..., Step], stem: str, about: str, dtypes: Sequence[str] = FLOATS) -> tuple[Case, ...]:
    """Return `operators/fingerprint/<stem>[<dtype>]` for each dtype, judged by what it is about."""
    return tuple(
        Case(f"operators/fingerprint/{stem}[{dtype}]", "operators", workload, dtype, (Fingerprint(about),), golden=False)
        for dtype in dtypes
    )
