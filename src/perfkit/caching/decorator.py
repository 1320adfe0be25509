"""`perfkit.cached`: the decorator, and what it makes of functions, methods, classmethods and staticmethods."""

from __future__ import annotations

import functools
import time
from functools import partial
from types import FunctionType

from perfkit._base.decorating import checked_kind
from perfkit.caching.functions import cached_function
from perfkit.caching.methods import cached_method
from perfkit.caching.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from perfkit.caching.cache import Cause
    from perfkit.caching.limits import Ttl

__all__ = ["cached"]

_NOT_GIVEN: Any = object()


def cached(
    function: Any = None,
    /,
    *,
    maxsize: float | None = _NOT_GIVEN,
    ttl: Ttl = None,
    jitter: float = 0.0,
    key: Callable[..., Any] | None = None,
    typed: bool = False,
    max_bytes: int | str | None = None,
    cache_if: Callable[[Any], object] | None = None,
    error_ttl: Mapping[type[Exception], float] | None = None,
    refresh_ahead: float | None = None,
    stale_if_error: float | None = None,
    tags: Iterable[str] | Callable[..., Iterable[str]] | None = None,
    on_evict: Callable[[Any, Any, Cause], object] | None = None,
    timer: Callable[[], float] = time.monotonic,
) -> Any:
    """PLACEHOLDER."""
    if maxsize is _NOT_GIVEN:
        maxsize = 128 if max_bytes is None else None
    options = Options(
        maxsize=maxsize,
        ttl=ttl,
        jitter=jitter,
        key=key,
        typed=typed,
        max_bytes=max_bytes,
        cache_if=cache_if,
        error_ttl=error_ttl,
        refresh_ahead=refresh_ahead,
        stale_if_error=stale_if_error,
        tags=tags,
        on_evict=on_evict,
        timer=timer,
    )
    return partial(_decorated, options) if function is None else _decorated(options, function)


def _decorated(options: Options, function: Any) -> Any:
    if isinstance(function, int | float) and not isinstance(function, bool):
        raise TypeError(f"cached() takes keywords: @perfkit.cached(maxsize={function!r})")
    checked_kind(function, "cached")
    if isinstance(function, staticmethod):
        return staticmethod(cached_function(function.__func__, options))
    if isinstance(function, classmethod):
        return classmethod(cached_method(function.__func__, options))
    if _is_in_class_body(function):
        return _InClassBody(function, options)
    return cached_function(function, options)


def _is_in_class_body(function: object) -> bool:
    """Tell whether a function's qualified name shows a class around it."""
    return isinstance(function, FunctionType) and "." in function.__qualname__.rpartition("<locals>.")[2]


class _InClassBody:
    """What stands for a cached function in a class body until it is known what becomes of it.

    Left there under a name it is a method, and replaced by a plain function, for calls of those are fast. Taken by
    ``staticmethod``, ``classmethod`` or another decorator it stays, and its first parameter's name says what it is.
    """

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        self._options = options
        self._made: Callable[..., Any] | None = None
        functools.update_wrapper(self, function)

    def __set_name__(self, owner: type, name: str) -> None:
        setattr(owner, name, cached_method(self.__wrapped__, self._options))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("cache"):
            return getattr(self._function(), name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _function(self) -> Callable[..., Any]:
        if self._made is None:
            code = self.__wrapped__.__code__
            is_method = code.co_argcount > 0 and code.co_varnames[0] in ("self", "cls")
            self._made = (cached_method if is_method else cached_function)(self.__wrapped__, self._options)
        return self._made
