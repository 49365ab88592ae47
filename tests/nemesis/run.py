"""One run: three replicas, clients, faults, and the check at the end."""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping

import attrs
import msgspec

from tests.nemesis.checker import DONE, Violation, check
from tests.nemesis.clients import Caller, Person, Record, Registrar, finals
from tests.nemesis.cluster import NUMBERS, Cluster
from tests.nemesis.faults import Nemesis

PEOPLE = ("ann", "bob", "carl", "dora")
RIVALS = ("rival", "rival")  # two clients of one account
REGISTRARS = ("red", "blue")
ACCOUNTS = (*PEOPLE, "rival")
JOURNAL_SIZE = 300_000  # bytes: so that there are rotations and compactions
ANSWERED = 120.0  # seconds after the end of all faults until everything has to be answered
AGREED = 10.0  # seconds after the last answer until replicas have to show the same
TRACES = re.compile(r"^.*(?:Traceback|Unhandled|never retrieved).*$", re.MULTILINE)


@attrs.frozen
class Outcome:
    """What a run showed."""

    seed: int
    faults: Mapping[str, int]
    acknowledged: Mapping[str, int]  # by verb
    codes: Mapping[str, int]
    violations: list[Violation]
    folder: str  # with all logs

    def text(self) -> str:
        """For people."""
        kinds = Counter(violation.kind for violation in self.violations)
        counts = {kind: kinds[kind] for kind in ("lost", "doubled", "differing", *kinds)}
        lines = [
            f"seed {self.seed}, logs in {self.folder}",
            "faults:        " + _listed(self.faults),
            "acknowledged:  " + _listed(self.acknowledged),
            "other answers: " + _listed(self.codes),
            "violations:    " + _listed(counts),
        ]
        shown: Counter[str] = Counter()
        for violation in self.violations:
            shown[violation.kind] += 1
            if shown[violation.kind] <= 5:
                lines.append(f"  {violation.kind}: {violation.text[:600]}")
        return "\n".join(lines)


def _listed(counts: Mapping[str, int]) -> str:
    return f"{sum(counts.values())}: " + ", ".join(f"{name} {number}" for name, number in counts.items())


def run(
    folder: str, seconds: float, mode: str, seed: int, timings: Mapping[str, float], say: Callable[[str], None]
) -> Outcome:
    """Do it; ``say`` is told of every fault."""
    os.makedirs(folder, exist_ok=True)
    cluster, record, begun = Cluster(folder, mode, timings, journal_size=JOURNAL_SIZE), Record(), time.monotonic()

    def log(line: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {time.monotonic() - begun:7.2f} {line}"
        with open(os.path.join(folder, "faults.log"), "a") as file:
            print(line, file=file)
        say(line)

    try:
        nemesis = Nemesis(cluster, mode, seed, log)
        violations = _disturbed(cluster, record, nemesis, seconds, seed, log)
        violations += _compared(cluster, record, mode)
    finally:
        cluster.close()
        _keep(folder, record)
    return _outcome(seed, nemesis, record, violations + _traces(cluster), cluster.folder)


def _disturbed(
    cluster: Cluster, record: Record, nemesis: Nemesis, seconds: float, seed: int, log: Callable[[str], None]
) -> list[Violation]:
    """Let clients work in a cluster that is disturbed, until all is answered and quiet."""
    cluster.start()
    cluster.wait_quiet(*NUMBERS)
    for account in ACCOUNTS:
        cluster.session(1, account).close()
    callers = _callers(cluster, record, seed)
    for caller in callers:
        caller.start()
    nemesis.run(seconds)
    for caller in callers:
        caller.finish()
    end = time.monotonic() + ANSWERED
    for caller in callers:
        caller.join(max(0.0, end - time.monotonic()))
    log("all is answered")
    nemesis.calm()
    return [Violation("wrong", text) for text in (*nemesis.wrong, *record.wrong)]


def _callers(cluster: Cluster, record: Record, seed: int) -> list[Caller]:
    names = [*PEOPLE, *RIVALS]
    people: list[Caller] = [
        Person(cluster, record, name, 1000 * seed + n, [one for one in ACCOUNTS if one != name], verb)
        for n, (name, verb) in enumerate(
            zip(names, ["TAKEOVER"] * len(PEOPLE) + ["LOGIN"] * len(RIVALS), strict=True), 1
        )
    ]
    return people + [Registrar(cluster, record, name, 2000 * seed + n) for n, name in enumerate(REGISTRARS)]


def _compared(cluster: Cluster, record: Record, mode: str) -> list[Violation]:
    """Check; replicas may take a moment until they show the same."""
    end = time.monotonic() + AGREED
    while True:
        violations = check(record.attempts, record.shown, finals(cluster, ACCOUNTS), mode)
        if time.monotonic() > end or not any(violation.kind == "differing" for violation in violations):
            return violations


def _traces(cluster: Cluster) -> list[Violation]:
    """What looks like a bug in the logs."""
    found = []
    for number in NUMBERS:
        for name in "log", "stderr", "earlier-stderr":
            path = os.path.join(cluster[number].folder, name)
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    found += [Violation("traceback", f"{path}: {line}") for line in TRACES.findall(file.read())]
    return found


def _keep(folder: str, record: Record) -> None:
    """Write down the history, a line each."""
    with open(os.path.join(folder, "history.jsonl"), "wb") as file:
        for event in (*record.attempts, *record.shown):
            file.write(msgspec.json.encode(event) + b"\n")


def _outcome(seed: int, nemesis: Nemesis, record: Record, violations: list[Violation], folder: str) -> Outcome:
    done = Counter(attempt.verb for attempt in record.attempts if attempt.code in DONE)
    others = Counter(f"{attempt.code:03}" for attempt in record.attempts if attempt.code not in DONE)
    return Outcome(seed, nemesis.counts, done, dict(sorted(others.items())), violations, folder)
