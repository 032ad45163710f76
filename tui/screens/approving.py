"""One approval as a change.

Rules: the private key is read by the command, never here; the names on offer are the policy's.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

from appliance.types import Report
from tui.change import Answers, Blank, Change
from tui.desk import Desk

_MOST: Final = 50


def approval(
    desk: Desk, model_id: str, digest: str, name: str = "", people: tuple[str, ...] = ()
) -> Change:
    """Add one approval.

    Args:
        digest: for the person to compare.
        name: the expected approver.
        people: who may approve; by default those of the key files' names.
    """

    def work(answers: Answers, report: Report) -> str:
        done = desk.commands.run(
            *("model", "approve", model_id, "--as", answers["as"], "--key", answers["key"]),
            *("--meaning", answers["meaning"]),
            report=report,
        )
        if answers["meaning"] not in desk.meanings:
            desk.meanings.insert(0, answers["meaning"])
        return f"{answers['as']} approved {model_id}, which is {done.get('state', '?')} now"

    lab = desk.data / "keys" / "lab"
    key = str(lab / f"{name}.pem") if name and desk.status and desk.status.profile == "lab" else ""
    people = people or tuple(Path(file).stem for file in key_files(desk))
    return Change(
        f"Approve {model_id}",
        f"appliance model approve {model_id} --as NAME --key FILE",
        f"model: approval of {model_id} by NAME, with the meaning",
        work,
        blanks=(
            Blank(
                "as",
                "Name, as in the policy",
                name,
                needed=True,
                help="approver-1",
                choices=people,
            ),
            Blank(
                "key",
                "File of the private key",
                key,
                needed=True,
                help="/path/to/key.pem",
                choices=key_files(desk),
            ),
            Blank(
                "meaning",
                "Meaning of your signature",
                needed=True,
                help="tested on the bench, fit for use",
                choices=tuple(desk.meanings),
            ),
        ),
        explain=(f"Digest {digest}", "The key is read by the command and stays with it."),
    )


def key_files(desk: Desk) -> tuple[str, ...]:
    """Files that look like private keys: those of a lab, and at the top of each named directory."""
    found: list[str] = []
    for place in (desk.data / "keys" / "lab", *desk.media):
        with suppress(OSError):
            found += sorted(str(path) for path in place.glob("*.pem"))
    return tuple(found[:_MOST])
