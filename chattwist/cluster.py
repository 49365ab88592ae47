"""The cluster file: who the replicas are, what is promised, how long to wait and how much to hold.

A JSON object; only ``replicas`` has to be there, and of a replica only ``host`` and ``port``::

    {"replicas": [{"host": "127.0.0.1", "port": 5001}]}

etc/cluster.json spells all of it out, with the values that hold where one is left out.
"""

import re
import socket
from codecs import BOM_UTF8
from collections import Counter
from ipaddress import ip_address
from typing import Annotated, Literal, TypeAlias

import msgspec

from chattwist.errors import StartError

HIGHEST_PORT = 65535
SHORTEST_SILENCE = 0.1  # seconds
CHANNEL_OFFSET = 10000  # a replica's channel port, where none is given, is its client port plus this
IN_NO_HOST = frozenset(" /[]*@,;")  # typed around one, or for all of them

Port: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=HIGHEST_PORT)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Cost: TypeAlias = Annotated[int, msgspec.Meta(ge=4, le=16)]


def _is_host(host: str) -> bool:
    if not (host.isprintable() and IN_NO_HOST.isdisjoint(host)):
        return False
    try:
        return bool(ip_address(host) if ":" in host else host.encode("idna"))  # with a port behind it, it is none
    except ValueError:
        return False


def without_case(host: str) -> str:
    """``host`` in small letters, but for the interface behind the ``%`` of an address, whose name has a case."""
    name, percent, interface = host.partition("%")
    return name.lower() + percent + interface


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one replica is: clients come to ``port``, the other replicas to ``channel`` (default: port + 10000)."""

    host: Annotated[str, msgspec.Meta(min_length=1)]
    port: Port
    channel: Port = 0  # stands for "left out" and is never seen: bounds are checked on what is in the file only

    def __post_init__(self) -> None:
        if not _is_host(self.host):
            raise ValueError(f"host {self.host!r} is neither the name of a machine nor an address")
        # else files that differ in it would rank otherwise
        msgspec.structs.force_setattr(self, "host", without_case(self.host))
        if not self.channel:
            msgspec.structs.force_setattr(self, "channel", self.port + CHANNEL_OFFSET)
        if self.channel > HIGHEST_PORT:
            raise ValueError(f"port {self.port} needs a channel: where it is left out it is port + {CHANNEL_OFFSET}")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Timings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait, in seconds: for clients, and among replicas."""

    login_deadline: Seconds = 600.0  # connected without logging in
    idle: Seconds = 604800.0  # logged in without sending or being sent anything
    stalled: Seconds = 60.0  # not reading the replies that wait for it
    behind: Seconds = 2.0  # not reading while more messages arrive for it than ``limits.output`` holds
    heartbeat: Seconds = 0.25  # between two signs of life of a replica
    silence: Seconds = 1.0  # until one that is not heard is given up: the failure timeout
    alone: Seconds = 2.0  # until a replica that never met another serves alone, if no process is at the others' ports
    last_view: Seconds = 15.0  # until one that may lack what was acknowledged serves all the same (R16)
    hold_down: Seconds = 5.0  # until a lower port that came back leads again; doubles while it flaps (R17)
    patience: Seconds = 3.0  # that a client's command waits for a primary before it is refused

    def __post_init__(self) -> None:
        if self.silence < SHORTEST_SILENCE:
            raise ValueError(f"silence has to be at least {SHORTEST_SILENCE:g}: busy processes are late by that much")
        if self.silence < 2 * self.heartbeat:
            raise ValueError("silence has to be at least twice heartbeat: one sign of life may be late")


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much one replica takes on before it refuses."""

    connections: Count = 16_000
    connections_per_address: Count = 12_000
    mailbox: Count = 1_000_000  # unread messages of an account
    output: Count = 65_536  # bytes of events that are written ahead of a slow reader
    bcrypt_cost: Cost = 12
    password_queue: Count = 300  # password hashes that wait for a thread


class Cluster(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that the replicas of one cluster have to agree on; each reads the same file."""

    replicas: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1)]
    mode: Literal["available", "majority"] = "available"
    timings: Timings = Timings()
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        ports = [(replica.host, port) for replica in self.replicas for port in (replica.port, replica.channel)]
        for (host, port), times in Counter(ports).items():
            if times > 1:
                raise ValueError(f"replicas: port {port} of {host} is given {times} times")

    @property
    def ranked(self) -> list[Address]:
        """The replicas in the order of their ranks: the lowest port first, ties by host. A rank is an index in it."""
        return sorted(self.replicas, key=lambda address: (address.port, address.host))

    @property
    def names(self) -> tuple[str, ...]:
        """``HOST:PORT`` of the replicas, by rank."""
        return tuple(map(str, self.ranked))

    def replica(self, port: int) -> Address:
        """Find the replica of this machine whose client port is ``port``; StartError if there is none or no telling."""
        found = [replica for replica in self.replicas if replica.port == port]
        here = found if len(found) == 1 else [replica for replica in found if is_local(replica.host)]
        if len(here) == 1:
            return here[0]
        if found:
            hosts = ", ".join(replica.host for replica in here or found)
            raise StartError(f"port {port}: {'several' if here else 'none'} of {hosts} are addresses of this machine")
        ports = ", ".join(str(replica.port) for replica in self.replicas)
        raise StartError(f"port {port} is no replica of the cluster; its replicas have the ports {ports}")


DEFAULT = Cluster(tuple(Address("127.0.0.1", port) for port in (5001, 5002, 5003)))
"""What holds without a cluster file: three replicas on this machine, reached from this machine only."""


def load(path: str) -> Cluster:
    """Read the cluster file at ``path``; StartError, in one line that names the file and the field."""
    text = b""
    try:
        with open(path, "rb") as file:
            text = file.read().removeprefix(BOM_UTF8)
        return msgspec.json.decode(text, type=Cluster)
    except OSError as error:
        raise StartError(f"cluster file {path}: {error.strerror}") from None
    except msgspec.ValidationError as error:
        raise StartError(f"cluster file {path}: {_field_first(str(error))}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StartError(f"cluster file {path} is not JSON: {_with_line(str(error), text)}") from None


def is_local(host: str) -> bool:
    """Tell whether ``host`` (a name or an address) is this machine: whether a socket can be bound there."""
    try:
        return any(_can_bind(family, address) for family, _, _, _, address in socket.getaddrinfo(host, 0))
    except OSError:
        return False


def _can_bind(family: int, address: tuple[object, ...]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(address)
        except OSError:
            return False
    return True


def _with_line(problem: str, text: bytes) -> str:
    """Turn the ``byte 46`` of msgspec into the line of the file, which editors show; 10 is the end of one."""
    return re.sub(r"byte (\d+)", lambda byte: f"line {1 + text.count(10, 0, int(byte[1]))}", problem)


def _field_first(text: str) -> str:
    """Turn msgspec's ``Expected `int` - at `$.limits.mailbox``` into ``limits.mailbox: expected `int```."""
    problem, _, field = text.partition(" - at `$.")
    hint = "; it is available or majority" if field == "mode`" else ""
    return f"{field.rstrip('`')}: {problem[:1].lower()}{problem[1:]}{hint}" if field else problem
