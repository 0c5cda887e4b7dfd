"""A load test from the command line: sign, then send, session after session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from relayminer.cli.relay_options import RelayInputError, RelayOptions
from relayminer.cli.relay_sender import Sender, sender_of
from relayminer.cli.relay_steps import chain_of, question_of, suppliers_of
from relayminer.gateway.asking import ask
from relayminer.gateway.corpus import Target, sign_corpus
from relayminer.gateway.errors import GatewayError
from relayminer.gateway.load import LoadTest, Results
from relayminer.gateway.modes import dialer, mode_named, payload_of
from relayminer.gateway.simulated import FRESH_SECONDS

if TYPE_CHECKING:
    from relayminer.gateway.chain import GatewayChain, OpenSession
    from relayminer.gateway.corpus import Corpus
    from relayminer.gateway.modes import Dialer

_LOOK_SECONDS: Final = 1.0
_MAX_TOO_LATE: Final = 10
_SHOW_SECONDS: Final = 0.2
_MAX_PER_ROUND: Final = 200_000
"""Signed at once: they take half a kilobyte of disk each."""


@define
class _Clock:
    """Whether the session that relays were signed for is over."""

    is_over: bool = False


@define
class _Run:
    """One load test under way."""

    options: RelayOptions
    sender: Sender
    progress: Progress
    results: Results = field(factory=Results)
    _most: int = _MAX_PER_ROUND
    _too_late: int = 0

    async def run(self) -> None:
        """Round after round: as long as relays are left, sign for the session that is open now."""
        left = self.options.count
        async with chain_of(self.sender) as chain, dialer() as dial:
            while left > 0:
                session = await self.sender.open_session(chain)
                if chain is None:
                    # A simulated session is stale soon: no more is signed than can be sent.
                    self._most = max(1, int((self.options.rps or 100.0) * FRESH_SECONDS))
                left -= await self._round(session, min(left, self._most), chain, dial)

    async def _round(
        self, session: OpenSession, count: int, chain: GatewayChain | None, dial: Dialer
    ) -> int:
        options = self.options
        mode = mode_named(options.mode)
        suppliers = suppliers_of(session, "" if options.all_suppliers else self.sender.supplier)
        if not options.all_suppliers:
            suppliers = suppliers[:1]
        payload = payload_of(mode, question_of(options))
        header = session.header.SerializeToString()
        secret = self.sender.key.export_secret()
        targets = [Target(header, one, session.ring, secret, payload) for one in suppliers]
        signing = self.progress.add_task("signing", total=count, note="")
        corpus = await sign_corpus(
            targets, count, done=lambda more: self.progress.advance(signing, more)
        )
        try:
            self.progress.remove_task(signing)
            if chain is not None and await self._is_another(session, chain):
                return self._signed_too_late(count)
            asking = [
                ask(
                    mode,
                    session,
                    supplier,
                    url=self.sender.url,
                    simulation_key_id=options.sim_key_id,
                    timeout_seconds=options.timeout,
                )
                for supplier in suppliers
            ]
            test = LoadTest(
                [one.aim(dial) for one in asking],
                concurrency=min(options.concurrency, count),
                relays_per_second=options.rps,
            )
            test.results = self.results
            return await self._send(test, corpus, session, chain)
        finally:
            corpus.close()

    async def _send(
        self,
        test: LoadTest,
        corpus: Corpus,
        session: OpenSession,
        chain: GatewayChain | None,
    ) -> int:
        clock = _Clock()
        sent = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._show)
            nursery.start_soon(self._watch, clock, session, chain)
            sent = await test.run(corpus, corpus.count, is_over=lambda: clock.is_over)
            nursery.cancel_scope.cancel()
        return sent

    def _signed_too_late(self, count: int) -> int:
        """The session ended while its relays were signed: fewer next time. Sent: none.

        Raises:
            RelayInputError: that does not help.
        """
        self._too_late += 1
        if self._too_late > _MAX_TOO_LATE:
            raise RelayInputError("sessions end before relays for them are signed")
        self._most = max(1, count // 2)
        return 0

    async def _is_another(self, session: OpenSession, chain: GatewayChain) -> bool:
        now = await chain.session(self.sender.service, self.sender.application)
        return now.header.session_id != session.header.session_id

    async def _watch(self, clock: _Clock, session: OpenSession, chain: GatewayChain | None) -> None:
        """Tell when the chain is in another session, or the simulated one is stale."""
        if chain is None:
            await trio.sleep(FRESH_SECONDS)
            clock.is_over = True
            return
        while not clock.is_over:
            await trio.sleep(_LOOK_SECONDS)
            try:
                clock.is_over = await self._is_another(session, chain)
            except GatewayError:
                # A node that is busy does not end a load test.
                continue

    async def _show(self) -> None:
        bar = self.progress.add_task("sending", total=self.options.count, note="")
        try:
            while True:
                results = self.results
                latencies = results.latencies
                began_sent, began_at = results.sent, trio.current_time()
                await trio.sleep(_SHOW_SECONDS)
                rate = (results.sent - began_sent) / (trio.current_time() - began_at)
                note = f"{rate:,.0f}/s  p50 {latencies.percentile(50) * 1000:.2f} ms"
                note += f"  p99 {latencies.percentile(99) * 1000:.2f} ms"
                if results.errors:
                    note += f"  errors {results.sent - results.good}"
                self.progress.update(bar, completed=results.sent, note=note)
        finally:
            self.progress.remove_task(bar)


async def load(options: RelayOptions) -> Results:
    """The whole load test, with live progress on standard error where that is a terminal.

    Raises:
        RelayInputError: keys or names are missing.
        GatewayError: the chain refused a question.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        run = _Run(options, sender_of(options), progress)
        await run.run()
    return run.results
