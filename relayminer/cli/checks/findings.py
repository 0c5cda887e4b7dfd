"""What a check found."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import frozen

OK, WARN, FAIL = "ok", "warn", "fail"


@frozen
class Finding:
    """What one check found.

    Attributes:
        subject: what was looked at.
        result: `ok`, `warn` (it works, but not as one would expect) or `fail`.
        found: what is there.
        remedy: what to do; empty when it is well.
    """

    subject: str
    result: str
    found: str
    remedy: str = ""

    @property
    def is_about_one_of_many(self) -> bool:
        """Whether it is about one supplier of a fleet."""
        return self.subject.startswith(("supplier ", "account "))

    def as_json(self) -> dict[str, str]:
        """For programs."""
        fields: dict[str, Any] = attrs.asdict(self)
        return fields
