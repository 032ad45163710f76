"""The command line: `appliance COMMAND`.

Rules: exit status 0 done, 1 refused or a check failed, 2 wrong usage, 3 the server cannot be
reached; errors of the product are explained here and nowhere else; a command's module, named like
the command, is imported only when the command is used; no command leaves a core dump.
"""

import importlib
from importlib.metadata import version
from typing import Any, Final

import click

from appliance.cli.imports import importing
from appliance.cli.output import Output
from appliance.errors import ApplianceError, Refused, ServerUnreachable, UsageError
from appliance.host import core_dumps

COMMANDS: Final = (
    "init", "serve", "status", "metrics", "tui", "model", "dataset", "label", "task", "eval",
    "tune", "quantize", "route", "advise", "drift", "upstream", "queue", "collection", "key",
    "request", "job", "tls", "audit",
    "auditor", "trust", "logs", "doctor", "selftest", "bundle",
)  # fmt: skip
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
        return command

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
@click.version_option(version("appliance"), prog_name="appliance")
def cli() -> None:
    """Small, specialised language models with signed loading and audited answers."""


def main() -> None:
    """Run the command line and end the process."""
    core_dumps.forbid()
    cli()
