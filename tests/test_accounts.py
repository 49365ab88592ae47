"""Accounts as the operations make them: who has which name, and what is left of those that are deleted."""

from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.chat import newest
from tests.test_chat import made_of, two_accounts


class AccountTests(SynchronousTestCase):
    def test_a_registration_that_was_confirmed_keeps_the_name(self) -> None:
        """Nobody who was told "yes" is renamed for one of which nobody was told, or somebody was told so later (R19)."""
        chat = two_accounts()
        chat.apply(model.Confirmed("n-1", 3, "b-1"))
        chat.apply(model.Registered("c-1", 1, "Bob", "h"))
        self.assertEqual((chat.accounts["b-1"].name, chat.accounts["c-1"].name), ("bob", "Bob~2"))
        chat.apply(model.Confirmed("n-2", 4, "c-1"))
        self.assertEqual((chat.accounts["b-1"].name, chat.accounts["c-1"].name), ("bob", "Bob~2"))
        chat.apply(model.Confirmed("o-2", 2, "c-1"))
        self.assertEqual((chat.accounts["b-1"].name, chat.accounts["c-1"].name), ("bob~2", "Bob"))
        chat.apply(model.Confirmed("o-3", 9, "c-1"))
        self.assertEqual((chat.accounts["b-1"].name, chat.accounts["c-1"].name), ("bob~2", "Bob"))

    def test_a_registration_repeated_is_one_account(self) -> None:
        """What a lost primary kept of a REGISTER that was repeated with its key never shows, not even when the account ends."""
        chat = two_accounts()
        chat.apply(model.Registered("e-1", 6, "eve", "h", "key"))
        chat.apply(model.Confirmed("n-1", 7, "e-1"))
        chat.apply(model.Registered("e-2", 5, "eve", "h", "key"))
        self.assertEqual([chat.names.find("eve"), chat.names.find("eve~2")], ["e-1", None])
        chat.apply(model.Unregistered("u-1", 8, "e-1"))
        self.assertIsNone(chat.account("eve"))
        self.assertNotIn("e-2", chat.accounts.unconfirmed)

    def test_nobody_waits_for_the_confirmation_of_what_is_nobodys(self) -> None:
        """Of a copy, or of an account that is deleted, none will come: a login that asked for one would ask for ever."""
        chat = two_accounts()
        chat.apply(model.Registered("e-2", 6, "eve", "h", "key"))
        chat.apply(model.Registered("e-1", 5, "eve", "h", "key"))
        self.assertEqual(chat.accounts.unconfirmed - {"a-1", "b-1"}, {"e-1"})
        chat.apply(model.Unregistered("u-1", 8, "e-1"))
        self.assertEqual(chat.accounts.unconfirmed - {"a-1", "b-1"}, set())

    def test_a_registration_confirmed_twice_is_two_accounts(self) -> None:
        """Where two sides of a cut each told yes to one REGISTER, neither of the accounts is lost."""
        chat = two_accounts()
        for n in 1, 2:
            chat.apply(model.Registered(f"e-{n}", 4 + n, "eve", "h", "key"))
            chat.apply(model.Confirmed(f"n-{n}", 6 + n, f"e-{n}"))
        self.assertEqual([chat.names.find("eve"), chat.names.find("eve~2")], ["e-1", "e-2"])

    def test_a_new_account_inherits_nothing(self) -> None:
        """Deleted, an account is shown as ~name; a new one of its name has neither its messages nor its place in them."""
        chat = two_accounts()
        chat.apply(model.Sent("m-1", 5, "a-1", "b-1", "hi"))
        chat.apply(model.Unregistered("u-1", 6, "b-1"))
        chat.apply(model.Registered("c-1", 7, "Bob", "h"))
        ann, new = chat.accounts["a-1"], chat.account("bob")
        assert new is not None
        self.assertEqual((new.id, new.messages, new.unread), ("c-1", [], {}))
        old = chat.accounts["b-1"]
        self.assertEqual((old.messages, old.unread, old.unread_from), ([], {}, {}))
        self.assertEqual(chat.accounts[ann.messages[0].recipient].shown, "~bob")
        self.assertEqual(chat.with_account(ann, "bob"), [])
        self.assertEqual(chat.with_account(ann, "~BOB"), [ann.messages])
        before = made_of([model.Unregistered("u-1", 6, "b-1"), model.Sent("m-1", 5, "a-1", "b-1", "hi")])
        for operation in model.Registered("a-1", 1, "Ann", "h"), model.Registered("b-1", 2, "bob", "h"):
            before.apply(operation)
        self.assertEqual(before.with_account(before.accounts["a-1"], "~bob"), [ann.messages])

    def test_deleted_on_both_sides_of_a_cut(self) -> None:
        """An account of which two sides of a cut recorded the end is one former account: its messages show once."""
        chat = two_accounts()
        chat.apply(model.Sent("m-1", 5, "a-1", "b-1", "hi"))
        for n in 1, 2:
            chat.apply(model.Unregistered(f"u-{n}", 5 + n, "b-1"))
        ann = chat.accounts["a-1"]
        self.assertEqual(chat.with_account(ann, "~bob"), [ann.messages])

    def test_several_former_accounts(self) -> None:
        """What was written with several accounts that had one name is shown in the order in which it was sent."""
        chat = two_accounts()
        chat.apply(model.Registered("c-1", 3, "bob", "h"))
        sent = [model.Sent(f"m-{n}", 10 + n, "a-1", ("b-1", "c-1")[n % 2], "hi") for n in range(6)]
        for message in sent:
            chat.apply(message)
        for n, account in enumerate(("b-1", "c-1")):
            chat.apply(model.Unregistered(f"u-{n}", 20 + n, account))
        lists = chat.with_account(chat.accounts["a-1"], "~bob")
        assert lists is not None
        self.assertEqual(newest(lists, 4, None), (sent[2:], True))

    def test_the_earlier_account_keeps_the_name(self) -> None:
        """Of two accounts with one name the earlier keeps it, and the other has it again once the earlier is deleted."""
        chat = two_accounts()
        chat.apply(model.Registered("c-1", 1, "BOB", "h"))
        self.assertEqual([chat.accounts[a].name for a in ("b-1", "c-1")], ["bob~2", "BOB"])
        chat.apply(model.Unregistered("u-1", 6, "c-1"))
        self.assertEqual(chat.accounts["b-1"].name, "bob")
