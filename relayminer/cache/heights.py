"""Keeps the present up to date: the height that relays are judged by, and the live parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.cache.errors import AbsentError, LoadError

if TYPE_CHECKING:
    from relayminer.cache.caches import Caches
    from relayminer.cache.moment import ChainMoment
    from relayminer.chain.blocks import BlockFollower

SHARED_PARAMS: Final = "shared_params"
ONLY: Final = ""
LEARN_AGAIN_SECONDS: Final = 1.0

_log = structlog.get_logger("relayminer.cache")


class Heights:
    """A service that tells the `moment` each new block, and the parameters at each new session.

    It has started when both a height and the parameters are known, so that nothing that starts
    after it judges a relay by height 0.
    """

    name = "heights"

    def __init__(self, follower: BlockFollower, caches: Caches, moment: ChainMoment) -> None:
        self._follower = follower
        self._params = caches.of(SHARED_PARAMS)
        self._moment = moment

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow until cancelled."""
        learned_height = 0
        with self._follower.subscribe() as blocks:
            async for block in blocks:
                if not self._moment.observe(block.height):
                    continue
                if block.height >= learned_height + self._moment.session_blocks:
                    await self._learn()
                    learned_height = block.height
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED

    async def _learn(self) -> None:
        """Ask for the parameters; the first time until they are had, later the old ones will do."""
        while True:
            try:
                self._moment.learn(await self._params.get(ONLY))
            except (AbsentError, LoadError) as error:
                _log.warning("shared_params_unknown", reason=str(error))
                if self._moment.learned:
                    return
                await trio.sleep(LEARN_AGAIN_SECONDS)
            else:
                return
