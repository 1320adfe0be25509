"""Stand-in."""

from typing import Any


class CircuitBreaker:
    """Stand-in."""

    state = "closed"
    retry_after = 0.0

    def __init__(self, **options: Any) -> None: ...

    def call(self, fn: Any) -> Any:
        """Call."""
        return fn()

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *raised: object) -> None: ...
