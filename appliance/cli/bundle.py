"""`bundle`: build and check what goes onto the stick; on the connected side, from a checkout.

Rules: the product never imports the build, so this starts the `installer` package of the checkout
that this module is in, with the same Python; without a checkout it refuses. Options and exit status
are those of the build.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import click

from appliance.errors import UsageError

_ROOT: Final = Path(__file__).parents[2]
_PASSED: Final = {"ignore_unknown_options": True, "help_option_names": []}


@click.group()
def bundle() -> None:
    """Build and verify the bundle.

    From a checkout, on the connected side.
    """


@bundle.command(context_settings=_PASSED)
@click.argument("arguments", metavar="OUT --key KEY [OPTIONS]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def build(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Build a bundle in the directory OUT.

    --help lists the options.
    """
    ctx.exit(_run("build", arguments))


@bundle.command(context_settings=_PASSED)
@click.argument("arguments", metavar="PATH [--key PUB]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def verify(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Verify a bundle and its signature.

    Every byte in PATH is checked.
    """
    ctx.exit(_run("verify", arguments))


@bundle.command(context_settings=_PASSED)
@click.argument("arguments", metavar="OUT --key KEY [OPTIONS]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def tuning(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Build the stick for tuning.

    --help lists the options.
    """
    ctx.exit(_run("tuning_bundle", arguments))


def _run(module: str, arguments: tuple[str, ...]) -> int:
    if not (_ROOT / "installer" / "bundle" / f"{module}.py").is_file():
        raise UsageError("checkout_required", "Bundles are built and checked in a checkout.")
    command = [sys.executable, "-m", f"installer.bundle.{module}", *arguments]
    return subprocess.run(command, cwd=_ROOT, check=False).returncode
