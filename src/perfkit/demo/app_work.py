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

from perfkit.demo.statefile_mission import mission_state

__all__ = [
    "AGENTS",
    "MAIL_EVERY",
    "PAGE",
    "THINKING",
    "Place",
    "Turn",
    "answers",
    "check_in",
    "expected_answers",
    "expected_state",
    "find",
    "initial_state",
    "mail",
    "mail_ids",
    "memory",
    "render",
    "turns_of",
    "updates",
]

AGENTS = tuple(f"{kind} {number}" for kind in ("scout", "planner", "builder", "tester") for number in range(1, 5))
NOTES, QUERIES, FAVOURITES = 600, 25, 10
PAGE = 300_000  # bytes
MAIL_EVERY = 4  # turns
THINKING = 0.05  # seconds, on average: an agent waits for a model most of the time

_WORDS = ("antenna", "battery", "beacon", "crater", "dust", "engine", "fuel", "gyro", "heater", "ice", "lander", "moon")


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
    """What an agent does in a turn: it thinks, searches, looks at three pages, remembers, updates, may send a mail."""

    number: int
    thinking: float
    words: str
    pages: tuple[int, int, int]
    has_mail: bool


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
    place = AGENTS.index(agent)
    for number in range(count):
        pages = FAVOURITES + place * count + number, dice.randrange(FAVOURITES), dice.randrange(FAVOURITES)
        yield Turn(
            number, dice.uniform(0, 2 * THINKING), dice.choice(queries), pages, (place + number) % MAIL_EVERY == 0
        )


def memory(agent: str, turn: int) -> str:
    """Return what an agent remembers of a turn."""
    return f"In turn {turn} {agent} calibrated the antenna, and found the window open. " * 3


def mail(mission: str, agent: str, turn: int) -> EmailMessage:
    """Return the mail that an agent sends in a turn."""
    message = EmailMessage()
    message["From"] = "Mission Control <control@example.com>"
    message["To"] = "crew@example.com"
    message["Message-ID"] = mail_id(mission, agent, turn)
    message["Subject"] = f"Turn {turn} of {agent}"
    message.set_content("Battery at 87 %, antenna locked, two packets lost.\n" * 20)
    return message


def mail_id(mission: str, agent: str, turn: int) -> str:
    """Return the Message-ID of that mail."""
    return f"<{mission}.{agent.replace(' ', '-')}.{turn}@example.com>"


def mail_ids(mission: str, count: int) -> list[str]:
    """Return the Message-ID of each mail that is to arrive."""
    return [
        mail_id(mission, agent, turn.number) for agent in AGENTS for turn in turns_of(agent, count) if turn.has_mail
    ]


def initial_state() -> dict[str, Any]:
    """Return the state that a mission begins with: a board with a line for each agent, and much beside it."""
    return mission_state() | {"board": {agent: {"updates": 0, "text": ""} for agent in AGENTS}}


def check_in(state: Any, agent: str) -> None:
    """Change an agent's line as it does in each turn."""
    line = state["board"][agent]
    line["updates"] += 1
    line["text"] = f"{agent} is through with turn {line['updates']}"


def updates(state: Any) -> dict[str, int]:
    """Return how many updates of each agent a state shows."""
    return {agent: line["updates"] for agent, line in state["board"].items()}


def expected_state(count: int) -> dict[str, Any]:
    """Return the state after so many turns of each agent."""
    state = initial_state()
    for agent in AGENTS * count:
        check_in(state, agent)
    return state


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
