"""``python -m tests.nemesis --seconds 600 --mode available --seed N``: exit status 1 if anything was wrong, and the logs stay."""

import argparse
import random
import shutil
import sys
import tempfile

from tests.nemesis.cluster import SHORT
from tests.nemesis.run import run


def main() -> int:
    """Run once, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.nemesis", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--mode", choices=["available", "majority"], default="available")
    parser.add_argument("--seed", type=int, default=random.randrange(1, 2**31))
    parser.add_argument("--short", action="store_true", help="shorter waits after a restart")
    parser.add_argument("--quiet", action="store_true", help="do not print each fault")
    parser.add_argument("--folder", help="where to keep logs; it has to be a new one")
    chosen = parser.parse_args()
    folder = chosen.folder or tempfile.mkdtemp(prefix="nemesis-")
    say = (lambda line: None) if chosen.quiet else lambda line: print(line, flush=True)
    outcome = run(folder, chosen.seconds, chosen.mode, chosen.seed, SHORT if chosen.short else {}, say)
    print(outcome.text())
    if not outcome.violations and not chosen.folder:
        shutil.rmtree(folder)
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
