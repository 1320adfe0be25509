"""`overload` without typing, whose import takes milliseconds; type checkers see typing's."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import overload as overload
else:

    def overload(function):
        """Mark one of several signatures."""
        return function


__all__ = ["overload"]
