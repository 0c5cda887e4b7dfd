"""A session's story as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.story.accounts import LOST, OPEN, SETTLED, SKIPPED
from relayminer.story.entries import STEPS, time_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relayminer.protocol.windows import SessionWindows
    from relayminer.story.accounts import Account
    from relayminer.story.entries import Entry
    from relayminer.story.explain import Story

_SAID_ABOVE = frozenset(
    {
        *("service_id", "application_address", "session_start_height", "session_end_height"),
        *("height", "root"),
    }
)
_VERDICTS = {
    OPEN: "open: nothing is decided yet",
    SETTLED: "settled",
    LOST: "lost",
    SKIPPED: "skipped: no claim was made",
}


def story_lines(story: Story) -> Iterator[str]:
    """One page."""
    account = story.account
    yield f"session {account.session_id}"
    yield f"  supplier     {account.supplier}"
    yield f"  service      {account.service_id}"
    yield f"  application  {account.application_address}"
    yield f"  blocks       {account.session_start_height} to {account.session_end_height}"
    yield f"  state        {story.state}"
    verdict = _VERDICTS[account.outcome]
    yield f"  verdict      {verdict}{': ' + account.reason if account.reason else ''}"
    yield ""
    yield from _relays(story)
    yield ""
    yield from _windows(story.windows)
    yield ""
    yield "what happened"
    for height, entry in story.happened():
        yield _happened(height, entry)
    if not account.entries:
        yield "  nothing yet: relays are being collected"
    yield ""
    yield from _money(story, account)


def _relays(story: Story) -> Iterator[str]:
    account = story.account
    logged = story.logged or account.relays_served
    yield "relays"
    yield f"  logged       {logged or 'not known any more'}"
    yield f"  in the trie  {account.relays}, {account.compute_units} compute units"
    if account.relays and logged > account.relays:
        yield f"  missing      {logged - account.relays}: logged and not in the trie"
    if account.relays_late:
        yield f"  too late     {account.relays_late}: after the trie was sealed"
    if metered := story.consumed_upokt or account.metered_upokt:
        yield f"  metered      {metered:,} uPOKT of the application's budget"
    root = account.root or (story.sealed_root or story.live_root or b"").hex()
    yield f"  root         {root or 'none'}"


def _windows(windows: SessionWindows | None) -> Iterator[str]:
    yield "windows"
    if windows is None:
        yield "  not known: no node of the chain answered"
        return
    yield f"  relays until {windows.grace_end_height}"
    yield f"  claim        {windows.claim_open_height} to {windows.claim_close_height}"
    yield f"  proof        {windows.proof_open_height} to {windows.proof_close_height}"
    yield f"  settled at   {windows.settlement_height}"


def _happened(height: int, entry: Entry) -> str:
    """One entry: when, at which height, what, and the facts that matter."""
    at = f"{height:>8}" if height else " " * 8
    facts = [
        f"{name}={value}"
        for name, value in entry.fields.items()
        if name not in _SAID_ABOVE and value not in ("", None)
    ]
    what = STEPS.get(entry.step, entry.step)
    return f"  {time_of(entry.unix_seconds)} {at}  {what}" + (
        f"  {' '.join(facts)}" if facts else ""
    )


def _money(story: Story, account: Account) -> Iterator[str]:
    yield "money (uPOKT)"
    if account.outcome == OPEN:
        worth = "not known" if story.worth_upokt is None else f"{story.worth_upokt:,}"
        yield f"  worth now    {worth}"
    if account.outcome == SETTLED:
        yield f"  claimed      {account.claimed_upokt:,}"
        yield f"  settled      {account.settled_upokt:,}"
        yield f"  earned       {account.earned_upokt:,} by the operator's address"
    yield (
        f"  fees         {account.fees_upokt:,} (claim {account.claim_fees_upokt:,}, proof "
        f"{account.proof_fees_upokt:,}, proof submission {account.submission_fee_upokt:,})"
    )
    for cause, amount in sorted(account.losses.items()):
        yield f"  lost         {amount:,} ({cause})"
    yield f"  net          {account.net_upokt:,}"
