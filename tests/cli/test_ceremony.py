"""`appliance trust ceremony`: scripted, guided, and its printed record."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.cli.main import cli
from appliance.trust.bytes import key_file
from appliance.trust.ceremony import officer
from appliance.trust.policy import policy_document
from appliance.trust.policy import root as roots
from tests.cli.conftest import Done, run_command
from tests.trust.forge import as_json
from tests.trust.policies import document
from tests.trust.policy.test_members import ONE, TWO, member

WORDS = "correct horse battery"
ROOT = ("Ada", "Bea", "Cid")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words"
    path.write_text(WORDS + "\n")
    return path


def ceremony(*arguments: str | Path) -> Done:
    return run_command("trust", "ceremony", *arguments)


def prepared(tmp_path: Path, words: Path) -> Path:
    """All keys and a policy, nothing signed."""
    path, policy = tmp_path / "officer", tmp_path / "policy.json"
    policy.write_bytes(as_json(document()))
    roots = [word for name in ROOT for word in ("--root", name)]
    assert ceremony("start", path, "--org", "Example", *roots, "--targets", "Dan").status == 0
    todo: Any = ceremony("status", path, "--json").document
    for missing in todo["keys_missing"]:
        done = ceremony(
            "key", path, "--role", missing["role"], "--holder", missing["holder"],
            "--passphrase-file", words,
        )  # fmt: skip
        assert done.status == 0
    assert ceremony("policy", path, policy).status == 0
    return path


def test_a_ceremony_by_commands(tmp_path: Path, words: Path) -> None:
    path = prepared(tmp_path, words)
    out = tmp_path / "stick"
    assert ceremony("publish", path, out, "--json").code == (1, "ceremony_step")
    assert not out.exists()
    for key in sorted((path / "keys").glob("*.pem")):
        assert ceremony("sign", path, "--key", key, "--passphrase-file", words).status == 0
    assert ceremony("status", path, "--json").document["next"] == "trust ceremony publish"
    done = ceremony("publish", path, out, "--json").document
    root = (out / "metadata" / "1.root.json").read_bytes()
    assert done["first_root"] == roots.fingerprint(root)
    data = tmp_path / "data"
    site = ("init", "--profile", "site", "--root", out / "metadata" / "1.root.json")
    assert run_command(*site, "--fingerprint", done["first_root"], data=data).status == 0
    assert run_command("trust", "update", out, data=data).status == 0
    assert "Ada, Bea, Cid" in run_command("trust", "show", data=data).out


def test_a_key_that_a_step_before_left_is_taken(tmp_path: Path, words: Path) -> None:
    """The machine went off between the key and the plan."""
    path = tmp_path / "officer"
    plan = [word for name in ROOT for word in ("--root", name)]
    ceremony("start", path, "--org", "Example", *plan, "--targets", "Dan")
    there = path / "keys" / "root-Ada.pem"
    pem = key_file.new(there, WORDS)
    before = there.read_bytes()
    one = ("key", path, "--role", "root", "--holder", "Ada", "--passphrase-file")
    other = tmp_path / "other"
    other.write_text("another passphrase\n")
    assert ceremony(*one, other, "--json").code == (1, "passphrase_refused")
    done = ceremony(*one, words)
    assert done.status == 0
    assert officer.public_key(pem, "Ada").keyid[:32] in done.err  # for the holder's notes
    assert there.read_bytes() == before
    assert "Ada of root" not in ceremony("status", path).out


def test_who_signs_sees_what_is_said_anew(tmp_path: Path, words: Path) -> None:
    path, policy = prepared(tmp_path, words), tmp_path / "policy.json"
    keys = [w for k in sorted((path / "keys").glob("*.pem")) for w in ("--key", k)]
    sign = ("sign", path, *keys, "--passphrase-file", words)
    shown = ceremony(*sign).out
    assert "policy 7:" in shown and "Alice may approve" in shown and "model any" in shown
    assert all(f"root, 2 of: {name} " in shown for name in ROOT)
    ceremony("publish", path, tmp_path / "one")
    text = {**document(), "revoked": {"digests": ["ab" * 32, "cd" * 32]}, "version": 8}
    policy.write_bytes(as_json(text))
    assert "+ revoked: digest " + "ab" * 32 in (told := ceremony("policy", path, policy).out)
    assert "may approve" not in told and "[!]" not in told
    ceremony(*sign)
    ceremony("publish", path, tmp_path / "two")
    policy.write_bytes(as_json({**text, "revoked": {"digests": ["ab" * 32]}, "version": 9}))
    told = ceremony("policy", path, policy).out
    assert "- revoked: digest " + "cd" * 32 in told and "[!] not revoked any more: 1" in told
    assert "- revoked: digest " + "cd" * 32 in ceremony(*sign).out


def test_a_wrong_passphrase(tmp_path: Path, words: Path) -> None:
    path = prepared(tmp_path, words)
    words.write_text("another passphrase\n")
    done = ceremony(
        "sign", path, "--key", path / "keys" / "root-Ada.pem", "--passphrase-file", words, "--json"
    )
    assert done.code == (1, "passphrase_refused")


def test_the_guide_asks_for_everything_and_goes_on(tmp_path: Path, words: Path) -> None:
    path, policy = tmp_path / "officer", tmp_path / "policy.json"
    policy.write_bytes(as_json(document()))
    keys = [f"{path}/keys/{role}.pem" for role in (
        "root-Ada", "root-Bea", "targets-Dan", "snapshot-Dan", "timestamp-Dan")]  # fmt: skip
    begin = ["Example", "Ada, Bea, Cid", "Dan"]
    twice = [WORDS, WORDS]
    stopped = CliRunner().invoke(  # the officer's input ends after two keys
        cli, ["trust", "ceremony", "guide", str(path)], input="\n".join([*begin, *twice * 2, ""])
    )
    assert stopped.exit_code != 0
    assert len(list((path / "keys").glob("*.pem"))) == 2
    rest = [
        *twice * 4,
        str(policy),
        *(w for key in keys for w in (key, WORDS)),
        f"{tmp_path}/stick",
    ]
    done = CliRunner().invoke(
        cli, ["trust", "ceremony", "guide", str(path)], input="\n".join([*rest, ""])
    )
    assert done.exit_code == 0, done.output
    assert "# Record of the trust ceremony of Example" in done.stdout
    assert WORDS not in done.output
    assert (tmp_path / "stick" / "metadata" / "timestamp.json").exists()


def test_a_root_that_resets_the_clock_says_so_to_who_signs(tmp_path: Path, words: Path) -> None:
    path = prepared(tmp_path, words)
    assert ceremony("clock", path, "--json").code == (1, "ceremony_step")
    keys = sorted((path / "keys").glob("*.pem"))
    for key in keys:
        ceremony("sign", path, "--key", key, "--passphrase-file", words)
    assert ceremony("publish", path, tmp_path / "first").status == 0
    assert "2.root.json: lacks 2" in (told := ceremony("clock", path).out)
    assert "sets the clock to 20" in told
    signed = [ceremony("sign", path, "--key", key, "--passphrase-file", words).out for key in keys]
    assert all("sets the clock to 20" in out for out in signed)
    assert ceremony("publish", path, tmp_path / "second").status == 0
    assert b"x-clock-floor" in (tmp_path / "second/metadata/2.root.json").read_bytes()


def test_appliances_that_asked_are_signed_into_the_policy(tmp_path: Path, words: Path) -> None:
    path, policy = prepared(tmp_path, words), tmp_path / "policy.json"
    requests: list[str | Path] = []
    for name, key in (("north", ONE), ("south", TWO)):
        file = tmp_path / f"{name}.site"
        file.write_bytes(member(name, key).asks(key))
        requests += ["--member", file]
    told = ceremony("policy", path, policy, *requests).out
    assert "appliance north, log" in told and "appliance south, log" in told
    drafted = (path / "draft" / "targets" / "policy.json").read_bytes()
    assert len(policy_document.parse(drafted).site.members) == 2
    (tmp_path / "north.site").write_bytes(member("north", ONE).asks(TWO))
    assert ceremony("policy", path, policy, *requests, "--json").code == (1, "site_request")
