"""The configuration file."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import config
from appliance.config import (
    Config,
    ModelConfig,
    RolesConfig,
    data_directory,
    load_config,
    parse_config,
)
from appliance.errors import UsageError
from docs import generate

SECTIONS: dict[str, type[Any]] = {
    spec.name: type(getattr(Config(), spec.name))
    for spec in fields(Config)
    if spec.name not in config._NAMED
} | {"admin.roles": RolesConfig, "models.default": ModelConfig}


def refusal(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse_config(text)
    assert caught.value.code == "config_invalid"
    return caught.value


def test_an_empty_file_is_the_defaults() -> None:
    assert parse_config("") == Config()


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_documented_and_refuses_another_type(section: str) -> None:
    for key in fields(SECTIONS[section]):
        assert key.metadata["doc"].endswith(".")
        error = refusal(f"[{section}]\n{key.name} = {{ x = 1 }}\n")
        assert error.param == f"{section}.{key.name}"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_default_that_the_document_shows_can_be_written(section: str) -> None:
    shown = re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", generate.config_document(), re.MULTILINE)
    names = {key.name for key in fields(SECTIONS[section])}
    lines = [f"{name} = {value}" for name, value in shown if name in names]
    for line in dict.fromkeys(lines):  # names of other sections may be the same
        parse_config(f"[{section}]\n{line}\n")
    assert len({line.partition(" ")[0] for line in lines}) == len(names)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_range_is_enforced_at_both_ends(section: str) -> None:
    for key in fields(SECTIONS[section]):
        for bound, step in (("low", -1), ("high", 1)):
            limit = key.metadata[bound]
            if limit is not None:
                parse_config(f"[{section}]\n{key.name} = {limit}\n")
                refusal(f"[{section}]\n{key.name} = {limit + step}\n")


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    error = refusal("[server]\nprot = 1\n")
    assert "server.port" in error.message
    assert error.param == "server.prot"


@pytest.mark.parametrize(
    "text", ["[sever]\n", "[admin]\nrole = 1\n", "server = 3\n", "models = []"]
)
def test_unknown_and_misshapen_tables_are_refused(text: str) -> None:
    refusal(text)


def test_a_choice_refuses_what_is_not_listed() -> None:
    assert parse_config('[audit]\ncontent = "off"\n').audit.content == "off"
    refusal('[audit]\ncontent = "plain"\n')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[server]\nport = 70000",
            "server.port must be an integer between 0 and 65535, not 70000.",
        ),
        ('[server]\nport = "x"', "server.port must be an integer between 0 and 65535, not 'x'."),
        ("[server]\ndocs = 1", "server.docs must be true or false, not 1."),
        ("[server]\nhost = 1", "server.host must be text, not 1."),
        ('[server]\nlog = "xml"', "server.log must be one of text, json, not 'xml'."),
        (
            '[admin.roles]\nadmin = "a"',
            "admin.roles.admin must be a list of names or ids, not 'a'.",
        ),
        (
            '[server]\ncors_origins = ["intranet"]',
            "server.cors_origins must be a list of origins, scheme and host and perhaps a port, "
            "not ['intranet'].",
        ),
    ],
)
def test_a_refusal_says_what_is_wanted(text: str, message: str) -> None:
    assert refusal(text).message == message


def test_true_is_not_a_number() -> None:
    refusal("[server]\nport = true\n")


def test_names_and_ids_of_roles_become_text() -> None:
    roles = parse_config('[admin.roles]\noperator = ["ops", 1001]\n').roles
    assert roles.operator == ("ops", "1001")
    for wrong in ("[1.5]", "[true]", '"ops"', "[[]]"):
        refusal(f"[admin.roles]\noperator = {wrong}\n")


def test_a_model_has_its_own_table_or_the_default() -> None:
    config = parse_config('[models.default]\nslots = 2\n[models."a"]\nslots = 3\n')
    assert config.model("a").slots == 3
    assert config.model("b").slots == 2
    assert Config().model("b") == ModelConfig()


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_is_refused(text: str) -> None:
    try:
        parse_config(text)
    except UsageError as error:
        assert error.code == "config_invalid"


def test_a_directory_without_the_file_was_not_initialised(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_config(tmp_path)
    assert caught.value.code == "data_missing"


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "appliance.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError) as caught:
        load_config(tmp_path)
    assert caught.value.code == "config_invalid"


def test_the_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPLIANCE_DATA", "/from/environment")
    assert data_directory(None) == Path("/from/environment")
    assert data_directory("/from/option") == Path("/from/option")


def test_without_either_there_is_no_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APPLIANCE_DATA", raising=False)
    with pytest.raises(UsageError) as caught:
        data_directory(None)
    assert caught.value.code == "data_missing"


UPSTREAM = """[upstreams.big]
kind = "vllm"
urls = ["https://gpu-1.example:8443", "http://127.0.0.1:9000"]
model = "there"
ca = "ca.pem"
"""


def test_an_upstream() -> None:
    found = parse_config(UPSTREAM).upstreams["big"]
    assert (found.kind, found.model, found.keeps_content) == ("vllm", "there", True)
    assert found.urls == ("https://gpu-1.example:8443", "http://127.0.0.1:9000")


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("https://gpu-1.example:8443", "http://gpu-1.example", "upstreams.big.urls"),
        ("https://gpu-1.example:8443", "https://user@gpu-1.example", "upstreams.big.urls"),
        ("https://gpu-1.example:8443", "https://gpu-1.example/v1", "upstreams.big.urls"),
        ("https://gpu-1.example:8443", "http://127.0.0.1:9000", "upstreams.big.urls"),
        ("https://gpu-1.example:8443", "http://127.0.0.1.example", "upstreams.big.urls"),
        ('model = "there"', "", "upstreams.big.model"),
        ('ca = "ca.pem"', "", "upstreams.big.ca"),
        ('ca = "ca.pem"', 'ca = "ca.pem"\ncertificate = "c.pem"', "upstreams.big.key"),
        ('ca = "ca.pem"', 'ca = "ca.pem"\nkey = "c.key"', "upstreams.big.certificate"),
        ("[upstreams.big]", '[upstreams."Big One"]', "upstreams.Big One"),
        ('kind = "vllm"', 'kind = "litellm"', "upstreams.big.kind"),
        ('kind = "vllm"', "retries = 3", "upstreams.big.retries"),
    ],
)
def test_an_upstream_that_cannot_be(before: str, after: str, key: str) -> None:
    assert refusal(UPSTREAM.replace(before, after)).param == key


RECEIVER = """[forward.siem]
to = "tls://siem.example:6514"
ca = "siem.pem"
"""


def test_a_receiver_of_the_log() -> None:
    found = parse_config(RECEIVER).forward["siem"]
    assert (found.to, found.format, found.stop_after_minutes) == (
        "tls://siem.example:6514", "ocsf", 0,
    )  # fmt: skip
    for to in ("https://otel.example:4318/v1/logs", "http://127.0.0.1:4318/v1/logs"):
        parse_config(RECEIVER.replace("tls://siem.example:6514", to))


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("tls://siem.example:6514", "tcp://siem.example:514", "forward.siem.to"),
        ("tls://siem.example:6514", "udp://127.0.0.1:514", "forward.siem.to"),
        ("tls://siem.example:6514", "tls://siem.example", "forward.siem.to"),
        ("tls://siem.example:6514", "http://siem.example/v1/logs", "forward.siem.to"),
        ('ca = "siem.pem"', "", "forward.siem.ca"),
        ('ca = "siem.pem"', 'ca = "siem.pem"\nkey = "c.key"', "forward.siem.certificate"),
        ('ca = "siem.pem"', 'ca = "siem.pem"\nformat = "xml"', "forward.siem.format"),
        ("[forward.siem]", '[forward."Big One"]', "forward.Big One"),
    ],
)
def test_a_receiver_that_cannot_be(before: str, after: str, key: str) -> None:
    assert refusal(RECEIVER.replace(before, after)).param == key


LOGIN = """[oidc.corp]
issuer = "https://login.example"
audience = "appliance"
keys = "corp.jwks"
[groups.radiology]
names = ["corp/Radiology Staff"]
"""


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("", "", ""),
        ("corp.jwks", "http://login.example/jwks", "oidc.corp.keys"),
        ("corp.jwks", "https://login.example/jwks", "oidc.corp.ca"),
        ("corp.jwks", "file:///etc/passwd", "oidc.corp.keys"),
        ('audience = "appliance"', "", "oidc.corp.audience"),
        ('keys = "corp.jwks"', 'keys = "k"\nalgorithms = ["HS256"]', "oidc.corp.algorithms"),
        ('keys = "corp.jwks"', 'keys = "k"\nalgorithms = ["none"]', "oidc.corp.algorithms"),
        ('keys = "corp.jwks"', 'keys = "k"\nalgorithms = []', "oidc.corp.algorithms"),
        ('keys = "corp.jwks"', 'keys = "k"\nlongest_minutes = 0', "oidc.corp.longest_minutes"),
        ("corp/Radiology Staff", "Radiology Staff", "groups.radiology.names"),
        ("corp/Radiology Staff", "other/Radiology Staff", "groups.radiology.names"),
        ("[groups.radiology]", '[groups."Big One"]', "groups.Big One"),
    ],
)
def test_a_login_service_and_its_groups(before: str, after: str, key: str) -> None:
    if key:
        assert refusal(LOGIN.replace(before, after)).param == key
    else:
        assert parse_config(LOGIN).groups["radiology"].names == ("corp/Radiology Staff",)


LDAP, ROLES = "[ldap.ad]", "[admin.roles]\n"
PEOPLE = """[ldap.ad]
urls = ["ldaps://dc1.example"]
ca = "ad.pem"
bind = "CN=appliance,DC=example"
password = "ad.password"
base = "DC=example"
[oidc.corp]
issuer = "https://login.example"
audience = "appliance"
keys = "corp.jwks"
directory = "ad"
[certificates.card]
ca = "card.pem"
crls = ["card.crl"]
directory = "ad"
[groups.radiology]
names = ["ad/CN=Radiology Staff,DC=example"]
"""


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("", "", ""),
        ("ldaps://dc1.example", "ldaps://[fe80::1]:6636", ""),
        ("ldaps://", "ldap://", "ldap.ad.urls"),
        ("dc1.example", "dc1.example/DC=other", "ldap.ad.urls"),
        ('urls = ["ldaps://dc1.example"]', "", "ldap.ad.urls"),
        ('ca = "ad.pem"', "", "ldap.ad.ca"),
        ('bind = "CN=appliance,DC=example"', "", "ldap.ad.bind"),
        ('password = "ad.password"', "", "ldap.ad.password"),
        ('base = "DC=example"', 'base = "DC=example"\nkind = "nis"', "ldap.ad.kind"),
        ("[ldap.ad]", "[ldap.corp]", "oidc.corp.directory"),
        ('[certificates.card]\nca = "card.pem"', "[certificates.card]", "certificates.card.ca"),
        ('["card.crl"]', "[]", "certificates.card.crls"),
        ('crls = ["card.crl"]\ndirectory = "ad"', 'crls = ["c"]\ndirectory = "x"',
         "certificates.card.directory"),
        ("ad/CN=Radiology", "card/CN=Radiology", "groups.radiology.names"),
        (LDAP, ROLES + 'viewer = ["people:radiology"]', "admin.roles.viewer"),
        (LDAP, ROLES + 'directory = "x"', "admin.roles.directory"),
        (LDAP, ROLES + 'directory = "ad"\nadmin = ["people:none"]', "admin.roles.admin"),
        (LDAP, ROLES + 'directory = "ad"\nadmin = ["people:radiology"]', ""),
    ],
)  # fmt: skip
def test_a_directory_and_certificates(before: str, after: str, key: str) -> None:
    if before == LDAP and after.startswith(ROLES):
        after += "\n" + LDAP
    if key:
        assert refusal(PEOPLE.replace(before, after)).param == key
    else:
        assert parse_config(PEOPLE.replace(before, after)).certificates["card"].directory == "ad"


def test_a_directory_has_no_name_of_a_login_service() -> None:
    both = PEOPLE.replace('directory = "ad"', "").replace("[ldap.ad]", "[ldap.corp]")
    assert refusal(both.replace("ad/CN", "corp/CN")).param == "ldap.corp"


DUTY = """[notify.duty]
to = "smtp://relay.example:25"
mail_from = "appliance@site.example"
mail_to = ["duty@site.example"]
"""


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("", "", ""),
        ("smtp://relay.example:25", "http://chat.example/hook", "notify.duty.to"),
        ("smtp://relay.example:25", "smtps://relay.example:25", "notify.duty.ca"),
        ("smtp://relay.example:25", "https://chat.example/hook", "notify.duty.ca"),
        ('mail_to = ["duty@site.example"]', "", "notify.duty.mail_to"),
    ],
)
def test_a_destination_of_messages(before: str, after: str, key: str) -> None:
    if key:
        assert refusal(DUTY.replace(before, after)).param == key
    else:
        assert parse_config(DUTY).notify["duty"].repeat_hours == 24


PEER = """[peers.north]
url = "https://north.example:8443"
log_key = "l"
witness_key = "w"
ca = "north.pem"
"""


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("", "", ""),
        ("https:", "http:", "peers.north.url"),
        ("8443", "8443/v1", "peers.north.url"),
        ('ca = "north.pem"', "", "peers.north.ca"),
        ('witness_key = "w"', "", "peers.north.witness_key"),
        ("[peers.north]", '[peers."The North"]', "peers.The North"),
    ],
)
def test_a_peer_is_reached_over_tls(before: str, after: str, key: str) -> None:
    if key:
        assert refusal(PEER.replace(before, after)).param == key
    else:
        assert parse_config(PEER).peers["north"].url == "https://north.example:8443"


def test_of_the_environment_a_module_gets_what_it_looks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOFTHSM2_CONF", "/etc/softhsm2.conf")
    monkeypatch.setenv("LD_PRELOAD", "")
    found = config.module_environment()
    assert found["SOFTHSM2_CONF"] == "/etc/softhsm2.conf" and "LD_PRELOAD" not in found
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "")
    assert config.credentials() is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/a.service")
    assert config.credentials() == Path("/run/credentials/a.service")
