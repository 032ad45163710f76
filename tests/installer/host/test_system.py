"""Links through `current`, commands, and their removal."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.host import answers, system
from installer.host.answers import Layout
from installer.host.problems import InstallError


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return answers.layout(answers.combine(), user=True, home=tmp_path)


def everything(layout: Layout) -> list[Path]:
    return [p for p in layout.commands.parents[1].rglob("*") if p.is_symlink() or p.is_file()]


def test_what_is_made_is_removed_and_nothing_else(layout: Layout) -> None:
    layout.commands.mkdir(parents=True)
    (layout.commands / "mine").write_text("mine")
    system.install(layout, managed=True)
    made = everything(layout)
    system.install(layout, managed=True)
    assert everything(layout) == made
    assert len(made) == 5  # two units, two commands, and mine
    system.uninstall(layout)
    system.uninstall(layout)
    assert everything(layout) == [layout.commands / "mine"]


def test_what_a_killed_run_left_beside_is_named(layout: Layout) -> None:
    system.install(layout, managed=True)
    names = {path.name for path in system.leftovers(layout)}
    assert {"appliance.part", "appliance-installer.part", "appliance.service.part"} <= names
    assert {"current.part", "vendor.pub.part"} <= names
    assert not any(path.exists() for path in system.leftovers(layout))


def test_somebody_elses_files_stay(layout: Layout) -> None:
    layout.commands.mkdir(parents=True)
    (layout.commands / "appliance").write_text("#!/bin/sh\n")
    layout.units.mkdir(parents=True)
    (layout.units / "appliance.service").symlink_to("/elsewhere")
    system.uninstall(layout)
    assert len(everything(layout)) == 2


def test_links_lead_through_the_release_in_service(layout: Layout) -> None:
    system.install(layout, managed=True)
    assert str((layout.units / "appliance.service").readlink()).startswith(f"{layout.current}/")


def test_rendering_is_complete_for_every_link(layout: Layout, tmp_path: Path) -> None:
    whole = answers.layout(answers.combine(), user=False, home=tmp_path)
    release = tmp_path / "release"
    release.mkdir()
    system.render(whole, answers.combine(), "1.0", release)
    for _, target in system.links(whole, managed=True):
        assert (release / Path(target).relative_to(whole.current)).is_file()


def test_a_command_that_fails_is_told() -> None:
    with pytest.raises(InstallError) as refused:
        system._run("false")
    assert refused.value.code == "step_failed"


def test_labels_only_where_the_host_has_them(layout: Layout, tmp_path: Path) -> None:
    assert system.label(layout, tmp_path, selinux=False, fapolicyd=False) == []


def test_lines_of_the_trust_file(tmp_path: Path) -> None:
    (tmp_path / "tree.list").write_text("d 755 usr\nf 755 3 abcd usr/bin/python\nl a b\n")
    assert list(system._trusted(tmp_path)) == [f"{tmp_path}/root/usr/bin/python 3 abcd\n"]


OWNER = 65_534


@pytest.fixture
def command() -> Iterator[tuple[str, Path]]:
    """The command on a host whose product prints its user, and the server's socket."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o755)
        place = answers.layout(answers.combine(), user=True, home=home)
        python = place.releases / "1" / "root" / "usr" / "bin" / "python"
        python.parent.mkdir(parents=True)
        real = f'*) exec {sys.executable} "$@"'
        python.write_text(f'#!/bin/sh\ncase "$*" in *"-m appliance"*) id -u ;; {real} ;; esac\n')
        python.chmod(0o755)
        place.current.symlink_to(place.releases / "1")
        (place.data / "run").mkdir(parents=True)
        (place.data / "appliance.toml").touch()
        os.chown(place.data, OWNER, OWNER)
        yield system.commands(place)[place.commands / "appliance"], place.data / "run/admin.sock"


def started_as(text: str) -> int:
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_root_speaks_to_a_server_and_works_on_the_data_as_their_owner(
    command: tuple[str, Path],
) -> None:
    """The service cannot read root's files: its next start would fail."""
    text, path = command
    assert started_as(text) == OWNER
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert started_as(text) == 0


def test_the_socket_of_a_server_that_was_killed_is_no_server(command: tuple[str, Path]) -> None:
    text, path = command
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    assert path.is_socket() and started_as(text) == OWNER
