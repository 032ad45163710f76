"""One approval as a change: who, with which key, meaning what.

Rules: the private key is read by the command, never here; the names on offer are those of the
policy.
"""

from appliance.types import Report
from tui.change import Answers, Blank, Change
from tui.desk import Desk


def approval(desk: Desk, model_id: str, digest: str, name: str = "") -> Change:
    """The change that adds one approval.

    Args:
        digest: what is approved, for the person to compare.
        name: the approver, where one is expected.
    """

    def work(answers: Answers, report: Report) -> str:
        done = desk.commands.run(
            *("model", "approve", model_id, "--as", answers["as"], "--key", answers["key"]),
            *("--meaning", answers["meaning"]),
            report=report,
        )
        return f"{answers['as']} approved {model_id}, which is {done.get('state', '?')} now"

    lab = desk.data / "keys" / "lab"
    key = str(lab / f"{name}.pem") if name and desk.status and desk.status.profile == "lab" else ""
    return Change(
        f"Approve {model_id}",
        f"appliance model approve {model_id} --as NAME --key FILE",
        f"model: approval of {model_id} by NAME, with the meaning",
        work,
        blanks=(
            Blank("as", "Name, as in the trust policy", name, needed=True, help="approver-1"),
            Blank("key", "File of the private key", key, needed=True, help="/path/to/key.pem"),
            Blank(
                "meaning",
                "What the signature says",
                needed=True,
                help="tested on the bench, fit for use",
            ),
        ),
        explain=(f"Digest {digest}", "The key is read by the command and stays with it."),
    )
