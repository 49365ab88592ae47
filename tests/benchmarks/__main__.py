"""All benchmarks, one after the other: ``python -m tests.benchmarks [--short]``; without --short that takes half an hour."""

import sys
from importlib import import_module

from tests.benchmarks.measuring import run

NAMES = ("rates", "commands", "stored", "memory", "catchup", "compaction", "failover")

if __name__ == "__main__":
    for name in NAMES:
        run(name, import_module(f"tests.benchmarks.{name}").main, sys.argv[1:])
