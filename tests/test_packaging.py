"""What the packages hold; .ci/run builds and installs them."""

import configparser
import os
from importlib.resources import files

from twisted.trial.unittest import SynchronousTestCase

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class PackagingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.setup = configparser.ConfigParser()
        self.setup.read(os.path.join(ROOT, "setup.cfg"))

    def test_every_package_is_listed(self) -> None:
        """Each folder with code is installed; twisted.plugins brings only the plugin."""
        found = [os.path.relpath(at, ROOT) for at, _, names in os.walk(f"{ROOT}/chattwist") if "__init__.py" in names]
        listed = self.setup["options"]["packages"].split()
        self.assertEqual(sorted(listed), sorted([*(path.replace(os.sep, ".") for path in found), "twisted.plugins"]))

    def test_nothing_of_twisted_is_overwritten(self) -> None:
        """Beside the plugin there is nothing in twisted/ that an uninstall would take from Twisted itself."""
        found = [name for _, _, names in os.walk(f"{ROOT}/twisted") for name in names if name.endswith(".py")]
        self.assertEqual(found, ["chattwist_plugin.py"])

    def test_the_protocol_comes_along(self) -> None:
        """PROTOCOL.txt is part of the installed package."""
        self.assertEqual(self.setup["options.package_data"]["chattwist.protocol"], "PROTOCOL.txt")
        self.assertTrue(files("chattwist.protocol").joinpath("PROTOCOL.txt").is_file())
