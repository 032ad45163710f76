"""Formats of documents, a module each: bytes in, text and structure out, in a confined process.

Rules: a module here is a format by its `FORMAT`; nothing else lists them. Its `read` gets hostile
bytes, and `prepare` loads everything before that; no other process loads a library that parses
them.
"""

import functools
import importlib
import pkgutil
from dataclasses import dataclass
from types import ModuleType
from typing import Final


@dataclass(frozen=True)
class DocumentFormat:
    """One format, with a title for people and the endings of file names."""

    title: str
    endings: tuple[str, ...]


NAMES: Final = tuple(module.name for module in pkgutil.iter_modules(__path__))
"""The modules."""


def reader(name: str) -> ModuleType:
    """The module of a format."""
    return importlib.import_module(f"{__name__}.{name}")


@functools.cache
def formats() -> dict[str, DocumentFormat]:
    """Every format by its name."""
    return {name: reader(name).FORMAT for name in NAMES}


def titles() -> str:
    """All of them, for people."""
    return ", ".join(each.title for each in formats().values())
