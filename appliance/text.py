"""The one sanitiser for untrusted text on its way to a person's eyes.

Before data reach a terminal, a log line or a table they pass `visible`: control, bidirectional and
invisible characters become visible escapes, so that text can neither move the cursor nor pretend to
be other text.
"""

import unicodedata

# Cc control, Cf format (bidi, zero-width, soft hyphen), Cs surrogates, Co private, Cn unassigned,
# Zl/Zp line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

_FORMULA = tuple("=+-@\t\r")


def visible(text: str, *, limit: int = 2_000, newlines: bool = False) -> str:
    """Text that is safe to print.

    Args:
        limit: most characters of `text` that are kept; an ellipsis marks the cut.
        newlines: keep "\\n" and "\\t" as they are.
    """
    cut = text[:limit]
    shown = cut
    if not cut.isprintable():  # nothing that is printable is hidden
        shown = "".join(
            c
            if (newlines and c in "\n\t") or unicodedata.category(c) not in _HIDDEN
            else _escape(c)
            for c in cut
        )
    return shown if len(text) <= limit else shown + "…"


def spreadsheet_cell(value: object) -> str:
    """A value that no spreadsheet takes for a formula, without control characters."""
    text = "" if value is None else str(value)
    text = "".join(c if c.isprintable() else " " for c in text)
    return "'" + text if text.startswith(_FORMULA) else text


def _escape(character: str) -> str:
    point = ord(character)
    return (
        f"\\x{point:02x}"
        if point < 0x100
        else f"\\u{point:04x}"
        if point < 0x10000
        else f"\\U{point:08x}"
    )


def age(seconds: float) -> str:
    """A short time span in its largest unit; a moment in the future is no time ago."""
    whole = int(max(0.0, seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def ago(seconds: float | None) -> str:
    """An age, or never."""
    return "never" if seconds is None else f"{age(seconds)} ago"


def many(number: int, noun: str) -> str:
    """A count and its noun, in the plural unless there is exactly one: `1 route`, `2 entries`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("ry") else f"{number:,} {noun}s"


def percent(value: float) -> str:
    """`87.5 %`; no decimal where it is 0."""
    text = f"{value * 100:.1f}".removesuffix(".0")
    return f"{text} %"


def between(low: float, high: float) -> str:
    """Of an interval."""
    return f"{percent(low)} to {percent(high)}"


def within(ends: tuple[float, float]) -> str:
    """An interval: `0.812 to 0.934`."""
    return f"{ends[0]:.3f} to {ends[1]:.3f}"


def points(share: float) -> str:
    """A difference of shares in points: `+1.5`."""
    return f"{100 * share:+.1f}"


def within_points(ends: tuple[float, float]) -> str:
    """An interval of a difference: `-0.5 to +3.1`."""
    return f"{points(ends[0])} to {points(ends[1])}"
