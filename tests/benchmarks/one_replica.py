"""How fast one replica is: ``python -m tests.benchmarks.one_replica [MESSAGES]``; with 200,000 stored messages unless told.

A journal with all of them is prepared; a replica that starts with it compacts it as soon as something is sent. So each round
has a time with a compaction and one without, on the same process.
"""

import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from chattwist import model
from chattwist.passwords import hash_password
from chattwist.store.disk import Disk
from chattwist.store.store import Store
from tests.endtoend.harness import PASSWORD, ROOT, Server
from tests.endtoend.test_load import resident

USERS = 64
ROUNDS = 3
BATCH = 1000  # operations a record
Reply = tuple[float, float]  # when, after how long; seconds


def history(messages: int) -> Iterator[model.AnyOperation]:
    """Accounts, and messages among them, all read."""
    hashed = hash_password(PASSWORD, 4)
    for n in range(USERS):
        yield model.Registered(f"prepared-{n}", n + 1, f"user{n}", hashed)
    for n in range(messages):
        sender, recipient = f"prepared-{n % USERS}", f"prepared-{(n + 1) % USERS}"
        at = 1_700_000_000_000_000 + 2 * n
        yield model.Sent(f"messages-{n}", at, sender, recipient, "x" * 80)
        yield model.Read(f"readmark-{n}", at + 1, recipient, (f"messages-{n}",))


def prepare(directory: str, messages: int) -> None:
    """Write them into one journal."""
    store = Store.open(Disk(directory), journal_size=10**12)
    for _ in store.load():
        pass
    operations = list(history(messages))
    for start in range(0, len(operations), BATCH):
        store.append(operations[start : start + BATCH])
    store.close()


def started(prepared: str, folder: str) -> tuple[Server, float]:
    """A replica that has the prepared files, and how long its start took."""
    server = Server(folder)
    shutil.copytree(prepared, server.data)
    begun = time.monotonic()
    server.start()
    return server, time.monotonic() - begun


def load(server: Server, clients: int, seconds: float) -> "subprocess.Popen[str]":
    """Begin to send, in another process."""
    command = [sys.executable, "-m", "tests.benchmarks.load", str(server.port), str(clients), str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def result(sending: "subprocess.Popen[str]") -> tuple[list[Reply], float]:
    """The replies, and the load generator's share of a core."""
    answer = json.loads(sending.communicate()[0])
    return answer["replies"], answer["cpu"]


def compacted(server: Server) -> float:
    """Wait until the journal of the start has been compacted and removed; when that was."""
    journal = os.path.join(server.data, "journal-000001.jsonl")
    while os.path.exists(journal) or glob.glob(os.path.join(server.data, "*.tmp-*")):
        time.sleep(0.005)
    return time.monotonic()


def figures(replies: Sequence[Reply]) -> str:
    """Rate and latencies of these replies."""
    times = sorted(latency for _, latency in replies)
    rate = len(times) / (replies[-1][0] - replies[0][0])
    p50, p99 = (times[int(len(times) * part)] * 1e3 for part in (0.5, 0.99))
    return f"{rate:7.0f} a second, p50 {p50:6.2f} ms, p99 {p99:6.2f} ms, max {times[-1] * 1e3:6.1f} ms"


def round_with_compaction(prepared: str, folder: str, clients: int) -> None:
    """Some seconds with a compaction, then some without."""
    server, _ = started(prepared, folder)
    sending = load(server, clients, 12)
    end = compacted(server)
    replies, cpu = result(sending)
    during = [reply for reply in replies if reply[0] < end]
    after = [reply for reply in replies if reply[0] >= end]
    print(f"{clients:3} clients, compacting {figures(during)}; generator {cpu:.0%} of a core")
    print(f"{clients:3} clients, after it   {figures(after)}", flush=True)
    server.stop()


def main(messages: int) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = os.path.join(folder, "prepared")
        prepare(prepared, messages)
        empty = Server(os.path.join(folder, "empty")).start()
        base = resident(empty.pid)
        empty.stop()
        server, seconds = started(prepared, os.path.join(folder, "start"))
        print(f"start to ready with {messages} messages, each with a read mark: {seconds:.2f} s")
        print(
            f"resident: {(resident(server.pid) - base) / messages:.0f} bytes a message, over {base >> 20} MiB",
            flush=True,
        )
        result(load(server, 8, 1))
        compacted(server)
        for clients in (1, 8, 64):
            replies, cpu = result(load(server, clients, 5))
            print(f"{clients:3} clients, no compaction {figures(replies)}; generator {cpu:.0%} of a core", flush=True)
        server.stop()
        for number in range(ROUNDS):
            round_with_compaction(prepared, os.path.join(folder, f"round-{number}"), 8)


if __name__ == "__main__":
    main(int((*sys.argv[1:], "200000")[0]))
