"""The same for machines: JSON with every finding, and JUnit XML. Knows no HTML."""

import json
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from harness.verdict import FAILING
from reports.frame import Frames, records

_SKIPPED = ("inconclusive", "unsupported", "waived")


def as_json(runs: Sequence[Frames]) -> str:
    """Return strict JSON: per run what was compared, and every verdict with its findings; numbers that are not finite are null."""
    documents = []
    for frames in runs:
        findings: dict[str, list[dict[str, object]]] = {}
        for row in frames.findings.drop(columns=["area", "dtype"]).to_dict("records"):
            findings.setdefault(str(row.pop("case")), []).append({str(k): _finite(v) for k, v in row.items()})
        verdicts = frames.verdicts.drop(columns="evidence").to_dict("records")
        documents.append(
            {
                "run": frames.name, "created": frames.created, "comparison": frames.comparison,
                "waivers": [dict(waiver) for waiver in frames.waivers],
                "verdicts": [{**verdict, "findings": findings.get(verdict["case"], [])} for verdict in verdicts],
            }
        )  # fmt: skip
    return json.dumps({"format": 1, "runs": documents}, indent=1, default=str)


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_junit(runs: Sequence[Frames]) -> str:
    """Return JUnit XML: a suite a run, a test case a verdict; skipped is what neither passes nor fails the run."""
    root = ElementTree.Element("testsuites")
    for frames in runs:
        failing, outcomes = {str(o) for o in FAILING}, frames.verdicts["outcome"]
        skipped = int(outcomes.isin(_SKIPPED).sum())
        counts = {"tests": len(outcomes), "failures": int(outcomes.isin(failing).sum()), "skipped": skipped}
        suite = ElementTree.SubElement(root, "testsuite", {"name": frames.name} | {k: str(v) for k, v in counts.items()})
        for row in records(frames.verdicts):
            test = ElementTree.SubElement(suite, "testcase", {"classname": str(row.area), "name": _clean(row.case)})
            if row.outcome in failing:
                ElementTree.SubElement(test, "failure", {"type": str(row.outcome), "message": _clean(row.message)}).text = _clean(
                    row.reproduce
                )
            elif row.outcome in _SKIPPED:
                ElementTree.SubElement(test, "skipped", {"type": str(row.outcome), "message": _clean(row.message)})
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _clean(text: object) -> str:
    """Return the text without what XML 1.0 cannot hold."""
    return "".join(
        c if c >= " " or c in "\t\n" else "\ufffd" for c in str(text) if not 0xD800 <= ord(c) <= 0xDFFF and c not in "\ufffe\uffff"
    )
