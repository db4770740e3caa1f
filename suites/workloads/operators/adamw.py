"""Steps of AdamW on parameters of several shapes: the way frameworks call it, by lists of tensors, and fused. Knows no device."""

from collections.abc import Mapping

import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles import adamw as oracle
from suites.workloads.operators.dtypes import in_each_dtype

SHAPES = {"matrix": (129, 576), "vector": (577,), "single": (1,)}
BETAS = (0.9, 0.95)


def adamw(inputs: Inputs, /, *, steps: int, lr: float, eps: float, weight_decay: float, way: str) -> Step:
    """Step from moments of zero; returns `param_<shape>`, `exp_avg_<shape>` and `exp_avg_sq_<shape>`, all in the case's dtype.

    The learning rate is a tenth of the parameters' size, and the decay strong: a step or a decay left out shows in bfloat16 too.
    """
    if way == "fused" and inputs.rotation is not None:
        raise ValueError("PyTorch's fused AdamW walks parameter and gradient in one order, and looks at no strides")
    params = {name: inputs.normal(f"param_{name}", shape, scale=10 * lr) for name, shape in SHAPES.items()}
    gradients = {name: [draw_gradient(inputs, f"gradient_{name}_{step}", shape) for step in range(steps)] for name, shape in SHAPES.items()}

    def call() -> dict[str, Tensor]:
        if inputs.golden:
            states = {name: oracle.adamw(param, gradients[name], lr, BETAS, eps, weight_decay) for name, param in params.items()}
        else:
            states = step_with_torch(params, gradients, lr, eps, weight_decay, way)
        return {f"{field}_{name}": value for name, state in states.items() for field, value in state._asdict().items()}

    return Step(call)


def draw_gradient(inputs: Inputs, name: str, shape: tuple[int, ...]) -> Tensor:
    """Draw values of either sign and a size between 1/4 and 7/4: the square of a smaller one would vanish in float16."""
    sign = 2 * inputs.integers(f"{name}_sign", shape, 0, 2) - 1
    return inputs.normal(name, shape, scale=0.125, mean=1.0) * sign


def step_with_torch(
    params: Mapping[str, Tensor], gradients: Mapping[str, list[Tensor]], lr: float, eps: float, weight_decay: float, way: str
) -> dict[str, oracle.AdamWState]:
    """Run torch.optim.AdamW on copies of the parameters, the `way` that it is told: "foreach", "fused", or as torch chooses."""
    copies = {name: param.clone().requires_grad_() for name, param in params.items()}
    choice = {} if way == "default" else {way: True}
    optimizer = torch.optim.AdamW(copies.values(), lr=lr, betas=BETAS, eps=eps, weight_decay=weight_decay, **choice)
    for drawn in zip(*gradients.values(), strict=True):
        for copy, gradient in zip(copies.values(), drawn, strict=True):
            copy.grad = gradient.clone()
        optimizer.step()
    return {
        name: oracle.AdamWState(copy.detach(), optimizer.state[copy]["exp_avg"], optimizer.state[copy]["exp_avg_sq"])
        for name, copy in copies.items()
    }


CASES = in_each_dtype(
    adamw,
    {
        f"adamw{suffix}": {"steps": 3, "lr": 0.02, "eps": 1e-6, "weight_decay": 0.5, "way": way}
        for suffix, way in (("", "default"), ("-foreach", "foreach"), ("-fused", "fused"))
    },
)
