"""A page of metrics, read."""

from __future__ import annotations

import attrs
from prometheus_client.parser import text_string_to_metric_families

LIBRARY = ("process_", "python_")
"""What prometheus_client tells of every Python process."""


@attrs.frozen
class Exposed:
    """What pages had.

    Attributes:
        families: name, as the table of metrics has it, to its type.
        samples: name of a sample to the names of its labels.
        values: name of a sample to its values.
    """

    families: dict[str, str] = attrs.field(factory=dict)
    samples: dict[str, set[str]] = attrs.field(factory=dict)
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = attrs.field(factory=dict)

    def merge(self, other: Exposed) -> None:
        """Have what another page had, too; its values are newer."""
        self.families.update(other.families)
        for name, labels in other.samples.items():
            self.samples.setdefault(name, set()).update(labels)
        self.values.update(other.values)

    def highest(self, name: str) -> float:
        """The largest value of a sample, -1 without one."""
        return max((value for (one, _), value in self.values.items() if one == name), default=-1)


def read_page(text: str) -> Exposed:
    """A page of the text format."""
    exposed = Exposed()
    for family in text_string_to_metric_families(text):
        if family.name.startswith(LIBRARY):
            continue
        name = family.name + ("_total" if family.type == "counter" else "")
        exposed.families[name] = family.type
        for sample in family.samples:
            exposed.samples.setdefault(sample.name, set()).update(sample.labels)
            exposed.values[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return exposed
