"""The wrapper that `perfkit.cached` makes for a function: source from a fixed template, for its very signature.

A wrapper that takes ``*args, **kwargs`` spends most of a hit on packing them. One with the function's own parameters
spends nothing, binds ``f(1, b=2)`` and ``f(1, 2)`` to the same key, and leaves a wrong call to the interpreter's own
TypeError. Names of ours begin with a prefix that no parameter has.
"""

from __future__ import annotations

from inspect import Parameter, Signature, signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["Shape", "compiled"]

# What a hit looks like, by what has to be true of an entry. EXPIRES and SOFT are places of an entry; see entry.py.
_FRESH = {"always": "", "expiring": " and {p}entry[4] > {p}now()", "aging": " and {p}entry[6] > {p}now()"}

_HIT = """\
{async_}def {p}function({declared}):
    {p}key = {key}
    try:
        {p}entry = {p}find({p}key)
    except TypeError as {p}error:
        {p}refuse({p}error, {positional}, {named})
    if {p}entry is not None{fresh}:
        {p}entry[1] += 1
        return {p}entry[0]
"""

# An instance carries its own store (see instances.py), unless it can't, or the one it carries is that of an instance it
# is a copy of. AttributeError: it carries none, or a None since it was unpickled.
_METHOD_HIT = """\
{async_}def {p}function({declared}):
    {p}key = {key}
    try:
        {p}held = {first}.{p}attribute
        {p}entry = {p}held.find({p}key) if {p}held.owner() is {first} else None
    except AttributeError:
        {p}entry = None
    except TypeError as {p}error:
        {p}refuse({p}error, {positional}, {named})
    if {p}entry is not None{fresh}:
        {p}entry[1] += 1
        return {p}entry[0]
"""

# See loading.py. The function is called from here, so that one that calls itself needs no more frames than wrappers.
_MISS = """\
    {p}load = {p}missed({p}key, {positional}, {named})
    try:
        if {await_}{p}load.{begins}():
            {p}load.keep({await_}{p}wrapped({call}))
    except {p}BaseException as {p}error:
        if not {p}load.bridges({p}error):
            raise
    finally:
        try:
            {p}load.land()
        except {p}BaseException:
            {p}load.land()
            raise
    return {p}load.value
"""

_KEY = """\
def {p}function({declared}):
    return {key}
"""


class Shape:
    """How a function is called: its parameters as source text, and its defaults."""

    def __init__(self, function: Callable[..., Any], *, is_method: bool, typed: bool, has_key: bool) -> None:
        self.function = function
        self.parameters = list(_signature(function).parameters.values())
        if is_method and self.parameters and self.parameters[0].kind is Parameter.VAR_POSITIONAL:
            self.parameters.insert(0, Parameter("self", Parameter.POSITIONAL_ONLY))  # the first of ``*args``
        if is_method and not (self.parameters and self.parameters[0].kind in _POSITIONAL):
            raise TypeError(f"{_name(function)}() is a method, but has no parameter for its object")
        self.prefix = _prefix(parameter.name for parameter in self.parameters)
        self.is_method = is_method
        self.positional, self.named = self._passed_on()
        self.key = self._key(typed=typed) if not has_key else f"{self.prefix}makekey({self._call()})"

    def defaults(self) -> dict[str, Any]:
        """Return the defaults by the names that `declared` has for them."""
        return {
            f"{self.prefix}default{number}": parameter.default
            for number, parameter in enumerate(self.parameters)
            if parameter.default is not Parameter.empty
        }

    def declared(self) -> str:
        """Return the parameters as they stand between the brackets of a ``def``."""
        parts: list[str] = []
        kinds = [parameter.kind for parameter in self.parameters]
        for number, parameter in enumerate(self.parameters):
            if parameter.kind is Parameter.KEYWORD_ONLY and not {*kinds[:number]} & _ENDS_POSITIONAL:
                parts.append("*")
            parts.append(_STARS.get(parameter.kind, "") + parameter.name)
            if parameter.default is not Parameter.empty:
                parts[-1] += f"={self.prefix}default{number}"
            if parameter.kind is Parameter.POSITIONAL_ONLY and Parameter.POSITIONAL_ONLY not in kinds[number + 1 :]:
                parts.append("/")
        return ", ".join(parts)

    def _passed_on(self) -> tuple[str, str]:
        """Return a tuple and a dict display with which the function can be called."""
        positional, named = "", ""
        for parameter in self.parameters:
            name, kind = parameter.name, parameter.kind
            if kind in _POSITIONAL or kind is Parameter.VAR_POSITIONAL:
                positional += f"{_STARS.get(kind, '')}{name}, "
            else:
                named += f"**{name}, " if kind is Parameter.VAR_KEYWORD else f"{name!r}: {name}, "
        return f"({positional})", f"{{{named}}}"

    def _call(self) -> str:
        """Return the arguments as in a call."""
        parts = []
        for parameter in self.parameters:
            name, kind = parameter.name, parameter.kind
            parts.append(f"{name}={name}" if kind is Parameter.KEYWORD_ONLY else _STARS.get(kind, "") + name)
        return ", ".join(parts)

    def _key(self, *, typed: bool) -> str:
        """Return the expression of the key: one argument itself, or a tuple of all."""
        parameters = self.parameters[1:] if self.is_method else self.parameters
        parts = [self._part(parameter) for parameter in parameters]
        if len(parts) == 1 and parameters[0].kind not in _STARS and not typed:
            return parts[0]
        if typed:
            parts += [self._type(parameter) for parameter in parameters]
        return f"({''.join(part + ', ' for part in parts)})"

    def _part(self, parameter: Parameter) -> str:
        if parameter.kind is Parameter.VAR_KEYWORD:
            return f"{self.prefix}tuple({self.prefix}sorted({parameter.name}.items()))"
        return parameter.name

    def _type(self, parameter: Parameter) -> str:
        p, name = self.prefix, parameter.name
        if parameter.kind is Parameter.VAR_POSITIONAL:
            return f"{p}tuple({p}map({p}type, {name}))"
        if parameter.kind is Parameter.VAR_KEYWORD:
            return f"{p}tuple([{p}type({name}[{p}n]) for {p}n in {p}sorted({name})])"
        return f"{p}type({name})"

    def source(self, *, freshness: str, is_async: bool, attribute: str = "") -> str:
        """Return the wrapper's source; ``attribute`` is where instances carry a method's store."""
        source = ((_METHOD_HIT if self.is_method else _HIT) + _MISS).format(
            p=self.prefix,
            async_="async " if is_async else "",
            await_="await " if is_async else "",
            begins="abegins" if is_async else "begins",
            call=self._call(),
            declared=self.declared(),
            key=self.key,
            fresh=_FRESH[freshness].format(p=self.prefix),
            positional=self.positional,
            named=self.named,
            first=self.parameters[0].name if self.is_method else "",
        )
        return source.replace(f".{self.prefix}attribute", f".{attribute}")

    def parameter_list(self) -> str:
        """Return the parameters' names with their stars."""
        return ", ".join(_STARS.get(parameter.kind, "") + parameter.name for parameter in self.parameters)

    def bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield what the arguments are called, and the arguments."""
        rest = list(args)
        for parameter in self.parameters:
            if parameter.kind in _POSITIONAL:
                yield parameter.name, rest.pop(0)
        yield from ((f"*{self.parameters[len(args) - len(rest)].name}", value) for value in rest)
        yield from kwargs.items()

    def key_source(self) -> str:
        """Return the source of the function that gives the key of a call."""
        return _KEY.format(p=self.prefix, declared=self.declared(), key=self.key)


_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_ENDS_POSITIONAL = {Parameter.VAR_POSITIONAL, Parameter.KEYWORD_ONLY}
_STARS: dict[object, str] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}
_BUILTINS = {"BaseException": BaseException, "id": id, "map": map, "sorted": sorted, "tuple": tuple, "type": type}


def compiled(shape: Shape, source: str, **names: Any) -> Any:
    """Return the function that a source makes; ``names`` are what it finds under our prefix.

    They are the defaults and arguments of an outer function, so that it finds them as fast as its own.
    """
    known = {shape.prefix + name: thing for name, thing in {**_BUILTINS, **names}.items()} | shape.defaults()
    inner = "".join(f"    {line}\n" for line in source.splitlines())
    text = f"def {shape.prefix}outer({', '.join(known)}):\n{inner}    return {shape.prefix}function\n"
    namespace: dict[str, Any] = {}
    exec(compile(text, f"<perfkit.cached {_name(shape.function)}>", "exec"), namespace)  # noqa: S102 (see above)
    function = namespace[f"{shape.prefix}outer"](**known)
    name = _name(shape.function)
    function.__code__ = function.__code__.replace(co_name=name.rpartition(".")[2], co_qualname=name)
    function.__name__, function.__qualname__ = name.rpartition(".")[2], name
    return function


def _name(function: object) -> str:
    return getattr(function, "__qualname__", None) or type(function).__name__


def _signature(function: Callable[..., Any]) -> Signature:
    """Return the signature that calls have; not that of what another decorator wraps, for which it may pass more."""
    try:
        return signature(function, follow_wrapped=False)
    except ValueError:  # some built-in functions have none
        return Signature([Parameter("args", Parameter.VAR_POSITIONAL), Parameter("kwargs", Parameter.VAR_KEYWORD)])


def _prefix(names: Any) -> str:
    """Return a prefix that none of the names begins with."""
    prefix, names = "_perfkit_", list(names)
    while any(name.startswith(prefix) for name in names):
        prefix = "_" + prefix
    return prefix
