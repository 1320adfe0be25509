"""A server that speaks a small dialogue, and a proxy before it that can be stopped, started and silenced.

A client says ``login`` once, then ``ping``; each is a line, and each is answered by one: a round trip. Both count what
they see, on free ports of the loopback.
"""

import contextlib
import socket
import struct
import threading

PATIENCE = 20.0  # seconds; nothing takes them unless it hangs


class Server:
    """Answers ``login`` and ``ping`` by the word that `answers` has for it."""

    def __init__(self):
        self.answers = {"login": "welcome", "ping": "pong"}
        self.seen = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = self._listener.getsockname()
        _in_a_thread(self._accept)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                _in_a_thread(self._serve, self._listener.accept()[0])

    def _serve(self, conn):
        with contextlib.suppress(OSError), conn:
            while line := conn.recv(100):
                word = line.decode().strip()
                self.seen.append(word)
                conn.sendall(f"{self.answers[word]}\n".encode())

    def close(self):
        _shut(self._listener)


class Proxy:
    """Passes on what comes, to the server and back; `stop` refuses and cuts, `silence` only passes nothing on."""

    def __init__(self, server):
        self._server = server
        self._lock = threading.Lock()
        self._pairs = []
        # Bound, and never listening: while the proxy is stopped, nobody else is given the port, nor does a client that
        # comes from this very port connect to itself.
        self._keeper = socket.socket()
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._keeper.bind(("127.0.0.1", 0))
        self.address = self._keeper.getsockname()
        self._passes = threading.Event()
        self._passes.set()
        self.accepted = 0
        self.start()

    def start(self):
        """Accept, on the same port as before."""
        self._listener = socket.create_server(self.address, backlog=256, reuse_port=True)
        _in_a_thread(self._accept, self._listener)

    def stop(self):
        """Refuse new connections, and cut those there are, as a server that dies does."""
        _shut(self._listener)
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for side in pair:
                _cut(side)

    def silence(self):
        """From now on nothing is answered, on any connection, and nothing is closed."""
        self._passes.clear()

    def silence_those_there_are(self):
        """Pass nothing on any more on the connections there are: half-open ones. New ones work."""
        self._passes.clear()
        self._passes = threading.Event()
        self._passes.set()

    def speak(self):
        self._passes.set()

    def close(self):
        self.stop()
        self.speak()
        self._keeper.close()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                self.accepted += 1
                upstream = socket.create_connection(self._server.address, PATIENCE)
                with self._lock:
                    self._pairs.append((client, upstream))
                    passes = self._passes
                if listener.fileno() < 0:  # stopped meanwhile, which may not have seen these
                    _cut(client)
                    _cut(upstream)
                _in_a_thread(self._pass_on, client, upstream, passes)
                _in_a_thread(self._pass_on, upstream, client, passes)

    def _pass_on(self, source, target, passes):
        with contextlib.suppress(OSError):
            while data := source.recv(1000):
                passes.wait(PATIENCE)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def _in_a_thread(function, *args):
    threading.Thread(target=function, args=args, daemon=True).start()


def _shut(listener):
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
    listener.close()


def _cut(conn):
    """Close it so that the other end is told of a reset."""
    with contextlib.suppress(OSError):
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        conn.shutdown(socket.SHUT_RDWR)
    conn.close()
