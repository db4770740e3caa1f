"""What a likely cause means in plain words, and where an engineer looks first on an Ascend. Knows no run.

The names of switches are those of torch_npu 2.13 and CANN; which of them a chip has, its documentation says.
"""

from dataclasses import dataclass

from harness.verdict import Cause


@dataclass(frozen=True)
class Meaning:
    """What the shape of the error says, and what to look at first where the candidate is an Ascend NPU."""

    says: str
    ascend: str


MEANINGS: dict[Cause, Meaning] = {
    Cause.PRECISION: Meaning(
        "All of the result is too coarse by about the same factor: operands, a sum or a function were computed in a narrower type.",
        "HF32 for float32 products and convolutions (torch.npu.matmul.allow_hf32, torch.npu.conv.allow_hf32, cubeMathType of the aclnn "
        "call); ACL_OP_SELECT_IMPL_MODE, which chooses high precision or high performance; the kernel's own type for sums of float16 and "
        "bfloat16, which should be float32.",
    ),
    Cause.STATISTIC: Meaning(
        "Whole rows or columns are scaled: a sum, mean, variance or maximum over them was computed too coarsely, the rest was not.",
        "the type in which the kernel keeps the statistic of a normalisation or softmax; a rescaling of partial results between tiles.",
    ),
    Cause.ROUNDING: Meaning(
        "Errors lean to one side: results are truncated, or rounded by another rule than to nearest, ties to even.",
        "the rounding mode of the casts inside the kernel (CAST_RINT, CAST_TRUNC ...), and casts that are made twice.",
    ),
    Cause.TAIL: Meaning(
        "One block is wrong, or the end of a dimension; the rest is right.",
        "tiling: sizes that are no multiple of 16 elements or 32 bytes, the last tile of a core, padding of the NZ format, an alignment "
        "that a copy assumes. Try the next multiple of 16: if that is right, it is the tail.",
    ),
    Cause.SPARSE: Meaning(
        "A few scattered elements are wrong, the others are right: a race, a flipped bit, or a special case of the input.",
        "missing synchronisation between the pipes of a core or between cores (atomic adds, duplicate indices). Repeat the call: if other "
        "elements are hit each time, it is a race; if a card alone does it, suspect the card.",
    ),
    Cause.VALUES: Meaning(
        "Nearly everything is wrong by far more than rounding: another formula, or an argument that is ignored or misread.",
        "arguments that the call drops or whose default differs (scale, mask polarity, approximate, epsilon); the path that torch_npu "
        "chose for the operator; a mask of another shape than the kernel expects.",
    ),
    Cause.SPECIAL: Meaning(
        "NaN or infinity is where it must not be, or is missing: overflow, saturation, a masked row, a division by zero.",
        "INF_NAN_MODE_ENABLE (off: overflow saturates and NaN becomes a number); rows that are masked altogether (inner_precise of the "
        "fused attention); memory that nobody wrote.",
    ),
    Cause.CHOICE: Meaning(
        "A choice differs (an index, an order, a token, an expert) by more than a near-tie explains.",
        "the scores that the choice is made from, first; then top-k and sort with many candidates, and types that lose integers "
        "above 2^24.",
    ),
    Cause.INTEGERS: Meaning(
        "A result that is exact on any sound device is not: integers, Booleans, or sums that fit the mantissa.",
        "integers that are computed in float32 (exact to 2^24 only) or float16; duplicate indices; int64 narrowed to int32.",
    ),
    Cause.LAYOUT: Meaning(
        "The same numbers give another result when they lie differently in memory.",
        "operands that are transposed, sliced or offset and that the kernel reads as if they were contiguous; internal formats such as NZ "
        "(torch.npu.config.allow_internal_format = False takes them out). Compare with .contiguous() before the call.",
    ),
    Cause.UNSTEADY: Meaning(
        "The same call gave different bits twice.",
        "torch.use_deterministic_algorithms(True), and HCCL_DETERMINISTIC=true for collectives; products that split their inner dimension "
        "between cores and add the parts in any order; atomic adds.",
    ),
    Cause.IMPURE: Meaning(
        "An operand was written to, or an earlier call shows in a later one.",
        "a workspace that is shared or not cleared, a copy of a weight that is cached by its address, an operator in place that should "
        "not be.",
    ),
    Cause.RANDOM: Meaning(
        "Random draws do not have the distribution that was asked for, or repeat themselves.",
        "whether seed and offset of the generator are passed on and advance; how the kernel rounds uniform numbers at 0 and 1.",
    ),
    Cause.ARGUMENTS: Meaning(
        "Something was accepted that must be refused, or refused that must be accepted.",
        "the checks of torch_npu and of the aclnn call: an unsupported combination must raise, never compute something else.",
    ),
    Cause.FORM: Meaning(
        "The result has another dtype or shape than the reference's.",
        "type promotion, float64 that silently becomes float32, keepdim and empty dimensions.",
    ),
    Cause.LEAK: Meaning(
        "What must have no influence has some: a later token, padding, another row or another document.",
        "the masks that the attention kernel is given, or ignores (sparse_mode, actual_seq_len of the fused attention); compressed keys "
        "whose window is not full; kernels that read past the end of a row.",
    ),
    Cause.FORWARD: Meaning(
        "A loss left its band before any gradient or update did: the forward pass is wrong from that step on, or an update before it "
        "had the right size and the wrong direction.",
        "the operators of the forward pass, one by one: `--localise` names the first whose error its operands do not explain.",
    ),
    Cause.GRADIENT: Meaning(
        "Results are right, and a gradient is lost, counted twice, or weighted wrongly.",
        "the backward pass of a fused operator; an operator without one, which detaches silently; how a loss is divided over "
        "micro-batches.",
    ),
    Cause.UPDATE: Meaning(
        "The optimizer does another step than its formula.",
        "fused optimizers (torch_npu.optim), the type in which they keep their state, and weights whose last digit is too coarse for "
        "a step.",
    ),
}


def meaning(cause: str) -> Meaning | None:
    """Return the meaning of a cause by its name; None for one that this version does not know."""
    return next((m for c, m in MEANINGS.items() if c == cause), None)
