"""The units of systemd, and other files that the host's own programs read.

Rules: the service sees the release as its whole file system, the data directory as the only place
to write, and no device; with a GPU plugin only NVIDIA's. No RestrictSUIDSGID=: it makes openat2
fail, by which models are opened. No MemoryDenyWriteExecute=: with it libffi holds an open file, and
a worker with an open file is not confined; the worker forbids such memory itself. A user manager
may not change roots: the unit starts the launcher and keeps what works there.
"""

from collections.abc import Mapping
from typing import Final

from installer.host.answers import Answers, Layout
from installer.host.preflight import OURS

SERVICE: Final = "appliance.service"
RECOVER: Final = "appliance-recover.service"
FAILED: Final = "appliance-failed.service"
_HEAD: Final = f"# {OURS}; changes are lost at the next upgrade: use `systemctl edit`\n"

_SANDBOX: Final = """\
RootDirectory={root}
MountAPIVFS=yes
BindReadOnlyPaths=-/etc/passwd -/etc/group -/etc/hosts -/etc/localtime
BindReadOnlyPaths=-{tuning}
BindPaths={data}
ReadWritePaths={data}
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=all
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
PrivateTmp=yes
{devices}
PrivateIPC=yes
RemoveIPC=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
KeyringMode=private
LockPersonality=yes
RestrictRealtime=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SocketBindDeny=any
SocketBindAllow=tcp:{port}
SocketBindAllow=tcp:9464
IPAddressDeny=any
IPAddressAllow={networks}
SystemCallArchitectures=native
SystemCallFilter=@system-service memfd_create seccomp landlock_create_ruleset
SystemCallFilter=landlock_add_rule landlock_restrict_self
SystemCallFilter=~@privileged @resources @obsolete
SystemCallFilter=setrlimit prlimit64 sched_setaffinity
SystemCallErrorNumber=EPERM
"""

_SYSTEM: Final = """\
[Unit]
Description=The appliance: signed models, audited answers
After=network.target local-fs.target appliance-recover.service{after}
ConditionPathExists={data}/appliance.toml
OnFailure=appliance-failed.service
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=exec
User={account}
Group={account}
UMask=0077
ExecStart=/usr/bin/python3.13 -I -m appliance serve --data {data}
ExecReload=/bin/kill -HUP $MAINPID
KillMode=mixed
TimeoutStopSec=60
Restart=on-failure
RestartSec=2
OOMPolicy=continue
LimitNOFILE=65536
LimitCORE=0
Environment=LC_ALL=C.UTF-8 APPLIANCE_DATA={data}

{sandbox}
[Install]
WantedBy=multi-user.target
"""

_NO_DEVICE: Final = """\
PrivateDevices=yes
DevicePolicy=closed"""

_CARDS: Final = 16
_GPU_NODES: Final = ("nvidiactl", "nvidia-uvm", *(f"nvidia{n}" for n in range(_CARDS)))
"""Files that CUDA opens; never `nvidia-modeset`, for screens. Each is put into the service's own
/dev; one that is not there when the service starts stays closed to it."""

_DRIVER_LIBRARIES: Final = (
    "libcuda.so.1", "libnvidia-ptxjitcompiler.so.1", "libnvidia-ml.so.1",
)  # fmt: skip
_PLACES: Final = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64")
"""Where Debian and Ubuntu, and where RHEL have the driver's libraries."""

_SEEN_AT: Final = "usr/lib"
"""Where the service sees them. The launcher of the host's commands does not look there: it would
find the empty files that systemd mounts onto."""

MOUNTED: Final = tuple(f"{_SEEN_AT}/{name}" for name in _DRIVER_LIBRARIES)
"""Files that systemd makes in the tree of a release with a GPU plugin."""

_GPU: Final = "\n".join(
    (
        _NO_DEVICE,
        *(f"DeviceAllow=/dev/{node} rw\nBindPaths=-/dev/{node}" for node in _GPU_NODES),
        *(
            f"BindReadOnlyPaths=-{place}/{name}:/{_SEEN_AT}/{name}"
            for name in _DRIVER_LIBRARIES
            for place in _PLACES
        ),
    )
)

_RECOVER_SYSTEM: Final = """\
[Unit]
Description=Undo an upgrade of the appliance that was interrupted
Before=appliance.service
After=local-fs.target
ConditionPathExists={state}/ledger

[Service]
Type=oneshot
ExecStart={commands}/appliance-installer recover --boot
UMask=0022
PrivateNetwork=yes
ProtectHome=yes
NoNewPrivileges=no

[Install]
WantedBy=multi-user.target
"""

_FAILED_SYSTEM: Final = """\
[Unit]
Description=Tell people that the appliance failed

[Service]
Type=oneshot
User={account}
Group={account}
UMask=0077
ExecStart=/usr/bin/python3.13 -I -m appliance incident notice --directory {data}
TimeoutStartSec=300
LimitCORE=0
Environment=LC_ALL=C.UTF-8

{sandbox}"""

_FAILED_USER: Final = """\
[Unit]
Description=Tell people that the appliance failed

[Service]
Type=oneshot
UMask=0077
ExecStart={root}/usr/bin/python -I -m appliance incident notice --directory {data}
TimeoutStartSec=300
LimitCORE=0
Environment=LC_ALL=C.UTF-8
NoNewPrivileges=yes
"""

_USER: Final = """\
[Unit]
Description=The appliance: signed models, audited answers
ConditionPathExists={data}/appliance.toml
OnFailure=appliance-failed.service
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=exec
UMask=0077
ExecStart={root}/usr/bin/python -I -m appliance serve --data {data}
ExecReload=/bin/kill -HUP $MAINPID
KillMode=mixed
TimeoutStopSec=60
Restart=on-failure
RestartSec=2
LimitCORE=0
Environment=LC_ALL=C.UTF-8
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native

[Install]
WantedBy=default.target
"""

_SYSUSERS: Final = """\
g {operators} -
u {account} - "The appliance" {data}
m {account} {operators}
"""

_TMPFILES: Final = """\
d {data} 0750 {account} {operators}
z {data}/run 2750 {account} {operators}
"""

_LOGROTATE: Final = """\
{state}/*.log {{
    size 1M
    rotate 5
    missingok
    notifempty
    copytruncate
}}
"""

_NFT: Final = """\
# Include it in the chain `input` of your ruleset, after the rule for established connections:
#   include "{etc}/appliance.nft"
tcp dport {port} ct state new accept
"""

_FIREWALLD: Final = """\
<?xml version="1.0" encoding="utf-8"?>
<!-- firewall-cmd - -permanent - -new-service-from-file={etc}/appliance.firewalld.xml -->
<service>
  <short>The appliance</short>
  <description>Small language models over HTTP with the interface of OpenAI</description>
  <port protocol="tcp" port="{port}"/>
</service>
"""


def units(layout: Layout, answers: Answers, release: str, *, gpu: bool = False) -> dict[str, str]:
    """The units of a release by file name.

    `gpu` as in `system.render`.
    """
    values = {
        **_values(layout, answers, release),
        "devices": _GPU if gpu else _NO_DEVICE,
        "after": " nvidia-persistenced.service" if gpu else "",
    }
    if layout.user:
        return {
            SERVICE: _HEAD + _USER.format_map(values),
            FAILED: _HEAD + _FAILED_USER.format_map(values),
        }
    values["sandbox"] = _SANDBOX.format_map(values)
    told = {**values, "sandbox": _SANDBOX.format_map({**values, "devices": _NO_DEVICE})}
    return {
        SERVICE: _HEAD + _SYSTEM.format_map(values),
        RECOVER: _HEAD + _RECOVER_SYSTEM.format_map(values),
        FAILED: _HEAD + _FAILED_SYSTEM.format_map(told),
    }


def settings(layout: Layout, answers: Answers, release: str) -> dict[str, str]:
    """Texts for other programs of the host, by file name in the release's `host` directory."""
    values = _values(layout, answers, release)
    texts = {
        "sysusers.conf": _SYSUSERS,
        "tmpfiles.conf": _TMPFILES,
        "logrotate.conf": _LOGROTATE,
        "appliance.nft": _NFT,
        "appliance.firewalld.xml": _FIREWALLD,
    }
    return {
        name: ("" if name.endswith("xml") else _HEAD) + text.format_map(values)
        for name, text in texts.items()
    }


def _values(layout: Layout, answers: Answers, release: str) -> Mapping[str, object]:
    loopback = answers.host in ("127.0.0.1", "::1", "localhost")
    return {
        "account": answers.account,
        "operators": answers.operators,
        "port": answers.port,
        "networks": "localhost" if loopback else "any",
        "release": layout.release(release),
        "root": layout.release(release) / "root",
        "data": layout.data,
        "tuning": layout.tuning,
        "state": layout.state,
        "etc": layout.etc,
        "commands": layout.commands,
    }
