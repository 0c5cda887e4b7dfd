"""JSON and times in the form of Go's standard library, which every stored JSON value has.

Compact, `<`, `>` and `&` escaped, map keys sorted by the caller, integral floats without a point,
times in RFC 3339 with up to nine fractional digits (`go: encoding/json`, `go: time`).
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

from relayminer.state.errors import UnreadableValueError

NANOSECONDS: Final = 1_000_000_000
# Outside these bounds Go writes a float with an exponent.
PLAIN_FLOAT_MIN: Final = 1e-6
PLAIN_FLOAT_MAX: Final = 1e21
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:[.,](\d{1,9})\d*)?(Z|([+-])(\d{2}):(\d{2}))"
)
_ESCAPES: Final = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
)


def dumps(value: Any) -> bytes:
    """`value` (dict, list, str, int, float, bool, None) as Go would write it."""
    return _text(value).encode()


def loads(data: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        UnreadableValueError: it is none.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableValueError(f"not JSON: {error}") from error


def loads_object(data: bytes | str) -> dict[str, Any]:
    """The same, where it must be an object."""
    value = loads(data)
    if not isinstance(value, dict):
        raise UnreadableValueError(f"a JSON object was expected, not a {type(value).__name__}")
    return value


def go_float(value: float) -> str:
    """A float as Go's encoder writes it.

    Raises:
        ValueError: it is infinite or no number, which JSON cannot say.
    """
    if not math.isfinite(value):
        raise ValueError("JSON has no infinity and no NaN")
    if value and not PLAIN_FLOAT_MIN <= abs(value) < PLAIN_FLOAT_MAX:
        mantissa, _, exponent = repr(value).partition("e")
        mantissa = mantissa.removesuffix(".0")
        return f"{mantissa}e{int(exponent):+03d}".replace("e-0", "e-")
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_text(str(k))}:{_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, float):
        return go_float(value)
    text = json.dumps(value, ensure_ascii=False)
    return text.translate(_ESCAPES) if isinstance(value, str) else text


def format_time(unix_ns: int) -> str:
    """RFC 3339 in UTC of a time in nanoseconds since 1970, without trailing zeros."""
    seconds, fraction = divmod(unix_ns, NANOSECONDS)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{text}{digits}Z"


def parse_time(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time with any offset.

    Raises:
        UnreadableValueError: it has another form.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise UnreadableValueError(f"not a time in RFC 3339: {text!r}")
    try:
        moment = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=_zone(match))
    except ValueError as error:
        raise UnreadableValueError(f"no such time: {text!r}") from error
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return seconds * NANOSECONDS + int((match[2] or "0").ljust(9, "0"))


def _zone(match: re.Match[str]) -> timezone:
    if match[3] == "Z":
        return UTC
    offset = timedelta(hours=int(match[5]), minutes=int(match[6]))
    return timezone(-offset if match[4] == "-" else offset)
