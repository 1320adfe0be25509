"""How many retries there may be beside the calls: a bucket of tokens. Decides alone: the time is passed in."""

from __future__ import annotations

__all__ = ["Tokens"]

_ALMOST_ONE = 1 - 1e-9  # ten times a tenth is a little less than 1 in floats


class Tokens:
    """A bucket of at most ``most`` tokens, full at first. ``each`` drips in a call, and ``rate`` each second."""

    __slots__ = ("_at", "_each", "_most", "_rate", "_tokens")

    def __init__(self, each: float, rate: float, most: float, now: float) -> None:
        self._each = each
        self._rate = rate
        self._most = most
        self._tokens = most
        self._at = now

    def deposit(self, now: float) -> None:
        """A call begins."""
        self._tokens = min(self._most, self.left(now) + self._each)

    def take(self, now: float) -> bool:
        """Take one token for a retry, if there is a whole one; tell whether there was."""
        if self.left(now) < _ALMOST_ONE:
            return False
        self._tokens = max(0.0, self._tokens - 1)
        return True

    def left(self, now: float) -> float:
        """Return the tokens there are."""
        self._tokens = min(self._most, self._tokens + self._rate * max(0.0, now - self._at))
        self._at = now
        return self._tokens
