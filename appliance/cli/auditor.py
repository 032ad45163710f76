"""`auditor`: the programs that an auditor runs on another machine.

Rules: they are copied and never run or imported here: what checks the appliance is not the
appliance; each is one file of Python.
"""

import importlib.util
from hashlib import sha256
from pathlib import Path
from typing import Final

import click

from appliance.cli.output import DIRECTORY, Output, json_option, safe
from appliance.errors import Refused, UsageError

TOOLS: Final = {
    "verify_certificate.py": "verifies the certificate of a gate; needs Python only",
    "verify_export.py": "verifies an export of the whole log; needs Python only",
    "verify_receipt.py": "verifies the receipt of one answer; needs Python only",
    "verify_result.py": "finds the entry that names a result; needs Python only",
    "witness.py": "cosigns heads of the log; needs Python and cryptography",
}


@click.group()
def auditor() -> None:
    """Programs for the auditor's machine.

    They run on one that is not the appliance.
    """


@auditor.command("export-tools")
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@json_option
@click.pass_obj
def export_tools(output: Output, directory: Path) -> None:
    """Write the auditor's programs into DIR.

    Each is one file of Python.
    """
    source = _source()
    taken = [name for name in TOOLS if (directory / name).exists()]
    if taken:
        raise UsageError("data_exists", f"{directory / taken[0]} exists already.")
    directory.mkdir(parents=True, exist_ok=True)
    written = {}
    for name in TOOLS:
        data = (source / name).read_bytes()
        with (directory / name).open("xb") as file:
            file.write(data)
        written[name] = sha256(data).hexdigest()
    lines = [f"{safe(str(directory / name))}: {what}" for name, what in TOOLS.items()]
    lines.append("Next: read them, take them to another machine; docs/auditor-guide.md says how")
    output.data({"directory": str(directory), "files": written}, lines)


def _source() -> Path:
    """Found without importing them."""
    found = importlib.util.find_spec("auditor")
    if found is None or not found.submodule_search_locations:
        raise Refused("file_unusable", "The auditor's programs are not installed here.")
    return Path(next(iter(found.submodule_search_locations)))
