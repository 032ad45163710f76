"""The functions of PKCS#11 that are called here, over ctypes.

Rules: one module, one session, one thread; a PIN is tried once for each that a person gave; of a
key only its public half is read.

Source: OASIS PKCS #11 Base Specification 2.40.
"""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

_Ulong: TypeAlias = ctypes.c_ulong
_FUNCTIONS: Final = {
    "C_Initialize": 0, "C_Finalize": 1, "C_GetSlotList": 4, "C_GetTokenInfo": 6,
    "C_OpenSession": 12, "C_Login": 18, "C_DestroyObject": 22, "C_GetAttributeValue": 24,
    "C_FindObjectsInit": 26, "C_FindObjects": 27, "C_FindObjectsFinal": 28, "C_SignInit": 42,
    "C_Sign": 43, "C_GenerateKeyPair": 59, "C_DeriveKey": 62,
}  # fmt: skip
"""Places in the list of functions, which begins with a version."""
CLASS, TOKEN, PRIVATE, LABEL, VALUE, KEY_TYPE, ID, SENSITIVE = 0, 1, 2, 3, 0x11, 0x100, 0x102, 0x103
SIGN, VERIFY, EXTRACTABLE, EC_PARAMS, EC_POINT, ALWAYS = 0x108, 0x10A, 0x162, 0x180, 0x181, 0x202
DERIVE: Final = 0x10C
_VALUE_LENGTH, _SECRET_KEY, _GENERIC = 0x161, 4, 0x10
CERTIFICATE, PUBLIC_KEY, PRIVATE_KEY, EC = 1, 2, 3, 3
PIN_PAD, FINAL_TRY, LOCKED = 0x100, 0x20000, 0x40000
_EC_KEY_PAIR_GEN, _ECDSA, _ECDH, _NO_KDF = 0x1040, 0x1041, 0x1050, 1
_READ_WRITE, _SERIAL, _USER, _OF_THIS_SIGNATURE = 2, 4, 1, 2
_ALREADY_LOGGED_IN, _PRESENT, _MOST_SLOTS, _MOST_BYTES = 0x100, 1, 256, 64 << 10
Attributes: TypeAlias = Mapping[int, int | bytes]
"""Values of attributes; a `bool` is one byte."""


class CryptokiError(Exception):
    """Its argument is what a function returned."""


class _TokenInfo(ctypes.Structure):
    _fields_ = [
        ("label", ctypes.c_char * 32), ("manufacturer", ctypes.c_char * 32),
        ("model", ctypes.c_char * 16), ("serial", ctypes.c_char * 16), ("flags", _Ulong),
        ("numbers", _Ulong * 10), ("versions", ctypes.c_ubyte * 4), ("time", ctypes.c_char * 16),
    ]  # fmt: skip


class _Attribute(ctypes.Structure):
    _fields_ = [("type", _Ulong), ("value", ctypes.c_void_p), ("length", _Ulong)]


class _Mechanism(ctypes.Structure):
    _fields_ = [("type", _Ulong), ("value", ctypes.c_void_p), ("length", _Ulong)]


class _Agreement(ctypes.Structure):
    _fields_ = [
        ("kdf", _Ulong), ("shared_length", _Ulong), ("shared", ctypes.c_void_p),
        ("length", _Ulong), ("point", ctypes.c_void_p),
    ]  # fmt: skip


class CryptokiToken(NamedTuple):
    """In a slot."""

    slot: int
    flags: int
    label: str
    manufacturer: str
    model: str
    serial: str


class Cryptoki:
    """A loaded module and its session. All raise CryptokiError; `__init__` OSError, too."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)
        listed = ctypes.POINTER(ctypes.c_void_p)()
        _check(library.C_GetFunctionList(ctypes.byref(listed)))
        prototype = ctypes.CFUNCTYPE(_Ulong)
        self._functions = {name: prototype(listed[1 + n]) for name, n in _FUNCTIONS.items()}
        self._session = _Ulong()
        self._call("C_Initialize", None)

    def _call(self, name: str, *arguments: object) -> None:
        words = [_Ulong(a) if isinstance(a, int) else a for a in arguments]
        _check(self._functions[name](*words))

    def tokens(self) -> list[CryptokiToken]:
        slots, count, found = (_Ulong * _MOST_SLOTS)(), _Ulong(_MOST_SLOTS), []
        self._call("C_GetSlotList", _PRESENT, slots, ctypes.byref(count))
        for slot in slots[: count.value]:
            info = _TokenInfo()
            self._call("C_GetTokenInfo", slot, ctypes.byref(info))
            names = (info.label, info.manufacturer, info.model, info.serial)
            told = [name.decode("utf-8", "replace").rstrip(" ") for name in names]
            found.append(CryptokiToken(slot, info.flags, *told))
        return found

    def log_in(self, slot: int, pin: str | None) -> None:
        """With one try, to write where the token allows it: TPMs agree in such a session only."""
        where = (None, None, ctypes.byref(self._session))
        try:
            self._call("C_OpenSession", slot, _SERIAL | _READ_WRITE, *where)
        except CryptokiError:
            self._call("C_OpenSession", slot, _SERIAL, *where)
        self._try(_USER, pin)

    def _try(self, user: int, pin: str | None) -> None:
        word = None if pin is None else pin.encode()
        try:
            self._call("C_Login", self._session, user, word, len(word or b""))
        except CryptokiError as error:
            if error.args != (_ALREADY_LOGGED_IN,):
                raise

    def find(self, wanted: Attributes) -> list[int]:
        """At most three."""
        template, objects, count = _template(wanted), (_Ulong * 3)(), _Ulong()
        self._call("C_FindObjectsInit", self._session, template, len(template))
        try:
            self._call("C_FindObjects", self._session, objects, 3, ctypes.byref(count))
        finally:
            self._call("C_FindObjectsFinal", self._session)
        return objects[: count.value]

    def read(self, handle: int, attribute: int) -> bytes:
        room = ctypes.create_string_buffer(_MOST_BYTES)
        one = _Attribute(attribute, ctypes.cast(room, ctypes.c_void_p), _MOST_BYTES)
        self._call("C_GetAttributeValue", self._session, handle, ctypes.byref(one), 1)
        return room.raw[: one.length] if one.length <= _MOST_BYTES else b""

    def sign(self, handle: int, digest: bytes, pin: str | None) -> bytes:
        """ECDSA over a digest, `r` and `s` after each other.

        `pin` is for a key that takes it each time.
        """
        room, length = ctypes.create_string_buffer(_MOST_BYTES), _Ulong(_MOST_BYTES)
        self._call("C_SignInit", self._session, ctypes.byref(_Mechanism(_ECDSA)), handle)
        if self.always(handle):
            self._try(_OF_THIS_SIGNATURE, pin)
        self._call("C_Sign", self._session, digest, len(digest), room, ctypes.byref(length))
        return room.raw[: length.value]

    def always(self, handle: int) -> bool:
        """True of a key that takes the PIN each time."""
        try:
            return self.read(handle, ALWAYS) == b"\1"
        except CryptokiError:
            return False

    def agree(self, handle: int, point: bytes) -> bytes:
        """ECDH with another key's point: the x coordinate, in an object of the session only."""
        room = ctypes.create_string_buffer(point, len(point))
        given = _Agreement(_NO_KDF, 0, None, len(point), ctypes.cast(room, ctypes.c_void_p))
        how = _Mechanism(
            _ECDH, ctypes.cast(ctypes.byref(given), ctypes.c_void_p), ctypes.sizeof(given)
        )
        secret, made = (
            _template({
                CLASS: _SECRET_KEY, KEY_TYPE: _GENERIC, TOKEN: False, SENSITIVE: False,
                EXTRACTABLE: True, _VALUE_LENGTH: (len(point) - 1) // 2,
            }),
            _Ulong(),
        )  # fmt: skip
        self._call(
            "C_DeriveKey", self._session, ctypes.byref(how), handle, secret, len(secret),
            ctypes.byref(made),
        )  # fmt: skip
        try:
            return self.read(made.value, VALUE)
        finally:
            self.destroy([made.value])

    def generate(self, public: Attributes, private: Attributes) -> tuple[int, int]:
        """The public one first."""
        first, second, pair = _template(public), _template(private), (_Ulong(), _Ulong())
        self._call(
            "C_GenerateKeyPair", self._session, ctypes.byref(_Mechanism(_EC_KEY_PAIR_GEN)),
            first, len(first), second, len(second), *map(ctypes.byref, pair),
        )  # fmt: skip
        return pair[0].value, pair[1].value

    def destroy(self, handles: Sequence[int]) -> None:
        for handle in handles:
            self._call("C_DestroyObject", self._session, handle)


def _template(wanted: Attributes) -> "ctypes.Array[_Attribute]":
    template = (_Attribute * len(wanted))()
    for attribute, (kind, value) in zip(template, wanted.items(), strict=True):
        data = value if isinstance(value, bytes) else _word(value)
        room = ctypes.create_string_buffer(data, len(data))
        attribute.type, attribute.length = kind, len(data)
        attribute.value = ctypes.cast(room, ctypes.c_void_p)  # the structure keeps the room alive
    return template


def _word(value: int) -> bytes:
    return bytes([value]) if isinstance(value, bool) else bytes(_Ulong(value))


def _check(value: int) -> None:
    if value:
        raise CryptokiError(value)
