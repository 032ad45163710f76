"""`--key` and `--passphrase-file`: the keys that people sign with, in files and on tokens.

Rules: a PIN or passphrase is typed, or is a line of a file or descriptor, never a word of the
command line; each is tried once. Keys are opened before the command's work and closed after it.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

from appliance.cli.output import FILE, OUT, Output, safe
from appliance.config import load_config
from appliance.errors import Refused, UsageError
from appliance.tokens import uri
from appliance.tokens.messages import TokenFound
from appliance.tokens.uri import TokenUri
from appliance.trust.bytes import ecdsa, key_file

KeyPlace: TypeAlias = Path | TokenUri
Command: TypeAlias = Callable[..., None]


class PlaceOfKey(click.ParamType[Path | TokenUri]):
    """`new`: it is not there yet."""

    name = "key"

    def __init__(self, *, new: bool = False) -> None:
        self._path = OUT if new else FILE

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> KeyPlace:
        if isinstance(value, str) and value.startswith(uri.SCHEME):
            return uri.parse(value)
        found: Path = self._path.convert(value, param, ctx)
        return found


def name_of(place: KeyPlace) -> str:
    """Words for a key in a message."""
    return f"{place.token}/{place.object}" if isinstance(place, TokenUri) else place.name


def pin_of(found: TokenFound) -> str:
    """The question."""
    last = " (the last try before it locks)" if found.final_try else ""
    return f"PIN of {safe(found.label)}{last}"


passphrase_option = click.option(
    "--passphrase-file", type=FILE,
    help="A line for each PIN or passphrase. One line is for all, and /dev/fd/N is a"
         " descriptor; by default a prompt asks.",
)  # fmt: skip


class KeyRing:
    """Opens the keys of one command.

    Args:
        data: the command's directory, which may refuse unencrypted keys.
        strict: refuse them always.
    """

    def __init__(
        self, file: Path | None, data: Path | None = None, *, strict: bool = False
    ) -> None:
        self._lines = None if file is None else file.read_text(encoding="utf-8").splitlines()
        self._next, self._data, self._strict = 0, data, strict
        self.from_file = file is not None

    def secret(self, name: str, *, new: bool = False) -> str:
        """One line is for all, but not both for a present key and a new one.

        Raises UsageError (`passphrase_missing`).
        """
        if self._lines is None:
            text: str = click.prompt(name, hide_input=True, confirmation_prompt=new, err=True)
            return text
        if len(self._lines) == 1 and not new:
            self._next = 1
            return self._lines[0]
        if self._next == len(self._lines):
            raise UsageError("passphrase_missing", f"--passphrase-file has no line for: {name}.")
        self._next += 1
        return self._lines[self._next - 1]

    def open(self, place: KeyPlace) -> ecdsa.SigningKey:
        """A key, open until the command ends.

        Raises:
            Refused: `passphrase_refused`, `key_unencrypted`, `token_…`.
            SignatureRefused: `signature_key_unsupported`.
        """
        if isinstance(place, TokenUri):
            return self.token(place)
        pem = place.read_bytes()
        if not ecdsa.is_encrypted(pem) and (self._strict or not ecdsa.is_lab(pem)):
            self._unencrypted(place)
        return key_file.read(place, lambda: self.secret(f"Passphrase of {place.name}"))

    def token(
        self, place: TokenUri, *, make: bool = False, always: bool = False
    ) -> ecdsa.SigningKey:
        """A key on a token; raises as `open`."""
        from appliance.tokens.key import TokenKey  # who has a file needs none of it

        key = TokenKey(place, self._pin, make=make, always=always)
        return click.get_current_context().with_resource(key)

    def _pin(self, found: TokenFound) -> str:
        return self.secret(pin_of(found))

    def _unencrypted(self, path: Path) -> None:
        problem = f"{path} holds a private key in plain."
        if self._strict or (self._data and load_config(self._data).trust.unencrypted == "refuse"):
            raise Refused("key_unencrypted", problem)
        output = click.get_current_context().find_object(Output)
        if output is not None:
            output.note(f"[!] {safe(problem)} The next release refuses it; encrypt it now:")
            output.note(f"    appliance signer encrypt {safe(str(path))}")


def key_option(about: str, *, required: bool = True) -> Callable[[Command], Command]:
    """`--key` and `--passphrase-file`; the command gets `key`, opened. `about` is for the help."""

    def added(command: Command) -> Command:
        @functools.wraps(command)
        def run(
            *given: Any, key: KeyPlace | None, passphrase_file: Path | None, **named: Any
        ) -> Any:
            ring = KeyRing(passphrase_file, named.get("data"))
            command(*given, key=None if key is None else ring.open(key), **named)

        option = click.option(
            "--key", type=PlaceOfKey(), required=required, metavar="KEY",
            help=f"{about} A file, or pkcs11:token=…;object=…",
        )  # fmt: skip
        return option(passphrase_option(run))

    return added


def signer_options(who: str) -> Callable[[Command], Command]:
    """`--as NAME`, `--key` and `--passphrase-file`, as `person` and `key`; `who` is for help."""

    def added(command: Command) -> Command:
        named = click.option("--as", "person", required=True, metavar="NAME", help=who)
        return named(key_option("That person's private key.")(command))

    return added
