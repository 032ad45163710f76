"""The file of a site's trust: whole at any instant, verified at each reading."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import PolicyRefused
from appliance.trust.artifacts import store
from appliance.trust.policy import metadata, trusted_file
from appliance.trust.policy.metadata import Held
from tests.conftest import CHECKOUT
from tests.trust.forge import watch_syncs
from tests.trust.simulator import NOW, Simulator


@pytest.fixture(scope="module")
def pair() -> tuple[Held, Held]:
    sim = Simulator()
    before = metadata.advance(metadata.begin(sim.roots[0], sim.fingerprint), sim.publish(), NOW)
    return before.held, metadata.advance(before, sim.next(), NOW).held


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(PolicyRefused) as caught:
        action()
    return caught.value.code


def test_what_is_saved_is_loaded(pair: tuple[Held, Held], tmp_path: Path) -> None:
    for held in pair:
        trusted_file.save(tmp_path, held)
        assert trusted_file.load(tmp_path).held == held
        policy = store.load_policy(tmp_path)
        assert policy.profile == "site"
    assert [path.name for path in tmp_path.iterdir()] == ["metadata.json"]


def test_only_a_root_is_no_policy(pair: tuple[Held, Held], tmp_path: Path) -> None:
    trusted_file.save(tmp_path, Held(pair[0].roots[:1]))
    assert trusted_file.load(tmp_path).versions["root"] == 1
    assert code_of(lambda: store.load_policy(tmp_path)) == "policy_missing"


def test_the_new_file_is_durable_before_it_takes_the_name(
    pair: tuple[Held, Held], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = watch_syncs(monkeypatch)
    trusted_file.save(tmp_path, pair[0])
    assert synced == ["metadata.json.part", tmp_path.name]


def test_a_changed_file_is_no_trust(pair: tuple[Held, Held], tmp_path: Path) -> None:
    trusted_file.save(tmp_path, pair[0])
    path = tmp_path / "metadata.json"
    good = path.read_text()
    for bad in (
        "", "[]", "{}", good[:-9], good.replace('"roots":[', '"roots":[],"x":['),
        good.replace("Example", "Exampel"), good.replace('"roots":["', '"roots":["x'),
    ):  # fmt: skip
        path.write_text(bad)
        assert code_of(lambda: trusted_file.load(tmp_path)) in {
            "trust_metadata_malformed", "trust_hash", "trust_threshold",
        }  # fmt: skip
    path.unlink()
    assert code_of(lambda: trusted_file.load(tmp_path)) == "policy_missing"
    assert not trusted_file.exists(tmp_path)


def test_a_lab_policy_beside_a_root_key_is_not_a_sites(tmp_path: Path) -> None:
    from appliance.clock import FixedClock
    from appliance.trust.bytes import dsse, ecdsa
    from appliance.trust.policy import lab, policy
    from tests.trust.forge import as_json
    from tests.trust.policies import document

    lab.create(tmp_path, FixedClock())
    root = ecdsa.load_private((tmp_path / "keys" / "lab" / "root.pem").read_bytes())
    envelope = dsse.sign(as_json(document()), policy.PAYLOAD_TYPE, [root])
    (tmp_path / "trust" / "policy.json").write_bytes(envelope)
    assert code_of(lambda: store.load_policy(tmp_path / "trust")) == "trust_profile"


_SAVER = """# forked
import os, signal, sys
from pathlib import Path
from appliance.trust.policy import trusted_file
real = {name: getattr(os, name) for name in ("open", "write", "fsync")}
left = int(sys.argv[2])
def die(name):
    def call(*args, **kwargs):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real[name](*args, **kwargs)
    return call
rename = Path.rename
def dying_rename(self, target):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return rename(self, target)
held = trusted_file.load(Path(sys.argv[3])).held
for name in real:
    setattr(os, name, die(name))
Path.rename = dying_rename
trusted_file.save(Path(sys.argv[1]), held)
print("saved")
"""


def test_a_kill_at_any_step_leaves_the_old_or_the_new(
    pair: tuple[Held, Held], tmp_path: Path
) -> None:
    old, new = pair
    source, place = tmp_path / "new", tmp_path / "place"
    source.mkdir()
    place.mkdir()
    trusted_file.save(source, new)
    seen = []
    for step in range(20):
        trusted_file.save(place, old)
        done = subprocess.run(
            [sys.executable, "-c", _SAVER, place, str(step), source],
            cwd=CHECKOUT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = trusted_file.load(place).held
        assert found in (old, new)
        seen.append(found == new)
        if done.stdout == "saved\n":
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    else:
        raise AssertionError("it never got to its end")
    assert len(seen) > 4 and False in seen and seen[-1]
    assert seen == sorted(seen)  # never back to the old one
    trusted_file.save(place, old)
    assert [path.name for path in place.iterdir()] == ["metadata.json"]
