"""Views that can be shared because nobody can change them by accident: list and dict subclasses that refuse.

Subclasses, so that isinstance, ``json.dumps``, ``==``, ``**view`` and indexing work at the speed of the builtins. What
a copy or an operator makes of them is an ordinary list or dict. They stop mistakes, not intent:
``dict.__setitem__(view, …)`` still gets in, which is why edits start from the file's bytes and never from a view.
"""

from typing import Any, NoReturn

__all__ = ["FrozenDict", "FrozenList", "freeze", "thaw"]


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError(
        "a state file's view is read-only and shared: change the file with `with state.edit() as doc:` or "
        "state.update(fn), or take a copy of your own with state.load()"
    )


class FrozenDict(dict[str, Any]):
    """A dict that refuses to change.

    ``copy()`` and ``|`` give an ordinary dict, ``copy.deepcopy`` one that is mutable throughout.
    """

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def copy(self) -> dict[str, Any]:
        """Return an ordinary dict of the same items; containers in it stay frozen."""
        return dict(self)

    __copy__ = copy

    def __deepcopy__(self, memo: object) -> Any:
        return thaw(self)

    def __reduce_ex__(self, protocol: object) -> Any:
        return dict, (thaw(self),)


class FrozenList(list[Any]):
    """A list that refuses to change.

    ``copy()``, slices, ``+`` and ``*`` give an ordinary list, ``copy.deepcopy`` a mutable one.
    """

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def copy(self) -> list[Any]:
        """Return an ordinary list of the same items; containers in it stay frozen."""
        return list(self)

    __copy__ = copy

    def __deepcopy__(self, memo: object) -> Any:
        return thaw(self)

    def __reduce_ex__(self, protocol: object) -> Any:
        return list, (thaw(self),)


def freeze(tree: Any) -> Any:
    """Return a frozen copy of what a JSON decoder made; strings and numbers are shared."""
    return _rebuilt(tree, dict, list, FrozenDict, FrozenList)


def thaw(tree: Any) -> Any:
    """Return a mutable copy of a view, all the way down; strings and numbers are shared."""
    return _rebuilt(tree, FrozenDict, FrozenList, dict, list)


def _rebuilt(tree: Any, dicts: type, lists: type, to_dict: type, to_list: type) -> Any:
    """Copy a tree top-down, its containers as other types.

    Not by recursion: JSON may be deeper than Python's stack.
    """
    if type(tree) is not dicts and type(tree) is not lists:
        return tree
    root = to_dict(tree) if type(tree) is dicts else to_list(tree)
    pending = [root]
    while pending:
        node = pending.pop()
        put: Any = dict.__setitem__ if isinstance(node, dict) else list.__setitem__
        places: Any = node.items() if isinstance(node, dict) else enumerate(node)
        for place, value in places:
            kind = type(value)
            if kind is dicts or kind is lists:
                child = to_dict(value) if kind is dicts else to_list(value)
                put(node, place, child)
                pending.append(child)
    return root
