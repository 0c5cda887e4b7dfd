"""The jobs a process can take on."""

from __future__ import annotations

import enum

from relayminer.errors import RelayMinerError


class Role(enum.Enum):
    """One job of a process; a process takes one or more of them."""

    RELAYER = "relayer"
    MINER = "miner"
    CACHE_LEADER = "cache-leader"


class UnknownRoleError(RelayMinerError):
    """A role was named that does not exist."""


def parse_roles(text: str) -> frozenset[Role]:
    """The roles of a comma-separated list.

    Raises:
        UnknownRoleError: a name is not a role, or no role is named.
    """
    known = ", ".join(role.value for role in Role)
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UnknownRoleError(f"no role given: choose from {known}")
    roles = set()
    for name in names:
        try:
            roles.add(Role(name))
        except ValueError:
            raise UnknownRoleError(f"unknown role {name!r}: choose from {known}") from None
    return frozenset(roles)
