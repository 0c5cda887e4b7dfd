"""Streams and consumer groups, as a Redis-compatible server has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from tests.histories.model_values import OK, Keyspace, Reply, ReplyError, number, whole

if TYPE_CHECKING:
    from collections.abc import Callable

Id = tuple[int, int]
LAST: Final[Id] = (2**64 - 1, 2**64 - 1)


@define
class Pending:
    """An entry that a consumer was given."""

    consumer: bytes
    given_at: float
    deliveries: int = 1


@define
class Consumer:
    """A consumer of a group."""

    seen_at: float
    active_at: float = -1.0


@define
class Group:
    """A consumer group."""

    last_given: Id
    consumers: dict[bytes, Consumer] = field(factory=dict)
    pending: dict[Id, Pending] = field(factory=dict)

    def consumer(self, name: bytes, now: float) -> Consumer:
        """The consumer of this name, made if need be."""
        found = self.consumers.setdefault(name, Consumer(now))
        found.seen_at = now
        return found


@define
class Stream:
    """A stream; it stays when its last entry has gone."""

    entries: dict[Id, list[bytes]] = field(factory=dict)
    last_id: Id = (0, 0)
    groups: dict[bytes, Group] = field(factory=dict)


def read_id(word: bytes, *, missing: int = 0) -> Id:
    """An id, whose sequence may be left out."""
    if word == b"-":
        return (0, 0)
    if word == b"+":
        return LAST
    head, _, tail = word.partition(b"-")
    try:
        return int(head), int(tail) if tail else missing
    except ValueError:
        raise ReplyError("ERR Invalid stream ID specified as stream command argument") from None


def id_word(entry_id: Id) -> bytes:
    """An id as it is written."""
    return b"%d-%d" % entry_id


def _row(stream: Stream, entry_id: Id) -> Reply:
    return [id_word(entry_id), list(stream.entries[entry_id])]


def _xadd(space: Keyspace, key: bytes, *words: bytes) -> Reply:
    rest = list(words)
    limit: int | None = None
    while rest[0].upper() in {b"MAXLEN", b"NOMKSTREAM"}:
        if rest.pop(0).upper() == b"NOMKSTREAM":
            if not space.exists(key):
                return None
            continue
        if rest[0] in {b"~", b"="}:
            rest.pop(0)
        limit = whole(rest.pop(0))
    wanted, *fields = rest
    if not fields or len(fields) % 2:
        raise ReplyError("ERR wrong number of arguments for 'xadd' command")
    stream = space.get(key, Stream) or Stream()
    if wanted == b"*":
        entry_id = max((int(space.now * 1000), 0), (stream.last_id[0], stream.last_id[1] + 1))
    else:
        entry_id = read_id(wanted)
        if entry_id <= stream.last_id:
            raise ReplyError(
                "ERR The ID specified in XADD is equal or smaller than the target stream top item"
            )
    stream = space.make(key, Stream)
    stream.entries[entry_id] = fields
    stream.last_id = entry_id
    if limit is not None:
        _cut(stream, len(stream.entries) - limit)
    return id_word(entry_id)


def _cut(stream: Stream, count: int) -> int:
    for entry_id in list(stream.entries)[: max(0, count)]:
        del stream.entries[entry_id]
    return max(0, count)


def _xtrim(space: Keyspace, key: bytes, how: bytes, *words: bytes) -> Reply:
    stream = space.get(key, Stream)
    if stream is None:
        return 0
    limit = words[1] if words[0] in {b"~", b"="} else words[0]
    if how.upper() == b"MAXLEN":
        return _cut(stream, len(stream.entries) - whole(limit))
    least = read_id(limit)
    return _cut(stream, sum(entry_id < least for entry_id in stream.entries))


def _xlen(space: Keyspace, key: bytes) -> Reply:
    stream = space.get(key, Stream)
    return len(stream.entries) if stream else 0


def _xdel(space: Keyspace, key: bytes, *ids: bytes) -> Reply:
    stream = space.get(key, Stream)
    if stream is None:
        return 0
    return sum(stream.entries.pop(read_id(word), None) is not None for word in ids)


def _between(stream: Stream, first: bytes, last: bytes) -> list[Id]:
    exclusive = first.startswith(b"(")
    low = read_id(first.removeprefix(b"("))
    high_exclusive = last.startswith(b"(")
    high = read_id(last.removeprefix(b"("), missing=LAST[1])
    return [
        entry_id
        for entry_id in stream.entries
        if (entry_id > low if exclusive else entry_id >= low)
        and (entry_id < high if high_exclusive else entry_id <= high)
    ]


def _xrange(space: Keyspace, key: bytes, first: bytes, last: bytes, *options: bytes) -> Reply:
    stream = space.get(key, Stream)
    ids = _between(stream, first, last) if stream else []
    count = whole(options[1]) if options else len(ids)
    return [_row(stream, entry_id) for entry_id in ids[:count]] if stream else []


def _xrevrange(space: Keyspace, key: bytes, last: bytes, first: bytes, *options: bytes) -> Reply:
    rows = _xrange(space, key, first, last)[::-1]
    return rows[: whole(options[1])] if options else rows


def _group(space: Keyspace, key: bytes, name: bytes) -> tuple[Stream, Group]:
    stream = space.get(key, Stream)
    group = stream.groups.get(name) if stream else None
    if stream is None or group is None:
        raise ReplyError(f"NOGROUP No such key {key!r} or consumer group {name!r}")
    return stream, group


def _xgroup(space: Keyspace, action: bytes, key: bytes, name: bytes, *words: bytes) -> Reply:
    if action.upper() == b"CREATE":
        stream = space.get(key, Stream)
        if stream is None:
            if b"MKSTREAM" not in {word.upper() for word in words}:
                raise ReplyError("ERR The XGROUP subcommand requires the key to exist.")
            stream = space.make(key, Stream)
        if name in stream.groups:
            raise ReplyError("BUSYGROUP Consumer Group name already exists")
        start = stream.last_id if words[0] == b"$" else read_id(words[0])
        stream.groups[name] = Group(start)
        return OK
    stream = space.get(key, Stream)
    if stream is None:
        raise ReplyError("ERR The XGROUP subcommand requires the key to exist.")
    if action.upper() == b"DESTROY":
        return int(stream.groups.pop(name, None) is not None)
    _, group = _group(space, key, name)
    if action.upper() != b"DELCONSUMER":
        raise ReplyError(f"ERR the model does not know XGROUP {action!r}")
    mine = [entry_id for entry_id, one in group.pending.items() if one.consumer == words[0]]
    for entry_id in mine:
        del group.pending[entry_id]
    group.consumers.pop(words[0], None)
    return len(mine)


def _xreadgroup(space: Keyspace, *words: bytes) -> Reply:
    """As with NOBLOCK: who waits asks again when something was added."""
    rest = list(words)
    name, reader, count = b"", b"", None
    while (word := rest.pop(0).upper()) != b"STREAMS":
        if word == b"GROUP":
            name, reader = rest.pop(0), rest.pop(0)
        elif word == b"COUNT":
            count = whole(rest.pop(0))
        elif word == b"BLOCK":
            rest.pop(0)
        else:
            raise ReplyError("ERR syntax error")
    half = len(rest) // 2
    keys, ids = rest[:half], rest[half:]
    found = []
    for key in keys:
        _group(space, key, name)
    for key, after in zip(keys, ids, strict=True):
        stream, group = _group(space, key, name)
        consumer = group.consumer(reader, space.now)
        if after != b">":
            found.append([key, _history(space, stream, group, reader, read_id(after), count)])
            continue
        fresh = [entry_id for entry_id in stream.entries if entry_id > group.last_given][:count]
        if not fresh:
            continue
        consumer.active_at = space.now
        for entry_id in fresh:
            group.pending[entry_id] = Pending(reader, space.now)
        group.last_given = fresh[-1]
        found.append([key, [_row(stream, entry_id) for entry_id in fresh]])
    return found or None


def _history(
    space: Keyspace, stream: Stream, group: Group, reader: bytes, after: Id, count: int | None
) -> Reply:
    rows = []
    mine = sorted(
        entry_id
        for entry_id, one in group.pending.items()
        if one.consumer == reader and entry_id > after
    )
    for entry_id in mine[:count]:
        if entry_id not in stream.entries:
            rows.append([id_word(entry_id), None])
            continue
        given = group.pending[entry_id]
        given.given_at = space.now
        given.deliveries += 1
        rows.append(_row(stream, entry_id))
    return rows


def _xack(space: Keyspace, key: bytes, name: bytes, *ids: bytes) -> Reply:
    stream = space.get(key, Stream)
    group = stream.groups.get(name) if stream else None
    if group is None:
        return 0
    return sum(group.pending.pop(read_id(word), None) is not None for word in ids)


def _idle_ms(space: Keyspace, given: Pending) -> int:
    return int((space.now - given.given_at) * 1000)


def _xpending(space: Keyspace, key: bytes, name: bytes, *words: bytes) -> Reply:
    _, group = _group(space, key, name)
    if not words:
        if not group.pending:
            return [0, None, None, None]
        ids = sorted(group.pending)
        holders = sorted({one.consumer for one in group.pending.values()})
        counts = [
            [name, number(sum(one.consumer == name for one in group.pending.values()))]
            for name in holders
        ]
        return [len(ids), id_word(ids[0]), id_word(ids[-1]), counts]
    rest = list(words)
    idle = 0
    if rest[0].upper() == b"IDLE":
        idle = whole(rest[1])
        rest = rest[2:]
    first, last, count, *consumer = rest
    low, high = read_id(first), read_id(last, missing=LAST[1])
    rows = [
        [id_word(entry_id), one.consumer, _idle_ms(space, one), one.deliveries]
        for entry_id, one in sorted(group.pending.items())
        if low <= entry_id <= high
        and _idle_ms(space, one) >= idle
        and (not consumer or one.consumer == consumer[0])
    ]
    return rows[: whole(count)]


def _xclaim(
    space: Keyspace, key: bytes, name: bytes, reader: bytes, idle: bytes, *ids: bytes
) -> Reply:
    stream, group = _group(space, key, name)
    group.consumer(reader, space.now)
    rows = []
    for word in ids:
        entry_id = read_id(word)
        given = group.pending.get(entry_id)
        if given is None:
            continue
        if entry_id not in stream.entries:
            del group.pending[entry_id]
            continue
        if _idle_ms(space, given) < whole(idle):
            continue
        given.consumer, given.given_at = reader, space.now
        given.deliveries += 1
        rows.append(_row(stream, entry_id))
    return rows


def _xinfo(space: Keyspace, what: bytes, key: bytes, *names: bytes) -> Reply:
    if what.upper() != b"CONSUMERS":
        raise ReplyError(f"ERR the model does not know XINFO {what!r}")
    if not space.exists(key):
        raise ReplyError("ERR no such key")
    _, group = _group(space, key, names[0])
    rows = []
    for name, consumer in sorted(group.consumers.items()):
        pending = sum(one.consumer == name for one in group.pending.values())
        idle = int((space.now - consumer.seen_at) * 1000)
        active = consumer.active_at
        inactive = int((space.now - active) * 1000) if active >= 0 else -1
        rows.append(
            [b"name", name, b"pending", pending, b"idle", idle, b"inactive", inactive],
        )
    return rows


COMMANDS: Final[dict[bytes, Callable[..., Reply]]] = {
    b"XACK": _xack,
    b"XADD": _xadd,
    b"XCLAIM": _xclaim,
    b"XDEL": _xdel,
    b"XGROUP": _xgroup,
    b"XINFO": _xinfo,
    b"XLEN": _xlen,
    b"XPENDING": _xpending,
    b"XRANGE": _xrange,
    b"XREADGROUP": _xreadgroup,
    b"XREVRANGE": _xrevrange,
    b"XTRIM": _xtrim,
}
"""Command to its function of the keyspace and the words that follow."""
