"""Which mail goes next, over which connection, and who is told what became of it. Pure.

A `Trip` is what one thread or task carries, over one connection after another. A `Batch` is what the trips of one
`send_many` share: mails that wait, results in order, how many connections are worth it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from perfkit._base.exceptions import without_frames
from perfkit.pooling.delivery import Delivery
from perfkit.pooling.smtp_errand import Errand
from perfkit.pooling.smtp_errors import DeliveryUnknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfkit.pooling.smtp_errand import Letter
    from perfkit.pooling.smtp_session import Session

    class Log(Protocol):
        """Who is told of mails."""

        def begin(self, errand: Errand) -> None:
            """A mail's turn has come."""

        def end(self, errand: Errand) -> None:
            """A mail has its delivery."""


__all__ = ["Batch", "CrewBase", "Trip", "not_sent"]

_LOOK_AHEAD = 8  # mails taken from the caller and not concluded, for each connection there may be
_WORTH_A_CONNECTION = 3  # mails that wait: opening one takes as long as some mails


class Trip:
    """The mails that one thread or task carries.

    ``more()`` gives the next, or None. The log is told once of each when its turn comes, and when it has its delivery.
    """

    def __init__(self, more: Callable[[], Errand | None], log: Log) -> None:
        self._more = more
        self._log = log
        self._again: deque[Errand] = deque()
        self._under_way: list[Errand] = []

    def wants_connection(self) -> bool:
        """Tell whether there is a mail to carry."""
        if not self._again and (errand := self._more()) is not None:
            self._again.append(errand)
        return bool(self._again)

    def take(self) -> Errand | None:
        """Return the next mail for the session: those of one that ended come first."""
        self.look()
        errand = self._again.popleft() if self._again else self._more()
        if errand is not None:
            self._under_way.append(errand)
            if not errand.sessions:
                self._log.begin(errand)
        return errand

    def look(self) -> None:
        """Tell of those that have their delivery by now."""
        for errand in [errand for errand in self._under_way if errand.delivery is not None]:
            self._under_way.remove(errand)
            self._log.end(errand)

    def session_ended(self, error: Exception, session: Session) -> None:
        """The session ended under the mails: each is to be sent again, or has failed, or nobody knows."""
        for errand in self._under_way:
            errand.session_ended(error, session.server, fresh=session.is_fresh, stale=session.was_stale)
        self.look()
        self._again.extendleft(reversed(self._under_way))
        self._under_way = []

    def broken_off(self, error: BaseException, server: str) -> None:
        """Whoever carries the mails was stopped in the middle: those under way fail, or nobody knows of them."""
        for errand in self._under_way:
            errand.broken_off(error, server)
        self.look()

    def unload(self) -> list[Errand]:
        """Give up the mails that are still to be sent: there is no connection to be had."""
        left, self._again = list(self._again), deque()
        return left


def not_sent(message: Any, error: Exception) -> Delivery:
    """Return what has become of a message that can't be sent as it is."""
    message_id = message.get("Message-ID", "") if hasattr(message, "get") else ""
    return Delivery("".join(str(message_id or "").splitlines()).strip(), error=error)


class Batch:
    """The mails of one `send_many`; its drivers guard it with a lock, or are one event loop.

    ``on_end`` is called with each errand that has its delivery.
    """

    def __init__(self, max_carriers: int, on_end: Callable[[Errand], object] = lambda _: None) -> None:
        self._max_carriers = max_carriers
        self._on_end = on_end
        self._waiting: deque[Errand] = deque()
        self._under_way: dict[int, Errand] = {}
        self._deliveries: list[Delivery | None] = []
        self._news: deque[Delivery] = deque()
        self._open = 0  # mails without a delivery
        self._carriers = 0
        self._down: Exception | None = None
        self._is_complete = False

    # -- the caller's side

    @property
    def has_room(self) -> bool:
        """Whether another mail may be taken from the caller.

        One for each that is done: it is put into bytes while the server is busy with the next. Several at once, when
        there is room for several, would have the server wait.
        """
        return self._open < _LOOK_AHEAD * self._max_carriers

    @property
    def is_over(self) -> bool:
        """Whether every mail has its delivery."""
        return not self._open

    def add(self, letter: Letter) -> bool:
        """Take a mail; tell whether another carrier is wanted, which then counts as there."""
        errand = Errand(letter, len(self._deliveries))
        self._deliveries.append(None)
        self._open += 1
        if self._down is not None:
            errand.fail(without_frames(self._down))  # one for each, for they may be raised
            self.done(errand)
            return False
        self._waiting.append(errand)
        if self._carriers and (self._carriers >= self._max_carriers or len(self._waiting) < _WORTH_A_CONNECTION):
            return False
        self._carriers += 1
        return True

    def add_failed(self, delivery: Delivery) -> None:
        """Take note of a mail that can't be sent as it is."""
        self._deliveries.append(delivery)
        self._news.append(delivery)

    @property
    def given(self) -> int:
        """How many mails were given so far."""
        return len(self._deliveries)

    @property
    def has_news(self) -> bool:
        """Whether a mail has been concluded that `news` has not told of."""
        return bool(self._news)

    def news(self) -> list[Delivery]:
        """Return what has been concluded since this was asked."""
        news, self._news = list(self._news), deque()
        return news

    def complete(self) -> None:
        """No more mails come: carriers that find none may go."""
        self._is_complete = True

    def stop(self) -> None:
        """Send nothing that isn't under way."""
        self.complete()
        self._open -= len(self._waiting)
        self._waiting.clear()

    def deliveries(self) -> list[Delivery]:
        """Return what has become of the mails, in the order they came."""
        return [delivery for delivery in self._deliveries if delivery is not None]

    def account(self, server: str) -> str:
        """Say what has become of the mails so far; nothing if none was handed over."""
        told = self.deliveries()
        taken = sum(delivery.error is None for delivery in told)
        unknown = [delivery.message_id for delivery in told if isinstance(delivery.error, DeliveryUnknown)]
        unknown += [errand.letter.message_id for errand in self._under_way.values()]
        if not taken and not unknown:
            return ""
        said = f"send_many was broken off when {server} had taken {taken} of its mails"
        if unknown:
            said += f"; these may have been delivered or not: {', '.join(unknown)}"
        return f"{said}; the others were not delivered. progress= tells of each"

    # -- the carriers' side

    @property
    def has_waiting(self) -> bool:
        """Whether a mail waits to be carried."""
        return bool(self._waiting)

    @property
    def may_go(self) -> bool:
        """Whether a carrier without a mail has nothing more to wait for: others may come back with theirs."""
        return self._is_complete and not self._open

    def take(self) -> Errand | None:
        """Return the next mail, or None."""
        if not self._waiting:
            return None
        errand = self._waiting.popleft()
        self._under_way[errand.place] = errand
        return errand

    def done(self, errand: Errand) -> None:
        """Keep a mail's delivery."""
        assert errand.delivery is not None  # noqa: S101 (what a trip is told of has one)
        self._deliveries[errand.place] = errand.delivery
        self._news.append(errand.delivery)
        self._under_way.pop(errand.place, None)
        self._open -= 1
        self._on_end(errand)

    def leave(self, errands: list[Errand], error: Exception | None) -> None:
        """A carrier goes. If for want of a connection, the others carry on; if it was the last, every mail fails."""
        self._carriers -= 1
        self._waiting.extendleft(reversed(errands))
        for errand in errands:
            del self._under_way[errand.place]
        if self._carriers or error is None:
            return
        self._down = error
        while (left := self.take()) is not None:
            left.fail(without_frames(error))
            self.done(left)


class CrewBase:
    """Who carries the mails of one `send_many`, but for the waiting: their batch, and whom they tell."""

    def __init__(
        self,
        carry: Callable[[Trip], Any],
        server: str,
        tally: Log,
        max_carriers: int,
        progress: Callable[[Delivery], object] | None,
    ) -> None:
        self.batch = Batch(max_carriers, tally.end)
        self._server = server
        self._carry = carry
        self._tally = tally
        self._progress = progress
        self._begin()

    def _begin(self) -> None:
        """Have nobody at work yet."""
        raise NotImplementedError

    def begin(self, errand: Errand) -> None:
        """A mail's turn has come; a trip tells of it."""
        self._tally.begin(errand)
