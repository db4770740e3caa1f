import pytest
import torch

from tests.emulator.agree import agree

G = torch.Generator().manual_seed(3)
MANY = torch.randint(9, (5, 8), generator=G)
ROWS = torch.randint(2, (9, 2), generator=G)
RUNS = torch.tensor([3, 3, 1, 1, 1, 3, 2])


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (torch.unique, (MANY,)),
        (torch.unique, (MANY.float(),)),
        (torch.unique, (MANY.bool(),)),
        (lambda x: torch.unique(x, return_inverse=True), (MANY,)),
        (lambda x: torch.unique(x, return_counts=True), (MANY,)),
        (lambda x: torch.unique(x, return_inverse=True, return_counts=True), (MANY,)),
        (lambda x: torch.unique(x.mT, return_inverse=True), (MANY,)),
        (lambda x: torch._unique(x, True, True), (MANY,)),
        (torch._unique, (MANY,)),
        (lambda x: torch.unique(x, dim=0), (ROWS,)),
        (lambda x: torch.unique(x, dim=0, return_inverse=True, return_counts=True), (ROWS,)),
        (torch.unique_consecutive, (RUNS,)),
        (lambda x: torch.unique_consecutive(x, return_inverse=True, return_counts=True), (RUNS,)),
        (lambda x: torch.unique_consecutive(x, return_counts=True, dim=0), (ROWS.sort(0).values,)),
    ],
)
def test_equal_to_the_cpu(call, arguments):
    agree(call, *arguments)
