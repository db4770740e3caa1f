"""Does a server turn text and conversations into the tokens that the model's own tokenizer and chat template give? Knows neither.

A start token too many (vllm-project/vllm-ascend#9853: one from the template, one from the tokenizer), an old template or a system prompt
that somebody slipped in change every answer, and no log-probability of given token ids shows them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.checks.evidence import Evidence
from harness.verdict import Cause, Finding, Outcome


@dataclass(frozen=True)
class Rendering:
    """`details["read"]`, a list of {"what", "count", "ids"} with empty ids where they are not told, is the reference's."""

    name: str = "rendering"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding a prompt: how many tokens were read; the bound is the reference's number."""
        pairs = zip(evidence.candidate.details["read"], evidence.reference.details["read"], strict=True)
        return [self._one(ours, theirs) for ours, theirs in pairs]

    def _one(self, ours: dict[str, Any], theirs: dict[str, Any]) -> Finding:
        figures = (float(ours["count"]), float(theirs["count"]), "tokens")
        if ours["ids"] and theirs["ids"]:
            text, alike = _difference(ours["ids"], theirs["ids"]), ours["ids"] == theirs["ids"]
        else:
            alike = ours["count"] == theirs["count"]
            text = f"{ours['count']} tokens, {theirs['count']} expected; a side does not tell which, so only their number was compared"
        cause = None if alike else Cause.FORM
        return Finding(self.name, str(ours["what"]), Outcome.PASS if alike else Outcome.FAIL, *figures, message=text, cause=cause)


def _difference(ours: Sequence[int], theirs: Sequence[int]) -> str:
    if ours == theirs:
        return f"all {len(ours)} tokens are the same"
    if ours[1:] == theirs:
        return f"a token more at the start: {ours[0]}" + (
            ", twice (a start token of the template and one of the tokenizer)" if ours[0] == theirs[0] else ""
        )
    if ours == theirs[1:]:
        return f"the first token, {theirs[0]}, is missing"
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return f"{len(ours)} tokens, {len(theirs)} expected; they differ from token {at} on"
