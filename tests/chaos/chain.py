"""The simulated chain as the run's own hand and eye: faults set, height told, blocks read."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from relayminer.demo.children import DemoError
from relayminer.devnet.errors import DevnetError

if TYPE_CHECKING:
    from relayminer.demo.chain_truth import ChainTruth
    from relayminer.devnet.http_client import HttpClient

HTTP_OK = 200
RETRY_SECONDS = 0.3
NOT_NOW = (
    DevnetError,
    DemoError,
    OSError,
    ValueError,
    KeyError,
    trio.BrokenResourceError,
    trio.TooSlowError,
)
"""What a chain that is down on purpose makes of a question."""


class ChainControl:
    """The control surface, which no fault touches."""

    def __init__(self, url: str, http: HttpClient) -> None:
        self._url = url
        self._http = http

    async def height(self) -> int:
        """The chain's height now."""
        status = await self._call("GET", "status")
        return int(status["block"]["height"])

    async def fault(self, **faults: Any) -> None:
        """Set faults."""
        await self._call("POST", "faults", faults)

    async def params(self, module: str, values: dict[str, Any]) -> None:
        """Change parameters by governance."""
        await self._call("POST", f"params/{module}", values)

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self._http.request(
            method,
            f"{self._url}/control/{path}",
            headers=(("Content-Type", "application/json"),),
            body=b"" if body is None else json.dumps(body).encode(),
        )
        document = json.loads(answer.body)
        if answer.status != HTTP_OK:
            raise DemoError(f"the chain's control refused {path} {body}: {document}")
        return document


async def follow(truth: ChainTruth) -> None:
    """Read blocks as they come, whatever is wrong with the node; until cancelled."""
    while True:
        with suppress(*NOT_NOW):
            await truth.read_to(await truth.tip())
        await trio.sleep(RETRY_SECONDS)
