"""The network between the replicas: a TCP proxy for each ordered pair of them, all in one process of their own.

Replica a reaches b's channel through the route (a, b). Cut, delay and reset are told of *directions*: all that flows from a
to b, on connections that either of them opened, the end of a connection included. What is cut is held, and nothing is
closed, as by a network that loses packets. A route refuses connections while the process behind it does not listen, as the
port itself would, except behind a cut, where nobody can know.

The process is ``python -m tests.nemesis.network ROUTES``; each line of its input, a JSON object as Network._tell writes it, is
the whole state, and answered by a line once it holds. It ends with its input.
"""

import asyncio
import json
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress

from tests.endtoend.harness import ROOT

CHUNK = 65536  # bytes that are carried at once
LOOK = 0.02  # seconds between two looks at who listens
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, with a reset
Direction = tuple[int, int]  # from, to
given_ports: set[int] = set()  # here, until now


def steady_ports(count: int) -> list[int]:
    """So many free ports that the system never gives to outgoing connections: they stay free while nobody listens.

    None is given twice, though nobody may listen on it yet.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        below = int(file.read().split()[0])
    found: set[int] = set()
    while len(found) < count:
        with socket.socket() as probe:
            port = random.randrange(max(1024, below - 20000), below)
            if port not in given_ports and probe.connect_ex(("127.0.0.1", port)) != 0:
                found.add(port)
                given_ports.add(port)
    return sorted(found)


class Network:
    """The routes between replicas, as their cluster files and the faults see them; all is open at first."""

    def __init__(self, channels: Mapping[int, int]) -> None:
        """``channels``: the real channel port of each replica, by its number."""
        pairs = [(a, b) for a in channels for b in channels if a != b]
        ports = steady_ports(len(pairs))
        self._ports = dict(zip(pairs, ports, strict=True))
        self._cut: set[Direction] = set()
        self._delays: dict[Direction, float] = {}
        routes = json.dumps([(*pair, port, channels[pair[1]]) for pair, port in self._ports.items()])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nemesis.network", routes],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self._tell()

    def port(self, a: int, b: int) -> int:
        """Where ``a`` finds the channel of ``b``."""
        return self._ports[a, b]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is cut or slow."""
        return not self._cut and not self._delays

    def cut(self, a: int, b: int) -> None:
        """Hold what flows from ``a`` to ``b``."""
        self._cut.add((a, b))
        self._tell()

    def part(self, some: Iterable[int], others: Iterable[int]) -> None:
        """Cut both ways between two groups."""
        self._cut |= {pair for a in some for b in others for pair in ((a, b), (b, a))}
        self._tell()

    def delay(self, a: int, b: int, seconds: float) -> None:
        """Carry each chunk from ``a`` to ``b`` that much later than the one before it."""
        self._delays[a, b] = seconds
        self._tell()

    def reset(self, a: int, b: int) -> None:
        """Break all connections between two replicas; they may connect again at once."""
        self._tell([(a, b), (b, a)])

    def heal(self) -> None:
        """Let all pass; what was held arrives."""
        self._cut.clear()
        self._delays.clear()
        self._tell()

    def _tell(self, reset: Iterable[Direction] = ()) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        delays = [(*pair, seconds) for pair, seconds in self._delays.items()]
        print(
            json.dumps({"cut": list(self._cut), "delays": delays, "reset": list(reset)}),
            file=self._process.stdin, flush=True,
        )  # fmt: skip
        if not self._process.stdout.readline():
            raise AssertionError("the network's process has ended")

    def close(self) -> None:
        """End it, and with it all connections."""
        self._process.kill()
        self._process.wait()
        for pipe in self._process.stdin, self._process.stdout:
            assert pipe is not None
            pipe.close()


class Flow:
    """One direction between two replicas."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.delay = 0.0

    @property
    def is_cut(self) -> bool:
        return not self.open.is_set()

    async def passes(self) -> None:
        """Wait as long as something takes that comes now."""
        if self.delay:
            await asyncio.sleep(self.delay)
        await self.open.wait()


class Route:
    """How ``a`` reaches ``b``: listens on ``port`` for it, and connects to ``target``."""

    def __init__(self, flows: Mapping[Direction, Flow], a: int, b: int, port: int, target: int) -> None:
        self._forth, self._back = flows[a, b], flows[b, a]
        self._port, self._target = port, target
        self._server: asyncio.Server | None = None
        self._lock = asyncio.Lock()
        self._ends: set[asyncio.StreamWriter] = set()

    async def look(self) -> None:
        """Listen if the target does, or if nobody could know."""
        async with self._lock:
            there = self._forth.is_cut or self._back.is_cut or is_listening(self._target)
            if there and self._server is None:
                self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self._port)
            elif not there and self._server is not None:
                self._server.close()
                self._server = None

    def reset(self) -> None:
        """Break all its connections."""
        for end in list(self._ends):
            abort(end)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        await self._forth.passes()  # to open a connection takes a packet each way
        await self._back.passes()
        try:
            answers, target = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            await self.look()
            abort(writer)
        else:
            self._ends.add(target)
            if writer.is_closing():  # reset meanwhile
                abort(target)
            await asyncio.gather(self._carry(reader, target, self._forth), self._carry(answers, writer, self._back))
            target.close()
            self._ends.discard(target)
        writer.close()
        self._ends.discard(writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: Flow) -> None:
        """Carry one direction of a connection until its end; what the end was, FIN or reset, is carried too."""
        try:
            while data := await reader.read(CHUNK):
                await flow.passes()
                if await is_gone(writer, data):
                    return  # the other direction will tell
        except OSError:
            await self._passes_the_end(flow)
            abort(writer)
        else:
            await self._passes_the_end(flow)
            with suppress(OSError):  # broken meanwhile
                writer.write_eof()

    async def _passes_the_end(self, flow: Flow) -> None:
        await self.look()  # before the end is told: who reconnects at once must find what is there now
        await flow.passes()


async def is_gone(writer: asyncio.StreamWriter, data: bytes) -> bool:
    """Write; whether the connection was broken."""
    try:
        writer.write(data)
        await writer.drain()
    except OSError:
        return True
    return writer.is_closing()


def abort(writer: asyncio.StreamWriter) -> None:
    """Break a connection, as a process that is killed breaks it."""
    if not writer.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()


def is_listening(port: int) -> bool:
    """Whether some process listens there; it notices nothing."""
    with open("/proc/net/tcp") as file:
        return any(words[1].endswith(f":{port:04X}") and words[3] == "0A" for words in map(str.split, file))


async def run(plan: str) -> None:
    """Serve until the input ends."""
    rows = [tuple(map(int, row)) for row in json.loads(plan)]
    flows = {(a, b): Flow() for a, b, _, _ in rows}
    routes = {(a, b): Route(flows, a, b, port, target) for a, b, port, target in rows}
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, lambda: lines.put_nowait(sys.stdin.readline()))
    while True:
        for route in routes.values():
            await route.look()
        try:
            line = await asyncio.wait_for(lines.get(), LOOK)
        except TimeoutError:
            continue
        if not line:
            return
        await follow(json.loads(line), flows, routes)
        print("done", flush=True)


async def follow(
    state: Mapping[str, Iterable[tuple[int, int, float]]],
    flows: Mapping[Direction, Flow],
    routes: Mapping[Direction, Route],
) -> None:
    """Make the network what ``state`` says."""
    cut = {(a, b) for a, b, *_ in state["cut"]}
    delays = {(int(a), int(b)): seconds for a, b, seconds in state["delays"]}
    for pair, flow in flows.items():
        flow.delay = delays.get(pair, 0.0)
        (flow.open.clear if pair in cut else flow.open.set)()
    for a, b, *_ in state["reset"]:
        routes[a, b].reset()
    for route in routes.values():
        await route.look()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
