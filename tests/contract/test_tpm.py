"""A host whose keys only its TPM 2.0 opens, by itself or as a token (`libtpm2-pkcs11`).

The TPM is `swtpm`; people sign by SoftHSM.
"""

import hashlib
import shutil
from functools import partial
from pathlib import Path

import pytest

from appliance.app import open_services
from appliance.audit.verification.verify import verify_log
from appliance.cli.unlocking import unlock
from appliance.host import host_key
from tests.cli.conftest import Done, run_command
from tests.conftest import need_tool, unavailable
from tests.contract.test_softhsm import TokenSite
from tests.guide_blocks import typed
from tests.host.soft_tpm import SoftTpm, flush
from tests.smol import SMALL
from tests.tokens.softhsm import PIN, needs_softhsm, soft_token
from tests.wiring.test_protection import found_on_disk, secrets_of

TOOLS = ("swtpm", "tpm2_ptool", "tpm2_flushcontext")
MODULE = next(Path("/usr/lib").glob("*/pkcs11/libtpm2_pkcs11.so"), None)
pytestmark = [pytest.mark.slow, needs_softhsm]
TPM_PIN, WORDS = "271828", "correct horse battery"
KEY = f"pkcs11:token=host;object=appliance?module-path={MODULE}"
MADE = f"""\
tpm2_ptool init
tpm2_ptool addtoken --pid 1 --label host --sopin sopin --userpin {TPM_PIN}
appliance signer new "{KEY}" --public host.pub --passphrase-file $WORDS
"""
PROTECTED = f'appliance protect on --key "{KEY}" --passphrase-file $WORDS\n'


def digests(data: Path) -> dict[str, str]:
    files = [path for path in sorted(data.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(autouse=True)
def _packages() -> None:
    for name in TOOLS:
        need_tool(name)
    if MODULE is None:
        unavailable("libtpm2-pkcs11-1 is not installed (tests/debian-packages.txt)")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenSite:
    """One with a data directory in plain."""
    made = TokenSite(tmp_path, soft_token(tmp_path / "hsm", monkeypatch))
    stick, data = made.published(), tmp_path / "data"
    root = stick / "metadata" / "1.root.json"
    first = ("--root", root, "--fingerprint", hashlib.sha256(root.read_bytes()).hexdigest())
    made.run("init", "--profile", "site", *first, "--name", "localhost", "--passphrase-file",
             words(tmp_path, WORDS), data=data, pin=False)  # fmt: skip
    made.run("trust", "update", stick, data=data, pin=False)
    return made


def opened(*command: str | Path, at: Path, secret: Path | None = None) -> Done:
    """A command that has to open the host key."""
    host_key.lock(at)
    given = () if secret is None else ("--passphrase-file", secret)
    done = run_command(*command, "--json", *given, data=at)
    flush()
    return done


def test_the_tpm_opens_a_directory_while_the_machine_starts_as_it_did(
    site: TokenSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tpm, data, copy = SoftTpm(tmp_path / "tpm", monkeypatch), tmp_path / "data", tmp_path / "copy"
    run = partial(opened, at=data)
    officer = words(tmp_path, PIN)
    again = ("protect", "change", "--officer", site.key("Ada-root"), "--key", "tpm:7")
    tpm.chosen()
    with tpm.running():
        secrets = secrets_of(data)
        (on,) = typed("site-guide", "appliance protect on --key", {"tpm:7": "tpm:7,9"})
        assert run(*on).status == 0
        assert found_on_disk(data, secrets) == set()
        host_key.lock(data)
        unlock(data)  # as a start does
        with open_services(data, config=SMALL) as services:
            services.audit.new_epoch().result()
        assert found_on_disk(data, secrets_of(data)) == set()
        assert run("protect", "renew", "host").status == 0
        tpm.extend(8)
        assert run("key", "list").status == 0  # no chosen PCR
        shutil.copytree(data, copy)
        before = digests(copy)
        tpm.extend(9)
        for command in (("key", "list"), ("protect", "renew", "host")):
            assert opened(*command, at=copy).code == (1, "host_key_pcrs")
        started = run_command("serve", "--port", "0", data=copy)
        assert started.status == 1 and "in this state of the machine" in started.err
        assert digests(copy) == before
        assert run("protect", "change", "--key", "tpm:").code == (1, "host_key_pcrs")
        assert run(*again, secret=officer).status == 0
        assert run("key", "list").status == 0
        tpm.extend(7)
        assert run("key", "list").code == (1, "host_key_pcrs")
        assert run(*again, secret=officer).status == 0
        assert run("protect", "change", secret=words(tmp_path, WORDS)).status == 0  # a known update
        tpm.extend(7)
        assert run("protect", "change", "--key", "tpm:7", secret=words(tmp_path, WORDS)).status == 0
        assert run("key", "list").status == 0
    assert run("key", "list").code == (1, "host_key_token")  # no TPM
    other = SoftTpm(tmp_path / "other", monkeypatch)
    other.chosen()
    with other.running():
        assert run("key", "list").code == (1, "host_key_token")
        assert run(*again[:-1], "tpm:", secret=officer).status == 0
        other.extend(0)
        assert run("key", "list").status == 0  # no PCR was chosen
    assert verify_log(data / "audit").ok
    host_key.lock(data)


def test_only_its_tpm_or_an_officer_opens_a_directory(
    site: TokenSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    tpm, other = (SoftTpm(tmp_path / name, monkeypatch) for name in ("tpm", "other"))
    pin, credential = words(tmp_path, TPM_PIN), tmp_path / "given" / host_key.CREDENTIAL
    credential.parent.mkdir()
    credential.write_text(TPM_PIN)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credential.parent))

    run = partial(opened, at=data)
    with tpm.running():
        secrets = secrets_of(data)
        assert found_on_disk(data, secrets) == secrets.keys()  # the control
        tpm.typed(MADE + PROTECTED, WORDS=pin, APPLIANCE_DATA=data)
        assert found_on_disk(data, secrets) == set()
        credential.write_text("000000")
        assert run("key", "list").code == (1, "token_pin_wrong")
        credential.write_text(TPM_PIN)
        assert run("serve", "--detach", "--port", "0").status == 0
        assert run("key", "new", "app").status == 0
        assert run("serve", "--stop").status == 0
        assert run("protect", "renew", "kek").status == 0
        assert run("protect", "renew", "host", secret=pin).status == 0
        assert run("key", "list").status == 0
    shutil.copytree(data, copy)
    before = digests(copy)
    assert run("key", "list", at=copy).code == (1, "host_key_token")
    tpm.state.rename(tmp_path / "kept")
    tpm.state.mkdir()
    with tpm.running():  # reset
        for command in (("key", "list"), ("protect", "change"), ("protect", "renew", "host")):
            secret = None if command[0] == "key" else pin
            assert run(*command, at=copy, secret=secret).code == (1, "host_key_token")
    with other.running():  # another host, whose token and key have the same names
        other.typed(MADE, WORDS=pin)
        assert run("key", "list", at=copy).code == (1, "host_key_token")
        assert digests(copy) == before
        held = (copy / host_key.FILE).read_bytes()
        both = words(tmp_path, f"{PIN}\n{TPM_PIN}")
        lost = ("protect", "change", "--key", KEY, "--officer")
        other.typed("tpm2_ptool addkey --algorithm ecc256 --label host --key-label signs "
                    f"--userpin {TPM_PIN}")  # fmt: skip
        signs = ("protect", "change", "--key", KEY.replace("appliance", "signs"), "--officer")
        done = run(*signs, site.key("Ada-root"), at=copy, secret=both)
        assert done.code == (1, "token_refused")
        assert (copy / host_key.FILE).read_bytes() == held
        assert run(*lost, site.key("Paula"), at=copy, secret=both).code == (1, "host_key_token")
        assert run(*lost, site.key("Ada-root"), at=copy, secret=both).status == 0
        assert run("key", "list", at=copy).status == 0
    tpm.chosen()
    shutil.rmtree(tpm.state)
    (tmp_path / "kept").rename(tpm.state)
    with tpm.running():
        assert run("key", "list", at=copy).code == (1, "host_key_token")
        both = words(tmp_path, f"{TPM_PIN}\n{WORDS}")
        assert run("protect", "change", secret=both).status == 0
    credential.write_text(WORDS)
    assert run("key", "list").status == 0
    assert verify_log(data / "audit").ok
    host_key.lock(data)


def words(at: Path, text: str) -> Path:
    path = at / f"words-{len(text)}"
    path.write_text(text)
    return path
