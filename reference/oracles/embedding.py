"""Table look-up as a product with one-hot rows. Knows no dtype, device or scatter kernel.

Source: Bengio et al. 2003, section 2: the row C(i) of the table. As a product, the gradient of a row is by construction the
sum over all its uses.
"""

from torch import Tensor
from torch.nn.functional import one_hot


def embedding(ids: Tensor, table: Tensor) -> Tensor:
    """Return `table[ids]`: int64 [...] and [rows, width] give [..., width]."""
    return one_hot(ids, table.shape[0]).to(table.dtype) @ table
