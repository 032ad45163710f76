"""Keys on a real token: SoftHSM2, whole and with faults."""

import io
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.errors import Refused
from appliance.tokens import uri
from appliance.tokens.key import TokenKey
from appliance.tokens.messages import TokenFound
from appliance.trust.bytes import ecdsa, sealed_stream
from tests.tokens.softhsm import (
    GENERATE,
    LOG_IN,
    PIN,
    SIGN,
    TOKEN_INFO,
    SoftToken,
    needs_gcc,
    needs_softhsm,
    soft_token,
)

pytestmark = needs_softhsm
REMOVED, FULL, LOCKED = 0x32, 0x31, 0xA4


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    made = soft_token(tmp_path / "hsm", monkeypatch)
    open_key(made.uri("paula"), make=True).__exit__()
    return made


def open_key(
    text: str, pin: Callable[[TokenFound], str] = lambda _: PIN, *, make: bool = False,
    always: bool = False, patience: float = 60,
) -> TokenKey:  # fmt: skip
    return TokenKey(uri.parse(text), pin, make=make, always=always, patience=patience)


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        action()
    return caught.value.code


def test_a_key_signs_like_one_of_a_file(token: SoftToken) -> None:
    with open_key(token.uri("paula")) as key:
        signature = ecdsa.sign(key, b"message")
        assert ecdsa.verify(key.public_key(), signature, b"message")
        assert not ecdsa.verify(key.public_key(), signature, b"massage")
        assert ecdsa.algorithm(key.public_key()).name == "ecdsa-p384-sha384"


def test_a_key_that_takes_the_pin_for_each_signature(token: SoftToken) -> None:
    typed, asked = [PIN, PIN, "000000"], 0

    def person(_: TokenFound) -> str:
        nonlocal asked
        asked += 1
        return typed[asked - 1]

    open_key(token.uri("fresh"), make=True, always=True).__exit__()
    with open_key(token.uri("fresh"), person) as key:
        for message, after in ((b"first", 1), (b"second", 2)):
            assert ecdsa.verify(key.public_key(), ecdsa.sign(key, message), message)
            assert asked == after
        assert code_of(lambda: ecdsa.sign(key, b"third")) == "token_pin_wrong"
    asked = 0
    with open_key(token.uri("paula"), person) as key:  # the control: asked once
        ecdsa.sign(key, b"first")
        ecdsa.sign(key, b"second")
    assert asked == 1


@needs_gcc
def test_the_token_itself_insists_on_the_pin(token: SoftToken) -> None:
    """A module that gives no PIN before the signature gets none."""
    open_key(token.uri("fresh"), make=True, always=True).__exit__()
    module = token.faulty(LOG_IN, "if (b == 2) return 0")
    for name, refused in (("fresh", True), ("paula", False)):
        with open_key(token.uri(name, module=module)) as key:
            if refused:
                assert code_of(lambda: ecdsa.sign(key, b"m")) == "token_refused"
            else:
                ecdsa.sign(key, b"m")


def test_a_key_agrees_like_one_of_a_file(token: SoftToken) -> None:
    other = ec.generate_private_key(ec.SECP384R1())
    with open_key(token.uri("paula")) as key:
        shared = key.exchange(ec.ECDH(), other.public_key())
        assert shared == other.exchange(ec.ECDH(), key.public_key())
        before, target = token.kept(), io.BytesIO()
        sealed = io.BytesIO()
        sealed_stream.seal(io.BytesIO(b"backup"), sealed, [key.public_key()])
        sealed_stream.unseal(io.BytesIO(sealed.getvalue()), target, key)
        assert target.getvalue() == b"backup" and token.kept() == before


def test_keys_that_are_not_there_or_not_one(token: SoftToken) -> None:
    before = token.kept()
    assert code_of(lambda: open_key(token.uri("alice"))) == "token_key_missing"
    assert code_of(lambda: open_key(token.uri("paula"), make=True)) == "token_key_ambiguous"
    assert code_of(lambda: open_key(token.uri("paula", token="other"))) == "token_missing"
    assert token.kept() == before
    second = token.uri("paula").replace("object=paula", "object=paula;id=%02")
    open_key(second, make=True).__exit__()
    assert code_of(lambda: open_key(token.uri("paula"))) == "token_key_ambiguous"
    open_key(second).__exit__()
    token.add("site")
    assert code_of(lambda: open_key(token.uri("paula"))) == "token_ambiguous"


@needs_gcc
def test_a_wrong_pin_is_tried_once_and_no_more(token: SoftToken) -> None:
    module = token.faulty(LOG_IN, "")
    for tries in range(1, 4):
        before = token.kept()
        code = code_of(lambda: open_key(token.uri("paula", module=module), lambda _: "000000"))
        assert (code, len(token.seen.read_text())) == ("token_pin_wrong", tries)
        assert token.kept() == before
    locked = token.faulty(LOG_IN, f"return {LOCKED}")
    assert code_of(lambda: open_key(token.uri("paula", module=locked))) == "token_pin_locked"
    open_key(token.uri("paula")).__exit__()  # the control: the right PIN, the whole module


@needs_gcc
@pytest.mark.parametrize("flag", [0x40000, 0x20000, 0x100])
def test_the_token_says_how_its_pin_stands(token: SoftToken, flag: int) -> None:
    """Locked, one try left, or typed at the token."""
    told = (
        f"unsigned long rv = real(a,b,c,d,e,f,g,h); *(unsigned long *)(b + 96) |= {flag}; return rv"
    )
    where = token.uri("paula", module=token.faulty(TOKEN_INFO, told))
    asked: list[TokenFound] = []

    def ask(found: TokenFound) -> str:
        asked.append(found)
        return PIN

    if flag == 0x40000:
        assert code_of(lambda: open_key(where, ask)) == "token_pin_locked"
    elif flag == 0x100:  # SoftHSM has no keys to type at, so it refuses what was not typed
        assert code_of(lambda: open_key(where, ask)) == "token_refused"
    else:
        open_key(where, ask).__exit__()
    assert [found.final_try for found in asked] == ([True] if flag == 0x20000 else [])


@needs_gcc
@pytest.mark.parametrize(
    ("place", "fault", "code"),
    [
        (SIGN, f"return {REMOVED}", "token_removed"),
        (SIGN, "return 0x54", "token_refused"),
        (SIGN, "abort()", "token_module_failed"),
        (SIGN, "*(int *)0 = 1", "token_module_failed"),
        (SIGN, "pause()", "token_module_failed"),  # for ever
        (SIGN, "unsigned long rv = real(a,b,c,d,e,f,g,h); *(char *)d ^= 1; return rv",
         "token_module_failed"),  # another signature
        (SIGN, "*(unsigned long *)e = 0; return 0", "token_module_failed"),
        (SIGN, 'system("true") == 0 ? _exit(7) : abort()', "token_module_failed"),
        (LOG_IN, "exit(0)", "token_module_failed"),
        (LOG_IN, "pause()", "token_module_failed"),
    ],
)  # fmt: skip
def test_faults_of_the_module(token: SoftToken, place: int, fault: str, code: str) -> None:
    where = token.uri("paula", module=token.faulty(place, fault))
    before = token.kept()

    def used() -> None:
        with open_key(where, patience=5 if "pause" not in fault else 1) as key:
            ecdsa.sign(key, b"message")

    assert code_of(used) == code
    assert token.kept() == before


@needs_gcc
def test_a_module_starts_no_program(token: SoftToken) -> None:
    mark = token.at / "started"
    fault = f'system("touch {mark}"); return real(a,b,c,d,e,f,g,h)'
    with open_key(token.uri("paula", module=token.faulty(SIGN, fault))) as key:
        ecdsa.sign(key, b"message")
    assert not mark.exists()


@needs_gcc
def test_a_full_token_makes_no_key(token: SoftToken) -> None:
    module = token.faulty(GENERATE, f"return {FULL}")
    before = token.kept()
    assert code_of(lambda: open_key(token.uri("b", module=module), make=True)) == "token_full"
    assert token.kept() == before


@needs_gcc
def test_a_token_with_p_256_only_makes_such_a_key(token: SoftToken) -> None:
    module = token.faulty(GENERATE, "static int tries; if (!tries++) return 0x140")
    with open_key(token.uri("b", module=module), make=True) as key:
        assert ecdsa.algorithm(key.public_key()).name == "ecdsa-p256-sha256"
        assert ecdsa.verify(key.public_key(), ecdsa.sign(key, b"message"), b"message")


def test_a_token_that_goes_away(token: SoftToken) -> None:
    with open_key(token.uri("paula")) as key:
        shutil.rmtree(token.at / "tokens")
        assert code_of(lambda: ecdsa.sign(key, b"message")) in {"token_removed", "token_refused"}


def test_files_that_are_no_module(token: SoftToken) -> None:
    text = token.at / "text.so"
    text.write_text("no library")
    libc = Path("/lib/x86_64-linux-gnu/libc.so.6")
    for module in (text, token.at / "none.so", libc):
        where = token.uri("paula", module=module)
        assert code_of(lambda: open_key(where)) == "token_module_failed"  # noqa: B023


def test_no_child_stays(token: SoftToken) -> None:
    with open_key(token.uri("paula")) as key:
        pid = key._child.process.pid
        os.kill(pid, 0)
        os.kill(pid, signal.SIGKILL)
        assert code_of(lambda: ecdsa.sign(key, b"m")) == "token_module_failed"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
