"""Room on the stack, asked for before something is begun that has to be ended."""

__all__ = ["need_room"]


def need_room(calls: int = 20) -> None:
    """Raise RecursionError unless that many calls can still be nested.

    Near the recursion limit what gives a lock back fails as easily as what took it: asking first, nothing is taken.
    Cost: about half a microsecond.
    """
    if calls:
        need_room(calls - 1)
