"""`relayminer systemd`: a unit file."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

UNIT = """\
# /etc/systemd/system/relayminer.service
#
#   relayminer systemd --config {config} | sudo tee /etc/systemd/system/relayminer.service
#   sudo systemctl daemon-reload && sudo systemctl enable --now relayminer
[Unit]
Description=RelayMiner: serves and mines relays of Pocket Network
Documentation=man:systemd.service(5)
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
{life}
Restart=always
RestartSec=2
KillMode=mixed
User={user}
StateDirectory=relayminer
Environment=RELAYMINER_HOME={home}
{credential}
# Connections of gateways and to backends.
LimitNOFILE=65536
# A core dump would hold supplier keys.
LimitCORE=0

NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
ReadWritePaths={home}

[Install]
WantedBy=multi-user.target
"""

ALONE = """\
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
# A loop that stands still for so long is started again.
WatchdogSec=60
# Relays in hand are finished, the last checkpoint is written.
TimeoutStopSec=90"""

COSMOVISOR = """\
# It is not cosmovisor, the main process, that says how we are.
NotifyAccess=all
ExecStart={cosmovisor} run {command}
# Cosmovisor itself would end at SIGHUP, and after an upgrade it ends at SIGTERM before we have.
ExecReload=/usr/bin/pkill -HUP -P $MAINPID
ExecStop=-/usr/bin/pkill -TERM -P $MAINPID
ExecStop=-/usr/bin/tail --pid=$MAINPID -f /dev/null
Environment=DAEMON_NAME=relayminer
Environment=DAEMON_HOME={home}
# Without it the old version is killed.
Environment=DAEMON_SHUTDOWN_GRACE=90s
# While an upgrade waits for its height, this is how often `relayminer status` is asked for it.
Environment=DAEMON_POLL_INTERVAL=5s
# A version is an installation of its own, not one file to download.
Environment=DAEMON_ALLOW_DOWNLOAD_BINARIES=false
Environment=RELAYMINER_CONFIG={config}
# A loop that stands still for so long is started again; a change of versions takes less.
WatchdogSec=180
TimeoutStopSec=120"""


@click.command(epilog="Example: relayminer systemd --config /etc/relayminer/relayminer.yaml")
@click.option(
    "--config",
    "-c",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("/etc/relayminer/relayminer.yaml"),
    show_default=True,
    help="The configuration that the unit starts with.",
)
@click.option("--user", default="relayminer", show_default=True, help="Runs as this user.")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/var/lib/relayminer"),
    show_default=True,
    help="Data directory.",
)
@click.option("--roles", default="relayer,miner,cache-leader", show_default=True)
@click.option(
    "--passphrase",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the passphrase of the keys, handed over as a credential.",
)
@click.option(
    "--cosmovisor",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Start it under this program, which changes versions at the heights of upgrades.",
)
def systemd(
    *,
    config: Path,
    user: str,
    home: Path,
    roles: str,
    passphrase: Path | None,
    cosmovisor: Path | None,
) -> None:
    """Print a unit file: started, watched, limited and confined by systemd."""
    from relayminer.keys.passphrase import CREDENTIAL  # noqa: PLC0415 - quick --help

    words = ["run", "--config", str(config), "--roles", roles]
    if cosmovisor is None:
        life = ALONE.format(command=shlex.join([sys.executable, "-m", "relayminer", *words]))
    else:
        life = COSMOVISOR.format(
            cosmovisor=cosmovisor, command=shlex.join(words), home=home, config=config
        )
    credential = "" if passphrase is None else f"LoadCredential={CREDENTIAL}:{passphrase}\n"
    click.echo(
        UNIT.format(
            config=config,
            life=life,
            user=user,
            home=home,
            credential=credential,
        ),
        nl=False,
    )
