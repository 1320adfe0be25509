"""What a state file can be told, checked when it is made."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from perfkit._base.atomic import Durability, check_durability
from perfkit.statefile.calls import check_default

__all__ = ["Options"]

_MAX_INDENT = 32


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of `StateFile`, which documents them."""

    default: Callable[[], Any] | None
    indent: int | None
    durability: Durability
    timeout: float | None
    allow_nan: bool
    recover: Literal["backup"] | None
    trust_stat: bool

    def __post_init__(self) -> None:
        check_default(self.default)
        _check_indent(self.indent)
        check_durability(self.durability)
        _check_timeout(self.timeout)
        for name in ("allow_nan", "trust_stat"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if self.recover not in (None, "backup"):
            raise ValueError(f"recover must be None (raise) or 'backup' (move aside, start anew), not {self.recover!r}")
        if self.recover is not None and self.default is None:
            raise ValueError("recover='backup' needs a default to start from, such as default=dict")


def _check_indent(indent: object) -> None:
    if indent is None:
        return
    if not isinstance(indent, int) or isinstance(indent, bool):
        raise TypeError(f"indent must be None (compact) or a number of spaces from 0 to {_MAX_INDENT}, not {indent!r}")
    if not 0 <= indent <= _MAX_INDENT:
        raise ValueError(f"indent must be None (compact) or a number of spaces from 0 to {_MAX_INDENT}, not {indent}")


def _check_timeout(timeout: object) -> None:
    if timeout is None:
        return
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool):
        raise TypeError(f"timeout must be seconds (int or float) or None (wait for ever), not {timeout!r}")
    if not timeout >= 0:  # so is NaN refused
        raise ValueError(f"timeout must be 0 seconds or more, or None (wait for ever), not {timeout}")
    if timeout > sys.float_info.max and timeout != math.inf:
        raise ValueError("timeout must be seconds that a float can hold, or None (wait for ever), not so large an int")
