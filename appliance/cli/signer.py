"""`appliance signer`: the private keys that people sign with.

Rules: no data directory and no server; a key is made in a file under a passphrase, or on a token,
which it never leaves.
"""

from pathlib import Path

import click

from appliance.cli.output import FILE, OUT, Output, json_option, safe, state
from appliance.cli.signing import KeyPlace, KeyRing, PlaceOfKey, key_option, passphrase_option
from appliance.errors import UsageError
from appliance.tokens.uri import TokenUri
from appliance.trust.bytes import durable, ecdsa, key_file
from appliance.types import JsonValue

_public = click.option(
    "--public", type=OUT,
    help="Place of the public key. By default next to a key file, as .pub.",
)  # fmt: skip


@click.group()
def signer() -> None:
    """Private keys of people: make, encrypt, show."""


@signer.command()
@click.argument("place", metavar="KEY", type=PlaceOfKey(new=True))
@_public
@click.option("--pin-always", is_flag=True, help="The token asks for the PIN each time.")
@passphrase_option
@json_option
@click.pass_obj
def new(
    output: Output,
    place: KeyPlace,
    public: Path | None,
    pin_always: bool,
    passphrase_file: Path | None,
) -> None:
    """Make a key, in a file or on a token.

    KEY is a new file, or pkcs11:token=…;object=… with a free name.
    """
    ring = KeyRing(passphrase_file)
    if isinstance(place, TokenUri):
        if public is None:
            raise click.UsageError("--public says where a token's public key is written.")
        _free(public)
        pem = ecdsa.public_pem(ring.token(place, make=True, always=pin_always).public_key())
    elif pin_always:
        raise click.UsageError("--pin-always is for a key on a token.")
    else:
        public = public or place.with_suffix(".pub")
        _free(place, public)
        passphrase = ring.secret(f"New passphrase of {place.name}", new=True)
        pem = key_file.new(place, passphrase)
    durable.create(public, pem, 0o644)
    _tell(output, ecdsa.load_public(pem), public, "made")


@signer.command()
@click.argument("path", metavar="FILE", type=PlaceOfKey())
@passphrase_option
@json_option
@click.pass_obj
def encrypt(output: Output, path: KeyPlace, passphrase_file: Path | None) -> None:
    """Put a key under a new passphrase.

    Of a passphrase file, the first line is the present one.
    """
    if isinstance(path, TokenUri):
        raise click.UsageError("A key on a token has a PIN; the vendor's program changes it.")
    ring = KeyRing(passphrase_file)
    key = key_file.read(path, lambda: ring.secret(f"Present passphrase of {path.name}"))
    key_file.encrypt(path, key, ring.secret(f"New passphrase of {path.name}", new=True))
    _tell(output, key.public_key(), path, "encrypted")


@signer.command()
@click.argument("place", metavar="KEY", type=PlaceOfKey())
@_public
@passphrase_option
@json_option
@click.pass_obj
def show(
    output: Output, place: KeyPlace, public: Path | None, passphrase_file: Path | None
) -> None:
    """Open a key and show its public half."""
    key = KeyRing(passphrase_file).open(place).public_key()
    if public is not None:
        _free(public)
        durable.create(public, ecdsa.public_pem(key), 0o644)
    _tell(output, key, public, "opens")


@signer.command()
@click.argument("path", metavar="FILE", type=FILE)
@key_option("The private key.")
@click.option("--out", type=OUT, required=True,
              help="Where the signature is written, DER.")  # fmt: skip
@json_option
@click.pass_obj
def sign(output: Output, path: Path, key: ecdsa.SigningKey, out: Path) -> None:
    """Sign the bytes of a file.

    `openssl dgst -sha384 -verify PUBLIC -signature OUT FILE` checks it.
    """
    durable.replace(out, ecdsa.sign(key, path.read_bytes()), 0o644)
    _tell(output, key.public_key(), out, "signed")


def _free(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise UsageError("data_exists", f"{path} exists already.")


def _tell(output: Output, key: ecdsa.PublicKey, path: Path | None, word: str) -> None:
    document: dict[str, JsonValue] = {
        "key": ecdsa.hint(key), "algorithm": ecdsa.algorithm(key).name,
        "file": None if path is None else str(path), "public": ecdsa.public_pem(key).decode(),
    }  # fmt: skip
    lines = [f"{state(word)} {ecdsa.algorithm(key).name}, key {ecdsa.hint(key)}"]
    output.data(document, lines if path is None else [*lines, f"  {safe(str(path))}"])
