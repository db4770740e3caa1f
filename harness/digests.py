"""SHA-256 digests of inputs by name, as two sides have them, and what of them differs. Knows no tensor and no file."""

from collections.abc import Mapping

#: In the place of the digest of an input that a side cannot see: the weights that a server was started with.
UNSEEN = "unseen"


def differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Return the names of inputs that are not the same on both sides; what a side cannot see is compared with nothing."""
    return sorted(n for n in {*ours, *theirs} if ours.get(n) != theirs.get(n) and UNSEEN not in (ours.get(n), theirs.get(n)))
