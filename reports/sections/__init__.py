"""The sections of a report: each module here has ORDER, TITLE and render(frames), and is found by being here."""

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Protocol, cast

from reports.blocks import Block
from reports.frame import Frames


class Section(Protocol):
    """A module of this package."""

    ORDER: int
    TITLE: str

    def render(self, frames: Frames) -> Sequence[Block]:
        """Return the blocks of the section; none leaves it out."""


def all_sections() -> list[Section]:
    """Return the sections in their order on the page."""
    modules = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    return sorted((cast(Section, module) for module in modules), key=lambda section: section.ORDER)
