"""What `perfkit.cached` makes of a function: a wrapper of its shape, over one cache."""

from __future__ import annotations

import functools
from collections import namedtuple
from functools import partial

from perfkit._base.decorating import COROUTINE_FUNCTION, kind_of
from perfkit.caching.cache import FrequencyBoostLRU
from perfkit.caching.invalidating import invalidate
from perfkit.caching.memo import Memo
from perfkit.caching.template import Shape, compiled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NamedTuple

    from perfkit.caching.options import Options

    class CacheInfo(NamedTuple):
        """What ``cache_info()`` returns, as functools has it; ``currsize`` is the number of entries."""

        hits: int
        misses: int
        maxsize: float | None
        currsize: int

else:
    CacheInfo = namedtuple("CacheInfo", ["hits", "misses", "maxsize", "currsize"])

__all__ = ["CacheInfo", "Wrapper", "cached_function", "full_name"]


class FunctionCache(FrequencyBoostLRU["Any", "Any"]):
    """The cache of a function: ``f.cache``."""

    def __init__(self, memo: Memo) -> None:
        options = memo.options
        self._aging, self._never, self._timeless = options.aging, options.never, options.ttl is None
        self._loads = memo.loads
        super().__init__(
            options.maxsize,
            max_bytes=options.max_bytes,
            ttl=options.ttl,
            jitter=options.jitter,
            on_evict=options.on_evict,
            timer=options.timer,
            name=memo.name,
        )


class Wrapper:
    """The wrapper of a memo, and the function that gives a call's key."""

    def __init__(self, memo: Memo, *, attribute: str = "") -> None:
        """Choose the templates; ``attribute`` is where instances carry their stores, for a method."""
        options = memo.options
        self._memo = memo
        self._shape = Shape(
            memo.function, is_method=bool(attribute), typed=options.typed, has_key=options.key is not None
        )
        freshness = "aging" if options.aging else "always" if options.ttl is None else "expiring"
        self._is_async = kind_of(memo.function) == COROUTINE_FUNCTION
        self._source = self._shape.source(freshness=freshness, is_async=self._is_async, attribute=attribute)
        self.key_of = compiled(self._shape, self._shape.key_source(), makekey=options.key)

    def over(self, missed: Callable[..., Any], **names: Any) -> Any:
        """Return the wrapper, which gets a `Load` from ``missed(key, args, kwargs)``; its template finds ``names``."""
        wrapper = compiled(
            self._shape,
            self._source,
            missed=missed,
            wrapped=self._memo.function,
            refuse=self._refuse,
            now=self._memo.options.timer,
            makekey=self._memo.options.key,
            **names,
        )
        return functools.update_wrapper(wrapper, self._memo.function)

    def _refuse(self, error: TypeError, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise the TypeError that says which argument has no hash; or the one there was, if it has another cause."""
        if self._memo.options.key is not None:
            self._refuse_key(error, self._memo.options.key(*args, **kwargs))
        for name, value in self._shape.bound(args, kwargs):
            try:
                hash(value)
            except TypeError:
                raise TypeError(
                    f"{self._memo.name}() can't be cached by its argument {name}, a {type(value).__name__}, which has"
                    " no hash: pass something that has one (a tuple, a frozenset), or say what tells calls apart:"
                    f" @cached(key=lambda {self._shape.parameter_list()}: ...)"
                ) from error
        raise error

    def _refuse_key(self, error: TypeError, key: object) -> None:
        try:
            hash(key)
        except TypeError:
            raise TypeError(
                f"the key= of {self._memo.name}() returned a {type(key).__name__}, which has no hash: return something"
                " that has one, such as a tuple"
            ) from error
        raise error


def cached_function(function: Callable[..., Any], options: Options) -> Any:
    """Return ``function`` with a cache."""
    memo = Memo(function, options, full_name(function))
    made, cache = Wrapper(memo), FunctionCache(memo)
    store = cache._store

    def cache_info() -> CacheInfo:
        """Return hits, misses, maxsize and currsize, as functools does."""
        size = store.expire()
        return CacheInfo(store.hits(), store.misses, options.maxsize, size)

    def cache_clear() -> None:
        """Remove everything, and count from zero."""
        store.clear()
        store.count_anew()

    def cache_discard(*args: Any, **kwargs: Any) -> bool:
        """Remove the entry of one call, given its arguments; False if there was none."""
        return store.discard(made.key_of(*args, **kwargs))

    def cache_invalidate(*, tag: str | Iterable[str] | None = None, match: str | None = None) -> int:
        """Remove the entries that carry a tag, or whose key matches a pattern; return their number."""
        return invalidate([store], tag, match)

    wrapper = made.over(partial(memo.missed, store), find=store.data.get)
    wrapper.cache_invalidate = cache_invalidate
    wrapper.cache = cache
    wrapper.cache_info, wrapper.cache_clear, wrapper.cache_discard = cache_info, cache_clear, cache_discard
    wrapper.cache_key, wrapper.cache_parameters = made.key_of, options.given
    return wrapper


def full_name(function: Callable[..., Any]) -> str:
    """Return module and qualified name."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', None) or '?'}.{name}"
