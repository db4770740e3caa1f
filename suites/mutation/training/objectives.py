"""Faults of losses, rollouts and policies. Knows no invariant."""

from harness.verdict import Cause
from suites.mutation.seeds import Seed, edited, fault, replaced

_STAGES = "suites.workloads.post_training"
_FLASH = "deepseek_v4-flash"
_VALUES, _GRADIENT = Cause.VALUES, Cause.GRADIENT


_SFT = f"{_STAGES}.sft:next_token"

_LOSSES = (
    fault(
        "labels-not-shifted",
        "llama",
        "losses",
        (_VALUES,),
        "NVIDIA/Megatron-LM#5682 (V4-Flash), macrocosm-os/pretraining#64: the label of a token is the token",
        edited(_SFT, labels=('batch["tokens"][:, 1:]', 'batch["tokens"][:, :-1]')),
    ),
    fault(
        "labels-shifted-twice",
        _FLASH,
        "losses",
        (_VALUES,),
        "GanjinZero/RRHF#49, huggingface/transformers#47394: collator and model both shift",
        edited(_SFT, scores=("[:, :-1]", "[:, :-2]"), labels=('batch["tokens"][:, 1:]', 'batch["tokens"][:, 2:]')),
    ),
    fault(
        "divided-by-padded-count",
        "llama",
        "losses accumulation",
        (_VALUES, _GRADIENT),
        "NovaSky-AI/SkyRL#462, PrimeIntellect-ai/prime-rl#674: a loss divided by all places",
        edited(
            _SFT, mean=('batch["tokens"][:, 1:].flatten())', 'batch["tokens"][:, 1:].flatten(), reduction="sum") / batch["tokens"].numel()')
        ),
    ),
    fault(
        "vocabulary-padded",
        "qwen3",
        "losses",
        (_VALUES,),
        "verl-project/verl#5349: padded logits of 0 count; they must be -inf",
        edited(_SFT, pad=(".logits[:, :-1].float()", ".logits[:, :-1].float()\n    scores = functional.pad(scores, (0, 61))")),
    ),
    fault(
        "completion-mask-ignored",
        _FLASH,
        "losses",
        (_VALUES,),
        "alibaba/ROLL#444: prompt and padding count as completion",
        edited(f"{_STAGES}.completions:token_logprobs", mask=('.masked_fill(~batch["completion_mask"][:, 1:], 0.0)', "")),
    ),
    fault(
        "dpo-without-reference",
        "qwen3_moe",
        "losses",
        (_VALUES,),
        "linkedin/Liger-Kernel#387: the reference's log-probabilities are left out",
        edited(f"{_STAGES}.completions:log_ratios", reference=(' - batch["reference"]', "")),
    ),
    fault(
        "logprobs-in-bfloat16",
        "llama",
        "losses rollouts",
        (_VALUES, Cause.PRECISION),
        "OpenRLHF/OpenRLHF#634, huggingface/trl#4303: log-probabilities of narrow logits",
        replaced("torch.nn.functional:log_softmax", lambda right: lambda x, *args, **rest: right(x.bfloat16(), *args, **rest).to(x.dtype)),
    ),
)

_POLICY, _ROLLOUT = f"{_STAGES}.policy", f"{_STAGES}.rollout"

_ROLLOUTS = (
    fault(
        "old-logprobs-stale",
        "llama",
        "rollouts",
        (_VALUES,),
        "PrimeIntellect-ai/prime-rl#697: log-probabilities, not logits, divided by the temperature",
        edited(f"{_STAGES}.grpo:prepared", old=('"old": logprobs,', '"old": logprobs / 0.9,')),
    ),
    fault(
        "advantages-not-centred",
        "llama",
        "rollouts",
        (_VALUES,),
        "PrimeIntellect-ai/prime-rl#2040: a baseline that is not the group's mean",
        edited(f"{_POLICY}:group_advantages", mean=("groups - groups.mean(1, keepdim=True)", "groups")),
    ),
    fault(
        "clip-on-one-side",
        "llama",
        "rollouts",
        (_GRADIENT, _VALUES),
        "no report known, a plausible slip: one side of arXiv 1707.06347, equation 7",
        edited(f"{_POLICY}:clipped_ratio", clip=("ratio.clamp(1 - clip, 1 + clip)", "ratio.clamp(max=1 + clip)")),
    ),
    fault(
        "k1-for-k3",
        "qwen3",
        "rollouts",
        (_VALUES,),
        "huggingface/trl#1161: an estimate that may be negative",
        edited(f"{_POLICY}:k3", estimate=("torch.expm1(apart) - apart", "-apart")),
    ),
    fault(
        "k3-the-wrong-way",
        "llama",
        "rollouts",
        (_VALUES,),
        "microsoft/KID#5 (a question): KL of the reference against the policy",
        edited(f"{_POLICY}:k3", order=("apart = other - own", "apart = own - other")),
    ),
    fault(
        "teacher-one-token-late",
        "deepseek_v3",
        "rollouts",
        (_VALUES,),
        "linkedin/fmchisel#23, modelscope/ms-swift#8436: teacher and student shifted differently",
        edited(
            f"{_STAGES}.distillation:last_hidden", place=('[:, -batch["tokens"].shape[1] - 1 : -1]', '[:, -batch["tokens"].shape[1] :]')
        ),
    ),
    fault(
        "rollout-temperature",
        "qwen3",
        "rollouts",
        (_VALUES,),
        "huggingface/trl#4159, vllm-project/vime#64: vLLM's log-probabilities are those before the temperature",
        edited(f"{_ROLLOUT}:roll_out", logprob=("functional.log_softmax(logits, -1)", "functional.log_softmax(logits / 0.8, -1)")),
    ),
    fault(
        "sampling-without-seed",
        "llama",
        "rollouts",
        (Cause.UNSTEADY, _VALUES),
        "vllm-project/vllm#51226, tenstorrent/tt-xla#4539: a seed that is not honoured",
        edited(f"{_ROLLOUT}:roll_out", noise=("best = (logits + drawn)", "best = (logits + torch.rand_like(drawn) * 5)")),
    ),
)

FAULTS: tuple[Seed, ...] = (*_LOSSES, *_ROLLOUTS)
