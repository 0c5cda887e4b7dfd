"""Readiness that is true: every part says what is wrong with it, or nothing."""

from __future__ import annotations

from collections.abc import Callable

Check = Callable[[], str | None]
"""None when well, else what is wrong, for the operator."""

Detail = Callable[[], object | None]
"""Something to know that is no problem, as JSON; None when there is nothing to say."""


class Health:
    """The checks of a process. `/health` asks whether it lives, `/ready` whether it can work."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._details: dict[str, Detail] = {}

    def add(self, name: str, check: Check) -> None:
        """Ask `check` from now on; a check of the same name is replaced."""
        self._checks[name] = check

    def show(self, name: str, detail: Detail) -> None:
        """Put what `detail` says on the readiness pages from now on."""
        self._details[name] = detail

    def details(self) -> dict[str, object]:
        """What there is to know, by name."""
        answers = {name: detail() for name, detail in self._details.items()}
        return {name: answer for name, answer in answers.items() if answer is not None}

    def remove(self, name: str) -> None:
        """Stop asking."""
        self._checks.pop(name, None)

    def problems(self) -> dict[str, str]:
        """What is wrong, by the name of the check; empty means ready."""
        answers = {name: check() for name, check in self._checks.items()}
        return {name: problem for name, problem in answers.items() if problem is not None}
