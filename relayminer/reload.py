"""Keys, backends and certificates that change while the process runs: all that is new, or nothing.

Asked for with SIGHUP, or noticed by looking at the files now and then (a symbolic link that is
swapped, as Kubernetes does with mounted secrets, is a change). Relays and connections go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs
import structlog
import trio

from relayminer.errors import RelayMinerError
from relayminer.keys.errors import KeyLoadError
from relayminer.keys.keyring_store import ITEM_SUFFIX
from relayminer.keys.loading import SupplierKeys, load_keys
from relayminer.relayer.backends import authority_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from relayminer.config.settings import Settings
    from relayminer.keys.sources import KeySource
    from relayminer.miner.service import MinerService
    from relayminer.protocol.signature import SigningKey
    from relayminer.relayer.service import RelayerService
    from relayminer.telemetry.metrics import Metrics

APPLIED: Final = "applied"
REFUSED: Final = "refused"
LIVE: Final = ("relayer.services", "relayer.tls", "keys.")
"""What is taken over without a new start."""


class LiveKeys(Mapping[str, "SigningKey"]):
    """Supplier keys that can be replaced; everybody who holds this sees the new ones at once."""

    def __init__(self, keys: SupplierKeys) -> None:
        self._keys = keys

    def show(self, metrics: Metrics) -> None:
        """Show in the metrics how many there are."""
        active = metrics.gauge("ha_keys_supplier_keys_active", "Supplier keys in force").bind()
        active.read = lambda: len(self._keys)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Operator addresses, sorted."""
        return self._keys.addresses

    def replace(self, keys: SupplierKeys) -> None:
        """These are the keys from now on."""
        self._keys = keys

    def __getitem__(self, address: str) -> SigningKey:
        return self._keys[address]

    def __contains__(self, address: object) -> bool:
        return address in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"LiveKeys({', '.join(self.addresses)})"


@attrs.define
class ConfigSource:
    """Where settings came from.

    Attributes:
        path: the configuration file.
        load: reads it again; raises ConfigError.
        asked: set when somebody wants it read again.
        also: called then.
    """

    path: Path
    load: Callable[[], Settings]
    asked: trio.Event = attrs.field(factory=trio.Event)
    also: Callable[[], None] | None = None

    def ask(self) -> None:
        """Read it again, whether it has changed or not."""
        self.asked.set()
        if self.also is not None:
            self.also()


class Reloader:
    """Takes over new keys and backends; a `Service`.

    Args:
        source: of the settings.
        settings: in force.
        keys: replaced.
        providers: of keys.
        relayer: told about backends, if there is one.
        miner: told about keys, if there is one.
        metrics: where outcomes are counted.
    """

    name = "reload"

    def __init__(
        self,
        source: ConfigSource,
        settings: Settings,
        *,
        keys: LiveKeys,
        providers: Iterable[KeySource],
        relayer: RelayerService | None,
        miner: MinerService | None,
        metrics: Metrics,
    ) -> None:
        self._source = source
        self._settings = settings
        self._keys = keys
        self._providers = list(providers)
        self._relayer = relayer
        self._miner = miner
        self._log = structlog.get_logger("relayminer.reload")
        self._outcomes = metrics.counter(
            "relayminer_config_reloads", "Configurations read again", ("result",)
        )
        self._in_force = metrics.gauge(
            "relayminer_config_in_force", "0 while the files hold a configuration that was refused"
        ).bind()
        self._in_force.value = 1.0
        self._loads = metrics.counter("ha_keys_reloads", "Times that keys were read again").bind()
        self._load_errors = metrics.counter(
            "ha_keys_load_errors", "Sources of keys that could not be read again", ("provider",)
        )
        self._changes = metrics.counter(
            "ha_keys_changes", "Keys that came or went while running", ("type",)
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled."""
        seen = await self._look()
        task_status.started()
        while True:
            asked = await self._wait()
            found = await self._look()
            if not asked:
                if found == seen:
                    continue
                # Half a file may be a whole configuration: wait until nobody writes any more.
                while (later := await self._look_again()) != found:
                    found = later
            seen = found
            await self.reload()

    async def _wait(self) -> bool:
        """Returns when it is time to look; whether somebody asked for it."""
        asked = self._source.asked
        with trio.move_on_after(self._settings.reload_poll_seconds or float("inf")):
            await asked.wait()
        if asked.is_set():
            self._source.asked = trio.Event()
            return True
        return False

    async def _look_again(self) -> Fingerprint:
        await trio.sleep(min(1.0, self._settings.reload_poll_seconds))
        return await self._look()

    async def _look(self) -> Fingerprint:
        path, settings = self._source.path, self._settings
        return await trio.to_thread.run_sync(lambda: fingerprint(path, settings))

    async def reload(self) -> bool:
        """Read everything again and take it over, if all of it can be; whether that was so."""
        try:
            settings, keys = await trio.to_thread.run_sync(self._read)
            backends = tls = None
            if self._relayer is not None:
                backends = self._relayer.backends.prepare(settings.relayer)
                tls = self._relayer.entrance.prepare(settings.relayer.tls)
        except (RelayMinerError, OSError) as error:
            self._outcomes.bind(REFUSED).value += 1
            for source in error.sources if isinstance(error, KeyLoadError) else ():
                self._load_errors.bind(source).value += 1
            self._in_force.value = 0.0
            self._log.error(
                "reload_refused", reason=str(error), effect="what was in force stays in force"
            )
            return False
        # Nothing below waits or fails: no relay sees half of it.
        before, old_keys = self._settings, self._keys.addresses
        self._keys.replace(keys)
        self._loads.value += 1
        self._changes.bind("added").value += len(set(keys) - set(old_keys))
        self._changes.bind("removed").value += len(set(old_keys) - set(keys))
        if self._relayer is not None and backends is not None and tls is not None:
            self._relayer.backends.replace(backends)
            self._relayer.entrance.replace(tls)
        if self._miner is not None:
            self._miner.set_keys(keys)
        self._settings = attrs.evolve(
            before,
            keys=settings.keys,
            relayer=attrs.evolve(
                before.relayer, services=settings.relayer.services, tls=settings.relayer.tls
            ),
        )
        self._outcomes.bind(APPLIED).value += 1
        self._in_force.value = 1.0
        self._tell(before, settings, old_keys)
        return True

    def _read(self) -> tuple[Settings, SupplierKeys]:
        settings = self._source.load()
        keys = load_keys(settings.keys, self._providers)
        if not keys:
            raise RelayMinerError("no supplier key is left")
        return settings, keys

    def _tell(self, before: Settings, after: Settings, old_keys: tuple[str, ...]) -> None:
        old, new = before.relayer.services, after.relayer.services
        changed = [name for name in new if name in old and new[name] != old[name]]
        self._log.info(
            "reload_applied",
            keys_added=sorted(set(self._keys.addresses) - set(old_keys)),
            keys_removed=sorted(set(old_keys) - set(self._keys.addresses)),
            services_added=sorted(new.keys() - old.keys()),
            services_changed=sorted(changed),
            services_removed=sorted(old.keys() - new.keys()),
        )
        waiting = [path for path in differences(before, after) if not path.startswith(LIVE)]
        if waiting:
            self._log.warning("reload_needs_restart", settings=waiting)


Fingerprint = tuple[tuple[str, int, int, int, int], ...]
"""Per file: path, device, inode, time of change (ns), size; without those that are not there."""


def fingerprint(path: Path, settings: Settings) -> Fingerprint:
    """How the files look that settings and keys come from, behind symbolic links."""
    return tuple(look for file in _files(path, settings) if (look := _look_at(file)) is not None)


def _files(path: Path, settings: Settings) -> Iterator[Path]:
    keys, tls = settings.keys, settings.relayer.tls
    yield path
    yield from (file for file in (tls.certificate, tls.key, tls.client_ca) if file is not None)
    yield from authority_files(settings.relayer)
    for file in (keys.keys_file, keys.encrypted_file, keys.passphrase_file):
        if file is not None:
            yield file
    folders = [keys.keys_dir]
    if keys.keyring is not None:
        if keys.keyring.passphrase_file is not None:
            yield keys.keyring.passphrase_file
        if keys.keyring.dir is not None and keys.keyring.backend == "os":
            # Its directory may be that of a node, where much changes.
            yield from sorted(keys.keyring.dir.glob(f"*{ITEM_SUFFIX}"))
        elif keys.keyring.dir is not None:
            folders.append(keys.keyring.dir / f"keyring-{keys.keyring.backend}")
    for folder in folders:
        if folder is not None and folder.is_dir():
            yield folder
            yield from sorted(folder.iterdir())


def _look_at(file: Path) -> tuple[str, int, int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return str(file), status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def differences(before: object, after: object, prefix: str = "") -> list[str]:
    """Paths of the settings that differ, such as `relayer.listen`."""
    if before == after:
        return []
    if not attrs.has(type(before)) or type(before) is not type(after):
        return [prefix.removesuffix(".")]
    return [
        path
        for field in attrs.fields(type(before))  # type: ignore[arg-type]  # has() said so
        for path in differences(
            getattr(before, field.name), getattr(after, field.name), f"{prefix}{field.name}."
        )
    ]
