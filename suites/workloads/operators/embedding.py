"""Look-up in a table, nearly every row many times, so that its gradient accumulates, and one not at all. Knows no device."""

import torch.nn.functional as F
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles import embedding as oracle
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.dtypes import in_each_dtype


def embedding(inputs: Inputs, /, *, batch: int, length: int, rows: int, width: int) -> Step:
    """Look up [batch, length] ids in a table [rows, width]; returns `out`, `grad_table`."""
    operator = oracle.embedding if inputs.golden else F.embedding
    ids = inputs.integers("ids", (batch, length), 0, rows)

    def look_up(table: Tensor) -> Tensor:
        return operator(ids, table)

    operands = {"table": inputs.normal("table", (rows, width))}
    cotangent = inputs.normal("cotangent", (batch, length, width))
    return Step(differentiate(look_up, operands, cotangent))


CASES = in_each_dtype(embedding, {"embedding": {"batch": 4, "length": 129, "rows": 61, "width": 576}})
