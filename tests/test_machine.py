"""No test leans on what one machine happens to have in its environment."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

ENVIRONMENT = CHECKOUT / ".ci" / "environment"
TRACKED = subprocess.run(
    ["git", "ls-files", "-z", "*.py"], capture_output=True, text=True, check=True, cwd=CHECKOUT
).stdout.split("\0")
SOURCES = [path for name in TRACKED if name and (path := CHECKOUT / name).is_file()]
HERE = Path(__file__)

# What a person gives a test by name: `make test-upstream KIND=…`, a longer run, a mirror.
GIVEN = {
    "DEBIAN_MIRROR", "ENGINE_KILLS", "FROZEN_COMMIT", "FROZEN_ROWS", "INSTALL_RESULTS",
    "SITE_DIRECTORY", "SITE_KILLS", "SOAK_REQUESTS", "SOAK_RESULTS", "SWEEP_CASES", "WRITE_INTEROP",
}  # fmt: skip
# What a test sets for its own child, which reads it.
HANDED = re.compile(
    "CONTRACT_[A-Z_]+|OPENAI_API_KEY|PYTEST_XDIST_WORKER|SOFTHSM2_CONF|UPSTREAM_[A-Z]*|A"
)


def passed_on(given: dict[str, str]) -> dict[str, str]:
    """The environment of a command behind `.ci/environment`."""
    told = subprocess.run(
        [ENVIRONMENT, "env", "-0"], capture_output=True, text=True, check=True,
        env={"PATH": os.defpath, **given},
    )  # fmt: skip
    lines = (line.partition("=") for line in told.stdout.split("\0") if line)
    return {name: value for name, _, value in lines}


def test_integration_runs_the_tests_in_that_environment() -> None:
    said = (CHECKOUT / ".ci" / "run").read_text()
    assert [line for line in said.splitlines() if "make " in line and line[0] != "#"] == [
        ".ci/environment make test", "exec .ci/environment make test-swept",
    ]  # fmt: skip


def test_a_setting_of_the_machine_does_not_reach_the_tests() -> None:
    planted = {
        "PLANTED": "1", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "/",
        "XDG_CACHE_HOME": "/", "MY_PIP_INDEX_URL": "x", "LC_ALL": "C", "TERM": "dumb",
    }  # fmt: skip
    assert passed_on(planted) == {"PATH": os.defpath}


def test_the_package_clients_keep_their_settings_whatever_is_in_them() -> None:
    given = {
        "HOME": "/home/of a person", "LANG": "C.UTF-8", "CI": "true", "PIP_INDEX_URL": "a b\n'c'",
        "npm_config_registry": "$(x)", "NODE_EXTRA_CA_CERTS": "/ca.pem", "https_proxy": "a=b=c",
        "SSL_CERT_FILE": "", "REQUESTS_CA_BUNDLE": "/ca.pem", "CURL_CA_BUNDLE": "*",
    }  # fmt: skip
    assert passed_on(given) == {"PATH": os.defpath, **given}


def unflushed(text: str) -> bool:
    """A program prints, and ends by `os._exit`, which drops the buffer."""
    before_an_end = text.split("os._exit(")[:-1]
    lost = r"\bprint\((?!.*flush=True)|stdout\.write\((?![\s\S]*stdout\.flush\()"
    return any(re.search(lost, part) for part in before_an_end)


@pytest.mark.parametrize("ends", ["os._exit(0)", "os._exit(main())"])
def test_the_control_a_program_that_loses_its_words(ends: str) -> None:
    assert unflushed(f"print(1)\n{ends}")
    assert unflushed(f"sys.stdout.write('1')\n{ends}")
    assert not unflushed(f"print(1, flush=True)\n{ends}")
    assert not unflushed(f"sys.stdout.write('1')\nsys.stdout.flush()\n{ends}")
    assert not unflushed(f"traceback.print_exc()\n{ends}\nprint(1)")


def test_a_program_that_ends_at_once_flushes_its_words_first() -> None:
    assert [path for path in SOURCES if path != HERE and unflushed(path.read_text())] == []


def read_names(path: Path) -> set[str]:
    found = re.findall(
        r"""environ(?:\.get\(|\[)f?["'](\w+)(?!.*\] = )|getenv\(["'](\w+)""",
        path.read_text("utf-8"),
    )
    return {one or other for one, other in found}


def test_no_test_reads_a_variable_that_integration_does_not_have() -> None:
    tests = [path for path in SOURCES if path.is_relative_to(CHECKOUT / "tests") and path != HERE]
    known = GIVEN | {"CI", "HOME", "PATH"}
    found = {name for path in tests for name in read_names(path)}
    assert {name for name in found if name not in known and not HANDED.fullmatch(name)} == set()
    assert known & found, "the pattern finds none any more"
