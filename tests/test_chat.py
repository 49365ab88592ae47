"""The chat as a set of operations: what any order of them makes."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from chattwist import chat as chat_module
from chattwist import model
from chattwist.chat import FORGOTTEN_AT_ONCE, Chat, newest
from chattwist.model import place
from chattwist.retrykeys import LIFETIME

ACCOUNTS = ["a-1", "a-2", "b-1"]
MESSAGES = [f"m-{n}" for n in range(1, 6)]


def operations() -> st.SearchStrategy[model.AnyOperation]:
    """Operations that contradict each other as only two halves of a cut cluster's can: shared names, keys, targets."""
    at = st.integers(1, 40).map(lambda n: n * LIFETIME // 10)  # some more than a day apart
    account = st.sampled_from(ACCOUNTS)
    some = st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=3).map(tuple)
    key = st.sampled_from(["", "k1", "k2"])
    view = st.integers(0, 2)
    return st.one_of(
        st.builds(model.Registered, account, at, st.sampled_from(["bob", "Bob", "eve"]), st.just("hash"), key),
        st.builds(model.Confirmed, st.sampled_from(["c-1", "c-2"]), at, account),
        st.builds(
            model.PasswordChanged, st.sampled_from(["p-1", "p-2"]), at, account, st.sampled_from("xy"), key, view
        ),
        st.builds(model.Unregistered, st.sampled_from(["u-1", "u-2"]), at, account, key),
        st.builds(model.Sent, st.sampled_from(MESSAGES), at, account, account, st.just("hi"), key, view),
        st.builds(model.Deleted, st.sampled_from(["d-1", "d-2"]), at, account, some, key),
        st.builds(model.Read, st.sampled_from(["r-1", "r-2"]), at, account, some, key),
    )


def unique(drawn: list[model.AnyOperation]) -> list[model.AnyOperation]:
    """One operation an id, as origin stamps guarantee."""
    return list({operation.id: operation for operation in drawn}.values())


def made_of(given_operations: list[model.AnyOperation], tidy: bool = False) -> Chat:
    """The chat that these make; with ``tidy`` it is always rid of what is nobody's."""
    chat = Chat()
    for operation in given_operations:
        chat.apply(operation)
        if tidy:
            chat.tidy()
    return chat


def seen(chat: Chat) -> object:
    """All that anybody can see of a chat."""
    while chat.tidy():
        pass
    accounts = {
        account.id: (
            account.shown,
            account.password,
            [message.id for message in account.messages],
            [message.id for message in chat.newest_unread(account, 9)],
            account.unread_from,
        )
        for account in chat.accounts.values()
        if account.registered or account.messages
    }
    pairs = {
        (account.id, name): [
            [message.id for message in messages] for messages in chat.with_account(account, name) or []
        ]
        for account in chat.accounts.values()
        for name in ("bob", "bob~2", "~bob", "eve", "~eve")
        if account.registered and not account.deleted
    }
    used = {(a, k): chat.keys.done_before(a, k, 0) for a in ACCOUNTS for k in ("k1", "k2")}
    keys = {one: done and done.id for one, done in used.items()}  # of a deleted message the text is gone
    former = {pair: sorted(found) for pair, found in pairs.items()}
    return accounts, former, chat.names.page("", "", 9), chat.messages, keys, chat.latest


class MergeTests(SynchronousTestCase):
    """Replicas that hold the same operations show the same chat."""

    @settings(max_examples=300)
    @given(st.lists(operations(), max_size=24).map(unique), st.randoms(use_true_random=False))
    def test_order_does_not_matter(self, drawn: list[model.AnyOperation], chance: random.Random) -> None:
        """Merging is commutative: any order gives the same chat."""
        shuffled = drawn[:]
        chance.shuffle(shuffled)
        self.assertEqual(seen(made_of(drawn)), seen(made_of(shuffled, tidy=True)))

    @settings(max_examples=300)
    @given(st.lists(operations(), max_size=16).map(unique), st.randoms(use_true_random=False))
    def test_repetition_does_not_matter(self, drawn: list[model.AnyOperation], chance: random.Random) -> None:
        """Merging is idempotent: an operation may come again, at any time."""
        again = drawn + chance.choices(drawn, k=len(drawn)) if drawn else drawn
        self.assertEqual(seen(made_of(drawn)), seen(made_of(again)))

    @settings(max_examples=300)
    @given(st.lists(operations(), max_size=24).map(unique), st.integers(0, 24), st.integers(0, 24))
    def test_grouping_does_not_matter(self, drawn: list[model.AnyOperation], one: int, two: int) -> None:
        """Merging is associative: three parts may be put together left or right first."""
        first, second, third = drawn[:one], drawn[one : one + two], drawn[one + two :]
        self.assertEqual(seen(made_of(first + second + third)), seen(made_of(second + third + first)))


def two_accounts() -> Chat:
    """Ann and Bob."""
    return made_of([model.Registered("a-1", 1, "Ann", "h"), model.Registered("b-1", 2, "bob", "h")])


class Counted(list[model.Sent]):
    """Messages that count how often something in them is replaced or taken out."""

    passes = 0

    def __delitem__(self, index: Any) -> None:
        self.passes += 1
        super().__delitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.passes += 1
        super().__setitem__(index, value)


class ChatTests(SynchronousTestCase):
    """What the operations mean, one at a time."""

    def test_a_deletion_that_comes_first_holds(self) -> None:
        """A message whose deletion is known already never appears."""
        chat = two_accounts()
        chat.apply(model.Deleted("d-1", 9, "a-1", ("m-1",)))
        chat.apply(model.Sent("m-1", 5, "a-1", "b-1", "hi"))
        self.assertEqual((chat.messages, chat.accounts["b-1"].unread), ({}, {}))

    def test_what_is_left_of_a_deleted_message(self) -> None:
        """A message without its text is a deleted one, of a replica that compacted it: it never shows, not even for a moment."""
        chat = two_accounts()
        chat.apply(model.Sent("m-1", 5, "a-1", "b-1", ""))
        self.assertEqual((chat.messages, chat.accounts["b-1"].unread), ({}, {}))

    def test_copies_are_deleted_with_the_one_that_counts(self) -> None:
        """Also by the id of one that nobody sees, which its sender may have been told (R6)."""
        for deleted in "m-1", "n-1":
            chat = two_accounts()
            for message in (
                model.Sent("m-1", 5, "a-1", "b-1", "hi", "k", 2),
                model.Sent("n-1", 6, "a-1", "b-1", "hi", "k", 1),
            ):
                chat.apply(message)
            self.assertEqual(list(chat.messages), ["m-1"])
            chat.apply(model.Deleted("d-1", 9, "a-1", (deleted,)))
            self.assertEqual(list(chat.messages), [])

    def test_what_is_deleted_together_is_taken_out_together(self) -> None:
        """One deletion of many goes through each list that they are in once: a list may hold a million."""
        chat = two_accounts()
        ann, bob = chat.accounts["a-1"], chat.accounts["b-1"]
        ann.messages, bob.messages, chat._pairs["a-1", "b-1"] = lists = [Counted() for _ in range(3)]
        for n in range(20):
            chat.apply(model.Sent(f"m-{n}", 10 + n // 2, "a-1", "b-1", "hi", "key" if n == 15 else ""))
        chat.apply(model.Sent("n-1", 20, "a-1", "b-1", "hi", "key"))  # it stands for m-15 from now on
        before = [messages.passes for messages in lists]
        chat.apply(model.Deleted("d-1", 99, "a-1", ("m-18", "m-3", "m-4", "x", "m-3", "m-15", "m-0")))
        left = sorted((10 + n // 2, f"m-{n}") for n in range(20) if n not in (0, 3, 4, 15, 18))
        self.assertEqual([[place(message) for message in messages] for messages in lists], [left] * 3)
        self.assertEqual([messages.passes - one for messages, one in zip(lists, before, strict=True)], [1, 1, 1])
        self.assertEqual((len(chat.messages), len(bob.unread), bob.unread_from), (15, 15, {"a-1": 15}))

    def test_nobodys_messages_go_in_steps(self) -> None:
        """What was between two deleted accounts goes a few thousand at a time, also if a deletion comes in between."""
        chat, count = two_accounts(), FORGOTTEN_AT_ONCE + 9
        for n in range(count):
            chat.apply(model.Sent(f"m-{n}", n, "a-1", "b-1", "hi"))
        for n, account in enumerate(("a-1", "b-1")):
            chat.apply(model.Unregistered(f"u-{n}", count + n, account))
        sizes = []
        while chat.tidy():
            sizes.append(len(chat.messages))
            chat.apply(model.Deleted(f"d-{len(sizes)}", 2 * count, "a-1", ("m-0", "m-1", f"m-{count - 1}")))
        self.assertEqual((sizes, len(chat.messages)), ([9, 0], 0))

    def test_what_was_done_under_a_key(self) -> None:
        """Whatever a session did under a retry key is found by it, also by the next primary (R6)."""
        done: list[model.Keyed] = [
            model.Sent("m-1", 5, "a-1", "b-1", "hi", "k1"),
            model.Read("m-2", 6, "a-1", ("m-1",), "k2"),
            model.Deleted("m-3", 7, "a-1", ("m-9",), "k3"),
            model.PasswordChanged("m-4", 8, "a-1", "new", "k4"),
            model.Unregistered("m-5", 9, "a-1", "k5"),
        ]
        chat = two_accounts()
        for operation in done:
            chat.apply(operation)
        self.assertEqual([chat.keys.done_before("a-1", operation.key, 10) for operation in done], done)

    def test_unread_are_listed_by_age_whatever_their_order(self) -> None:
        """The newest unread messages are those sent last, also when an older one gets known late, to however many others."""
        for most in chat_module.MOST_SORTED, 3:
            self.patch(chat_module, "MOST_SORTED", most)
            chat = two_accounts()
            for n, at in ((1, 50), (2, 70), (3, 60), (4, 80), (5, 90), (6, 65)):
                chat.apply(model.Sent(f"m-{n}", at, "a-1", "b-1", "hi"))
            chat.apply(model.Sent("m-7", 99, "b-1", "a-1", "from bob himself"))
            chat.apply(model.Read("r-1", 100, "b-1", ("m-4",)))
            found = chat.newest_unread(chat.accounts["b-1"], 3)
            self.assertEqual([message.id for message in found], ["m-6", "m-2", "m-5"])

    def test_one_read_of_very_many(self) -> None:
        """READ takes no longer for a full mailbox, also where some of it came late: it does not sort all of it."""
        chat, compared = two_accounts(), 0
        for n in range(chat_module.MOST_SORTED + 1):
            chat.apply(model.Sent(f"m-{n}", 50 + n, "a-1", "b-1", "hi"))
        chat.apply(model.Sent("c-1", 51, "a-1", "b-1", "late"))

        def counted(message: model.Sent) -> model.Place:
            nonlocal compared
            compared += 1
            return model.place(message)

        self.patch(chat_module, "place", counted)
        self.assertEqual(len(chat.newest_unread(chat.accounts["b-1"], 50)), 50)
        self.assertLess(compared, 100)

    def test_pages_of_history_join_without_gap_or_repetition(self) -> None:
        """Going back page by page shows each message once."""
        chat = two_accounts()
        sent = [model.Sent(f"m-{n}", 10 + n, "a-1", "b-1", "hi") for n in range(10)]
        for message in sent:
            chat.apply(message)
        pages: list[model.Sent] = []
        more, before = True, None
        while more:
            page, more = newest([chat.accounts["a-1"].messages], 3, before)
            pages, before = page + pages, place(page[0])
        self.assertEqual(pages, sent)

    def test_the_last_view_counts(self) -> None:
        """Of two messages under one key, and of two passwords, the one of the later view stays, whatever the clocks say.

        A primary that was cut off, with a clock that is ahead, recorded the other; nobody was told that it did.
        """
        cut_off: list[model.AnyOperation] = [
            model.Sent("m-1", 9000, "a-1", "b-1", "hi", "key", 5),
            model.PasswordChanged("p-1", 9001, "a-1", "not told", "", 5),
        ]
        went_on: list[model.AnyOperation] = [
            model.Sent("n-1", 1000, "a-1", "b-1", "hi", "key", 6),
            model.PasswordChanged("q-1", 1001, "a-1", "told", "", 6),
        ]
        for order in (cut_off + went_on, went_on + cut_off):
            chat = two_accounts()
            for operation in order:
                chat.apply(operation)
            self.assertEqual(list(chat.messages), ["n-1"])
            self.assertIs(chat.keys.done_before("a-1", "key", 9000), went_on[0])
            self.assertEqual(chat.accounts["a-1"].password, "told")

    def test_a_copy_that_comes_late(self) -> None:
        """A message that was stored twice under its key, by a replica that was away for days, is one everywhere (R2, R6)."""
        late = [
            model.Sent("m-1", 1000, "a-1", "b-1", "one", "k1", 1),
            model.Sent("m-2", 1001, "a-1", "b-1", "two", "k2", 1),
        ]
        ours: list[model.AnyOperation] = [
            model.Sent("n-1", 2000, "a-1", "b-1", "one", "k1", 2),
            model.Sent("n-2", 2001, "a-1", "b-1", "two", "k2", 2),
            model.Deleted("n-3", 2002, "a-1", ("n-2",)),
        ]
        stayed, restarted = two_accounts(), two_accounts()
        for operation in ours:
            stayed.apply(operation)
        for minute in range(3 * 24 * 60):
            stayed.keys.forget(3000 + minute * 60_000_000)
        for operation in late:
            stayed.apply(operation)
        for operation in [*ours, *late]:
            restarted.apply(operation)
        self.assertEqual([*stayed.messages], ["n-1"])
        self.assertEqual([*restarted.messages], ["n-1"])

    def test_a_retry_key_used_again_after_a_day(self) -> None:
        """It names another message then, also for a replica that loads both; within the day the last one counts."""
        day = LIFETIME
        chat = two_accounts()
        for n, at in ((1, 10), (2, 20 + day), (3, 30 + day)):
            chat.apply(model.Sent(f"m-{n}", at, "a-1", "b-1", "hi", "key"))
        self.assertEqual(list(chat.messages), ["m-1", "m-3"])
        last = chat.keys.done_before("a-1", "key", 40 + day)
        self.assertEqual(last and last.id, "m-3")
        chat.keys.forget(40 + day)
        self.assertEqual(chat.keys.done_before("a-1", "key", 40 + day), last)
