"""What `perfkit.cached` makes of a method: a wrapper of its shape, over one store an instance."""

from __future__ import annotations

import math

from perfkit import registry
from perfkit._base import fork
from perfkit.caching.functions import CacheInfo, Wrapper, full_name
from perfkit.caching.instances import Instances
from perfkit.caching.invalidating import invalidate
from perfkit.caching.limits import count_limit
from perfkit.caching.memo import Memo
from perfkit.caching.sizing import pair_size
from perfkit.caching.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from perfkit.caching.memo import MemoLoad
    from perfkit.caching.options import Options
    from perfkit.caching.stats import CacheStats

__all__ = ["MethodCaches", "cached_method"]


class MethodCaches:
    """The stores of all instances of one method, spoken of together; what the registry knows of them."""

    def __init__(self, memo: Memo) -> None:
        options = memo.options
        self.name = memo.name
        self._memo = memo
        self._model = Store(
            max_count=count_limit(options.maxsize),
            max_size=math.inf if options.max_bytes is None else options.max_bytes,
            weigh=None if options.max_bytes is None else pair_size,
            timer=options.timer,
            on_evict=options.on_evict,
            aging=options.aging,
            never=options.never,
            timeless=options.ttl is None,
            in_bytes=options.max_bytes is not None,
        )
        self.instances = Instances(self._model, memo.function.__name__)
        fork.after_in_child(self)
        registry.register(self, part="caching")

    def missed(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> MemoLoad:
        """Return the way to a value that the wrapper has found no entry for; the instance comes first in ``args``."""
        return self._memo.missed(self.instances.store_of(args[0]), key, args, kwargs)

    def cache_info(self) -> CacheInfo:
        """Return hits, misses (gone instances' too) and currsize of all together, and maxsize, which is each one's."""
        total = self._total()
        return CacheInfo(total.hits, total.misses, self._memo.options.maxsize, total.size)

    def cache_clear(self) -> None:
        """Remove everything of every instance, and count from zero."""
        for store in self.instances.stores():
            store.clear()
            store.count_anew()
        self._model.count_anew()
        self.instances.gone_hits = 0

    def cache_invalidate(self, *, tag: str | Iterable[str] | None = None, match: str | None = None) -> int:
        """Remove, in all instances, the entries that carry a tag or whose key matches; return their number."""
        return invalidate(self.instances.stores(), tag, match)

    def stats(self) -> CacheStats:
        """Return the figures of all instances together; maxsize and max_bytes are each one's."""
        return self._total()

    def held_bytes(self) -> int:
        """Return the bytes that the instances' stores hold, estimated."""
        return sum(store.held_bytes() for store in self.instances.stores())

    def reclaim(self, need_bytes: int) -> int:
        """Evict, by policy, about so many bytes from the instances' stores; return how many, estimated."""
        reclaimed = 0
        for store in self.instances.stores():
            if reclaimed < need_bytes:
                reclaimed += store.reclaim(need_bytes - reclaimed)
        return reclaimed

    def _total(self) -> CacheStats:
        from perfkit.caching.stats import stats_of

        options, gone = self._memo.options, self.instances.gone_hits
        stores = [*self.instances.stores(), self._model]
        return stats_of(
            self.name, stores, self._memo.loads, maxsize=options.maxsize, max_bytes=options.max_bytes, more_hits=gone
        )

    def _after_fork_in_child(self) -> None:
        self.instances.renew()


def cached_method(function: Callable[..., Any], options: Options, owner: type | None = None) -> Any:
    """Return ``function``, whose first argument is an instance or a class, with a cache for each of those.

    ``owner`` is the class it is a method of, if that is known.
    """
    memo = Memo(function, options, full_name(function))
    methods = MethodCaches(memo)
    made = Wrapper(memo, attribute=methods.instances.attribute)
    if owner is not None:
        methods.instances.prepare(owner)

    def cache_discard(*args: Any, **kwargs: Any) -> bool:
        """Remove the entry of one call, given its arguments, the instance first; False if there was none."""
        if owner is not None and not (args and _is_one_of(args[0], owner)):
            name = function.__qualname__
            raise TypeError(f"{name}.cache_discard() takes the instance first: {name}.cache_discard(obj, ...)")
        key = made.key_of(*args, **kwargs)
        held = methods.instances.existing(args[0])
        return held is not None and held.store.discard(key)

    wrapper = made.over(methods.missed)
    wrapper.cache_invalidate = methods.cache_invalidate
    wrapper.cache_info, wrapper.cache_clear = methods.cache_info, methods.cache_clear
    wrapper.cache_discard, wrapper.cache_key, wrapper.cache_parameters = cache_discard, made.key_of, options.given
    wrapper.__dict__.setdefault("_perfkit_methods", methods)  # the registry holds it weakly
    return wrapper


def _is_one_of(thing: object, owner: type) -> bool:
    """Tell whether a thing is an instance of a class, or of one that was made of it (a dataclass with slots)."""
    return any(
        (cls.__module__, cls.__qualname__) == (owner.__module__, owner.__qualname__) for cls in type(thing).__mro__
    )
