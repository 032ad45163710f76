"""A signed statement: what every kind shares, so that a kind is its fields and its rules.

Rules: an unknown field is refused; nothing is signed that could not be read; who may sign is
checked before the signature, so that a person with a wrong key learns why.

Sources: DSSE v1.0; in-toto Statement v1.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Generic, Literal, Self, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from appliance.errors import PolicyRefused
from appliance.trust.bytes import dsse, ecdsa, strict_json
from appliance.trust.bytes.strict_json import Refuse
from appliance.trust.policy.policy import PolicyKey, TrustPolicy
from appliance.types import JsonValue

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
Sha256: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
NoSha256: TypeAlias = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")]
Time: TypeAlias = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")]
T = TypeVar("T")


def id_of(envelope: bytes, refuse: Refuse) -> str:
    """The id of a signed statement of any kind: hex SHA-256 of the payload."""
    return hashlib.sha256(dsse.parse(envelope, PAYLOAD_TYPE, refuse).payload).hexdigest()


class _Digest(Struct, frozen=True, forbid_unknown_fields=True):
    sha256: Sha256


class NamedDigest(Struct, frozen=True, forbid_unknown_fields=True):
    """One subject of a statement."""

    name: str
    digest: _Digest


def named(name: str, digest: str) -> NamedDigest:
    """A subject with its hex SHA-256."""
    return NamedDigest(name, _Digest(digest))


class _Body(Struct, frozen=True, rename={"type_": "_type", "kind": "predicateType"}):
    subject: tuple[NamedDigest, ...]
    kind: str
    predicate: dict[str, Any]
    type_: Literal["https://in-toto.io/Statement/v1"]


class Statement(Struct, frozen=True, forbid_unknown_fields=True):
    """A statement; the fields of a kind are the members of its predicate.

    Attributes:
        KIND: type of the predicate.
        NOUN: begins a refusal.
        LIMIT: most bytes of an envelope.
        MALFORMED, UNSIGNED: codes of a nonsensical statement, and of a bad signature.
        SUBJECTS: pairs of fields that are its subjects: name and digest.
        APART: fields in the subjects, which the predicate leaves out.
        OPTIONAL: members that are left out where they are empty; all others must be there.
    """

    KIND: ClassVar[str]
    NOUN: ClassVar[str]
    LIMIT: ClassVar[int]
    MALFORMED: ClassVar[str]
    UNSIGNED: ClassVar[str]
    SUBJECTS: ClassVar[tuple[tuple[str, str], ...]] = ()
    APART: ClassVar[bool] = False
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()

    def signer(self, hint: str, policy: TrustPolicy) -> PolicyKey:
        """The key of this hint, if it may sign this under the policy."""
        raise NotImplementedError

    def check(self) -> None:
        """Refuse a nonsensical statement."""

    def subjects(self) -> tuple[NamedDigest, ...]:
        return tuple(named(getattr(self, n), getattr(self, d)) for n, d in self.SUBJECTS)

    def predicate(self) -> dict[str, JsonValue]:
        left_out = {each for pair in self.SUBJECTS for each in pair} if self.APART else set()
        told: dict[str, JsonValue] = msgspec.to_builtins(self)
        return {
            name: value
            for name, value in told.items()
            if name not in left_out and (value or name not in self.OPTIONAL)
        }

    @classmethod
    def parse(cls, subjects: tuple[NamedDigest, ...], predicate: dict[str, JsonValue]) -> Self:
        """A statement from its parts."""
        given: dict[str, JsonValue] = {}
        if cls.APART:
            for (name, digest), each in zip(cls.SUBJECTS, subjects, strict=False):
                given |= {name: each.name, digest: each.digest.sha256}
        if given.keys() & predicate.keys():
            raise cls.malformed("its predicate repeats its subjects")
        told = predicate | given
        for name in cls.__struct_encode_fields__:
            if name not in told and name not in cls.OPTIONAL:
                raise cls.malformed(f"{name} is missing")
        return cls.converted(told, cls)

    @classmethod
    def malformed(cls, problem: str) -> PolicyRefused:
        """The refusal of a nonsensical statement."""
        return PolicyRefused(cls.MALFORMED, f"{cls.NOUN}: {problem}.")

    @classmethod
    def unsigned(cls, problem: str) -> PolicyRefused:
        return PolicyRefused(cls.UNSIGNED, f"{cls.NOUN}: {problem}.")

    @classmethod
    def converted(cls, value: object, kind: type[T]) -> T:
        """A part of a statement as its type."""
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise cls.malformed(str(error)) from error

    def payload(self) -> bytes:
        document = _Body(self.subjects(), self.KIND, self.predicate(), _TYPE)
        return strict_json.dump(msgspec.to_builtins(document))

    @classmethod
    def read(cls, payload: bytes) -> Self:
        """Read a statement whose signature something else checks."""
        value = strict_json.parse(payload, cls.malformed, limit=cls.LIMIT)
        document = cls.converted(value, _Body)
        if document.kind != cls.KIND:
            raise cls.malformed(f"predicateType is not {cls.KIND}")
        said = cls.parse(document.subject, document.predicate)
        if said.subjects() != document.subject:
            raise cls.malformed("its subjects are not those that it names")
        said.check()
        return said

    def sign(self, key: ecdsa.SigningKey | bytes) -> bytes:
        """Sign it as a DSSE envelope; a key is opened, or an unencrypted PEM."""
        payload = self.payload()
        self.read(payload)
        private = ecdsa.load_private(key) if isinstance(key, bytes) else key
        return dsse.sign(payload, PAYLOAD_TYPE, [private])

    @classmethod
    def open(cls, envelope: bytes, refuse: Refuse | None = None) -> "Opened[Self]":
        """Read a statement whose signature nobody has checked.

        Args:
            refuse: in place of `malformed`.
        """
        refuse = refuse or cls.malformed
        if len(envelope) > cls.LIMIT:
            raise refuse(f"{len(envelope)} bytes are more than {cls.LIMIT}")
        outer = dsse.parse(envelope, PAYLOAD_TYPE, refuse)
        if len(outer.signatures) != 1:
            raise refuse("it must have exactly one signature")
        return Opened(cls.read(outer.payload), outer, envelope)

    @classmethod
    def verify(cls, envelope: bytes, policy: TrustPolicy) -> "Signed[Self]":
        """Check who signed a statement, and read it."""
        opened = cls.open(envelope)
        return opened.signed_by(opened.said.signer(opened.hint, policy))


class Unnamed(Statement, frozen=True):
    """A statement whose subjects no member of its predicate names.

    Attributes:
        about: its subjects.
    """

    about: tuple[NamedDigest, ...]

    def subjects(self) -> tuple[NamedDigest, ...]:
        return self.about

    def predicate(self) -> dict[str, JsonValue]:
        """All but the subjects."""
        return {name: value for name, value in super().predicate().items() if name != "about"}

    @classmethod
    def parse(cls, subjects: tuple[NamedDigest, ...], predicate: dict[str, JsonValue]) -> Self:
        """Refuses subjects in the predicate."""
        if "about" in predicate:
            raise cls.malformed("its predicate repeats its subjects")
        return super().parse(subjects, predicate | {"about": msgspec.to_builtins(subjects)})


_TYPE: Final = "https://in-toto.io/Statement/v1"
S = TypeVar("S", bound=Statement)


@dataclass(frozen=True)
class Signed(Generic[S]):
    """A statement whose signature holds.

    Attributes:
        id: hex SHA-256 of the signed payload.
        key: hint of the key that signed.
        envelope: as it was signed.
    """

    said: S
    id: str
    key: str
    envelope: bytes


@dataclass(frozen=True)
class Opened(Generic[S]):
    """A statement whose signature nobody has checked: for titles, never for a decision."""

    said: S
    outer: dsse.Envelope
    envelope: bytes

    @property
    def hint(self) -> str:
        """Of the key that is said to have signed."""
        return self.outer.signatures[0][0]

    @property
    def id(self) -> str:
        """Hex SHA-256 of what was signed."""
        return hashlib.sha256(self.outer.payload).hexdigest()

    def signed_by(self, key: PolicyKey) -> Signed[S]:
        """The statement, if this key signed it."""
        dsse.signers(self.outer, {self.hint: key.public}, self.said.unsigned)
        return Signed(self.said, self.id, self.hint, self.envelope)
