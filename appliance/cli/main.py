"""The command line: `appliance COMMAND`.

Rules: exit status 0 done, 1 refused or a check failed, 2 wrong usage, 3 the server cannot be
reached; errors of the product are explained here and nowhere else; a command's module, named like
the command, is imported only when the command is used; no command leaves a core dump.
"""

import importlib
from typing import Any, Final

import click

from appliance import __version__
from appliance.cli.examples import add_examples
from appliance.cli.imports import importing
from appliance.cli.output import Output, write_whole
from appliance.errors import ApplianceError, Refused, ServerUnreachable, UsageError
from appliance.host import core_dumps

COMMANDS: Final = {
    "init": "Make a data directory.",
    "serve": "Serve the approved models until SIGTERM or ctrl-c.",
    "status": "Show server, models, log and host.",
    "metrics": "Measure tokens, queues, cache and waits.",
    "tui": "Open the operator's screens.",
    "docs": "Read the guides, without a network.",
    "artifact": "Artifacts: sign, import, approve, revoke.",
    "model": "Models: convert, load, unload.",
    "dataset": "Labelled examples: check, split, seal, sign.",
    "label": "Labelling from zero: two people, blind.",
    "task": "Narrow jobs that apps call by name.",
    "eval": "Evaluate candidates; certify a task.",
    "tune": "Train an adapter on the machine that serves it.",
    "quantize": "Make smaller files of a model that are not worse.",
    "route": "Try a small model first; escalate in doubt.",
    "advise": "Advise: classifier, prompt, tuning, larger model.",
    "drift": "Alarms when the requests of a task change.",
    "upstream": "Engines on other hosts.",
    "queue": "Requests that wait for a person.",
    "collection": "Documents as evidence, with access rights.",
    "key": "API keys of apps.",
    "request": "Requests that are being answered now.",
    "job": "Long work: imports, loads, evaluations, exports.",
    "signer": "Private keys of people: make, encrypt, show.",
    "protect": "The appliance's own keys under a passphrase.",
    "tls": "TLS of the LAN listener.",
    "audit": "The audit log: read, prove, verify.",
    "auditor": "Programs for auditors, for another machine.",
    "trust": "The trust policy and its root.",
    "state": "Compare the database with the audit log.",
    "logs": "Show the server's log lines.",
    "usage": "Usage by app, task, model over time.",
    "site": "The other appliances of a site.",
    "incident": "Records of alarms: list, acknowledge.",
    "doctor": "Report on host, data directory and releases.",
    "selftest": "Verify, generate one token, record the verdict.",
    "bundle": "Build and verify the bundle for the stick.",
}
"""Each command with its line of the help, so that the help imports none of them."""
_REFUSED, _USAGE, _UNREACHABLE = 1, 2, 3


def exit_status(error: ApplianceError) -> int:
    """The exit status that an error has."""
    if isinstance(error, UsageError):
        return _USAGE
    return _UNREACHABLE if isinstance(error, ServerUnreachable) else _REFUSED


class _Main(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        with importing():
            module = importlib.import_module(f"appliance.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        add_examples(command, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        output = ctx.ensure_object(Output)
        try:
            return super().invoke(ctx)
        except click.ClickException:
            raise
        except ApplianceError as error:
            output.error(error)
            ctx.exit(exit_status(error))
        except BrokenPipeError:
            raise
        except OSError as error:
            known = Refused("file_unusable", f"{error.filename or 'A file'}: {error.strerror}.")
            output.error(known)
            ctx.exit(_REFUSED)


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="appliance")
def cli() -> None:
    """Serve small models, signed and audited."""


def main() -> None:
    """Run the command line."""
    core_dumps.forbid()
    write_whole()
    cli()
