"""`selftest`: policy, models, one token, one audit entry."""

from collections.abc import Iterator

import click

from appliance.cli.connect import connected
from appliance.cli.output import Output, safe, state
from appliance.client import AdminClient
from appliance.wire.admin.selftest import SELFTEST, SelfTest, SelfTestWanted


@click.command()
@click.option("--release", default="", metavar="ID", help="For the record: what was installed.")
@click.option("--manifest", default="", metavar="SHA256", help="For the record: its manifest.")
@click.option("--vendor-key", default="", metavar="SHA256", help="For the record: who signed it.")
@connected()
def selftest(
    output: Output, client: AdminClient, release: str, manifest: str, vendor_key: str
) -> None:
    """Test policy, models and one token.

    The verdict is recorded; exit 1 if it is bad.
    """
    wanted = SelfTestWanted(release=release, manifest=manifest, vendor_key=vendor_key)
    found = client.call(SELFTEST, wanted)
    output.data(found, _lines(found))
    output.require(found.ok)


def _lines(found: SelfTest) -> Iterator[str]:
    yield f"policy    version {found.policy}, its signature holds"
    yield f"models    {found.models} approved, every byte as it was signed"
    yield f"engine    {safe(found.engine)} computes"
    token = f"one, by {safe(found.token)}" if found.token else "none: no approved model writes text"
    yield f"token     {token}"
    yield f"audit     entry {found.entry} is durable"
    for problem in found.problems:
        yield f"[!] {problem.code}: {safe(problem.message)}"
    if found.ok:
        yield f"{state('ok')}"
