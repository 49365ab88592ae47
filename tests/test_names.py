"""Who has which name."""

from typing import Any, SupportsIndex

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from chattwist import model, names
from chattwist.accounts import Accounts
from chattwist.names import Names, fold, is_name


class NameTests(SynchronousTestCase):
    """Names and their order."""

    def test_is_name(self) -> None:
        """1 to 32 letters, digits, dots, underscores and minus signs, beginning with a letter."""
        for name in ("a", "Z", "a" * 32, "a.b_c-9"):
            self.assertTrue(is_name(name))
        for name in ("", "1a", "a" * 33, "a b", "a\n", "ä", "~a", "-a", "a~2"):
            self.assertFalse(is_name(name), name)

    def test_other_letters(self) -> None:
        """Case is that of our letters only: the Kelvin sign, whose small form is k, finds nobody."""
        names = Names()
        names.claim("Kim", None, (1, 1, "a-1"))
        self.assertEqual([names.find(name) for name in ("kIM", "\N{KELVIN SIGN}im")], ["a-1", None])
        self.assertEqual(names.page("\N{KELVIN SIGN}", "", 9), ([], False))

    @given(
        st.lists(st.from_regex(r"[a-cA-C]{1,3}", fullmatch=True), unique_by=str.lower),
        st.from_regex(r"[a-cA-C]{0,2}", fullmatch=True),
        st.integers(1, 5),
        st.sets(st.from_regex(r"[a-cA-C]{1,3}", fullmatch=True)),
    )
    def test_pages(self, registered: list[str], prefix: str, size: int, hidden: set[str]) -> None:
        """Pages joined are all names that begin with the prefix, without case, in order, each once; but not the hidden."""
        names = Names()
        for index, name in enumerate(registered):
            names.claim(name, None, (False, index, name))
        found: list[str] = []
        more, after = True, ""
        while more:
            page, more = names.page(prefix, after, size, hidden)
            self.assertLessEqual(len(page), size)
            found, after = found + page, page[-1] if page else ""
        expected = [name for name in registered if fold(name).startswith(fold(prefix)) and name not in hidden]
        self.assertEqual(found, sorted(expected, key=fold))

    def test_claims(self) -> None:
        """The earliest claim has the name, later ones a number behind it; a claim that ends moves the later ones up."""
        names = Names()
        names.claim("bob", None, (1, 2, "b"))
        self.assertEqual(names.claim("Bob", None, (1, 1, "a")), [("a", ""), ("b", "~2")])
        self.assertEqual((names.find("BOB"), names.find("bob~2"), len(names)), ("a", "b", 2))
        found = [names.claimants(name) for name in ("BOB", "bob~2", "eve")]
        self.assertEqual(found, [["a", "b"], ["b"], []])
        self.assertEqual(names.claim("bob", (1, 2, "b"), (0, 2, "b")), [("b", ""), ("a", "~2")])
        self.assertEqual((names.find("BOB"), names.find("bob~2"), len(names)), ("b", "a", 2))
        self.assertEqual(names.claim("Bob", (1, 1, "a"), None), [("b", "")])
        self.assertEqual((names.find("bob"), names.find("bob~2"), len(names)), ("b", None, 1))

    @given(
        st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 3))),
        st.sampled_from([0, 1, names.FEW]),
    )
    def test_in_order_whatever_comes_and_goes(self, changes: list[tuple[str, int]], few: int) -> None:
        """Pages are in order, whether names came one by one, many together, or went before anybody asked."""
        self.patch(names, "FEW", few)
        all_names, living = Names(), set[tuple[str, int]]()
        for name, number in [*changes, ("e", 0)]:
            claim = (1.0, number, f"{name}-{number}")
            all_names.claim(name, *((claim, None) if (name, number) in living else (None, claim)))
            living ^= {(name, number)}
            if number == 0:
                self.assertEqual(all_names.page("", "", 99)[0], [f"{one}-{its}" for one, its in sorted(living)])


class Moved(list[str]):
    """A list that counts how many of its elements were moved to make room for one, or to close a gap."""

    moved = 0

    def insert(self, index: SupportsIndex, name: str) -> None:
        self.moved += len(self) - int(index)
        super().insert(index, name)

    def __delitem__(self, index: Any) -> None:
        self.moved += len(self) - int(index)
        super().__delitem__(index)


class ManyNamesTests(SynchronousTestCase):
    """What it costs to have many: a replica that starts takes in all of them one after the other."""

    def setUp(self) -> None:
        self.accounts = Accounts()
        self.ordered = self.accounts.names._ordered = Moved()
        for n in range(3000, 0, -1):  # each stands before all others
            self.accounts.registered(model.Registered(f"a-{n}", n, f"u{n:04}", "hash"))

    def test_new_names_are_put_in_together(self) -> None:
        """Not each by itself, which would move all others each time."""
        page, more = self.accounts.names.page("", "", 3000)
        self.assertEqual((page, more), ([f"a-{n}" for n in range(1, 3001)], False))
        self.assertLess(self.ordered.moved, 3000 * 3000 // 10)

    def test_a_confirmation_moves_nothing(self) -> None:
        """A name that stays what it is stays where it is."""
        names = self.accounts.names
        names.page("", "", 1)
        before = self.ordered.moved
        for n in range(1, 101):
            self.accounts.confirmed(model.Confirmed(f"b-{n}", 5000 + n, f"a-{n}"))
        names.page("", "", 1)
        self.assertEqual(self.ordered.moved - before, 0)
        self.assertEqual(len(self.accounts.unconfirmed), 2900)
