"""What the agents of the app demo work on, and what must come of it.

Everything is deterministic: who asks what in which turn comes from a seeded generator, so the state, the memories, the
mails and the answers are known beforehand, whatever the order of the agents.
"""

from __future__ import annotations

import random
import ssl
import zlib
from collections.abc import Iterator
from email.message import EmailMessage
from functools import cache
from typing import Any, NamedTuple

from perfkit.demo import statefile_mission
from perfkit.demo.statefile_mission import AGENTS

__all__ = [
    "AGENTS",
    "BOARD",
    "MAIL_EVERY",
    "PAGE",
    "Place",
    "Turn",
    "answers",
    "expected_answers",
    "expected_state",
    "find",
    "initial_state",
    "mail",
    "mail_ids",
    "memory",
    "render",
    "turns_of",
]

NOTES, QUERIES, FAVOURITES = 600, 25, 10
PAGE = 1_000_000  # bytes
MAIL_EVERY = 4  # turns

_WORDS = "antenna battery beacon crater dust engine fuel gyro heater ice lander moon orbit probe relay solar".split()


class Place(NamedTuple):
    """Where a mission control has its files, how it sends mail, and what memory it may use."""

    state: str
    database: str
    mail: tuple[str, int, str, str]  # host, port, user, password
    authority: str  # a file, with whose certificate the mail server's is verified
    memory: int

    def trusting(self) -> ssl.SSLContext:
        """Return what verifies the mail server's certificate."""
        return ssl.create_default_context(cafile=self.authority)


class Turn(NamedTuple):
    """What an agent does in a turn: it searches, looks at three pages, remembers, updates, and may send a mail."""

    number: int
    words: str
    pages: tuple[int, int, int]

    @property
    def has_mail(self) -> bool:
        """Whether a mail is sent."""
        return self.number % MAIL_EVERY == 0


@cache
def _notes() -> list[str]:
    dice = random.Random(7)
    return [" ".join(dice.choices(_WORDS, k=40)) for _ in range(NOTES)]


def find(words: str) -> list[int]:
    """Return the ten notes that have the words most often."""
    wanted = words.split()
    hits = [(sum(map(note.split().count, wanted)), -number) for number, note in enumerate(_notes())]
    return [-number for _, number in sorted(hits, reverse=True)[:10]]


def render(number: int) -> bytes:
    """Make a page, the same for the same number."""
    return random.Random(number).randbytes(PAGE // 100) * 100


def turns_of(agent: str, count: int) -> Iterator[Turn]:
    """Yield what an agent does: another page in each turn, and some that all want again and again."""
    dice = random.Random(agent)
    queries = [" ".join(random.Random(number).sample(_WORDS, 3)) for number in range(QUERIES)]
    first = FAVOURITES + AGENTS.index(agent) * count
    for number in range(count):
        favourites = dice.randrange(FAVOURITES), dice.randrange(FAVOURITES)
        yield Turn(number, dice.choice(queries), (first + number, *favourites))


def memory(agent: str, turn: int) -> str:
    """Return what an agent remembers of a turn."""
    return f"In turn {turn} {agent} calibrated the antenna, and found the window open. " * 3


def mail(mission: str, agent: str, turn: int) -> EmailMessage:
    """Return the mail that an agent sends in a turn."""
    message = EmailMessage()
    message["From"] = f"{agent} <{agent}@example.com>"
    message["To"] = "crew@example.com"
    message["Message-ID"] = f"<{mission}-{agent}-{turn}@example.com>"
    message["Subject"] = f"Turn {turn}"
    message.set_content("Battery at 87 %, antenna locked, two packets lost.\n" * 20)
    return message


def mail_ids(mission: str, count: int) -> list[str]:
    """Return the Message-ID of each mail that is to arrive."""
    sent = [(agent, turn.number) for agent in AGENTS for turn in turns_of(agent, count) if turn.has_mail]
    return [f"<{mission}-{agent}-{turn}@example.com>" for agent, turn in sent]


def initial_state() -> tuple[dict[str, Any], str]:
    """Return the state that a mission begins with, and under which key the agents' updates are in it."""
    return statefile_mission.with_board(statefile_mission.mission_state())


BOARD = initial_state()[1]


def expected_state(count: int) -> Any:
    """Return the state after so many updates of each agent."""
    return statefile_mission.expected(*initial_state(), dict.fromkeys(AGENTS, count))


def answers(found: list[int], pages: list[bytes]) -> int:
    """Return what tells whether the answers of a turn are right."""
    return zlib.crc32(repr((found, [zlib.crc32(page) for page in pages])).encode())


def expected_answers(count: int) -> dict[str, list[int]]:
    """Return what each agent's answers must come to, by turn."""
    found = cache(find)
    page = cache(lambda number: zlib.crc32(render(number)))  # not the pages: they are big
    return {
        agent: [
            zlib.crc32(repr((found(turn.words), [page(number) for number in turn.pages])).encode())
            for turn in turns_of(agent, count)
        ]
        for agent in AGENTS
    }
