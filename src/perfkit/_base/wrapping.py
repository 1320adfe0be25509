"""Wrapped functions that pickle and copy like plain ones, where wrapt's own refuse. Loaded by the first decoration."""

import copy
from importlib import import_module
from operator import attrgetter

import wrapt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from perfkit._base.decorating import Wrapper

    F = TypeVar("F")
    _BoundFunction = wrapt.BoundFunctionWrapper[..., Any]
    _Function = wrapt.FunctionWrapper[..., Any]
else:
    _BoundFunction = wrapt.BoundFunctionWrapper
    _Function = wrapt.FunctionWrapper


class BoundFunction(_BoundFunction):
    """A wrapped method as an object or its class gives it: pickles as that attribute, is copied with the object."""

    def __reduce_ex__(self, protocol: "Any") -> "tuple[Any, ...]":
        owner = getattr(self.__wrapped__, "__self__", None)
        if owner is not None:
            return getattr, (owner, self.__name__)
        place = self.__module__, self.__qualname__
        named(*place)  # raises here, not where it is unpickled, if there is no such name
        return named, place

    def __copy__(self) -> "BoundFunction":
        return self

    def __deepcopy__(self, memo: "dict[int, Any]") -> "Any":
        owner = getattr(self.__wrapped__, "__self__", None)
        return self if owner is None else getattr(copy.deepcopy(owner, memo), self.__name__)


class Function(_Function):
    """A wrapped function: it pickles by name and is its own copy, like any function."""

    __bound_function_wrapper__ = BoundFunction

    def __reduce_ex__(self, protocol: "Any") -> str:
        name = getattr(self.__wrapped__, "__qualname__", None)
        if name is None:
            raise TypeError(f"a decorated {type(self.__wrapped__).__name__} has no name to pickle it by")
        return str(name)

    def __copy__(self) -> "Function":
        return self

    def __deepcopy__(self, memo: "dict[int, Any]") -> "Function":
        return self


def wrap(fn: "F", wrapper: "Wrapper") -> "F":
    """Return ``fn`` with ``wrapper`` around each call."""
    make: Any = Function  # a proxy passes for what it wraps, which no type says
    decorated: F = make(fn, wrapper)
    return decorated


def named(module: str, qualname: str) -> "Any":
    """Return what goes by that name in a module, as pickle looks it up."""
    return attrgetter(qualname)(import_module(module))
