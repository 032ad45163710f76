"""Each rule finds what it is there for, and nothing in facts that are well."""

import importlib
import re
from dataclasses import replace

import click
import pytest

from appliance.incidents.facts import (
    ArtifactFact,
    Backup,
    CertificateFact,
    Disk,
    Facts,
    FailedJob,
    LogFact,
    LogFile,
    PeerFact,
    ReceiverFact,
    Refusals,
    UpstreamHostFact,
    WorkerFact,
)
from appliance.incidents.rules import BY_CODE, RULES, alarms
from appliance.trust.policy.freshness import Freshness
from appliance.types import Told

DAY = 86_400_000_000
NOW = 1_000 * DAY
MIB = 1 << 20
WELL = Facts(
    now_us=NOW,
    disk=Disk(free=4_096 * MIB, total=1 << 40, reserve=256 * MIB, full_in_s=30 * 86_400.0),
    log=LogFact(unwitnessed=3, witnessed_us=NOW - DAY, witness_days=7),
    log_file=LogFile(kept_from_us=NOW - 8 * DAY),
    certificate=CertificateFact(NOW + 31 * DAY, renewable=True),
    trust=Freshness(NOW, NOW - DAY, NOW + 40 * DAY, NOW + 70 * DAY),
    artifacts=(
        ArtifactFact("m", "generate", "serving"),
        ArtifactFact("n", "generate", "approved"),
        ArtifactFact("old", "task", "retired", code="model_revoked", message="It was."),
    ),
    workers=(WorkerFact("m", "ready"),),
    refusals=(Refusals("planner", 99),),
    upstreams=(
        UpstreamHostFact("big", "https://a", "ready", usable=True, approved=True),
        UpstreamHostFact("big", "https://new", "unapproved", usable=False, approved=False),
        UpstreamHostFact("big", "https://out", "drained", usable=False, approved=True),
    ),
    backup=Backup(NOW - 6 * DAY, 0, 7),
)
"""An appliance on a good night, close to each limit."""


def told(subject: str = "x") -> tuple[Told, ...]:
    return (Told(subject, "It is so."),)


def host(state: str, *, usable: bool = False) -> UpstreamHostFact:
    return UpstreamHostFact("big", "https://a", state, usable=usable, approved=True, problem="gone")


BAD = {
    "host_unsuitable": replace(WELL, host=("Landlock is missing.",)),
    "log_unwritable": replace(WELL, log=LogFact(latched="the disk is full")),
    "log_behind": replace(WELL, log=LogFact(alarm="It grows.")),
    "notice_undelivered": replace(WELL, unnotified=told()),
    "receiver_behind": replace(
        WELL, receivers=(ReceiverFact("siem", "tls://s:1", 3, NOW - DAY, "refused", NOW - DAY),)
    ),
    "people_away": replace(WELL, people_away=told()),
    "peer_silent": replace(WELL, peers=(PeerFact("b", NOW - DAY, "refused", ""),)),
    "mirror_away": replace(WELL, mirrors=told()),
    "site_stale": replace(WELL, site_stale="No other appliance answered."),
    "peer_log_differs": replace(WELL, peers=(PeerFact("b", NOW - DAY, "", "it was put back"),)),
    "log_ends_early": replace(WELL, ends_early="The log ends with entry 3."),
    "state_differs": replace(WELL, state=told()),
    "insufficient_disk": replace(WELL, disk=Disk(255 * MIB, 1 << 40, 256 * MIB)),
    "disk_low": replace(WELL, disk=Disk(1_023 * MIB, 1 << 40, 256 * MIB)),
    "disk_fills": replace(WELL, disk=Disk(1 << 38, 1 << 40, 256 * MIB, 3 * 86_400.0)),
    "log_file_unwritable": replace(WELL, log_file=LogFile("No space left on device")),
    "log_file_short": replace(WELL, log_file=LogFile(kept_from_us=NOW - 6 * DAY)),
    "certificate_ended": replace(WELL, certificate=CertificateFact(NOW)),
    "certificate_ends": replace(WELL, certificate=CertificateFact(NOW + 30 * DAY)),
    "certificate_changes": replace(
        WELL, certificate=CertificateFact(NOW + 3 * DAY, changes_us=NOW + 2 * DAY)
    ),
    "clock_behind": replace(WELL, trust=Freshness(NOW, NOW + DAY)),
    "trust_rollback": replace(WELL, trust=Freshness(NOW, NOW, undone="It is older.")),
    "trust_stale": replace(WELL, trust=Freshness(NOW, NOW, NOW - 9 * DAY, NOW - DAY)),
    "trust_expired": replace(WELL, trust=Freshness(NOW, NOW, NOW - DAY, NOW + DAY)),
    "trust_expires_soon": replace(WELL, trust=Freshness(NOW, NOW, NOW + 29 * DAY, NOW + 60 * DAY)),
    "trust_unreadable": replace(WELL, trust=None, trust_problem="No. (policy_signature)"),
    "role_name_unknown": replace(WELL, unknown_roles=("nobody9",)),
    "unexpected_errors": replace(WELL, unexpected=("2 errors.",)),
    "model_suspended": replace(
        WELL, artifacts=(ArtifactFact("m", "task", "suspended", message="by hand"),)
    ),
    "model_doubtful": replace(
        WELL, artifacts=(ArtifactFact("m", "generate", "serving", code="x", message="y"),)
    ),
    "model_missing": replace(WELL, artifacts=(ArtifactFact("r", "route", "missing", "ab12"),)),
    "model_unloadable": replace(
        WELL, artifacts=(ArtifactFact("m", "generate", "approved", unloadable="m needs 9 MiB"),)
    ),
    "engine_suspended": replace(WELL, workers=(WorkerFact("m", "suspended", "it died", 5),)),
    "engine_died": replace(WELL, workers=(WorkerFact("m", "ready", deaths=1),)),
    "model_on_processor": replace(WELL, workers=(WorkerFact("m", "ready", warning="no plugin"),)),
    "model_on_disk": replace(WELL, workers=(WorkerFact("m", "ready", held="disk"),)),
    "evaluation_expires": replace(WELL, evaluations=told()),
    "route_suspended": replace(WELL, routes=told()),
    "route_unwatched": replace(WELL, unwatched=told()),
    "route_missing_wrong": replace(WELL, missing_wrong=told()),
    "route_weights": replace(WELL, weights=told()),
    "drift_found": replace(WELL, drifts=told()),
    "queue_full": replace(WELL, refusals=(Refusals("planner", 5, no_room=5),)),
    "app_floods": replace(WELL, refusals=(Refusals("planner", 100),)),
    "batch_starves": replace(WELL, batches=told()),
    "upstream_down": replace(WELL, upstreams=(host("drained"),)),
    "upstream_host_down": replace(
        WELL, upstreams=(host("tripped"), replace(host("ready", usable=True), url="https://b"))
    ),
    "upstream_suspect": replace(WELL, upstreams=(host("suspect", usable=True),)),
    "upstream_broken": replace(WELL, broken_upstreams=told()),
    "upstreams_unread": replace(WELL, unread_upstreams="It is so."),
    "answers_held": replace(WELL, log=replace(WELL.log, held="The receiver siem lacks entries.")),
    "key_quarantined": replace(WELL, quarantined=told()),
    "witness_silent": replace(
        WELL, log=LogFact(unwitnessed=9, witnessed_us=NOW - 7 * DAY, witness_days=7)
    ),
    "answer_differs": replace(WELL, replays=told()),
    "job_failed": replace(WELL, jobs=(FailedJob(3, "import", "m", "c", "It failed.", NOW - 5),)),
    "backup_old": replace(WELL, backup=Backup(NOW - 7 * DAY, 0, 7)),
}
"""Facts in which one rule alone finds something."""


def test_a_good_night_has_no_alarm() -> None:
    assert alarms(WELL) == []


def test_every_rule_has_its_bad_night() -> None:
    assert set(BAD) == {rule.code for rule in RULES} == set(BY_CODE)


@pytest.mark.parametrize("code", BAD)
def test_one_fault_is_one_alarm(code: str) -> None:
    (found,) = alarms(BAD[code])
    assert (found.code, found.level) == (code, BY_CODE[code].level)
    assert found.message.endswith(
        (".", ")", "down", "hand", "MiB", "y", "died", "plugin", "gone", "out.")
    )
    assert found.next and "{" not in found.next and ".." not in found.message


def test_what_is_critical_comes_first() -> None:
    both = replace(BAD["disk_low"], host=("Landlock is missing.",), backup=Backup(None, 0, 7))
    assert [alarm.level for alarm in alarms(both)] == ["critical", "warning", "warning"]


@pytest.mark.parametrize(("left", "threshold"), [(30, 30), (8, 30), (7, 7), (2, 7), (1, 1)])
def test_the_end_of_a_certificate_is_told_at_30_7_and_1_days(left: int, threshold: int) -> None:
    (found,) = alarms(replace(WELL, certificate=CertificateFact(NOW + left * DAY)))
    assert found.since_us == NOW + (left - threshold) * DAY
    assert "every client" in found.message  # its CA's key is gone
    renewable = replace(WELL, certificate=CertificateFact(NOW + left * DAY, renewable=True))
    assert "every client" not in alarms(renewable)[0].message


def test_alarms_of_an_upstream_name_the_worse_alone() -> None:
    found = alarms(replace(WELL, upstreams=(host("unreachable"),)))
    assert [alarm.code for alarm in found] == ["upstream_down", "upstream_host_down"]


@pytest.mark.parametrize("code", BY_CODE)
def test_next_steps_name_commands_that_exist(code: str) -> None:
    for words in re.findall(r"`appliance ([a-z -]+)", BY_CODE[code].next):
        first, *rest = words.split()
        command = getattr(importlib.import_module(f"appliance.cli.{first}"), first)
        if isinstance(command, click.Group):
            assert rest and rest[0] in command.commands, words
            command, rest = command.commands[rest[0]], rest[1:]
        options = {name for each in command.params for name in each.opts}
        assert {word for word in rest if word.startswith("--")} <= options, words
