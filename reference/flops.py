"""Floating-point operations of a training step, counted from a configuration. Knows no device, no time, and not torch.

Counted are the matrix products: each weight matrix that a token passes, attention scores and their products with values, the indexer's
scores, the mixing of residual streams. A multiplication with its addition is two operations. Not counted: what is done element by element
(norms, activations, softmax, Sinkhorn's normalisations, the gates of compression, the optimizer), and lookups. So it is the model FLOPs of
PaLM (Chowdhery et al., arXiv 2204.02311, appendix B), with causal attention counted once and nothing recomputed; 6 N (Kaplan et
al., arXiv 2001.08361, section 2.1) is its first term.

Backward costs twice forward: one product for each factor. What next-token loss sends no gradient to (the indexers of V3.2 and V4, which
choose keys) costs forward only.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from reference.anatomy import Matrix, Pairs, Piece, Vector, anatomy


class Flops(NamedTuple):
    """Floating-point operations of a step."""

    forward: int
    backward: int

    @property
    def total(self) -> int:
        """Both passes."""
        return self.forward + self.backward


@dataclass(frozen=True)
class Parameters:
    """Counts of parameters: all, those that a token meets, and of these the rows of the embedding, which are looked up."""

    total: int
    active: int
    embedding: int


def needed(config: Any, batch: int, length: int, mtp: int = 0) -> dict[str, Flops]:
    """Return by part what a step on `batch` rows of `length` tokens needs by the definition of the model.

    `mtp` modules predict one more token each, the k-th on length - k tokens (DeepSeek-V3, section 2.2). Raises AssayError: family
    not described.
    """
    model = anatomy(config)
    parts: dict[str, Flops] = defaultdict(lambda: Flops(0, 0))
    for piece in model.pieces():
        _add(parts, piece, batch, length, dense=False)
    for depth in range(1, mtp + 1):
        for piece in model.mtp:
            _add(parts, piece, batch, length - depth, dense=False, under="mtp: ")
    return dict(parts)


def executed(config: Any, batch: int, length: int) -> dict[str, Flops]:
    """Return by part what transformers' eager code multiplies in the step: every query with every key, masked afterwards.

    A kernel that skips what is masked executes less. Raises AssayError: family not described.
    """
    model = anatomy(config)
    parts: dict[str, Flops] = defaultdict(lambda: Flops(0, 0))
    for piece in model.pieces():
        _add(parts, piece, batch, length, dense=True)
    return dict(parts)


def _add(parts: dict[str, Flops], piece: Piece, batch: int, length: int, dense: bool, under: str = "") -> None:
    if isinstance(piece, Vector):
        return
    if isinstance(piece, Matrix):
        once = piece.multiply_adds * length
    else:
        once = piece.width * (piece.reach.dense(length) if dense else piece.reach.needed(length))
    forward = 2 * batch * once
    trained = piece.trained and (isinstance(piece, Pairs) or length >= piece.since)
    had = parts[under + piece.part]
    parts[under + piece.part] = Flops(had.forward + forward, had.backward + (2 * forward if trained else 0))


def total(parts: Mapping[str, Flops]) -> int:
    """Return the operations of all parts, both passes."""
    return sum(part.total for part in parts.values())


def parameters(config: Any) -> Parameters:
    """Return the counts of parameters, without modules that predict more tokens. Raises AssayError: family not described."""
    pieces = [piece for piece in anatomy(config).pieces() if not isinstance(piece, Pairs)]
    active = sum(piece.active if isinstance(piece, Matrix) else piece.parameters for piece in pieces)
    embedding = sum(piece.parameters for piece in pieces if isinstance(piece, Vector) and piece.embedding)
    return Parameters(sum(piece.parameters for piece in pieces), active, embedding)


def trained(config: Any, length: int) -> int:
    """Return how many parameters next-token loss on rows of `length` tokens sends a gradient to."""
    pieces = [piece for piece in anatomy(config).pieces() if not isinstance(piece, Pairs)]
    return sum(piece.parameters for piece in pieces if piece.trained and length >= piece.since)
