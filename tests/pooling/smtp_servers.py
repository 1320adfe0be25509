"""Servers that mail pools are tested against, and what may go wrong with them.

`perfkit.demo.smtp_server.MailServer` is a real one. `FaultServer` speaks as much SMTP as is needed and misbehaves at
the very command it is told to. `Proxy` stands before either, and cuts or changes what passes.
"""

import contextlib
import itertools
import random
import socket
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage

PATIENCE = 20  # seconds; nothing here takes them unless it hangs
FEATURES = ("PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8")

CLOSE, HANG = object(), object()  # instead of a reply


def message(number=0, to="crew@example.com", **headers):
    """Return a mail."""
    made = EmailMessage()
    made["From"] = "Ada <ada@example.com>"
    made["To"] = to
    made["Subject"] = f"Report {number}"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(f"This is report {number}.\n.\n.. and its end.\n")
    return made


@dataclass
class Taken:
    """A mail that a server has taken."""

    connection: int
    sender: str
    recipients: list
    content: bytes = b""


@dataclass
class State:
    """What a session of `FaultServer` is at."""

    number: int
    last: str = ""  # what was said
    counts: dict = field(default_factory=dict)
    sender: str | None = None
    recipients: list = field(default_factory=list)


class FaultServer:
    """A server that follows a plan: ``plan(connection, command, nth)`` returns what it does instead of the usual.

    ``connection`` counts from 0, ``command`` is GREETING, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, CONTENT, RSET or
    QUIT, ``nth`` counts its occurrences in the connection from 0. The plan returns None for the usual, a reply, CLOSE,
    HANG, a number of bytes to be read and dropped, or a list of those: ``["250 taken", CLOSE]``. A 421 closes by
    itself. ``taken`` has the mails, ``lines`` all commands.
    """

    def __init__(self, plan=lambda connection, command, nth: None, features=FEATURES, tls=None, implicit=False, port=0):
        self.plan, self.features, self._tls, self._implicit = plan, features, tls, implicit
        self.taken, self.lines, self.connections = [], [], 0
        self._open = set()
        self._over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._over.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for each in list(self._open):
            _end(each)
        for thread in self._threads:
            thread.join(PATIENCE)

    def _accept(self):
        with contextlib.suppress(OSError):
            for number in itertools.count():
                connection, _ = self._socket.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # each reply is a write
                self.connections += 1
                self._open.add(connection)
                thread = threading.Thread(target=self._serve, args=(connection, State(number)), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection, state):
        with contextlib.suppress(OSError, ValueError), connection:
            if self._implicit:
                connection = self._secure(connection)
            file = connection.makefile("rb")
            go_on = self._answer(connection, state, "GREETING", "220 fault.example.com")
            while go_on and (line := file.readline()):
                self.lines.append((state.number, line.decode().rstrip("\r\n")))
                command, _, rest = line.decode().strip().partition(" ")
                go_on = self._obey(connection, state, command.upper(), rest)
                if go_on == "secure":
                    connection = self._secure(connection)
                    file = connection.makefile("rb")
                elif go_on == "content":
                    go_on = self._take(connection, state, file)
            _end(connection)

    def _secure(self, connection):
        secured = self._tls.wrap_socket(connection, server_side=True)
        self._open.add(secured)
        return secured

    def _obey(self, connection, state, command, rest):
        """Do as a command wants; return whether to go on, and how."""
        done = self._answer(connection, state, command, self._usual(connection, state, command))
        said = state.last
        if not done or not said.startswith(("2", "3")):
            return done
        match command:
            case "MAIL":
                state.sender = _within(rest)
            case "RCPT":
                state.recipients.append(_within(rest))
            case "RSET":
                state.sender, state.recipients = None, []
            case "DATA" if said.startswith("354"):
                return "content"
            case "STARTTLS":
                return "secure"
        return command != "QUIT"

    def _usual(self, connection, state, command):
        if command == "EHLO":
            offered = [each for each in self.features if not (each == "STARTTLS" and hasattr(connection, "cipher"))]
            return "\r\n".join(["250-fault.example.com", *(f"250-{each}" for each in offered), "250 HELP"])
        if command == "MAIL" and state.sender is not None:
            return "503 nested"
        if (command in ("RCPT", "DATA") and state.sender is None) or (command == "DATA" and not state.recipients):
            return "503 first things first"
        usual = {"STARTTLS": "220 go ahead", "AUTH": "235 welcome", "DATA": "354 go on", "QUIT": "221 bye"}
        return usual.get(command, "250 ok")

    def _take(self, connection, state, file):
        lines = []
        while (line := file.readline()) != b".\r\n":
            if not line:
                return False
            lines.append(line.removeprefix(b"."))
        mail = Taken(state.number, state.sender, state.recipients, b"".join(lines))
        state.sender, state.recipients = None, []
        return self._answer(connection, state, "CONTENT", "250 taken", before=lambda said: self._keep(mail, said))

    def _keep(self, mail, said):
        if said is CLOSE or said is HANG or said.startswith("2"):  # taken, whether it says so or not
            self.taken.append(mail)

    def _answer(self, connection, state, command, usual, before=lambda said: None):
        nth = state.counts[command] = state.counts.get(command, -1) + 1
        planned = self.plan(state.number, command, nth)
        actions = [usual] if planned is None else planned if isinstance(planned, list) else [planned]
        before(actions[0])
        state.last = ""
        for action in actions:
            if action is CLOSE:
                _end(connection)
                return False
            if action is HANG:
                self._over.wait(PATIENCE)
                return False
            if isinstance(action, int):
                _drop(connection, action)
                continue
            state.last = action
            connection.sendall(action.encode() + b"\r\n")
        if state.last.startswith("421"):
            _end(connection)
            return False
        return True


def _drop(connection, count):
    while count > 0 and (data := connection.recv(count)):
        count -= len(data)


def _within(path):
    return path.partition("<")[2].partition(">")[0]


def _end(connection):
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class Proxy:
    """Passes bytes between clients and a server at ``port``.

    ``cut_after(rng)`` says after how many bytes, both ways together, a connection is cut (None: never).
    ``change(data)`` changes what the server says. The seed makes cuts the same each time, as far as timing allows.
    """

    def __init__(self, port, cut_after=lambda rng: None, change=lambda data: data, seed=0):
        self._target, self._cut_after, self._change = port, cut_after, change
        self._rng = random.Random(seed)
        self._pairs, self._threads = [], []
        self.cuts = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.cut()
        for thread in self._threads:
            thread.join(PATIENCE)

    def cut(self):
        """Cut every connection there is."""
        for each in itertools.chain(*self._pairs):
            _end(each)

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                for each in (near, far):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._pairs.append((near, far))
                budget = [self._cut_after(self._rng)]
                self._start(self._pass, near, far, budget, lambda data: data)
                self._start(self._pass, far, near, budget, self._change)

    def _pass(self, source, sink, budget, change):
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                data = change(data)
                if budget[0] is not None:
                    allowed, budget[0] = budget[0], budget[0] - len(data)
                    if budget[0] <= 0:
                        self.cuts += allowed > 0
                        if allowed > 0:
                            sink.sendall(data[:allowed])
                        break
                sink.sendall(data)
        _end(source)
        _end(sink)
