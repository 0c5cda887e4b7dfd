"""The URL rules of relayer.md 2.3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayminer.net.errors import BadUrlError
from relayminer.net.url import parse_backend_url, request_target


@pytest.mark.parametrize(
    ("backend", "base_path", "client", "expected"),
    [
        ("http://h", "/ext/bc/C/rpc", "/", "/ext/bc/C/rpc"),
        ("http://h", "/ext/bc/C/rpc", "", "/ext/bc/C/rpc"),
        ("http://h", "/ext/bc/C/rpc", "/ext/bc/C/rpc/v1", "/ext/bc/C/rpc/v1"),
        ("http://h", "/ext", "/extra/foo", "/ext/extra/foo"),
        ("http://h/ext/bc/C/rpc", "", "/v1/users", "/ext/bc/C/rpc/v1/users"),
        ("http://h", "", "//rpc", "/rpc"),
        ("http://h", "", "/", "/"),
        ("http://h", "", "http://gateway:1/a/./b/../c/#x", "/a/c"),
        ("http://h", "", "/a%2Fb", "/a/b"),
        ("http://h/?b=2&a=1", "", "/x?a=0&c=%20y", "/x?a=1&a=0&b=2&c=+y"),
        ("http://h", "", "/x?empty=&flag", "/x?empty=&flag="),
        ("http://h", "", "/x?a=1;b=2&c=3", "/x?c=3"),
    ],
)
def test_path_and_query_are_merged(
    backend: str, base_path: str, client: str, expected: str
) -> None:
    """Base path or backend path in front, no doubling, clean, query sorted by key."""
    assert request_target(parse_backend_url(backend), base_path, client) == expected


@pytest.mark.parametrize("url", ["/a b", "/a\r\nX: y", "/%zz", "http://[::1/x"])
def test_unusable_client_urls_are_refused(url: str) -> None:
    """Nothing that could break the request line gets through."""
    with pytest.raises(BadUrlError):
        request_target(parse_backend_url("http://h"), "", url)


@pytest.mark.parametrize("url", ["http://", "ftp://host", "http://h:port", "/only/path"])
def test_unusable_backend_urls_are_refused(url: str) -> None:
    """A backend needs a host and a port."""
    with pytest.raises(BadUrlError):
        parse_backend_url(url)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("127.0.0.1:8545", "127.0.0.1:8545"),
        ("http://h:80/", "h"),
        ("https://h:443", "h"),
        ("https://h:80", "h:80"),
        ("http://[::1]:8545", "[::1]:8545"),
        ("http://user:pass@h/x", "h"),
    ],
)
def test_the_authority_names_the_port_when_it_must(url: str, authority: str) -> None:
    """The Host header has no default port, no user, and brackets around IPv6."""
    assert parse_backend_url(url).origin.authority == authority


@given(st.text(max_size=60))
def test_a_target_never_breaks_the_request_line(url: str) -> None:
    """Whatever a client writes, the target is ASCII without white space, or it is refused."""
    try:
        target = request_target(parse_backend_url("http://h/base?q=1"), "", url)
    except BadUrlError:
        return
    assert target.isascii()
    assert target.startswith("/")
    assert not any(character <= " " for character in target)
