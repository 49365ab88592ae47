"""Which part may know which: the pure ones no Twisted, and the arrows between the packages."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

SHELL = {  # the modules that may import Twisted; all others are pure
    "chattwist.clustertap",
    "chattwist.commits",
    "chattwist.daemon",
    "chattwist.farewell",
    "chattwist.loading",
    "chattwist.logins",
    "chattwist.member",
    "chattwist.options",
    "chattwist.passwords",
    "chattwist.replica",
    "chattwist.service",
    "chattwist.supervised",
    "chattwist.supervisor",
    "chattwist.tap",
    "chattwist.protocol.client",
    "chattwist.protocol.crowd",
    "chattwist.protocol.server",
    "chattwist.replication.broker",
    "chattwist.replication.channel",
    "chattwist.replication.guard",
    "chattwist.replication.inbound",
    "chattwist.replication.listener",
    "chattwist.replication.outbound",
    "chattwist.replication.sending",
    "chattwist.replication.tls",
    "chattwist.store.salvage",
    "chattwist.store.store",
    "chattwist.store.writer",
}
CORE = [
    "errors",
    "model",
    "names",
    "accounts",
    "byid",
    "retrykeys",
    "chat",
    "requests",
]  # each may import those before it
PARTS = {"protocol", "replication", "store"}
TOP = {"replica", "tap", "clustertap", "options", "supervised", "supervisor", "daemon"}


def modules() -> Iterator[tuple[str, str]]:
    """Name and path of every module of the package."""
    for folder, _, names in os.walk(os.path.join(ROOT, "chattwist")):
        package = os.path.relpath(folder, ROOT).replace(os.sep, ".")
        for name in names:
            if name.endswith(".py"):
                yield (package if name == "__init__.py" else f"{package}.{name[:-3]}"), os.path.join(folder, name)


def imports(path: str) -> set[str]:
    """All that the module at ``path`` imports, wherever in it: ``from a import b`` is ``a.b``."""
    with open(path) as file:
        nodes = list(ast.walk(ast.parse(file.read())))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return whole | {f"{node.module}.{alias.name}" for node in froms for alias in node.names}


def parts_of_project(path: str) -> set[str]:
    """What the module at ``path`` imports of the project, each by the word behind ``chattwist.``."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("chattwist.")}


class PurityTests(SynchronousTestCase):
    def test_exceptions_are_modules(self) -> None:
        """Each module that may import Twisted is there: no name waits to excuse another."""
        self.assertEqual(SHELL - {name for name, _ in modules()}, set())

    def test_pure_modules_import_no_twisted(self) -> None:
        """Each pure module, imported alone, brings no Twisted with it: it runs in a simulation as in production."""
        pure = [name for name, _ in modules() if name not in SHELL]
        self.assertIn("chattwist.chat", pure)
        look = "import importlib, sys; importlib.import_module(sys.argv[1]); sys.exit('twisted' in sys.modules)"
        tainted = [name for name in pure if subprocess.run([sys.executable, "-c", look, name], cwd=ROOT).returncode]
        self.assertEqual(tainted, [])


class ArrowTests(SynchronousTestCase):
    def test_parts_know_nothing_of_each_other(self) -> None:
        """Of protocol, replication and store, none imports another, nor what joins them."""
        for name, path in modules():
            part = name.split(".")[1] if "." in name else ""
            if part in PARTS:
                self.assertEqual(parts_of_project(path) & (PARTS | TOP) - {part}, set(), name)

    def test_the_core_knows_only_itself(self) -> None:
        """The model and the chat import none of the parts around them, and no circle among themselves."""
        for place, name in enumerate(CORE):
            known = parts_of_project(os.path.join(ROOT, "chattwist", f"{name}.py"))
            self.assertLessEqual(known, set(CORE[:place]), name)

    def test_imports_are_absolute(self) -> None:
        """No relative import hides from the tests above."""
        for name, path in modules():
            with open(path) as file:
                nodes = ast.walk(ast.parse(file.read()))
            self.assertEqual([n.lineno for n in nodes if isinstance(n, ast.ImportFrom) and n.level], [], name)
