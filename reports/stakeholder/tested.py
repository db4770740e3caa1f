"""What was tested: both sides, the model, the software, and how much of the catalogue. Knows no other section."""

from collections.abc import Sequence

from reports.blocks import Block, Text
from reports.frame import Frames
from reports.phrases import Phrase, joined, say
from reports.words import device, moment

ORDER, TITLE = 20, "title-tested"
_TELLING = ("torch", "torch_npu", "transformers", "trl", "lm_eval", "ascend-assay")


def render(frames: Frames) -> Sequence[Block]:
    """Return who was compared with whom, on what software, and how many of the known cases were judged."""
    kind = frames.comparison.get("reference_kind")
    when = moment(frames.comparison.get("reference_created"))
    source = say("tested-recorded", when=when) if kind == "recorded" else say("tested-live")
    sides = {side: device(frames.side(side)) for side in ("candidate", "reference")}
    return [Text(joined([say("tested-sides", **sides, source=source), *_about(frames)])), *_catalogue(frames)]


def _about(frames: Frames) -> list[Phrase]:
    told = []
    if model := frames.comparison.get("model"):
        told.append(say("tested-model", model=say("tested-embedded") if model == "default" else str(model)))
    told.append(say("tested-run", name=frames.name, when=moment(frames.created)))
    packages: dict[str, str] = {}
    for environment in frames.environments.values():
        packages |= environment.get("host", {}).get("packages", {})
    versions = frames.side("candidate").get("versions", {})
    named = [f"{n} {packages[n]}" for n in _TELLING if n in packages] + [f"{n} {v}" for n, v in versions.items() if n not in packages]
    return [*told, say("tested-software", packages=", ".join(named))] if named else told


def _catalogue(frames: Frames) -> list[Block]:
    known = frames.catalogue
    judged = len(set(known) & set(frames.verdicts["case"]))
    return [Text(say("tested-catalogue", judged=judged, total=len(known)))] if known else []
