"""`perfkit.cached`: the decorator, and what it makes of functions, methods, classmethods and staticmethods."""

from __future__ import annotations

import functools
import time
from collections.abc import MutableMapping
from functools import partial
from inspect import signature
from types import FunctionType, MethodType

from perfkit._base.decorating import checked_kind
from perfkit._base.overloading import overload
from perfkit.caching.functions import cached_function
from perfkit.caching.methods import cached_method
from perfkit.caching.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

    from perfkit.caching.cache import Cause, FrequencyBoostLRU
    from perfkit.caching.functions import CacheInfo
    from perfkit.caching.limits import Seconds, Ttl

    P = ParamSpec("P")
    Q = ParamSpec("Q")
    R = TypeVar("R")
    T = TypeVar("T")

    class Cached(Protocol[P, R]):
        """A function with a cache, as type checkers see it; it is an ordinary function."""

        __wrapped__: Callable[P, R]
        cache: FrequencyBoostLRU[Any, Any]

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        @overload
        def __get__(self, instance: None, owner: Any, /) -> Cached[P, R]: ...
        @overload
        def __get__(self: Cached[Concatenate[Any, Q], T], instance: object, owner: Any, /) -> Cached[Q, T]: ...
        def cache_info(self) -> CacheInfo: ...
        def cache_parameters(self) -> dict[str, Any]: ...
        def cache_clear(self) -> None: ...
        def cache_discard(self, *args: P.args, **kwargs: P.kwargs) -> bool: ...
        def cache_invalidate(self, *, tag: str | Iterable[str] | None = None, match: str | None = None) -> int: ...
        def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...

    class Decorator(Protocol):
        """What `cached` returns when it is given arguments."""

        def __call__(self, function: Callable[P, R], /) -> Cached[P, R]: ...


__all__ = ["cached"]

_NOT_GIVEN: Any = object()


@overload
def cached(function: Callable[P, R], /) -> Cached[P, R]: ...
@overload
def cached(
    *,
    maxsize: float | None = ...,
    ttl: Ttl = None,
    jitter: float = 0.0,
    key: Callable[..., Any] | None = None,
    typed: bool = False,
    max_bytes: int | str | None = None,
    cache_if: Callable[[Any], object] | None = None,
    error_ttl: Mapping[type[Exception], Seconds] | None = None,
    refresh_ahead: float | None = None,
    stale_if_error: Seconds | None = None,
    tags: Iterable[str] | Callable[..., Iterable[str]] | None = None,
    on_evict: Callable[[Any, Any, Cause], object] | None = None,
    timer: Callable[[], float] = ...,
) -> Decorator: ...
def cached(  # noqa: D417 (the unknown are refused)
    function: Any = _NOT_GIVEN,
    /,
    *,
    maxsize: float | None = _NOT_GIVEN,
    ttl: Ttl = None,
    jitter: float = 0.0,
    key: Callable[..., Any] | None = None,
    typed: bool = False,
    max_bytes: int | str | None = None,
    cache_if: Callable[[Any], object] | None = None,
    error_ttl: Mapping[type[Exception], Seconds] | None = None,
    refresh_ahead: float | None = None,
    stale_if_error: Seconds | None = None,
    tags: Iterable[str] | Callable[..., Iterable[str]] | None = None,
    on_evict: Callable[[Any, Any, Cause], object] | None = None,
    timer: Callable[[], float] = time.monotonic,
    **unknown: Any,
) -> Any:
    """Keep what a function returns, and call it once for the same arguments: ``@cached`` or ``@cached(ttl=300)``.

    For functions, coroutine functions, methods, classmethods and staticmethods (above or below those decorators).

    Guarantees:
        * ``f(1, b=2)``, ``f(a=1, b=2)`` and ``f(1, 2)`` are one entry, defaults filled in; but not of a decorator's
          ``wrapper(*args, **kwargs)``, which may pass on others. A wrong call raises the function's own TypeError.
        * However many threads and tasks (on any event loop) want the same call at once, the function is called once,
          and what it returns or raises goes to all of them. If the task that calls it is cancelled, or the thread
          interrupted, another takes over. Two functions that wait for each other don't deadlock: one is called twice.
        * An exception is not kept, unless ``error_ttl`` says so. What is discarded or cleared while it is computed is
          not kept either.
        * A method has one cache for each instance, which goes with the instance and keeps no reference to it; the
          instance need not be hashable, but weakly referenceable (with ``__slots__``: ``__weakref__``), or nothing is
          kept. Copies and pickles of it begin with nothing. ``maxsize`` is each instance's.
        * Nothing expires or is evicted early on account of threads; a hit takes no lock.

    Args:
        function: what is decorated; nothing where there are options.
        maxsize: the most entries, from 0; None for no limit. 128, or no limit if ``max_bytes`` is given.
        ttl: how long an entry lives, in seconds above 0 or as a timedelta; or ``ttl(key, value)``, which returns that,
            None for ever, or 0 for not at all.
        jitter: the fraction, 0 to less than 1, of the ttl by which lives are shortened at random, so that what was
            computed together is not computed again together.
        key: ``key(*args, **kwargs)`` returns what tells calls apart, for arguments without a hash or ones that don't
            matter. A method's gets ``self`` too.
        typed: tell 1, 1.0 and True apart.
        max_bytes: the most bytes of keys and values, as `FrequencyBoostLRU` measures them.
        cache_if: ``cache_if(value)`` tells whether a value is kept.
        error_ttl: seconds (or timedeltas) by exception type, such as ``{TimeoutError: 5}``: such an exception is raised
            again for so long without a call. The first that fits counts. Failures are kept beside the results, under
            the same limits once more.
        refresh_ahead: a fraction of the ttl, between 0 and 1: the first call after it gets the value there is and has
            it computed again in the background (a thread; a task for a coroutine function). A failure there is logged.
        stale_if_error: seconds after its ttl for which an expired value is returned while the function raises.
        tags: strings, or ``tags(*args, **kwargs)`` that returns some, for ``cache_invalidate``.
        on_evict: ``on_evict(key, value, cause)``, as for `FrequencyBoostLRU`.
        timer: the clock, a function that returns seconds.

    Returns a function of the same name, signature and types, with
        ``cache_info()``: hits, misses, maxsize, currsize; for a method of all instances together;
        ``cache_clear()``: forget everything, for a method in all instances, and count from zero;
        ``cache_discard(*args, **kwargs)``: forget one call; False if it wasn't there. ``Cls.f.cache_discard(obj, 1)``;
        ``cache_invalidate(tag=..., match=...)``: forget what carries a tag, as `FrequencyBoostLRU.invalidate`; for a
        method in all instances;
        ``cache_key(*args, **kwargs)``: what tells this call from others;
        ``cache_parameters()``: what the cache was made with;
        ``cache``: the `FrequencyBoostLRU` (not for methods, which have many);
        ``__wrapped__``: the function itself.

    Raises TypeError, ValueError: an option isn't what is allowed, or can't be used with the others; when decorating.

    Cost: a hit one and a half to three times that of ``functools.lru_cache``, less with keyword arguments. The wrapper
    is made for the signature, so a hit packs no arguments; the policy is LIFT (see ``perfkit.caching.policy``).
    """
    for name in unknown:
        raise TypeError(_instead_of(name))
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
    return partial(_decorated, options) if function is _NOT_GIVEN else _decorated(options, function)


_OWN_CACHE = (
    "cached() makes the cache itself: say how large, @perfkit.cached(maxsize=100), and find it as f.cache. A cache of"
    " your own goes into cachetools.cached(cache)"
)
_INSTEAD = {
    "cache": _OWN_CACHE,
    "lock": "cached() takes no lock=, for it needs none: leave it out",
    "condition": "cached() takes no condition=, for it calls the function once however many want it: leave it out",
    "info": "cached() takes no info=, for cache_info() is always there: leave it out",
}


def _instead_of(name: str) -> str:
    """Return what to write instead of an argument that `cached` doesn't have; cachetools has some of them."""
    return _INSTEAD.get(name) or f"cached() has no argument {name!r}; there are {', '.join(Options.__slots__)}"


def _decorated(options: Options, function: Any) -> Any:
    if function is None or (isinstance(function, int | float) and not isinstance(function, bool)):
        raise TypeError(f"cached() takes keywords: @perfkit.cached(maxsize={function!r})")
    if isinstance(function, MutableMapping):
        raise TypeError(_OWN_CACHE)
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


_OWN = ("_made", "_options", "_owner")  # attributes of `_InClassBody` itself
_CLASSMETHODS = ("__class_getitem__", "__init_subclass__")  # which Python makes such itself, if they are functions
_OF_FUNCTIONS = ("__closure__", "__code__", "__defaults__", "__globals__", "__kwdefaults__")


class _InClassBody:
    """What stands for a cached function in a class body until it is known what becomes of it.

    Left there under a name it is a method, and replaced by a plain function, for calls of those are fast. Taken by
    ``staticmethod``, ``classmethod`` or another decorator it stays, and its first parameter's name says what it is.
    There it passes for the function: for ``inspect`` and ``asyncio``, and by its name for ``pickle``.
    """

    __class__ = property(lambda _: FunctionType)  # what isinstance() looks at

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        self._options = options
        self._made: Callable[..., Any] | None = None
        self._owner: type | None = None
        functools.update_wrapper(self, function)

    def __set_name__(self, owner: type, name: str) -> None:
        if self._owner is not owner:  # or it has another name there already
            self._owner = owner
            self._made = cached_method(self.__wrapped__, self._options, owner)  # for whoever took this object before
            self._hand_over(self._made)
        method: Any = self._made
        if name in _CLASSMETHODS:
            method = classmethod(method)
        type.__setattr__(owner, name, method)  # past a metaclass that refuses

    def _hand_over(self, made: Callable[..., Any]) -> None:
        """Have the function marked as decorators above have marked this object (abstractmethod, final, routes)."""
        for name, value in vars(self).items():
            if name not in _OWN:
                setattr(made, name, value)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Bind as a function does: for classes that are told no names, and so that an Enum takes it for a method."""
        return self if instance is None else MethodType(self._function(), instance)

    def __reduce__(self) -> str:
        name: str = self.__qualname__
        return name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("cache"):
            return getattr(self._function(), name)
        if name in _OF_FUNCTIONS:
            return getattr(self.__wrapped__, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _function(self) -> Callable[..., Any]:
        if self._made is None:
            first = next(iter(signature(self.__wrapped__).parameters), None)
            is_method = first in ("self", "cls")
            self._made = (cached_method if is_method else cached_function)(self.__wrapped__, self._options)
        return self._made
