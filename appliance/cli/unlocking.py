"""Unlocking a data directory whose host key is under a passphrase, a token or the TPM.

Rules: a service's credential comes first, then a named file, then a person at a terminal; each is
tried once. Officers open a token's and a TPM's, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, TypeAlias

import click
import msgspec
from msgspec import Struct

from appliance.cli.output import asks
from appliance.cli.signing import KeyPlace, KeyRing, pin_of
from appliance.config import credentials
from appliance.errors import Refused, StateRefused
from appliance.host import host_key, tpm
from appliance.host.tpm import Pcrs
from appliance.tokens.uri import TokenUri
from appliance.trust.bytes import ecdsa, sealed_stream
from appliance.trust.bytes.sealed_stream import Recipient

_PURPOSE: Final = b"appliance host key v1\n"
_OF_THE_PIN: Final = {"token_pin_wrong", "token_pin_locked"}
HostKeyPlace: TypeAlias = KeyPlace | Pcrs


class HostKeyOnToken(Struct, frozen=True, forbid_unknown_fields=True):
    """The host key's file: the token or any officer opens it."""

    token: TokenUri
    recipients: tuple[Recipient, ...]
    format: Literal[2] = 2


class HostKeyInTpm(Struct, frozen=True, forbid_unknown_fields=True):
    """The same with the TPM."""

    sealed: tpm.SealedByTpm
    recipients: tuple[Recipient, ...]
    format: Literal[3] = 3


class TokenWrapping:
    """`key`: the token's; to unwrap, any recipient's."""

    def __init__(self, data: Path, token: TokenUri, key: ecdsa.SigningKey) -> None:
        self._data, self._token, self._key = data, token, key
        self.hint = ecdsa.hint(key.public_key())

    def wrap(self, key: bytes) -> bytes:
        people = [self._key.public_key(), *_officers(self._data)]
        found = sealed_stream.wrapped(key, people, _PURPOSE)
        made = msgspec.json.encode(HostKeyOnToken(self._token, found))
        self.unwrap(made)  # a token that cannot is refused before anything is under it
        return made

    def unwrap(self, file: bytes) -> bytes:
        found = msgspec.json.decode(file, type=HostKeyOnToken)
        return sealed_stream.unwrapped(found.recipients, self._key, _PURPOSE)


class TpmWrapping:
    """`officer`: the key that unwraps in its place."""

    def __init__(self, data: Path, pcrs: Pcrs, officer: ecdsa.SigningKey | None = None) -> None:
        self._data, self._pcrs, self._officer = data, pcrs, officer
        self.hint = "" if officer is None else ecdsa.hint(officer.public_key())

    def wrap(self, key: bytes) -> bytes:
        found = sealed_stream.wrapped(key, _officers(self._data), _PURPOSE)
        made = msgspec.json.encode(HostKeyInTpm(tpm.seal(key, self._pcrs), found))
        self.unwrap(made)
        return made

    def unwrap(self, file: bytes) -> bytes:
        found = msgspec.json.decode(file, type=HostKeyInTpm)
        if self._officer is None:
            return tpm.unseal(found.sealed)
        return sealed_stream.unwrapped(found.recipients, self._officer, _PURPOSE)


def _officers(data: Path) -> tuple[ecdsa.PublicKey, ...]:
    from appliance.trust.policy import officers

    return officers.keys(data / "trust")


def place_of(data: Path) -> TokenUri | Pcrs | None:
    """None under a passphrase, or in plain."""
    with suppress(OSError, ValueError):
        file = (data / host_key.FILE).read_bytes()
        with suppress(ValueError):
            return msgspec.json.decode(file, type=HostKeyOnToken).token
        return msgspec.json.decode(file, type=HostKeyInTpm).sealed.pcrs
    return None


def new_lock(data: Path, place: HostKeyPlace | None, ring: KeyRing) -> host_key.Lock:
    """A new passphrase, a token or the TPM."""
    if place is None:
        return ring.secret("New passphrase", new=True)
    if isinstance(place, Pcrs):
        if not _officers(data):
            raise click.UsageError("--key tpm: takes a site: officers open it after an update.")
        return TpmWrapping(data, place)
    if not isinstance(place, TokenUri):
        raise click.UsageError("--key takes pkcs11:token=…;object=…: a file would need a key, too.")
    return TokenWrapping(data, place, ring.token(place))


def unlock(data: Path, file: Path | None = None) -> None:
    """Unlock it for this process, where it is locked.

    Raises:
        Refused: `passphrase_refused`, `token_pin_wrong`, `token_pin_locked`.
        StateRefused: `host_key_locked` where nobody can be asked; `host_key_damaged`,
            `host_key_token`, `host_key_pcrs`.
    """
    if host_key.locked(data):
        with present_lock(data, KeyRing(file), credentials()) as lock:
            host_key.unlock(data, lock)


@contextmanager
def present_lock(
    data: Path, ring: KeyRing, given: Path | None = None, officer: KeyPlace | None = None
) -> Iterator[host_key.Lock]:
    """The passphrase, the open token, or the TPM; raises as `unlock`.

    Args:
        given: the directory of systemd's credentials.
        officer: in their place.
    """

    def ask(name: str, *, last: bool = False) -> str:
        if given is not None and (file := given / host_key.CREDENTIAL).exists():
            if last:  # a service that is started again and again would lock the token
                raise StateRefused("host_key_token", f"{name}: a person types it, by a command.")
            return (file.read_text(encoding="utf-8").splitlines() or [""])[0]
        if not (ring.from_file or asks()):
            raise StateRefused("host_key_locked", f"The key files of {data} are locked.")
        return ring.secret(name)

    place = place_of(data)
    try:
        opener = None if officer is None else ring.open(officer)
        if place is None:
            yield ask(f"Passphrase of {data}")
        elif isinstance(place, Pcrs):
            yield TpmWrapping(data, place, opener)
        elif opener is not None:
            yield TokenWrapping(data, place, opener)
        else:
            from appliance.tokens.key import TokenKey  # who has a passphrase needs none of it

            with TokenKey(place, lambda found: ask(pin_of(found), last=found.final_try)) as key:
                yield TokenWrapping(data, place, key)
    except Refused as error:
        if error.code in _OF_THE_PIN or not error.code.startswith(("token_", "backup_")):
            raise
        raise StateRefused("host_key_token", f"The host key stays closed: {error}") from error
