"""One store an instance, for cached methods: gone with the instance, and no reference to the instance kept.

An instance with a ``__dict__`` (a class too) carries its stores in attributes, where the garbage collector sees that a
cached value that refers to the instance and the instance keep only each other alive. Others are known by identity until
they are gone. By identity in either case, because an instance may be unhashable, or equal to another.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import weakref

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
        self.attribute = f"_perfkit_cached_{name}_{next(_numbers)}"  # a method and its override share an instance
        self.gone_hits = 0
        self._model = model
        self._held: dict[int, weakref.ref[Held]] = {}  # all that are alive, by their own identity
        self._by_identity: dict[int, tuple[object, Held]] = {}
        self._mutex = threading.RLock()  # re-entrant: a collector may run `fold` anywhere

    def prepare(self, owner: type) -> None:
        """Have the attribute found on the class, or an instance's ``__getattr__`` would be asked for it."""
        type.__setattr__(owner, self.attribute, None)

    def store_of(self, instance: object) -> Store:
        """Return an instance's store, made now if it has none."""
        with self._mutex:
            held = self.existing(instance)
            if held is None:
                held = Held(self, _reference(instance), self._model.another())
                self._held[id(held)] = weakref.ref(held)
                with contextlib.suppress(TypeError):  # an int, say: nothing tells when it is gone, so nothing is kept
                    self._keep(instance, held)
            return held.store

    def existing(self, instance: object) -> Held | None:
        """Return what an instance has for a store, if anything."""
        held = getattr(instance, "__dict__", {}).get(self.attribute)
        if held is not None and held.owner() is instance:
            found: Held = held
            return found
        known = self._by_identity.get(id(instance))
        return None if known is None else known[1]

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
        for store in self.stores():
            store.renew()

    def _keep(self, instance: object, held: Held) -> None:
        if hasattr(instance, "__dict__") and held.owner() is instance:
            try:  # past a __setattr__ that refuses, as frozen classes have
                (type if isinstance(instance, type) else object).__setattr__(instance, self.attribute, held)
            except (AttributeError, TypeError):  # a built-in class
                pass
            else:
                return
        key = id(instance)
        try:
            watch: object = weakref.ref(instance, lambda _: self._by_identity.pop(key, None))
        except TypeError:  # __slots__ without __weakref__
            watch = None
            _watch_by_finaliser(type(instance))
            _finalised.setdefault(key, []).append(self._by_identity)
        self._by_identity[key] = watch, held


def _reference(instance: object) -> Callable[[], object]:
    try:
        return weakref.ref(instance)
    except TypeError:
        return _nobody


def _nobody() -> None:
    return None


# Identity of an instance that can't be weakly referenced -> the dictionaries it has to be taken out of.
_finalised: dict[int, list[dict[int, Any]]] = {}
_watched: weakref.WeakSet[type] = weakref.WeakSet()


def _watch_by_finaliser(cls: type) -> None:
    """Give a class whose instances can't be weakly referenced a ``__del__`` that tells us, before the one it has.

    The very class of the instance, so that no subclass can forget to call it.
    """
    if cls in _watched:
        return
    inherited = getattr(cls, "__del__", None)

    def finalise(self: object) -> None:
        for known in _finalised.pop(id(self), ()):
            known.pop(id(self), None)
        if inherited is not None:
            inherited(self)

    cls.__del__ = finalise  # type: ignore[attr-defined]  # any class may have one
    _watched.add(cls)
