"""The programs that some tests run for real."""

import os
import shutil

from twisted.trial.unittest import SkipTest


def needed(*programs: str) -> None:
    """Skip the test where a program is missing, unless all of them are required."""
    for program in programs:
        if shutil.which(program) is None:
            if os.environ.get("CHATTWIST_REQUIRE_TOOLS") == "1":
                raise AssertionError(f"{program} is missing")
            raise SkipTest(f"{program} is not installed")
