"""Strings, hashes, sets and the lives of keys, as a Redis-compatible server has them."""

from __future__ import annotations

import math
import re
from fnmatch import translate
from typing import TYPE_CHECKING, Final

from tests.histories.model_values import OK, Keyspace, Reply, ReplyError, Status, number, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _set(space: Keyspace, key: bytes, value: bytes, *options: bytes) -> Reply:
    rest = [option.upper() for option in options]
    end: float | None = None
    keep, only_new, only_old, want_old = False, False, False, False
    while rest:
        option = rest.pop(0)
        if option in {b"EX", b"PX"}:
            unit = 1.0 if option == b"EX" else 0.001
            end = space.now + whole(rest.pop(0)) * unit
        elif option == b"KEEPTTL":
            keep = True
        elif option == b"NX":
            only_new = True
        elif option == b"XX":
            only_old = True
        elif option == b"GET":
            want_old = True
        else:
            raise ReplyError("ERR syntax error")
    old = space.get(key, bytes) if want_old else None
    if (only_new and space.exists(key)) or (only_old and not space.exists(key)):
        return old
    kept = space.ends.get(key) if keep and space.exists(key) else None
    space.drop(key)
    space.values[key] = bytes(value)
    end = end if end is not None else kept
    if end is not None:
        space.ends[key] = end
    return old if want_old else OK


def _get(space: Keyspace, key: bytes) -> Reply:
    return space.get(key, bytes)


def _mget(space: Keyspace, *keys: bytes) -> Reply:
    values = [space.values.get(key) if space.exists(key) else None for key in keys]
    return [value if isinstance(value, bytes) else None for value in values]


def _increase(space: Keyspace, key: bytes, amount: bytes = b"1", sign: int = 1) -> Reply:
    change = sign * whole(amount)
    value = whole(space.get(key, bytes) or b"0") + change
    space.values[key] = number(value)
    return value


def _decrease(space: Keyspace, key: bytes, amount: bytes = b"1") -> Reply:
    return _increase(space, key, amount, -1)


def _del(space: Keyspace, *keys: bytes) -> Reply:
    return sum(space.drop(key) for key in keys)


def _exists(space: Keyspace, *keys: bytes) -> Reply:
    return sum(space.exists(key) for key in keys)


def _type(space: Keyspace, key: bytes) -> Reply:
    if not space.exists(key):
        return Status(b"none")
    value = space.values[key]
    names: dict[type, bytes] = {bytes: b"string", Hash: b"hash", Members: b"set"}
    return Status(names.get(type(value), b"stream"))


def _pexpire(space: Keyspace, key: bytes, life: bytes, unit: float = 0.001) -> Reply:
    amount = whole(life)
    if not space.exists(key):
        return 0
    if amount <= 0:
        space.drop(key)
    else:
        space.ends[key] = space.now + amount * unit
    return 1


def _expire(space: Keyspace, key: bytes, life: bytes) -> Reply:
    return _pexpire(space, key, life, 1.0)


def _persist(space: Keyspace, key: bytes) -> Reply:
    return int(space.exists(key) and space.ends.pop(key, None) is not None)


def _pttl(space: Keyspace, key: bytes) -> Reply:
    if not space.exists(key):
        return -2
    return int((space.ends[key] - space.now) * 1000) if key in space.ends else -1


def _ttl(space: Keyspace, key: bytes) -> Reply:
    left = _pttl(space, key)
    return left if left < 0 else math.floor(left / 1000 + 0.5)


def _scan(space: Keyspace, _cursor: bytes, *options: bytes) -> Reply:
    return [b"0", [key for key in space.living() if _matches(options, key)]]


def _matches(options: Sequence[bytes], name: bytes) -> bool:
    for option, value in zip(options[::2], options[1::2], strict=True):
        if option.upper() == b"MATCH":
            return re.match(translate(value.decode("latin-1")), name.decode("latin-1")) is not None
    return True


class Hash(dict[bytes, bytes]):
    """A hash."""


class Members(dict[bytes, None]):
    """A set that remembers the order of arrival, so that a run repeats."""


def _hset(space: Keyspace, key: bytes, *pairs: bytes) -> Reply:
    if not pairs or len(pairs) % 2:
        raise ReplyError("ERR wrong number of arguments for 'hset' command")
    fields = space.make(key, Hash)
    before = len(fields)
    fields.update(zip(pairs[::2], pairs[1::2], strict=True))
    return len(fields) - before


def _hget(space: Keyspace, key: bytes, field: bytes) -> Reply:
    return (space.get(key, Hash) or Hash()).get(field)


def _hmget(space: Keyspace, key: bytes, *fields: bytes) -> Reply:
    stored = space.get(key, Hash) or Hash()
    return [stored.get(field) for field in fields]


def _hgetall(space: Keyspace, key: bytes) -> Reply:
    return [word for pair in (space.get(key, Hash) or Hash()).items() for word in pair]


def _hdel(space: Keyspace, key: bytes, *fields: bytes) -> Reply:
    stored = space.get(key, Hash)
    if stored is None:
        return 0
    found = sum(stored.pop(field, None) is not None for field in fields)
    space.drop_empty(key)
    return found


def _hexists(space: Keyspace, key: bytes, field: bytes) -> Reply:
    return int(field in (space.get(key, Hash) or Hash()))


def _hlen(space: Keyspace, key: bytes) -> Reply:
    return len(space.get(key, Hash) or Hash())


def _hkeys(space: Keyspace, key: bytes) -> Reply:
    return list(space.get(key, Hash) or Hash())


def _hincrby(space: Keyspace, key: bytes, field: bytes, amount: bytes) -> Reply:
    change = whole(amount)
    stored = space.get(key, Hash) or Hash()
    try:
        value = whole(stored.get(field, b"0"))
    except ReplyError:
        raise ReplyError("ERR hash value is not an integer") from None
    value += change
    space.make(key, Hash)[field] = number(value)
    return value


def _hsetnx(space: Keyspace, key: bytes, field: bytes, value: bytes) -> Reply:
    if _hexists(space, key, field):
        return 0
    return _hset(space, key, field, value)


def _hscan(space: Keyspace, key: bytes, _cursor: bytes, *options: bytes) -> Reply:
    stored = space.get(key, Hash) or Hash()
    return [
        b"0",
        [word for pair in stored.items() if _matches(options, pair[0]) for word in pair],
    ]


def _sadd(space: Keyspace, key: bytes, *members: bytes) -> Reply:
    stored = space.make(key, Members)
    before = len(stored)
    stored.update(dict.fromkeys(members))
    return len(stored) - before


def _srem(space: Keyspace, key: bytes, *members: bytes) -> Reply:
    stored = space.get(key, Members)
    if stored is None:
        return 0
    before = len(stored)
    for member in members:
        stored.pop(member, None)
    found = before - len(stored)
    space.drop_empty(key)
    return found


def _smembers(space: Keyspace, key: bytes) -> Reply:
    return list(space.get(key, Members) or Members())


def _sismember(space: Keyspace, key: bytes, member: bytes) -> Reply:
    return int(member in (space.get(key, Members) or Members()))


def _scard(space: Keyspace, key: bytes) -> Reply:
    return len(space.get(key, Members) or Members())


def _ping(_space: Keyspace) -> Reply:
    return Status(b"PONG")


COMMANDS: Final[dict[bytes, Callable[..., Reply]]] = {
    b"DECRBY": _decrease,
    b"DEL": _del,
    b"EXISTS": _exists,
    b"EXPIRE": _expire,
    b"GET": _get,
    b"HDEL": _hdel,
    b"HEXISTS": _hexists,
    b"HGET": _hget,
    b"HGETALL": _hgetall,
    b"HINCRBY": _hincrby,
    b"HKEYS": _hkeys,
    b"HLEN": _hlen,
    b"HMGET": _hmget,
    b"HSCAN": _hscan,
    b"HSET": _hset,
    b"HSETNX": _hsetnx,
    b"INCR": _increase,
    b"INCRBY": _increase,
    b"MGET": _mget,
    b"PERSIST": _persist,
    b"PEXPIRE": _pexpire,
    b"PING": _ping,
    b"PTTL": _pttl,
    b"SADD": _sadd,
    b"SCAN": _scan,
    b"SCARD": _scard,
    b"SET": _set,
    b"SISMEMBER": _sismember,
    b"SMEMBERS": _smembers,
    b"SREM": _srem,
    b"TTL": _ttl,
    b"TYPE": _type,
    b"UNLINK": _del,
}
"""Command to its function of the keyspace and the words that follow."""
