"""Pages of a list, as the Cosmos query module cuts them. Source: cosmos-sdk: types/query."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cosmpy.protos.cosmos.base.query.v1beta1.pagination_pb2 import PageResponse

from relayminer.devnet.chain.errors import GrpcCode, QueryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cosmpy.protos.cosmos.base.query.v1beta1.pagination_pb2 import PageRequest

K = TypeVar("K")
V = TypeVar("V")

DEFAULT_LIMIT = 100


def page(entries: Iterable[tuple[K, V]], request: PageRequest) -> tuple[list[V], PageResponse]:
    """Cut one page out of `entries` ((key, value) in key order).

    A `next_key` is opaque to clients; here it is the text of the next entry's key. Without limit
    and key the total is counted even when it was not asked for.

    Raises:
        QueryError: (INVALID_ARGUMENT) when both key and offset are given.
    """
    if request.offset and request.key:
        raise QueryError(
            GrpcCode.INVALID_ARGUMENT, "invalid request, either offset or key is expected, got both"
        )
    listed = [(_key_bytes(key), value) for key, value in entries]
    if request.reverse:
        listed.reverse()
    limit = request.limit or DEFAULT_LIMIT
    counted = request.count_total or not request.limit
    start = request.offset
    if request.key:
        keys = [key for key, _ in listed]
        start = keys.index(request.key) if request.key in keys else len(listed)
        counted = False
    chosen = listed[start : start + limit]
    response = PageResponse()
    if start + limit < len(listed):
        response.next_key = listed[start + limit][0]
    if counted:
        response.total = len(listed)
    return [value for _, value in chosen], response


def _key_bytes(key: object) -> bytes:
    parts = key if isinstance(key, tuple) else (key,)
    return b"/".join(
        part.to_bytes(8, "big") if isinstance(part, int) else str(part).encode() for part in parts
    )
