"""The twistd plugin."""

import os
import subprocess
import sys

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOOK = """
import sys, twisted.plugins.chattwist_plugin
print([name for name in sys.modules if name.split(".")[0] == "chattwist"])
"""


class PluginTests(SynchronousTestCase):
    def test_listed(self) -> None:
        """Twistd lists both commands, and finds their options and services."""
        found = {maker.tapname: maker for maker in getPlugins(IServiceMaker)}
        for name, module in ("chatreplica", "chattwist.tap"), ("chatcluster", "chattwist.clustertap"):
            self.assertIn(name, found)
            self.assertEqual(found[name].options.__module__, module)
            self.assertTrue(callable(found[name].makeService))

    def test_imports_no_project_code(self) -> None:
        """An error in the project cannot take the command out of ``twistd --help``, nor can its size slow that down."""
        found = subprocess.run([sys.executable, "-c", LOOK], cwd=ROOT, capture_output=True, text=True, check=True)
        self.assertEqual(found.stdout, "[]\n")
