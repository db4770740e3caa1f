"""Faults of gradients and of adapters. Knows no invariant."""

from itertools import count
from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from suites.mutation.seeds import Seed, edited, fault, replaced

_HUB = "transformers.models"
_STAGES = "suites.workloads.post_training"
_LEAK, _VALUES, _GRADIENT = Cause.LEAK, Cause.VALUES, Cause.GRADIENT


_INVARIANTS = "suites.workloads.invariants"
_LLAMA = f"{_HUB}.llama.modeling_llama"


class _Overwritten(torch.autograd.Function):
    """An embedding whose gradient keeps one of several rows for the same token."""

    @staticmethod
    def forward(context: Any, tokens: Tensor, weight: Tensor) -> Tensor:
        context.save_for_backward(tokens)
        context.shape = weight.shape
        return weight[tokens]

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (tokens,) = context.saved_tensors
        found = gradients[0].new_zeros(context.shape)
        found[tokens.flatten()] = gradients[0].flatten(0, -2)
        return None, found


_overwritten: Any = _Overwritten.apply


def _recomputed_narrow(right: Any) -> Any:
    def checkpoint(function: Any, *args: Any, **rest: Any) -> Any:
        calls = count()

        def again(x: Tensor, *others: Any, **named: Any) -> Any:
            if next(calls):
                x = x + (x.detach().bfloat16().float() - x.detach())
            return function(x, *others, **named)

        return right(again, *args, **rest)

    return checkpoint


_GRADIENTS = (
    fault(
        "accumulated-without-rescaling",
        "llama",
        "accumulation",
        (_GRADIENT,),
        "huggingface/transformers#34191: a mean of means",
        edited(f"{_INVARIANTS}.accumulation:accumulated", weight=("(rows[:, 1:].numel() / total)", "(1 / len(micro))")),
    ),
    fault(
        "last-portion-dropped",
        "llama",
        "accumulation",
        (_GRADIENT,),
        "no report known, a plausible slip: a fused head and loss without the remainder",
        edited(
            f"{_INVARIANTS}.accumulation:loss_in_portions",
            portions=("for part, target in portions]", "for part, target in portions if len(part) == size]"),
        ),
    ),
    fault(
        "embedding-gradient-duplicates",
        "llama",
        "batching accumulation",
        (_GRADIENT, _LEAK),
        "pytorch/pytorch#1631, pymc-devs/pytensor#2242: rows overwritten, not added",
        replaced("torch.nn.functional:embedding", lambda right: lambda tokens, weight, *args, **rest: _overwritten(tokens, weight)),
    ),
    fault(
        "recomputed-in-bfloat16",
        "llama",
        "accumulation",
        (_GRADIENT,),
        "NVIDIA/TransformerEngine#787, pytorch/pytorch#148831: autocast is lost in the recomputation",
        replaced("transformers.modeling_utils:checkpoint", _recomputed_narrow),
    ),
    fault(
        "ties-are-copies",
        "llama",
        "accumulation",
        (_GRADIENT,),
        "facebookresearch/lingua#75, verl-project/verl#7834: FSDP's tied weights come apart",
        replaced("transformers:PreTrainedModel.tie_weights", lambda right: lambda self, *args, **rest: None),
    ),
    fault(
        "frozen-layers-cut-the-graph",
        "llama",
        "accumulation",
        (_GRADIENT,),
        "huggingface/transformers#21381, modelscope/ms-swift#10142: reentrant checkpoints whose input needs no gradient",
        edited(
            f"{_LLAMA}:LlamaDecoderLayer.forward",
            before=(
                "hidden_states = self.input_layernorm(hidden_states)",
                "hidden_states, cut = self.input_layernorm(hidden_states), not residual.requires_grad",
            ),
            after=("return hidden_states", "return hidden_states.detach() if cut else hidden_states"),
        ),
    ),
    fault(
        "adapter-not-zero",
        "llama",
        "adapters",
        (_VALUES, _GRADIENT),
        "no report known, a plausible slip: B drawn like A",
        edited(
            f"{_STAGES}.lora:Adapter.forward",
            b=("nn.functional.linear(x, self.a), self.b)", "nn.functional.linear(x, self.a), self.b + 0.001)"),
        ),
    ),
    fault(
        "adapter-scaled-by-alpha",
        "qwen3",
        "adapters",
        (_VALUES,),
        "Blaizzy/mlx-vlm#986: alpha for alpha / rank",
        edited(f"{_STAGES}.lora:Adapter.forward", scale=("self.scale * nn", "self.scale * self.a.shape[0] * nn")),
    ),
    fault(
        "adapter-a-frozen",
        "llama",
        "adapters",
        (_GRADIENT,),
        "lich99/ChatGLM-finetune-LoRA#22 (its cause never found): A does not learn",
        edited(f"{_STAGES}.lora:Adapter.forward", a=("(x, self.a)", "(x, self.a.detach())")),
    ),
)

FAULTS: tuple[Seed, ...] = (*_GRADIENTS,)
