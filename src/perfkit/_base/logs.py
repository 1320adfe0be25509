"""Where perfkit logs: on ``perfkit.<part>``, silent in a program that has set no logging up."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging

__all__ = ["logger"]


class _Nobody:
    """A logger when there is none to be had."""

    def info(self, *said: object, **more: object) -> None:
        """Say nothing."""

    debug = warning = error = exception = info


_silence: dict[str, logging.Handler] = {}


def logger(part: str | None = None) -> logging.Logger:
    """Return a part's logger, or the one above all. Logging is loaded when there is something to say.

    Where it can't be loaded nothing is said: no caller gets an error because of what there is to say of another.

    The one above all has a handler that does nothing. Without one, Python itself would print warnings on stderr.
    """
    try:
        import logging
    except Exception:  # noqa: BLE001 (the interpreter is ending, or there are no more files to be opened: say nothing)
        return _Nobody()  # type: ignore[return-value]  # has of a logger what we call

    top = logging.getLogger("perfkit")
    handler = _silence.get("handler") or _silence.setdefault("handler", logging.NullHandler())  # atomic: one for all
    if handler not in top.handlers:  # nor is it there any more where a program has configured its logging anew
        top.addHandler(handler)  # which looks once more, under a lock
    return top if part is None else top.getChild(part)
