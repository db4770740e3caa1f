"""The stakeholder page's texts in every language: `say` looks one up in phrases.toml and fills it in. Knows no run and no HTML."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

#: The languages of the page by BCP 47 tag, each with its own name for itself. The first is the one of a reader without JavaScript.
LANGUAGES: Mapping[str, str] = {"en": "English", "zh-Hans": "中文"}


@dataclass(frozen=True)
class Phrase:
    """One text in every language, by tag; `str()` gives the first language's."""

    texts: Mapping[str, str]

    def __str__(self) -> str:
        return self.texts[next(iter(LANGUAGES))]


Words = str | Phrase


@cache
def stored() -> Mapping[str, Mapping[str, str]]:
    """Return phrases.toml: by key, the text by language; `en_one` is the text for a `count` of one where English needs another."""
    return tomllib.loads(files("reports").joinpath("phrases.toml").read_text(encoding="utf-8"))


def say(key: str, **values: Words | int) -> Phrase:
    """Return the text of `key` in every language, with {names} filled in; a value that is a phrase itself goes in language by language.

    Raises KeyError where there is no such key or a value is missing, which is a mistake in this package.
    """
    known = stored()[key]
    texts = {}
    for language in LANGUAGES:
        text = known.get(f"{language}_one", known[language]) if values.get("count") == 1 else known[language]
        texts[language] = text.format(**{name: within(value, language) for name, value in values.items()})
    return Phrase(texts)


def within(words: Words | int, language: str) -> str:
    """Return the text in one language; what is no phrase is the same in all."""
    return words.texts[language] if isinstance(words, Phrase) else str(words)


def joined(parts: Iterable[Words], comma: bool = False) -> Phrase:
    """Return sentences one after the other or, with `comma`, a list; Chinese has no space between them and a comma of its own."""
    parts = list(parts)
    between = {"en": ", " if comma else " ", "zh-Hans": "、" if comma else ""}
    return Phrase({language: between[language].join(filter(None, (within(p, language) for p in parts))) for language in LANGUAGES})


def outcome(name: str) -> Phrase:
    """Return the name of an outcome."""
    return say(f"outcome-{name}")


def area(name: str) -> Phrase:
    """Return the name of an area."""
    return say(f"area-{name}")
