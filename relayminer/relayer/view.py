"""What the relayer knows of the chain, through the caches.

The core names cache types only here; which code stands behind a name is the plugins' business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relayminer.cache.errors import AbsentError
from relayminer.protocol.difficulty import BASE_TARGET

if TYPE_CHECKING:
    from relayminer.cache.caches import Caches
    from relayminer.protocol.pb.application_pb2 import Application
    from relayminer.protocol.pb.session_pb2 import Session
    from relayminer.protocol.pb.shared_pb2 import Params

LIVE = 0
ONLY = ""
"""The key of a cache that holds one value."""


class ChainView:
    """Typed questions. All raise AbsentError and LoadError as `Cache.get`."""

    def __init__(self, caches: Caches) -> None:
        self._shared_params = caches.of("shared_params")
        self._shared_params_at = caches.of("shared_params_at")
        self._session_params = caches.of("session_params")
        self._session = caches.of("session")
        self._application = caches.of("application")
        self._account = caches.of("account")
        self._service = caches.of("service")
        self._difficulty = caches.of("difficulty")
        self._compute_units = caches.of("compute_units")
        self._service_factor = caches.of("service_factor")
        self._supplier = caches.of("supplier")

    async def shared_params(self) -> Params:
        """In force now."""
        params: Params = await self._shared_params.get(ONLY)
        return params

    async def shared_params_at(self, height: int) -> Params:
        """In force at `height`; live for 0 and below."""
        if height <= LIVE:
            return await self.shared_params()
        params: Params = await self._shared_params_at.get(height)
        return params

    async def num_suppliers_per_session(self) -> int:
        """The live session parameter."""
        params: Any = await self._session_params.get(ONLY)
        return int(params.num_suppliers_per_session)

    async def session(self, application: str, service: str, height: int) -> Session:
        """The session at `height`."""
        session: Session = await self._session.get((application, service, height))
        return session

    async def application(self, address: str) -> Application:
        """The application's record."""
        application: Application = await self._application.get(address)
        return application

    async def refresh_application(self, address: str) -> None:
        """Ask the chain for the application's record, whatever the caches hold."""
        await self._application.refresh(address)

    def application_is_cached(self, address: str) -> bool:
        """Whether `application` needs nobody's answer."""
        return self._application.get_cached(address) is not None

    async def public_key(self, address: str) -> bytes | None:
        """The account's public key (33 bytes), None while it has none on chain."""
        key: bytes = await self._account.get(address)
        return key or None

    async def difficulty_target(self, service: str, height: int) -> bytes:
        """The mining target (32 bytes) in force at `height`; the base target when there is none."""
        try:
            difficulty: Any = await self._difficulty.get((service, height))
        except AbsentError:
            return BASE_TARGET
        return bytes(difficulty.target_hash) or BASE_TARGET

    async def compute_units(self, service: str, height: int) -> int:
        """Compute units of one relay in force at `height`; at least 1."""
        units: int = await self._compute_units.get((service, height))
        return units or 1

    async def service_factor(self, service: str) -> float | None:
        """The operator's budget factor of the service, or the default one, or None."""
        for key in (service, ONLY):
            try:
                factor: float = await self._service_factor.get(key)
            except AbsentError:
                continue
            return factor
        return None

    def supplier_cached(self, address: str) -> Any | None:
        """The supplier's registry state if memory has it."""
        return self._supplier.get_cached(address)

    async def supplier(self, address: str) -> Any:
        """The supplier's registry state."""
        return await self._supplier.get(address)
