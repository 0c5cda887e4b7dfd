"""What is wrong with a configuration, said so that it can be mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from relayminer.config.masking import masked_value
from relayminer.errors import RelayMinerError

if TYPE_CHECKING:
    from collections.abc import Sequence


@frozen
class Problem:
    """One thing to mend.

    Attributes:
        source: file name, or `command line`.
        line: in the file, 1 is the first; 0 when there is none.
        key: path of the setting, such as `relayer.services.eth.default_backend`.
        value: as written, secrets masked; empty when there is none.
        reason: why it cannot be used.
        fix: what to write instead, or what to do.
    """

    source: str
    line: int
    key: str
    value: str
    reason: str
    fix: str

    @property
    def place(self) -> str:
        """`file:line`, or the file alone."""
        return f"{self.source}:{self.line}" if self.line else self.source

    def __str__(self) -> str:
        value = f" = {self.value}" if self.value else ""
        return f"{self.place}: {self.key}{value}: {self.reason}; {self.fix}"


def problem(
    key: str, value: object, reason: str, fix: str, *, source: str = "", line: int = 0
) -> Problem:
    """A problem whose value is masked and cut where it has to be."""
    return Problem(source, line, key, masked_value(key, value), reason, fix)


class ConfigError(RelayMinerError):
    """A configuration that cannot be used.

    Attributes:
        problems: all that was found, in the order of the file.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            f"the configuration has {count}:\n" + "\n".join(f"  {one}" for one in problems)
        )
        self.problems = tuple(problems)
