"""From a directory of safetensors to a GGUF file: the opened files, the child, and the vetting.

Rules:
- Only plain files with one name, opened below the directory, are read; a directory with pickles is
  refused whole, since somebody may load those next to the weights.
- The child is not trusted: its file is vetted like an import.
- The file appears whole or not at all, and overwrites none.
"""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from appliance.errors import CODES, TuningRefused, UsageError
from appliance.text import visible
from appliance.trust.bytes import directory, sealed
from appliance.trust.bytes.names import problem
from appliance.trust.gguf.gguf import MAX_METADATA, vet
from appliance.tuning.conversion import messages
from appliance.workers.child import OrderedChild

_REQUIRED: Final = (messages.CONFIG, messages.TOKENIZER)
_OPTIONAL: Final = (messages.TOKENIZER_CONFIG, messages.TEMPLATE, messages.INDEX)
_WEIGHTS: Final = ".safetensors"
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_MOST_FILES: Final = 512
_SPACE: Final = 2 << 30  # address space that is mapped and hardly touched
_WORDS: Final = 1 << 16
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@dataclass(frozen=True)
class Converted:
    """A made file.

    Attributes:
        sources: hex SHA-256 of the source files, by name.
    """

    path: Path
    size: int
    sha256: str
    result: messages.ConversionResult
    sources: dict[str, str]


def convert(source: Path, target: Path) -> Converted:
    """Make the file.

    Raises:
        TuningRefused: `convert_source`, `convert_architecture`, `convert_tokenizer`,
            `convert_tensors`, `convert_failed`.
        ApplianceError: `data_exists`; as the vetting of an import.
    """
    if target.exists() or target.is_symlink():
        raise UsageError("data_exists", f"{visible(str(target), limit=200)} is there already.")
    part = target.with_name(f"{target.name}.part")
    with contextlib.ExitStack() as opened:
        files = _opened(source, opened)
        try:
            part.unlink(missing_ok=True)  # of a run that was killed
            out = os.open(part, _NEW, 0o644)
        except OSError as error:
            raise TuningRefused("convert_failed", f"{error.strerror}: {part.name}.") from error
        opened.callback(part.unlink, missing_ok=True)
        opened.callback(os.close, out)
        sources = {name: _digest(fd) for name, fd in files.items()}
        result = _child(visible(source.absolute().name, limit=200), files, out)
        size = os.fstat(out).st_size
        vet(os.pread(out, min(size, MAX_METADATA), 0), size)
        sha256 = _digest(out)
        try:
            os.fsync(out)
            target.hardlink_to(part)  # which overwrites nothing
        except OSError as error:
            raise TuningRefused("convert_failed", f"{error.strerror}: {target.name}.") from error
    directory.sync_directory(target.parent)
    return Converted(target, size, sha256, result, sources)


def _opened(source: Path, opened: contextlib.ExitStack) -> dict[str, int]:
    shown = visible(str(source), limit=200)
    try:
        root = os.open(source, _DIRECTORY)
        opened.callback(os.close, root)
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        raise TuningRefused("convert_source", f"{shown}: {error.strerror}.") from error
    if found := [name for name in names if name.lower().endswith(_PICKLES)]:
        raise TuningRefused(
            "convert_source",
            f"{visible(found[0], limit=200)} may be a pickle, which is a program.",
        )
    weights = [name for name in names if name.endswith(_WEIGHTS)]
    for name in _REQUIRED:
        if name not in names:
            raise TuningRefused("convert_source", f"{shown} has no {name}.")
    if not 1 <= len(weights) <= _MOST_FILES:
        raise TuningRefused("convert_source", f"{shown} has {len(weights)} files of safetensors.")
    files = {}
    for name in (*_REQUIRED, *(name for name in _OPTIONAL if name in names), *weights):
        if wrong := problem(name):
            raise TuningRefused("convert_source", f"{visible(name, limit=200)} {wrong}.")
        files[name] = sealed.open_regular(root, name)
        opened.callback(os.close, files[name])
    return files


def _child(name: str, files: dict[str, int], out: int) -> messages.ConversionResult:
    total = sum(os.fstat(fd).st_size for fd in files.values())
    order = messages.ConversionOrder(name, files, _SPACE + 4 * total, 2 * total + MAX_METADATA)
    child = OrderedChild.ordered(
        "appliance.tuning.conversion",
        msgspec.msgpack.encode(order),
        gives=(out,),
        also=files.values(),
    )
    try:
        said = child.finish(_WORDS)
    finally:
        child.end()
    status, _ = child.wait()
    if status or not said:
        raise TuningRefused("convert_failed", f"The process {child.last_words()}.")
    try:
        result = msgspec.msgpack.decode(said, type=messages.ConversionResult)
    except msgspec.DecodeError as error:
        raise TuningRefused("convert_failed", "The process broke the protocol.") from error
    if result.code:
        code = result.code if result.code in CODES else "convert_failed"
        raise TuningRefused(code, result.message)
    return result


def _digest(fd: int) -> str:
    """Leaves the file's offset at its end."""
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(os.dup(fd), "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    os.lseek(fd, 0, os.SEEK_SET)
    return found
