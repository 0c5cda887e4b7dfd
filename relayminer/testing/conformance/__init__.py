"""The promises of a transport, as checks that run over any of them.

```python
@pytest.mark.conformance
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_pigeons(check: Check, soak: bool) -> None:
    await check(LocalStands(PigeonDriver(), soak=soak))
```
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from relayminer.testing.conformance.refusing import REFUSING
from relayminer.testing.conformance.serving import SERVING
from relayminer.testing.conformance.verdicts import NonconformingError
from relayminer.testing.stand import Stands

Check = Callable[[Stands], Awaitable[None]]

CHECKS: tuple[Check, ...] = (*SERVING, *REFUSING)
"""All of them; each opens stands of its own."""

__all__ = ["CHECKS", "Check", "NonconformingError"]
