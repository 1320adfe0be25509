"""What the decorators that wrap with wrapt have in common: what kind of function it is, and wrapping it by its kind.

Used by those where descriptors and signatures matter more than the wrapper's cost. Loading this costs next to nothing:
wrapt is loaded when something is first decorated, and kinds are read from the code's flags, without inspect.
"""

import functools
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, Literal, TypeVar

    F = TypeVar("F")
    Kind = Literal["function", "coroutine function", "generator function", "async generator function"]
    # Called as wrapper(wrapped, instance, args, kwargs), the instance or class already bound to ``wrapped``.
    Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]

FUNCTION: "Final" = "function"
COROUTINE_FUNCTION: "Final" = "coroutine function"
GENERATOR_FUNCTION: "Final" = "generator function"
ASYNC_GENERATOR_FUNCTION: "Final" = "async generator function"

# co_flags; inspect has names for them. Order matters: types.coroutine adds 0x100 to a generator, which is then awaited.
_KINDS: "tuple[tuple[int, Kind], ...]" = (
    (0x200, ASYNC_GENERATOR_FUNCTION),
    (0x080, COROUTINE_FUNCTION),
    (0x100, COROUTINE_FUNCTION),
    (0x020, GENERATOR_FUNCTION),
)


def kind_of(fn: object) -> "Kind":
    """Return which of the four constants ``fn`` is, by what a call of it makes.

    Sees through functools.partial, bound methods, classmethod and staticmethod objects and wrapt's proxies, and looks
    at the ``__call__`` of other objects. A plain function that wraps a coroutine function (``__wrapped__``) is taken to
    pass its coroutine on: where that is wrong the first call shows it, while a coroutine taken for a result goes
    unnoticed. One that wraps a generator function is taken for what it is, for contextlib.contextmanager makes such.
    Raises TypeError for what can't be called. Cost: a microsecond or two.
    """
    if isinstance(fn, functools.partial):
        return kind_of(fn.func)
    if _is_marked(fn):
        return COROUTINE_FUNCTION
    if isinstance(fn, classmethod | staticmethod | types.MethodType):
        return kind_of(fn.__func__)
    if not callable(fn):
        raise TypeError(f"{fn!r} can't be called")
    shown = _kind_of_code(fn) or _kind_of_code(type(fn).__call__)
    if shown is not None:
        return shown
    wrapped = _wrapped(fn)
    return COROUTINE_FUNCTION if wrapped is not None and kind_of(wrapped) == COROUTINE_FUNCTION else FUNCTION


def _is_marked(fn: object) -> bool:
    """Tell whether ``fn`` was declared to return an awaitable, which its code need not show.

    By inspect.markcoroutinefunction (3.12), or by asyncio's mark before that (Cython, asgiref). Nobody can have used
    what is not loaded.
    """
    tells = getattr(sys.modules.get("inspect"), "iscoroutinefunction", None)
    mark = getattr(sys.modules.get("asyncio.coroutines"), "_is_coroutine", None)
    return bool(tells and tells(fn)) or (mark is not None and getattr(fn, "_is_coroutine", None) is mark)


def _kind_of_code(fn: object) -> "Kind | None":
    """Return the kind that the code's flags show, or None where it is a plain function or there is no code to see."""
    flags = getattr(getattr(fn, "__code__", None), "co_flags", 0)
    if not isinstance(flags, int):  # an object that makes up any attribute asked for
        return None
    return next((kind for flag, kind in _KINDS if flags & flag), None)


def _wrapped(fn: object) -> object:
    """Return what ``fn`` wraps, by wrapt (an attribute of the type) or by functools.wraps (one of its own), or None."""
    if hasattr(type(fn), "__wrapped__"):
        return getattr(fn, "__wrapped__", None)
    return getattr(fn, "__dict__", {}).get("__wrapped__")


def decorate(fn: "F", *, sync: "Wrapper", asynchronous: "Wrapper", what: str) -> "F":
    """Return ``fn`` wrapped by ``sync``, or by ``asynchronous`` if it is a coroutine function.

    Works for functions, methods, classmethods and staticmethods (above or below those decorators), partials and
    callable objects. Name, signature and types stay. The result pickles by name, or by the object it is bound to, and
    copies as ``fn`` would.

    Args:
        fn: what is decorated.
        sync: called as ``sync(wrapped, instance, args, kwargs)`` for each call; returns its result.
        asynchronous: the same as a coroutine function, which awaits ``wrapped(*args, **kwargs)``.
        what: the decorator's name, for messages.

    Raises TypeError, naming ``what`` and what to do instead, for generator functions, classes and what can't be called.
    Cost: a call takes about 0.4 µs more, the first use in a process the import of wrapt.
    """
    wrapper = asynchronous if checked_kind(fn, what) == COROUTINE_FUNCTION else sync
    from perfkit._base.wrapping import wrap

    return wrap(fn, wrapper)


def checked_kind(fn: object, what: str) -> "Kind":
    """Return ``fn``'s kind, or raise the TypeError of a decorator ``what`` that can't be put on it."""
    if isinstance(fn, type):
        raise TypeError(f"@{what} is for functions and methods, not classes: put it on methods of {fn.__name__}")
    if isinstance(fn, property):
        raise TypeError(f"@{what} is for functions and methods: put it below @property, not above")
    if not callable(fn) and not isinstance(fn, classmethod | staticmethod):
        raise TypeError(f"@{what} is for functions and methods, not for {fn!r}: put it above a def")
    kind = kind_of(fn)
    if kind in (GENERATOR_FUNCTION, ASYNC_GENERATOR_FUNCTION):
        name = getattr(fn, "__qualname__", repr(fn))
        raise TypeError(
            f"@{what} can't be put on the {kind} {name}: it would see the generator made, not the work done while it is"
            f" consumed. Put it on a function that returns a list, or on the one that consumes the generator"
        )
    return kind
