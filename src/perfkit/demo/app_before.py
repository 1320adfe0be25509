"""Mission control the ordinary way: the standard library, used with care. `perfkit.demo.app_after` is the other."""

from __future__ import annotations

import json
import os
import smtplib
import sqlite3
import threading
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import arrays  # these four are for reports; most runs make none
import frames
import models
import tables

from perfkit.demo.app_work import Place, find, render

__all__ = ["MissionControl"]


class MissionControl:
    """What agents call from their threads."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._tls = place.trusting()
        self._pages: dict[int, bytes] = {}
        self._saving, self._writing = threading.Lock(), threading.Lock()
        self._database = sqlite3.connect(place.database, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("CREATE TABLE memories (agent TEXT, text TEXT)")

    def read_state(self) -> Any:
        """Return the state."""
        with open(self._place.state) as file:
            return json.load(file)

    def update_state(self, change: Callable[[Any], None]) -> None:
        """Change the state; what is saved survives a power cut, and who reads meanwhile finds it whole."""
        with self._saving:
            state = self.read_state()
            change(state)
            with open(self._place.state + ".new", "w") as file:
                json.dump(state, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._place.state + ".new", self._place.state)

    def search(self, words: str) -> list[int]:
        """Return the notes that have most of the words."""
        return find(words)

    def page(self, number: int) -> bytes:
        """Return a page of the log book, which is wanted again."""
        if number not in self._pages:
            self._pages[number] = render(number)
        return self._pages[number]

    def remember(self, agent: str, text: str) -> None:
        """Write a memory; it survives a power cut."""
        with self._writing, self._database:
            self._database.execute("INSERT INTO memories VALUES (?, ?)", (agent, text))

    def send(self, mail: EmailMessage) -> None:
        """Send a mail."""
        host, port, user, password = self._place.mail
        with smtplib.SMTP(host, port, local_hostname="mission.example.com") as server:
            server.starttls(context=self._tls)
            server.login(user, password)
            server.send_message(mail)

    def report(self, kind: str) -> int:
        """Make a report, for which something heavy is needed."""
        makers: dict[str, Any] = {"array": arrays, "frame": frames, "model": models, "table": tables}
        return int(makers[kind].answer(7))

    def close(self) -> None:
        """Give back what is open."""
        self._database.close()
