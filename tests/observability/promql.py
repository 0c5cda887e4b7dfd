"""What a PromQL expression asks for: metrics, and the labels that it names with each.

A tokenizer and no parser: enough for the expressions of our rules and dashboards. Labels of a
selector belong to its metric; labels of `by (...)` and of templates belong to every metric there.
"""

from __future__ import annotations

import re

import attrs

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<range>\[[^\]]*\])
    |(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?[smhdwy]?)
    |(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    |(?P<mark>=~|!~|!=|==|<=|>=|[-+*/%^=<>(){},@])""",
    re.VERBOSE,
)
_GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = {"or", "and", "unless", "offset", "bool", "inf", "nan", *_GROUPING}


class SyntaxProblemError(Exception):
    """It is no PromQL that we know."""


@attrs.frozen
class Asked:
    """What an expression asks for.

    Attributes:
        metrics: names of samples, each with the labels of its selectors.
        grouped: labels by which results are grouped or matched.
    """

    metrics: dict[str, set[str]] = attrs.field(factory=dict)
    grouped: set[str] = attrs.field(factory=set)


def tokens(expression: str) -> list[tuple[str, str]]:
    """Kind and text of each token, without spaces and ranges."""
    found, place = [], 0
    while place < len(expression):
        match = _TOKEN.match(expression, place)
        if match is None:
            raise SyntaxProblemError(f"{expression[place : place + 20]!r} in {expression}")
        place = match.end()
        kind = str(match.lastgroup)
        if kind not in {"space", "range"}:
            found.append((kind, match.group()))
    return found


def asked(expression: str) -> Asked:
    """The metrics and labels of an expression.

    Raises:
        SyntaxProblemError: brackets do not match, or it has other characters.
    """
    result = Asked()
    words = [*tokens(expression), ("end", "")]
    for mark in ("()", "{}"):
        if sum(text == mark[0] for _, text in words) != sum(text == mark[1] for _, text in words):
            raise SyntaxProblemError(f"{mark} do not match in {expression}")
    place = 0
    while place < len(words):
        kind, text = words[place]
        after = words[place + 1][1] if place + 1 < len(words) else ""
        if kind == "name" and text in _GROUPING:
            if after == "(":
                place, labels = _names(words, place + 2, ")")
                result.grouped.update(labels)
        elif kind == "name" and text not in _WORDS and after != "(":
            place = _selector(words, place, result)
        place += 1
    return result


def _selector(words: list[tuple[str, str]], place: int, result: Asked) -> int:
    labels = result.metrics.setdefault(words[place][1], set())
    # An aggregation's name may stand before its grouping: `sum by (x) (...)`.
    if words[place + 1][1] in {"by", "without"}:
        del result.metrics[words[place][1]]
        return place
    if words[place + 1][1] == "{":
        place, names = _names(words, place + 2, "}")
        labels.update(names)
    return place


def _names(words: list[tuple[str, str]], place: int, end: str) -> tuple[int, set[str]]:
    names = set()
    while words[place][1] != end:
        if words[place][0] == "name":
            names.add(words[place][1])
        place += 1
    return place, names
