"""Decoders of structs, made before threads need them.

msgspec 0.22 makes a struct's decoder at its first use, and crashes if another thread then uses it.
"""

import contextlib

import msgspec


def prepare() -> None:
    """Make those of all structs that are imported; some milliseconds."""
    found: list[type] = [msgspec.Struct]
    for kind in found:
        found += kind.__subclasses__()
        with contextlib.suppress(NameError, TypeError):  # of a form that is only encoded
            msgspec.json.Decoder(kind)
