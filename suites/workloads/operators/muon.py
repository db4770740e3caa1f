"""DeepSeek-V4's Muon: the orthogonalisation by itself, and steps on a matrix and on a stack of experts. Knows no device."""

import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles import muon as oracle
from suites.workloads.operators.dtypes import in_each_dtype
from suites.workloads.post_training.muon import Muon, orthogonalise

SHAPES = {"wide": (48, 160), "tall": (160, 48), "experts": (4, 64, 32)}


def newton_schulz(inputs: Inputs, /, *, rows: int, columns: int, experts: int) -> Step:
    """Orthogonalise `experts` matrices; returns `orthogonal`."""
    x = inputs.normal("x", (experts, rows, columns))
    return Step(lambda: {"orthogonal": oracle.newton_schulz(x) if inputs.golden else orthogonalise(x)})


def muon(inputs: Inputs, /, *, steps: int, lr: float) -> Step:
    """Step from a momentum of zero; returns `param_<shape>` and `momentum_<shape>`.

    The parameters are as large as a step moves them, so that a step or a decay left out shows in bfloat16 too.
    """
    params = {name: inputs.normal(f"param_{name}", shape, scale=lr) for name, shape in SHAPES.items()}
    gradients = {name: [inputs.normal(f"gradient_{name}_{k}", shape) for k in range(steps)] for name, shape in SHAPES.items()}

    def call() -> dict[str, Tensor]:
        if inputs.golden:
            states = {name: oracle.muon(param, gradients[name], lr) for name, param in params.items()}
        else:
            states = {name: _step(param, gradients[name], lr) for name, param in params.items()}
        return {f"{field}_{name}": value for name, state in states.items() for field, value in state._asdict().items()}

    return Step(call)


def _step(param: Tensor, gradients: list[Tensor], lr: float) -> oracle.MuonState:
    copy = param.clone().requires_grad_()
    optimizer = Muon([copy], [], lr)
    for gradient in gradients:
        copy.grad = gradient.clone()
        optimizer.step()
    momentum = optimizer.state[copy]["momentum"]
    assert isinstance(momentum, torch.Tensor)
    return oracle.MuonState(copy.detach(), momentum)


CASES = (
    *in_each_dtype(
        newton_schulz,
        {
            "newton_schulz-wide": {"rows": 64, "columns": 192, "experts": 1},
            "newton_schulz-tall": {"rows": 192, "columns": 64, "experts": 1},
            "newton_schulz-experts": {"rows": 48, "columns": 96, "experts": 4},
        },
    ),
    *in_each_dtype(muon, {"muon": {"steps": 3, "lr": 0.5}}),
)
