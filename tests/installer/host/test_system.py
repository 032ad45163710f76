"""What is made outside: links through `current`, commands, and their removal."""

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
    assert len(made) == 4  # the unit, two commands, and mine
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
