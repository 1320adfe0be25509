"""What `edit()` returns: the block's context manager, which names its twin to those who enter it the twin's way."""

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, NoReturn

__all__ = ["AsyncEditing", "Editing"]


class Editing(AbstractContextManager[Any]):
    """An edit of `StateFile`, for ``with``."""

    __slots__ = ("_block",)

    def __init__(self, block: AbstractContextManager[Any]) -> None:
        self._block = block

    def __enter__(self) -> Any:
        return self._block.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._block.__exit__(kind, error, trace)

    def _wrong_twin(self, *_: object) -> NoReturn:
        raise TypeError(
            "StateFile.edit() is entered by `with`, and holds up the event loop; "
            "`async with` is for perfkit.AsyncStateFile(path).edit()"
        )

    __aenter__ = __aexit__ = _wrong_twin


class AsyncEditing(AbstractAsyncContextManager[Any]):
    """An edit of `AsyncStateFile`, for ``async with``."""

    __slots__ = ("_block",)

    def __init__(self, block: AbstractAsyncContextManager[Any]) -> None:
        self._block = block

    async def __aenter__(self) -> Any:
        return await self._block.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._block.__aexit__(kind, error, trace)

    def _wrong_twin(self, *_: object) -> NoReturn:
        raise TypeError(
            "AsyncStateFile.edit() is entered by `async with`, in a coroutine function; "
            "`with` is for perfkit.StateFile(path).edit()"
        )

    __enter__ = __exit__ = _wrong_twin
