"""A site's trust metadata on the way to the product; with the real product: test_chroots.py."""

import os
from pathlib import Path

from installer.bundle.media import Source
from tests.installer.bench import Bench

FINGERPRINT = "ab" * 32
FILES = {"metadata/1.root.json": "the root", "targets/policy.json": "7"}


def officer(bench: Bench, **changes: str) -> Path:
    stick = bench.place / "officer"
    for name, text in (FILES | changes).items():
        path = stick / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if not (stick / "metadata" / "link.json").is_symlink():
        (stick / "metadata" / "link.json").symlink_to("/etc/passwd")
        os.mkfifo(stick / "targets" / "pipe")
    return stick


def answers(bench: Bench, *lines: str) -> tuple[str, str]:
    path = bench.place / "answers.toml"
    given = ('profile = "site"', f'trust_fingerprint = "{FINGERPRINT}"', *lines)
    path.write_text("".join(f"{line}\n" for line in given))
    return ("--answers", str(path))


def test_the_officers_metadata_are_passed_on(fresh: Bench) -> None:
    done = fresh.install(*answers(fresh, f'trust = "{officer(fresh)}"'))
    assert done.returncode == 0, done.stderr
    assert "trust metadata: taken: root 1, policy 7" in done.stderr
    assert (fresh.data / "root").read_text() == f"the root{FINGERPRINT}"
    assert (fresh.data / "policy").read_text() == "7"
    assert not (fresh.state / "trust").exists()


def test_those_of_the_bundle_are_passed_on(bench: Bench) -> None:
    stick = officer(bench)
    carried = tuple(Source(name, "trust", stick / name) for name in FILES)
    bench.bundle(extra=carried)
    assert bench.install(*answers(bench)).returncode == 0
    assert (bench.data / "policy").read_text() == "7"
    assert "in force already" in bench.install().stderr


def test_a_site_without_metadata_is_told_before(fresh: Bench) -> None:
    for more in ((), ('trust = "/nowhere"',)):
        done = fresh.install(*answers(fresh, *more))
        assert done.returncode == 1 and "trust_missing" in done.stderr
        assert fresh.footprint() == {}


def test_refused_metadata_stop_the_first_installation_only(fresh: Bench) -> None:
    stick = officer(fresh, **{"targets/policy.json": "expired"})
    given = answers(fresh, f'trust = "{stick}"')
    done = fresh.install(*given)
    assert done.returncode == 1 and "trust_expired" in done.stderr
    assert fresh.footprint() == {}
    officer(fresh)
    assert fresh.install(*given).returncode == 0
    officer(fresh, **{"targets/policy.json": "expired"})
    done = fresh.install()
    assert done.returncode == 0 and "trust metadata: NOT TAKEN" in done.stderr
    assert (fresh.data / "policy").read_text() == "7"


def test_a_lab_takes_none(bench: Bench) -> None:
    stick = officer(bench)
    bench.bundle(extra=tuple(Source(name, "trust", stick / name) for name in FILES))
    done = bench.install()
    assert done.returncode == 0 and "these data are of a lab" in done.stderr
    assert not (bench.data / "policy").exists()


def test_a_site_needs_the_fingerprint_from_paper(fresh: Bench) -> None:
    path = fresh.place / "answers.toml"
    path.write_text(f'profile = "site"\ntrust = "{officer(fresh)}"\n')
    done = fresh.install("--answers", str(path))
    assert done.returncode == 1 and "answers_invalid" in done.stderr
