"""Mission control with perfkit: the same functions, each done by the part that is for it."""

from __future__ import annotations

from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import perfkit

with perfkit.lazy_imports():  # loaded by the report that needs them
    import arrays
    import frames
    import models
    import tables

from perfkit.demo.app_work import Place, find, render

__all__ = ["MissionControl"]


class MissionControl:
    """What agents call from their threads."""

    def __init__(self, place: Place) -> None:
        host, port, user, password = place.mail
        self._state = perfkit.StateFile(place.state)
        self._database = perfkit.Database(
            place.database, durability="power", migrations=["CREATE TABLE memories (agent TEXT, text TEXT)"]
        )
        self._post = perfkit.SMTPPool(
            host, port, username=user, password=password, context=place.trusting(), max_size=8
        )
        self._watchdog = perfkit.MemoryWatchdog(place.memory)
        self._database.open()
        self._watchdog.start()

    def read_state(self) -> Any:
        """Return the state."""
        return self._state.view()

    def update_state(self, change: Callable[[Any], None]) -> None:
        """Change the state; what is saved survives a power cut, and who reads meanwhile finds it whole."""
        self._state.update(change)

    @perfkit.cached(maxsize=1000)
    def search(self, words: str) -> list[int]:
        """Return the notes that have most of the words."""
        return find(words)

    @perfkit.cached(maxsize=1_000_000)  # as many as there is memory for: the watchdog sees to that
    def page(self, number: int) -> bytes:
        """Return a page of the log book, which is wanted again."""
        return render(number)

    def remember(self, agent: str, text: str) -> None:
        """Write a memory; it survives a power cut."""
        self._database.execute("INSERT INTO memories VALUES (?, ?)", (agent, text))

    def send(self, mail: EmailMessage) -> None:
        """Send a mail."""
        self._post.send(mail)

    def report(self, kind: str) -> int:
        """Make a report, for which something heavy is needed."""
        makers: dict[str, Any] = {"array": arrays, "frame": frames, "model": models, "table": tables}
        return int(makers[kind].answer(7))

    def close(self) -> None:
        """Give back what is open."""
        self._watchdog.stop()
        self._post.close()
        self._database.close()
