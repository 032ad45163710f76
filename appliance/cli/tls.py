"""`tls`: certificates of the LAN listener."""

from pathlib import Path

import click

from appliance.auth import certificates
from appliance.auth.certificates import CaKey
from appliance.cli.output import OUT, Output, passphrase_of, prints, safe
from appliance.cli.unlocking import unlock
from appliance.clock import SystemClock
from appliance.config import load_config
from appliance.errors import Refused
from appliance.trust.policy import trusted_file

ca_key_option = click.option(
    "--ca-key", type=OUT, help="Place of the CA's key, such as a stick. By default DATA/tls."
)
passphrase_option = click.option(
    "--passphrase-file",
    type=OUT,
    help="Its first line opens the CA's key. By default a prompt asks.",
)


def kept_key(path: Path | None, data: Path, passphrase_file: Path | None, *, lab: bool) -> CaKey:
    """Where a new CA's key is kept, and its passphrase; a lab's needs none.

    Raises:
        Refused: `passphrase_refused` for a short one.
    """
    place = path or data / "tls" / certificates.CA_KEY
    if lab and passphrase_file is None:
        return CaKey(place)
    passphrase = passphrase_of(passphrase_file, place, new=True)
    if len(passphrase) < certificates.MIN_PASSPHRASE:
        raise Refused(
            "passphrase_refused",
            f"A passphrase takes at least {certificates.MIN_PASSPHRASE} characters.",
        )
    return CaKey(place, passphrase)


@click.group()
def tls() -> None:
    """TLS of the LAN listener."""


@tls.command()
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@ca_key_option
@passphrase_option
@prints
def issue(
    output: Output,
    data: Path,
    names: tuple[str, ...],
    ca_key: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Make a local CA and a certificate.

    The CA is limited to these DNS names and addresses; `appliance tls renew` needs its key. Give
    clients ca.pem.
    """
    load_config(data)
    unlock(data)
    kept = kept_key(ca_key, data, passphrase_file, lab=not trusted_file.exists(data / "trust"))
    certificates.issue(data / "tls", names, SystemClock(), kept)
    ca = data / "tls" / "ca.pem"
    output.data(
        {"ca": str(ca), "ca_key": str(kept.path), "names": list(names), "days": certificates.DAYS},
        [
            f"{ca} is for the clients; it is limited to {', '.join(map(safe, names))}",
            f"{kept.path} is the CA's key, for `appliance tls renew`",
            f"valid for {certificates.DAYS} days",
            "Next: enabled = true under [tls] in appliance.toml",
        ],
    )


@tls.command()
@ca_key_option
@passphrase_option
@click.option(
    "--new-ca", is_flag=True, help="Make a new CA: the old key is gone. Clients need its file."
)
@prints
def renew(
    output: Output, data: Path, ca_key: Path | None, passphrase_file: Path | None, new_ca: bool
) -> None:
    """Renew the server's certificate.

    A running server takes it within ten seconds. With --new-ca it changes in 30 days, or when the
    old certificate expires: give every client clients.pem before.
    """
    config = load_config(data)
    unlock(data)
    directory, clock = data / "tls", SystemClock()
    if not certificates.standing(data / config.tls.certificate).own:
        raise Refused(
            "certificate_foreign",
            f"{config.tls.certificate} is not of a CA that this appliance made.",
        )
    if new_ca:
        kept = kept_key(ca_key, data, passphrase_file, lab=not trusted_file.exists(data / "trust"))
        day = certificates.replace_ca(directory, clock, kept)
        certificates.change(directory, clock)
        given = directory / certificates.CLIENTS
        given = given if given.exists() else directory / "ca.pem"
        output.data(
            {"changes": f"{day:%Y-%m-%dT%H:%M:%SZ}", "clients": str(given)},
            [
                f"the server changes to a certificate of a new CA at {day:%Y-%m-%d %H:%M} UTC",
                f"Next: give {given} to every client before; one with a key can fetch /ca.pem",
            ],
        )
        return
    place = ca_key or directory / certificates.CA_KEY
    if not place.exists():
        raise Refused("ca_key_missing", f"{place} is not there.")
    passphrase = passphrase_of(passphrase_file, place) if certificates.encrypted(place) else ""
    ends = certificates.renew(directory, clock, CaKey(place, passphrase))
    output.data(
        {"ends": f"{ends:%Y-%m-%dT%H:%M:%SZ}"},
        [
            f"the new certificate holds until {ends:%Y-%m-%d}; clients of ca.pem take it",
            "a running server takes it within ten seconds",
        ],
    )
