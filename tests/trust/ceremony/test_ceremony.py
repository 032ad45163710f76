"""The officer's directory: the order of steps, and publications that an appliance takes."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from appliance.errors import PolicyRefused, Refused
from appliance.trust.bytes import key_file
from appliance.trust.ceremony.ceremony import DAYS, Ceremony
from appliance.trust.ceremony.stick import read_offer
from appliance.trust.policy import lab, metadata
from appliance.trust.policy import root as roots
from appliance.trust.policy.metadata import Trusted
from appliance.trust.policy.root import MAX_ROOTS, Reset
from tests.conftest import CHECKOUT
from tests.trust.forge import as_json
from tests.trust.policies import document
from tests.trust.simulator import DAY, NOW

pytestmark = pytest.mark.long

WORDS = "correct horse battery"
HOLDERS = {"root": ["Ada", "Bea", "Cid"], "targets": ["Dan"], "snapshot": ["Eve"],
           "timestamp": ["Eve"]}  # fmt: skip
ALL = ("root", "timestamp", "snapshot", "targets", "policy")
NEED = {"root": 2, "targets": 1, "snapshot": 1, "timestamp": 1}


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        action()
    return caught.value.code


class People:
    def __init__(self) -> None:
        self.keys: dict[tuple[str, str], CryptoSigner] = {}

    def come(self, made: Ceremony) -> None:
        for role, name in made.keyless():
            signer = CryptoSigner.generate_ecdsa()
            self.keys[role, name] = signer
            made.add_key(role, name, signer.public_key.keyval["public"].encode())

    def sign(self, made: Ceremony, *who: tuple[str, str]) -> None:
        for one in who or list(self.keys):
            made.sign(self.keys[one])


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture
def made(tmp_path: Path, people: People) -> Ceremony:
    """A ceremony in which everything is drafted and nothing signed."""
    made = Ceremony(tmp_path / "officer", NOW)
    made.start("Example", HOLDERS, NEED, DAYS)
    people.come(made)
    made.set_policy(as_json(document()))
    return made


def accepted(out: Path, before: Trusted | None = None) -> Trusted:
    offer = read_offer(out, 1)
    root = offer["1.root.json"]
    before = before or metadata.begin(root, roots.fingerprint(root))
    return metadata.advance(before, offer, NOW)


def test_an_appliance_takes_what_is_published(
    made: Ceremony, people: People, tmp_path: Path
) -> None:
    people.sign(made)
    made.publish(tmp_path / "stick")
    trusted = accepted(tmp_path / "stick")
    assert trusted.versions == dict.fromkeys(trusted.versions, 1) | {"policy": 7}
    assert trusted.expires == NOW + DAYS["timestamp"] * DAY
    made.publish(tmp_path / "again")  # another stick of the same
    assert accepted(tmp_path / "again", trusted) == trusted


def test_nothing_is_published_before_enough_have_signed(
    made: Ceremony, people: People, tmp_path: Path
) -> None:
    assert made.unsigned()["1.root.json"] == (2, ["Ada", "Bea", "Cid"])
    people.sign(made, ("root", "Ada"), ("targets", "Dan"), ("snapshot", "Eve"))
    assert code_of(lambda: made.publish(tmp_path / "s")) == "ceremony_step"
    people.sign(made, ("root", "Ada"))  # twice is once
    assert made.unsigned()["1.root.json"] == (1, ["Bea", "Cid"])
    people.sign(made, ("root", "Cid"), ("timestamp", "Eve"))
    assert made.unsigned() == {}
    made.publish(tmp_path / "s")
    assert not (tmp_path / "officer" / "draft").exists()


def test_it_goes_on_where_it_stopped(tmp_path: Path, people: People) -> None:
    path = tmp_path / "officer"
    assert code_of(Ceremony(path, NOW).keyless) == "ceremony_step"
    Ceremony(path, NOW).start("Example", HOLDERS, NEED, DAYS)
    assert code_of(lambda: Ceremony(path, NOW).set_policy(as_json(document()))) == "ceremony_step"
    people.come(Ceremony(path, NOW))
    Ceremony(path, NOW).set_policy(as_json(document()))
    for one in people.keys:
        people.sign(Ceremony(path, NOW), one)
    Ceremony(path, NOW).publish(tmp_path / "s")
    assert accepted(tmp_path / "s").policy is not None
    assert code_of(lambda: Ceremony(path, NOW).start("x", HOLDERS, NEED, DAYS)) == "ceremony_step"


@pytest.mark.parametrize("role", ["root", "targets", "timestamp"])
def test_a_holder_is_replaced(made: Ceremony, people: People, tmp_path: Path, role: str) -> None:
    people.sign(made)
    made.publish(tmp_path / "one")
    before = accepted(tmp_path / "one")
    old = HOLDERS[role][0]
    gone = people.keys.pop((role, old))
    made.replace(role, old, "Zoe")
    people.come(made)
    people.sign(made)
    made.publish(tmp_path / "two")
    after = accepted(tmp_path / "two", before)
    assert after.versions["root"] == 2
    assert gone.public_key.keyid not in after.root.roles[role].keyids
    assert after.policy == before.policy
    assert made.sign(gone) == []


def test_a_root_by_new_people_alone_is_not_published(
    made: Ceremony, people: People, tmp_path: Path
) -> None:
    people.sign(made)
    made.publish(tmp_path / "one")
    people.keys = {k: v for k, v in people.keys.items() if k[0] != "root"}
    for name in HOLDERS["root"]:
        made.replace("root", name, name)
    people.come(made)
    people.sign(made)
    assert made.unsigned()["2.root.json"] == (2, ["Ada", "Bea", "Cid"])
    assert code_of(lambda: made.publish(tmp_path / "two")) == "ceremony_step"


def test_the_same_policy_for_longer(made: Ceremony, people: People, tmp_path: Path) -> None:
    people.sign(made)
    made.publish(tmp_path / "one")
    later = Ceremony(made.path, NOW + 60 * DAY)
    later.refresh()
    assert set(later.drafts()) == {"snapshot.json", "timestamp.json"}
    people.sign(later, ("snapshot", "Eve"), ("timestamp", "Eve"))
    later.publish(tmp_path / "two")
    after = accepted(tmp_path / "two", accepted(tmp_path / "one"))
    assert after.expires == NOW + 150 * DAY


def test_everything_for_longer(made: Ceremony, people: People, tmp_path: Path) -> None:
    """Root and policy's signature last longer than the timestamp, and end too."""
    people.sign(made)
    made.publish(tmp_path / "one")
    before = accepted(tmp_path / "one")
    later = Ceremony(made.path, NOW + 360 * DAY)
    later.refresh()
    assert set(later.drafts()) == {"snapshot.json", "timestamp.json"}
    people.sign(later)
    later.publish(tmp_path / "two")
    # Not for 90 days: the targets are those of the year before.
    assert accepted(tmp_path / "two", before).expires == NOW + DAYS["targets"] * DAY
    later.refresh(root=True)
    assert len(later.drafts()) == 4
    people.sign(later)
    later.publish(tmp_path / "three")
    after = accepted(tmp_path / "three", before)
    assert after.expires == NOW + 450 * DAY
    assert (after.policy, after.root.roles) == (before.policy, before.root.roles)
    assert after.versions["root"] == 2 and after.reset is None
    assert after.root.expires == NOW + (360 + DAYS["root"]) * DAY


def test_policies_that_are_not_drafted(made: Ceremony, people: People, tmp_path: Path) -> None:
    people.sign(made)
    made.publish(tmp_path / "one")
    for change, code in (
        ({}, "trust_rollback"),
        ({"version": 6}, "trust_rollback"),
        ({"version": 8, "profile": "lab"}, "trust_profile"),
        ({"version": 8, "colour": 1}, "policy_invalid"),
        ({"version": 8, "issued": "2099-01-01T00:00:00Z"}, "clock_behind"),
    ):
        data = as_json({**document(), **change})
        with pytest.raises(PolicyRefused) as caught:
            made.set_policy(data)
        assert caught.value.code == code
    assert made.drafts() == {}


def test_a_key_of_a_lab_stays_out(tmp_path: Path) -> None:
    made = Ceremony(tmp_path / "officer", NOW)
    made.start("Example", HOLDERS, NEED, DAYS)
    pem = CryptoSigner.generate_ecdsa().public_key.keyval["public"].encode()
    assert code_of(lambda: made.add_key("root", "Ada", lab.MARK + pem)) == "trust_profile"
    marked = document()
    first = next(iter(marked["keys"].values()))
    first["pem"] = lab.MARK.decode() + first["pem"]
    assert code_of(lambda: made.set_policy(as_json(marked))) == "policy_invalid"


def test_one_key_for_two_people_stays_out(tmp_path: Path) -> None:
    made = Ceremony(tmp_path / "officer", NOW)
    made.start("Example", HOLDERS, NEED, DAYS)
    pem = CryptoSigner.generate_ecdsa().public_key.keyval["public"].encode()
    made.add_key("root", "Ada", pem)
    assert code_of(lambda: made.add_key("root", "Bea", pem)) == "ceremony_plan"


@pytest.mark.parametrize(
    ("holders", "need"),
    [
        ({"root": ["Ada"]}, {"root": 1}),
        ({"root": ["Ada", "Bea"]}, {"root": 3}),
        ({"root": ["Ada", "Ada"]}, {}),
        ({"targets": []}, {}),
        ({"targets": ["../x"]}, {}),
        ({"root": ["Ada", "Bea", "ada"]}, {}),
        ({"root": ["Ada", "Bea", "B\u0435a"]}, {}),
        ({"targets": ["Al"], "snapshot": ["AI"]}, {}),
        ({}, {"root": 1}),
    ],
)
def test_plans_that_no_appliance_would_take(
    tmp_path: Path, holders: dict[str, list[str]], need: dict[str, int]
) -> None:
    made = Ceremony(tmp_path / "officer", NOW)
    plan = {**HOLDERS, **holders}, {**NEED, **need}
    assert code_of(lambda: made.start("Example", *plan, DAYS)) == "ceremony_plan"
    assert not (tmp_path / "officer").exists()


def test_a_holder_who_looks_like_another_does_not_come(
    made: Ceremony, people: People, tmp_path: Path
) -> None:
    people.sign(made)
    made.publish(tmp_path / "one")
    assert code_of(lambda: made.replace("root", "Bea", "ada")) == "ceremony_plan"
    assert code_of(lambda: made.replace("root", "Bea", "Bea\u200b")) == "ceremony_plan"
    assert made.keyless() == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"org": 1}', "\xff"])
def test_a_plan_that_is_none(made: Ceremony, text: str) -> None:
    (made.path / "ceremony.json").write_text(text)
    assert code_of(made.keyless) == "ceremony_plan"


def test_an_officer_who_rotates_for_decades(
    made: Ceremony, people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More roots than one update may bring; an appliance that keeps up takes each."""
    monkeypatch.setattr("os.fsync", lambda fd: None)  # hundreds of small files
    people.sign(made)
    made.publish(tmp_path / "s")
    trusted = accepted(tmp_path / "s")
    for _ in range(MAX_ROOTS + 1):
        made.replace("timestamp", "Eve", "Eve")
        people.come(made)
        people.sign(made)
        made.publish(tmp_path / "s")
        offer = read_offer(tmp_path / "s", trusted.root.version)
        trusted = metadata.advance(trusted, offer, NOW)
    assert trusted.root.version == MAX_ROOTS + 2


_STORY = """# forked
import os, shutil, signal, sys
from pathlib import Path
from appliance.trust.bytes import durable
from appliance.trust.ceremony.ceremony import DAYS, Ceremony
from tests.trust.ceremony import test_ceremony as story

def killed(name, call):
    def dying(*args, **kwargs):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return call(*args, **kwargs)
    return dying

os.fsync = lambda fd: None  # a kill loses nothing that was written
place, people = Path(sys.argv[1]), story.everybody()
for step in range(0, 999, int(sys.argv[2])):
    path = place / str(step)
    child = os.fork()
    if not child:
        left = step
        for holder, names in (
            (os, ("write",)), (shutil, ("copytree", "rmtree")),
            (Path, ("rename", "mkdir", "unlink")),
        ):
            for name in names:
                setattr(holder, name, killed(name, getattr(holder, name)))
        story.play(path, people)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    story.play(path, people)
    story.check(path)
    shutil.rmtree(path)
    print(step, flush=True)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
"""


def everybody() -> dict[str, CryptoSigner]:
    names = [(role, name) for role, all_ in HOLDERS.items() for name in all_]
    return {f"{r} {n}": CryptoSigner.generate_ecdsa() for r, n in [*names, ("root", "Eve")]}


def play(path: Path, people: dict[str, CryptoSigner]) -> None:
    """From the plan to a second root and policy, wherever it stopped before."""
    made = Ceremony(path / "officer", NOW)

    def keys() -> None:
        for role, name in made.keyless():
            pem = people[f"{role} {name}"].public_key.keyval["public"]
            made.add_key(role, name, pem.encode())

    def publish(name: str, version: int) -> None:
        made.set_policy(as_json({**document(), "version": version}))
        for signer in people.values():
            made.sign(signer)
        made.publish(path / name)

    if not (path / "officer" / "ceremony.json").exists():
        made.start("Example", HOLDERS, NEED, DAYS)
    keys()
    made.drafts()  # goes on
    published = made.policies()[0]
    if published is None:
        publish("one", 7)
    elif published.version == 7 and not made.drafts():
        made.publish(path / "one")
    if made.policies()[0].version == 7:  # type: ignore[union-attr]
        if "Bea" in made.plan().holders["root"]:
            made.replace("root", "Bea", "Eve")
        keys()
        publish("two", 8)
    made.publish(path / "two")


def check(path: Path) -> None:
    """Both publications are whole, and the second follows the first."""
    one = accepted(path / "one")
    two = accepted(path / "two", one)
    assert one.versions == dict.fromkeys(ALL, 1) | {"policy": 7}
    assert two.versions == dict.fromkeys(ALL, 2) | {"policy": 8}
    holders = {roots.holder_of(two.root.keys[k]) for k in two.root.roles["root"].keyids}
    assert holders == {"Ada", "Cid", "Eve"}
    left = {p.name for p in (path / "officer").iterdir()}
    assert left <= {"ceremony.json", "keys", "published"}


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_at_any_step_and_it_goes_on(tmp_path: Path, stride: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _STORY, tmp_path, str(stride)],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-200:]} {done.stderr}"
    assert len(done.stdout.splitlines()) > 60 // stride


def test_a_directory_of_others_is_none_for_a_ceremony(tmp_path: Path) -> None:
    path = tmp_path / "officer"
    path.mkdir()
    for mode in (0o777, 0o770, 0o702):
        path.chmod(mode)
        made = Ceremony(path, NOW)
        assert code_of(lambda: made.start("Example", HOLDERS, NEED, DAYS)) == "ceremony_plan"  # noqa: B023
        assert not (path / "ceremony.json").exists()
    path.chmod(0o755)
    Ceremony(path, NOW).start("Example", HOLDERS, NEED, DAYS)
    assert (path / "keys").stat().st_mode & 0o777 == 0o700


def test_the_plan_holds_no_secret(made: Ceremony) -> None:
    key_file.new(made.path / "keys" / "x.pem", WORDS)
    assert "PRIVATE" not in json.dumps(asdict(made.plan()))
    assert WORDS not in (made.path / "ceremony.json").read_text()


def test_a_root_of_the_same_keys_resets_the_clock(
    made: Ceremony, people: People, tmp_path: Path
) -> None:
    assert code_of(made.reset_clock) == "ceremony_step"  # nothing is published yet
    people.sign(made)
    made.publish(tmp_path / "first")
    before = accepted(tmp_path / "first")
    made.reset_clock()
    assert set(made.drafts()) == {
        "2.root.json", "targets.json", "snapshot.json", "timestamp.json",
    }  # fmt: skip
    people.sign(
        made, ("root", "Ada"), ("targets", "Dan"), ("snapshot", "Eve"), ("timestamp", "Eve")
    )
    assert made.unsigned()["2.root.json"] == (1, ["Bea", "Cid"])  # two people, as any root
    people.sign(made, ("root", "Bea"))
    made.publish(tmp_path / "second")
    after = accepted(tmp_path / "second", before)
    assert before.reset is None
    assert after.reset == Reset(2, int(NOW.timestamp()) * 1_000_000)
    assert after.root.roles == before.root.roles
    made.refresh()
    people.sign(made)
    made.publish(tmp_path / "third")
    assert accepted(tmp_path / "third", after).reset == after.reset  # no other reset


def test_a_rotation_that_was_begun_may_reset_the_clock_too(
    made: Ceremony, people: People, tmp_path: Path
) -> None:
    people.sign(made)
    made.publish(tmp_path / "first")
    made.replace("root", "Bea", "Fay")
    assert code_of(made.reset_clock) == "ceremony_step"  # her key first
    people.come(made)
    made.reset_clock()
    people.sign(made)
    made.publish(tmp_path / "second")
    after = accepted(tmp_path / "second", accepted(tmp_path / "first"))
    assert after.reset is not None and after.root.version == 2
