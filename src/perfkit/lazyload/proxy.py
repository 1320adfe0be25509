"""What stands in for a module until it is used: then every name that held it holds the module itself.

A proxy is the only object of a class of its own. Who kept a copy of it, as an attribute or in a list, goes on with the
proxy, and its class then looks attributes up by the module's own C function, where that is all that the module has.
"""

from __future__ import annotations

from types import ModuleType

from perfkit.lazyload.loading import is_partial, load, says_more

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from typing_extensions import TypeIs

    from perfkit.lazyload.ledger import Record

__all__ = ["LazyModule", "is_lazy", "make", "resolve", "state_of"]

# What a proxy answers itself before it is used: isinstance(), pickle, and doctest, which unwraps what it finds, ask.
_OWN = frozenset({"__class__", "__name__", "__reduce_ex__", "__wrapped__"})


class _State:
    """What a proxy stands for. ``children`` are the proxies of submodules that were declared through it."""

    __slots__ = ("children", "module", "name", "names", "records")

    def __init__(self, name: str, record: Record, names: dict[str, Any] | None) -> None:
        self.name = name
        self.records = [record]
        self.names = names  # the globals that declare it
        self.children: dict[str, LazyModule] = {}
        self.module: Any = None


class LazyModule(ModuleType):
    """A module that is loaded by its first use."""

    _state: _State

    def __getattribute__(self, name: str) -> Any:
        state = state_of(self)
        if state.module is None:
            if name in state.children:
                return state.children[name]
            if name in _OWN:
                return _own(self, name)
        if name == "__mro_entries__":  # also of a copy: what it stands for can be a base class, it can't
            return object.__getattribute__(self, name)
        return getattr(resolve(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(resolve(self), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(resolve(self), name)

    def __dir__(self) -> list[str]:
        return dir(resolve(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call what took the module's place in ``sys.modules``, or has the name of a module of its package."""
        return resolve(self)(*args, **kwargs)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        """Be a base class, if it is one that has the name of a module of its package."""
        return (resolve(self),)

    def __repr__(self) -> str:
        state = state_of(self)
        return f"<lazy module {state.name!r}>" if state.module is None else repr(state.module)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("cannot pickle 'module' object")


def make(name: str, record: Record, names: dict[str, Any] | None) -> LazyModule:
    """Make the proxy of a module. Its name is looked for in ``names`` when it is loaded."""
    cls = type("LazyModule", (LazyModule,), {"_state": _State(name, record, names)})
    return ModuleType.__new__(cls)


def is_lazy(thing: object) -> TypeIs[LazyModule]:
    """Tell whether this is a proxy, without loading it."""
    return type(thing).__base__ is LazyModule


def state_of(proxy: LazyModule) -> _State:
    """Return what a proxy stands for, without loading it."""
    return type(proxy)._state


def resolve(proxy: LazyModule) -> Any:
    """Load the module, and put it where the proxy is; in a circle of imports, return what there is of it."""
    state = state_of(proxy)
    if state.module is not None:
        return state.module
    module = _module(state, _loaded(list(state.records)))
    if is_partial(module):
        return module
    _follow(type(proxy), module)
    state.module = module
    _rebind(proxy, module, state)
    return module


def _loaded(records: list[Record]) -> list[Any]:
    """Load them all. Of an error that our frames have nothing to add to, one remains."""
    try:
        return [load(record) for record in records]
    except ImportError as error:
        if says_more(error.__traceback__):
            raise
        raise error.with_traceback(None) from error.__cause__


def _own(proxy: LazyModule, name: str) -> Any:
    """Answer what is no use of the module."""
    if name == "__class__":
        return ModuleType
    if name == "__name__":
        return state_of(proxy).name
    if name == "__wrapped__":
        raise AttributeError(f"module {state_of(proxy).name!r} has no attribute {name!r}")
    return object.__getattribute__(proxy, name)


def _module(state: _State, loaded: list[Any]) -> Any:
    """Return the module itself: ``import a.b`` has loaded b, and binds a."""
    import sys

    return loaded[0] if state.records[0].name == state.name else sys.modules[state.name]


def _follow(cls: type[LazyModule], module: Any) -> None:
    """Have copies of the proxy look attributes up as the module does: in C, if its class has no say in that."""
    kind: Any = type(module)
    if kind.__getattribute__ is ModuleType.__getattribute__ and not hasattr(kind, "__getattr__"):
        type.__setattr__(cls, "__getattribute__", module.__getattribute__)


def _rebind(proxy: LazyModule, module: Any, state: _State) -> None:
    """Put the module wherever the declaring module has the proxy, whatever it is called there."""
    names, state.names, state.children = state.names, None, {}
    if names is None:
        return
    for name, value in list(names.items()):
        if value is proxy:
            names[name] = module
