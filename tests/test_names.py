"""Who has which name."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

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
        names.add("Kim", (1, 1, "a-1"))
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
            names.add(name, (False, index, name))
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
        names.add("bob", (False, 2, "b"))
        self.assertEqual(names.add("Bob", (False, 1, "a")), [("a", ""), ("b", "~2")])
        self.assertEqual((names.find("BOB"), names.find("bob~2"), len(names)), ("a", "b", 2))
        self.assertEqual(names.remove("Bob", (False, 1, "a")), [("b", "")])
        self.assertEqual((names.find("bob"), names.find("bob~2"), len(names)), ("b", None, 1))
