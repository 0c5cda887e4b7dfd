"""The chain's state: typed tables in layers that are kept or dropped as a whole.

A branch reads through to its parent and collects its own writes; `write` merges them upwards, and
dropping the branch forgets them. That is how a failed message leaves no trace, how CheckTx sees
the transactions checked before it, and how a simulation changes nothing. Values are never changed
in place: to change one, set a new one.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

K = TypeVar("K")
V = TypeVar("V")


@frozen(slots=True, eq=False)
class Table(Generic[K, V]):
    """The name of a table, with the types of its keys and values; keys of a table sort."""

    name: str


class _Deleted:
    """Marks a key that a branch has deleted."""


_DELETED = _Deleted()


@frozen(slots=True, eq=False)
class Store:
    """One layer of the state; the root layer has no parent."""

    parent: Store | None = None
    layer_tables: dict[str, dict[Any, Any]] = field(factory=dict, init=False, repr=False)
    _order: dict[str, list[Any]] = field(factory=dict, init=False, repr=False)
    """Keys in order, by table, as long as no key comes or goes; only the root layer keeps it."""

    def branch(self) -> Store:
        """A layer above this one."""
        return Store(self)

    def get(self, table: Table[K, V], key: K) -> V | None:
        """The value at `key`, None when there is none."""
        layer: Store | None = self
        while layer is not None:
            values = layer.layer_tables.get(table.name)
            if values is not None and key in values:
                value = values[key]
                return None if value is _DELETED else value
            layer = layer.parent
        return None

    def set(self, table: Table[K, V], key: K, value: V) -> None:
        """Store `value` at `key`."""
        values = self.layer_tables.setdefault(table.name, {})
        if key not in values:
            self._order.pop(table.name, None)
        values[key] = value

    def delete(self, table: Table[K, V], key: K) -> None:
        """Remove `key`; nothing happens when it is not there."""
        if self.parent is None:
            self.layer_tables.get(table.name, {}).pop(key, None)
            self._order.pop(table.name, None)
        else:
            self.layer_tables.setdefault(table.name, {})[key] = _DELETED

    def items(self, table: Table[K, V]) -> list[tuple[K, V]]:
        """All keys with their values, in key order, as they are at the time of the call."""
        root, *above = self._layers()
        if not any(layer.layer_tables.get(table.name) for layer in above):
            values = root.layer_tables.get(table.name, {})
            return [(key, values[key]) for key in root._sorted_keys(table.name)]  # noqa: SLF001
        merged = self._merged(table.name)
        keys: list[Any] = sorted(merged)
        return [(key, merged[key]) for key in keys]

    def under(self, table: Table[tuple[Any, ...], V], first: Any) -> list[tuple[Any, V]]:
        """The entries whose key begins with `first`, in key order."""
        root, *above = self._layers()
        if any(layer.layer_tables.get(table.name) for layer in above):
            return [entry for entry in self.items(table) if entry[0][0] == first]
        values = root.layer_tables.get(table.name, {})
        keys = root._sorted_keys(table.name)  # noqa: SLF001 - another layer of this store
        start = bisect_left(keys, (first,))
        return [(key, values[key]) for key in takewhile(lambda key: key[0] == first, keys[start:])]

    def values(self, table: Table[K, V]) -> Iterator[V]:
        """All values in key order."""
        return (value for _, value in self.items(table))

    def write(self) -> None:
        """Merge what this layer collected into its parent; the root layer has nothing to do."""
        if self.parent is None:
            return
        for name, values in self.layer_tables.items():
            table: Table[Any, Any] = Table(name)
            for key, value in values.items():
                if value is _DELETED:
                    self.parent.delete(table, key)
                else:
                    self.parent.set(table, key, value)
        self.layer_tables.clear()

    def _merged(self, name: str) -> dict[Any, Any]:
        merged: dict[Any, Any] = {}
        for layer in self._layers():
            merged.update(layer.layer_tables.get(name, {}))
        return {key: value for key, value in merged.items() if value is not _DELETED}

    def _sorted_keys(self, name: str) -> list[Any]:
        """The keys of the root layer's table in order."""
        keys = self._order.get(name)
        if keys is None:
            keys = sorted(self.layer_tables.get(name, {}))
            self._order[name] = keys
        return keys

    def _layers(self) -> list[Store]:
        """This layer and those below it, the root first."""
        layers: list[Store] = []
        layer: Store | None = self
        while layer is not None:
            layers.append(layer)
            layer = layer.parent
        layers.reverse()
        return layers
