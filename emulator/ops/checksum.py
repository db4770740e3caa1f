"""Verification of a matrix product that is there already, by checksums of its rows. Knows no product's own arithmetic."""

import numpy as np
import torch
from torch import Tensor

from emulator.operator import Out, aclnn

_SEGMENT = 256


@aclnn
def MatmulAbftVerify(a: Tensor, b: Tensor, c: Tensor, weight: Tensor, e_max: float, out: Out) -> Tensor:
    """Whether c is a @ b, by rows (the lowest bit first) of segments of 256 columns: 1 is right (aclnnMatmulAbftVerify, matmul_checksum).

    A row is right where the weighted sum of its segment agrees with a @ (b @ weight) within a threshold that follows from a and b. The
    device estimates it from means and variances (V-ABFT, Gao et al. 2026); here it is e_max times the sum, over the columns, of the
    exact element's magnitude and the deviation of its terms.
    """
    a, b, c, weight = a.double(), b.double(), c.double(), weight.double()
    scale = (a @ b).abs() + (a.square() @ b.square()).sqrt()
    rows = []
    for start in range(0, b.shape[1], _SEGMENT):
        columns = slice(start, start + _SEGMENT)
        difference = (c[:, columns] @ weight[columns] - a @ (b[:, columns] @ weight[columns])).abs()
        right = (difference <= e_max * (scale[:, columns] @ weight[columns].abs())).numpy()
        rows.append(np.packbits(np.pad(right, (0, -len(right) % 8), constant_values=True), bitorder="little"))
    return torch.from_numpy(np.concatenate(rows))
