"""Every case of a Run in few bytes: columns of words by number, compressed, for a page that decodes them. Knows no HTML.

A case takes about 20 bytes: 100,000 of them fit into a page that is sent by mail. Of a failing case there is the message; of each case
the finding that comes closest to its bound.
"""

import base64
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson
import pandas as pd

from reports.frame import OUTCOMES, Frames

_LONGEST = 240  # characters of a message; what fails is told in full elsewhere on the page
#: Outcomes, the worst first: the order in which a reader wants them.
WORST_FIRST = ("fail", "error", "incomparable", "mistrusted", "fixed", "inconclusive", "unsupported", "waived", "pass")


def columns(frames: Frames) -> dict[str, Any]:
    """Return the columns in the order of worst outcome, then case: one text with line feeds, or words and each row's number."""
    verdicts = frames.verdicts
    rank = verdicts["outcome"].map({name: n for n, name in enumerate(WORST_FIRST)})
    verdicts = verdicts.assign(rank=rank).sort_values(["rank", "case"])
    checks = _checks(frames.findings)
    closest = _closest(frames.findings).reindex(verdicts["case"])
    commands = [_command(r, c) for r, c in zip(verdicts["reproduce"].tolist(), verdicts["case"].tolist(), strict=True)]
    told = verdicts["message"].where(verdicts["outcome"] != "pass", "").str.slice(0, _LONGEST)
    return {
        "case": {"text": "\n".join(_lines(verdicts["case"].tolist()))},
        **{name: _words(verdicts[name]) for name in ("area", "dtype", "outcome")},
        "checks": _words(checks.reindex(verdicts["case"]).fillna("")),
        "used": {"numbers": _rounded(closest["share"])},
        "measured": {"numbers": _rounded(closest["measured"])},
        "bound": {"numbers": _rounded(closest["bound"])},
        **{name: _words(closest[name].astype(object).fillna("")) for name in ("check", "subject", "unit", "where", "cause")},
        "message": _words(pd.Series(_lines(told.tolist()))),
        "command": _words(pd.Series(commands)),
    }  # fmt: skip


def packed(data: Mapping[str, Any]) -> str:
    """Return JSON, compressed (zlib, RFC 1950) and in base64."""
    return base64.b64encode(zlib.compress(orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY), 6)).decode("ascii")


def _closest(findings: pd.DataFrame) -> pd.DataFrame:
    """Return for each case the finding that uses most of its bound, one that did not pass before all others; NaN where none has a bound."""
    share = (findings["measured"] / findings["bound"].where(findings["bound"] > 0)).replace([np.inf, -np.inf], np.nan)
    bad = findings["outcome"].ne("pass")
    ranked = pd.DataFrame({"case": findings["case"], "bad": bad, "share": share}, index=findings.index)
    best = ranked.sort_values(["bad", "share"], ascending=False, na_position="last").drop_duplicates("case").index
    return findings.loc[best].assign(share=share.loc[best]).set_index("case")


def _checks(findings: pd.DataFrame) -> "pd.Series[str]":
    """Return by case the checks that had a say in it, with spaces between. A group of pandas' a case would take a hundred times as long."""
    case, check = findings["case"].array, findings["check"].array
    said = np.zeros((len(case.categories), len(check.categories)), dtype=bool)
    said[case.codes, check.codes] = True
    sets, at = np.unique(np.packbits(said, axis=1), axis=0, return_inverse=True)
    names = [" ".join(check.categories[np.unpackbits(row, count=said.shape[1]).astype(bool)]) for row in sets]
    return pd.Series(np.array([*names, ""], dtype=object)[at.ravel()], index=case.categories)


def _command(reproduce: str, case: str) -> str:
    """Return the command with a mark for the case, so that thousands of cases share one."""
    return reproduce.replace(case, "\0")


def _lines(texts: Iterable[object]) -> list[str]:
    return [str(text).replace("\n", " ") for text in texts]


def _words(texts: "pd.Series[Any]") -> dict[str, Any]:
    codes, words = pd.factorize(texts)
    return {"words": [str(word) for word in words], "at": np.asarray(codes)}


def _rounded(values: "pd.Series[float]") -> np.ndarray:
    """Return three significant digits [cases]; NaN, which orjson writes as null, where there is no finite number."""
    found = np.where(np.isfinite(values), values, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        over = np.nan_to_num(np.floor(np.log10(np.abs(found))), nan=0.0, neginf=0.0) - 2  # the last digit's power of ten
        up, down = 10.0 ** np.clip(over, 0, 300), 10.0 ** np.clip(-over, 0, 300)  # exact below 1e23: so is what is divided or multiplied by
    return np.asarray(np.round(found * down / up) * up / down)


assert set(WORST_FIRST) == set(OUTCOMES)
