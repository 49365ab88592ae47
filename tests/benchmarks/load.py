"""Clients with one SEND in flight each, in a process of their own: ``python -m tests.benchmarks.load PORT CLIENTS SECONDS``.

Client n logs in as ``user<n>`` and sends to the next one, so each message is pushed and counted as read, too. Printed is one
line of JSON: ``cpu``, this process's share of a core, and ``replies``, a pair [monotonic clock, latency] of seconds each.
"""

import json
import selectors
import socket
import sys
import time

from tests.endtoend.harness import PASSWORD, Client

TEXT = "x" * 80


class Sender:
    """One client."""

    def __init__(self, port: int, number: int, clients: int) -> None:
        client = Client(port)
        client.expect("230", f"TAKEOVER user{number} {PASSWORD}")
        self.socket: socket.socket = client.socket
        self._client = client  # keeps the socket open
        self._command = f"SEND user{(number + 1) % clients} {TEXT}\n".encode()
        self._rest = b""

    def send(self) -> None:
        """Send the next message."""
        self._begun = time.monotonic()
        self.socket.sendall(self._command)

    def receive(self) -> tuple[float, float] | None:
        """Take what came; when and after how long the reply came, if it did."""
        *lines, self._rest = (self._rest + self.socket.recv(65536)).split(b"\n")
        for line in lines:
            if line.startswith(b"250 "):
                now = time.monotonic()
                return now, now - self._begun
            if not line.startswith(b"* MSG "):
                raise AssertionError(line)
        return None


def run(port: int, clients: int, seconds: float) -> list[tuple[float, float]]:
    """Send for so long."""
    replies = []
    with selectors.DefaultSelector() as selector:
        for sender in [Sender(port, number, clients) for number in range(clients)]:
            selector.register(sender.socket, selectors.EVENT_READ, sender)
            sender.send()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in selector.select():
                reply = key.data.receive()
                if reply is not None:
                    replies.append(reply)
                    key.data.send()
    return replies


def main(port: str, clients: str, seconds: str) -> None:
    """Run, and print."""
    begun, cpu = time.monotonic(), time.process_time()
    replies = run(int(port), int(clients), float(seconds))
    print(json.dumps({"cpu": (time.process_time() - cpu) / (time.monotonic() - begun), "replies": replies}))


if __name__ == "__main__":
    main(*sys.argv[1:])
