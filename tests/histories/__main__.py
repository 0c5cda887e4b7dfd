"""Run histories.

`python -m tests.histories --first 0 --count 300` runs many, `--seed 17` one with its story.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
import traceback

from tests.histories.history import run_history
from tests.histories.plan import plan_of

HISTORY_SECONDS = 120
"""A history that takes longer stands still: somebody works without end, and no time passes."""


class StandsStillError(BaseException):
    """Raised into a history that does not end."""


def stop(*_signal: object) -> None:
    """Break off what runs."""
    raise StandsStillError(f"no end after {HISTORY_SECONDS} s")


def main() -> int:
    """Run what the command line names; 1 when a history went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one and tell its story")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--step", type=int, default=1, help="run only each so manieth")
    arguments = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Sets of strings have another order in every process unless this is fixed.
        again = [sys.executable, "-m", "tests.histories", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606 - us
    if arguments.seed is not None:
        return tell(arguments.seed)
    return run_many(range(arguments.first, arguments.first + arguments.count, arguments.step))


def run_many(seeds: range) -> int:
    """Run histories and say which went wrong, and how."""
    # What was imported is never garbage: collections between histories need not look at it.
    gc.freeze()
    signal.signal(signal.SIGALRM, stop)
    failed = kills = relays = 0
    began = time.monotonic()
    for seed in seeds:
        signal.alarm(HISTORY_SECONDS)
        try:
            outcome = run_history(plan_of(seed))
            problems = outcome.problems
            kills += outcome.kills
            relays += outcome.relays
        except BaseException:  # noqa: BLE001 - the other seeds may tell more
            problems = [traceback.format_exc()]
        finally:
            signal.alarm(0)
        if problems:
            failed += 1
            say(f"seed {seed}: " + "\n    ".join(problems))
    seconds = time.monotonic() - began
    say(
        f"{len(seeds)} histories, {failed} failed; {kills} deaths, {relays} relays, {seconds:.1f} s"
    )
    return int(failed > 0)


def tell(seed: int) -> int:
    """One history with everything that its miners logged."""
    plan = plan_of(seed)
    say(str(plan))
    outcome = run_history(plan, log=say)
    say("\n".join(outcome.problems) or "all is well")
    say(f"digest {outcome.digest}")
    return int(bool(outcome.problems))


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
