"""The language of event queries."""

from __future__ import annotations

import pytest

from relayminer.devnet.errors import QuerySyntaxError
from relayminer.devnet.event_query import MAX_QUERY_LENGTH, parse_query

EVENTS = {
    "tm.event": ["Tx"],
    "tx.height": ["51"],
    "transfer.amount": ["1upokt", "2upokt"],
    "message.action": ["/pocket.proof.MsgCreateClaim"],
}


@pytest.mark.parametrize(
    "text",
    [
        "tm.event='Tx'",
        "tm.event = 'Tx'",
        "tm.event='Tx' AND tx.height=51",
        "tx.height>50 AND tx.height<=51",
        "tx.height >= 51",
        "transfer.amount='2upokt'",
        "message.action CONTAINS 'CreateClaim'",
        "transfer.amount EXISTS",
    ],
)
def test_queries_that_match(text: str) -> None:
    """All conditions hold when any value of each key satisfies them."""
    assert parse_query(text).matches(EVENTS)


@pytest.mark.parametrize(
    "text",
    [
        "tm.event='NewBlock'",
        "tm.event='Tx' AND tx.height=52",
        "tx.height<51",
        "transfer.amount>1",
        "transfer.amount='3upokt'",
        "message.action CONTAINS 'SubmitProof'",
        "slash.amount EXISTS",
    ],
)
def test_queries_that_do_not_match(text: str) -> None:
    """One condition that does not hold is enough."""
    assert not parse_query(text).matches(EVENTS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "tm.event",
        "tm.event=",
        "tm.event='Tx' OR a='b'",
        "tm.event='Tx' AND ",
        "='x'",
        "a b",
    ],
)
def test_what_is_not_a_query(text: str) -> None:
    """A text outside the language is refused, whole."""
    with pytest.raises(QuerySyntaxError):
        parse_query(text)


def test_a_query_has_a_longest_length() -> None:
    """The parser looks at a bounded text only."""
    with pytest.raises(QuerySyntaxError, match="length"):
        parse_query("a='" + "x" * MAX_QUERY_LENGTH + "'")
