"""One store an instance, for cached methods: gone with the instance, and no reference to the instance kept.

An instance with a ``__dict__`` (a class too) carries its stores in attributes, where the garbage collector sees that a
cached value that refers to the instance and the instance keep only each other alive. Others are known by identity until
a weak reference says that they are gone. By identity in either case, because an instance may be unhashable, or equal to
another. For what can't be weakly referenced nothing is kept: its identity may be another's at the next call, and no
finaliser tells for certain (an instance may outlive its own, or be given a class that has none).
"""

from __future__ import annotations

import itertools
import threading
import weakref

from perfkit._base.logs import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from perfkit.caching.store import Store

__all__ = ["Held", "Instances"]

_numbers = itertools.count(1)


class Held:
    """The store of one instance. Of no use to a copy of the instance, so copied and pickled as None."""

    __slots__ = ("__weakref__", "_of", "find", "owner", "store")

    def __init__(self, of: Instances, owner: Callable[[], object], store: Store) -> None:
        self.owner = owner  # a weak reference: an identity may be used again while a copy of the instance lives on
        self.store = store
        self.find = store.data.get
        self._of = of

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()

    def __copy__(self) -> None:
        return None

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        return None

    def __del__(self) -> None:
        self._of.fold(self)


class Instances:
    """The stores of one cached method."""

    def __init__(self, model: Store, name: str) -> None:
        """Make stores like ``model``, which itself counts on what the stores of gone instances have counted."""
        part = name if name.isascii() and name.isidentifier() else "method"  # it stands in the wrapper's source
        self.attribute = f"_perfkit_cached_{part}_{next(_numbers)}"  # a method and its override share an instance
        self.gone_hits = 0
        self._model = model
        self._held: dict[int, weakref.ref[Held]] = {}  # all that are alive, by their own identity
        self._by_identity: dict[int, tuple[object, Held]] = {}
        self._warned: weakref.WeakSet[type] = weakref.WeakSet()
        self._name = name
        self._mutex = threading.RLock()  # re-entrant: a collector may run `fold` anywhere

    def prepare(self, owner: type) -> None:
        """Have the attribute found on the class, or an instance's ``__getattr__`` would be asked for it.

        Not on a protocol: those who keep to it need not have the attribute.
        """
        if "Protocol" not in [base.__name__ for base in owner.__bases__ if getattr(base, "_is_protocol", False)]:
            type.__setattr__(owner, self.attribute, None)

    def store_of(self, instance: object) -> Store:
        """Return an instance's store, made now if it has none."""
        try:
            owner = weakref.ref(instance)
        except TypeError:
            return self._passing(type(instance))
        with self._mutex:
            held = self.existing(instance)
            if held is None:
                held = Held(self, owner, self._model.another())
                self._held[id(held)] = weakref.ref(held)
                self._keep(instance, held)
            return held.store

    def existing(self, instance: object) -> Held | None:
        """Return what an instance has for a store, if anything."""
        held = getattr(instance, "__dict__", {}).get(self.attribute)
        if held is None or held.owner() is not instance:
            _, held = self._by_identity.get(id(instance), (None, None))
        return held if held is not None and held.owner() is instance else None

    def stores(self) -> list[Store]:
        """Return the stores of the instances that are alive."""
        alive = [reference() for reference in list(self._held.values())]
        return [held.store for held in alive if held is not None]

    def fold(self, held: Held) -> None:
        """Go on counting what the store of a gone instance has counted."""
        self._held.pop(id(held), None)
        self.gone_hits += held.store.hits()
        self._model.misses += held.store.misses
        self._model.evicted += held.store.evicted
        self._model.refused += held.store.refused
        for cause, count in held.store.evictions.items():
            self._model.evictions[cause] += count

    def renew(self) -> None:
        """After a fork, in the child."""
        self._mutex = threading.RLock()
        for store in [self._model, *self.stores()]:
            store.renew()

    def _keep(self, instance: object, held: Held) -> None:
        if hasattr(instance, "__dict__"):
            try:  # past a __setattr__ that refuses, as frozen classes have
                (type if isinstance(instance, type) else object).__setattr__(instance, self.attribute, held)
            except (AttributeError, TypeError):  # a built-in class
                pass
            else:
                return
        key = id(instance)
        self._by_identity[key] = weakref.ref(instance, lambda _: self._by_identity.pop(key, None)), held

    def _passing(self, cls: type) -> Store:
        """Return a store for one call, of an instance of a class that nothing can be kept for."""
        self._model.count_miss()
        self._model.count_refusal()
        if cls not in self._warned:
            self._warned.add(cls)
            logger("caching").warning(_NOTHING_KEPT, self._name, cls.__qualname__)
        return self._model.another()


_NOTHING_KEPT = (
    "%s() is called each time for an instance of %s, which can't be weakly referenced, so that nothing tells when it is"
    ' gone: add "__weakref__" to __slots__ (a dataclass: weakref_slot=True), or cache a function of what it holds'
)
