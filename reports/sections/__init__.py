"""The engineers' sections: each module here has ORDER, TITLE and render(frames), and is found by being here."""

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType
from typing import Protocol, cast

from reports.blocks import Block
from reports.frame import Frames


class Section(Protocol):
    """A module of this package, or of `reports.stakeholder`, where TITLE is a key of phrases.toml."""

    ORDER: int
    TITLE: str

    def render(self, frames: Frames) -> Sequence[Block]:
        """Return the blocks of the section; none leaves it out."""


def found_in(package: ModuleType) -> list[Section]:
    """Return the sections of a package in their order on the page."""
    modules = [importlib.import_module(f"{package.__name__}.{info.name}") for info in pkgutil.iter_modules(package.__path__)]
    return sorted((cast(Section, module) for module in modules), key=lambda section: section.ORDER)


def all_sections() -> list[Section]:
    """Return the engineers' sections in their order on the page."""
    return found_in(importlib.import_module(__name__))
