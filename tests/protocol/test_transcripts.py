"""The protocol as it is spoken: every command and every reply, read like a specification.

``ann >`` is what ann sends, ``ann <`` the next line she gets; nobody gets a line that is not shown.
"""

from twisted.trial.unittest import SynchronousTestCase

from chattwist.cluster import Limits
from chattwist.errors import TryLater
from tests.wire import World

ANN_AND_BOB = """
    ann > REGISTER ann secret-of-ann
    ann < 230 ann 0 unread
    bob > REGISTER Bob secret-of-bob
    bob < 230 Bob 0 unread
"""
ALL = "2026-11-22T12:00:00Z"


class TranscriptTests(SynchronousTestCase):
    """One command at a time."""

    def setUp(self) -> None:
        self.world = World()

    def play(self, script: str) -> None:
        """Play a transcript."""
        self.world.play(script)

    def test_greeting(self) -> None:
        """The first line names the server and its replica, and ends with CR LF until the client has shown its own ending."""
        self.assertEqual(
            self.world.connect("ann").received(), b"220 chattwist 5001 ready (HELP lists the commands)\r\n"
        )

    def test_register(self) -> None:
        """REGISTER makes an account and logs in."""
        self.play("""
            ann > REGISTER ann secret-of-ann
            ann < 230 ann 0 unread
            ann > WHO
            ann < 212-ann
            ann < 212 1 online
        """)

    def test_register_asks_twice(self) -> None:
        """Without the password REGISTER asks for it twice; there it may have spaces."""
        self.play("""
            ann > REGISTER ann
            ann < 331 choose a password for ann, 8 to 1024 bytes; an empty line cancels; it shows while you type (telnet hides it)
            ann > a pass phrase
            ann < 331 the same password again; an empty line cancels; it shows while you type (telnet hides it)
            ann > a pass phrase
            ann < 230 ann 0 unread
            ann > LOGOUT
            ann < 250 logged out; LOGIN or QUIT
            ann > LOGIN ann
            ann < 331 password; an empty line cancels; it shows while you type (telnet hides it)
            ann > a pass phrase
            ann < 230 ann 0 unread
        """)

    def test_register_refused(self) -> None:
        """Passwords that differ, an empty line, a short password, a bad name, a name that is taken in any case."""
        self.play("""
            ann > REGISTER ann
            ann < 331 choose a password for ann, 8 to 1024 bytes; an empty line cancels; it shows while you type (telnet hides it)
            ann > one-password
            ann < 331 the same password again; an empty line cancels; it shows while you type (telnet hides it)
            ann > two-password
            ann < 501 the two passwords differ; no account was made; REGISTER again
            ann > REGISTER ann
            ann < 331 choose a password for ann, 8 to 1024 bytes; an empty line cancels; it shows while you type (telnet hides it)
            ann >
            ann < 501 REGISTER cancelled: no password given; nothing was done
            ann > REGISTER ann short
            ann < 501 a password is 8 to 1024 bytes long; nothing was done; REGISTER again with another
            ann > REGISTER 1ann secret-of-ann
            ann < 553 a name is 1 to 32 of A-Z a-z 0-9 . _ - and begins with a letter
            ann > REGISTER ann secret-of-ann
            ann < 230 ann 0 unread
            bob > REGISTER ANN secret-of-bob
            bob < 551 the name ANN is taken; choose another
            bob > REGISTER
            bob < 501 usage: REGISTER name [password]
            bob > REGISTER bob secret of bob
            bob < 501 usage: REGISTER name [password]; leave out a password that has spaces, then it is asked for
        """)

    def test_login(self) -> None:
        """One text for a wrong name and a wrong password; one session an account."""
        self.play(ANN_AND_BOB)
        self.play("""
            eve > LOGIN ann wrong-password
            eve < 535 wrong name or password; try again
            eve > LOGIN nobody wrong-password
            eve < 535 wrong name or password; try again
            eve > LOGIN ann secret-of-ann
            eve < 453 ann is logged in elsewhere; TAKEOVER ann ends that session
            eve > TAKEOVER Ann secret-of-ann
            ann < * BYE ann logged in elsewhere; this login is over
            eve < 230 ann 0 unread
            eve > LOGIN bob secret-of-bob
            eve < 503 you are logged in; LOGOUT first, then LOGIN
            ann > UNREAD
            ann < 530 log in first: LOGIN name, or REGISTER name
        """)

    def test_too_many_at_once(self) -> None:
        """Where too many passwords wait to be hashed, one more is told to try later, and nothing was done."""
        self.play(ANN_AND_BOB)

        def busy(*_: object, patient: bool = False, source: str = "") -> None:
            raise TryLater("too many logins at once; try again in a few seconds")

        self.patch(self.world.threads, "run", busy)
        self.play("""
            eve > TAKEOVER ann secret-of-ann
            eve < 450 too many logins at once; try again in a few seconds
            eve > REGISTER eve secret-of-eve
            eve < 450 too many logins at once; try again in a few seconds
            eve > LIST e
            eve < 212 0 accounts
            ann > PASSWD secret-of-ann another-secret
            ann < 450 too many logins at once; try again in a few seconds
        """)

    def test_a_session_ends_with_its_connection(self) -> None:
        """After the connection is lost, or QUIT, the account can log in again."""
        self.play(ANN_AND_BOB)
        self.world.connections.pop("ann").lose()
        self.play("""
            eve > LOGIN ann secret-of-ann
            eve < 230 ann 0 unread
            eve > QUIT
            eve < 221 goodbye
        """)
        self.assertTrue(self.world.connections["eve"].transport.write_closed)
        self.play("""
            joe > LOGIN ann secret-of-ann
            joe < 230 ann 0 unread
        """)

    def test_send(self) -> None:
        """SEND is pushed to who is logged in; the text is kept as it is behind one space, the name is found in any case."""
        self.play(ANN_AND_BOB)
        self.play(f"""
            ann > SEND bob Привет,  世界 👋
            ann < 250 0rigin00-5 sent to Bob, on 1 replicas
            bob < * MSG 0rigin00-5 {ALL} ann Bob Привет,  世界 👋
            bob > send ANN  two spaces
            bob < 250 0rigin00-6 sent to ann, on 1 replicas
            ann < * MSG 0rigin00-6 {ALL} Bob ann  two spaces
        """)

    def test_send_to_who_is_away(self) -> None:
        """A message to an account that is not logged in waits for it."""
        self.play(ANN_AND_BOB)
        self.play(f"""
            bob > LOGOUT
            bob < 250 logged out; LOGIN or QUIT
            ann > SEND bob one
            ann < 250 0rigin00-5 queued for Bob, on 1 replicas
            ann > SEND bob two
            ann < 250 0rigin00-6 queued for Bob, on 1 replicas
            bob > LOGIN bob secret-of-bob
            bob < 230 Bob 2 unread (READ shows the newest)
            bob > UNREAD
            bob < 211-ann 2
            bob < 211 2 unread
            bob > READ 1
            bob < 213-0rigin00-6 {ALL} ann Bob two
            bob < 213 1 messages, 1 unread left
            bob > READ
            bob < 213-0rigin00-5 {ALL} ann Bob one
            bob < 213 1 messages, 0 unread left
            bob > READ
            bob < 213 0 messages, 0 unread left
            bob > READ 0
            bob < 501 usage: READ [n]; n is a number from 1
            bob > HISTORY 0000000002
            bob < 213-0rigin00-5 {ALL} ann Bob one
            bob < 213-0rigin00-6 {ALL} ann Bob two
            bob < 213 2 messages
            bob > READ many
            bob < 501 usage: READ [n]; n is a number from 1
        """)

    def test_send_refused(self) -> None:
        """No such account, no text, nothing visible; control characters are taken out."""
        self.play(ANN_AND_BOB)
        self.play(f"""
            ann > SEND nobody hi
            ann < 550 no account nobody; LIST shows the names
            ann > SEND bob
            ann < 501 usage: SEND name text; the text needs at least one visible character
            ann > SEND bob \u202e\x1b\x07 \u200b
            ann < 501 usage: SEND name text; the text needs at least one visible character
            ann > SEND
            ann < 501 usage: SEND name text
            ann > SEND bob a\x1b[31m\u202eb\tc\x7f\u0085
            ann < 250 0rigin00-5 sent to Bob, on 1 replicas
            bob < * MSG 0rigin00-5 {ALL} ann Bob a[31mb\tc
            eve > SEND bob hi
            eve < 530 log in first: LOGIN name, or REGISTER name
        """)

    def test_a_full_mailbox(self) -> None:
        """An account takes only so many unread messages."""
        self.world = World(Limits(bcrypt_cost=4, mailbox=1))
        self.play(ANN_AND_BOB)
        self.play(f"""
            ann > SEND bob one
            ann < 250 0rigin00-5 sent to Bob, on 1 replicas
            bob < * MSG 0rigin00-5 {ALL} ann Bob one
            ann > SEND bob two
            ann < 552 Bob has 1 unread messages; try again when some are read
            bob > NOOP
            bob < 250 ok
            ann > SEND bob two
            ann < 250 0rigin00-7 sent to Bob, on 1 replicas
            bob < * MSG 0rigin00-7 {ALL} ann Bob two
        """)

    def test_history(self) -> None:
        """HISTORY shows what was sent and received, all or with one account, page by page, and marks nothing."""
        self.play(ANN_AND_BOB)
        self.play(f"""
            ann > SEND bob one
            ann < 250 0rigin00-5 sent to Bob, on 1 replicas
            bob < * MSG 0rigin00-5 {ALL} ann Bob one
            ann > SEND ann note
            ann < * MSG 0rigin00-6 {ALL} ann ann note
            ann < 250 0rigin00-6 sent to ann, on 1 replicas
            ann > HISTORY 1
            ann < 213-0rigin00-6 {ALL} ann ann note
            ann < 213 1 messages, more before 0rigin00-6
            ann > HISTORY 1 BEFORE 0RIGIN00-6
            ann < 213-0rigin00-5 {ALL} ann Bob one
            ann < 213 1 messages
            ann > HISTORY bob
            ann < 213-0rigin00-5 {ALL} ann Bob one
            ann < 213 1 messages
            ann > HISTORY bob 5 BEFORE 0rigin00-5
            ann < 213 0 messages
            ann > HISTORY nobody
            ann < 550 no account nobody; LIST shows the names
            ann > HISTORY bob BEFORE x-9
            ann < 550 no message x-9 of yours; HISTORY shows the ids
            ann > HISTORY bob 1 BEFORE 9
            ann < 550 no message 9 of yours; HISTORY shows the ids
            ann > HISTORY BEFORE 9
            ann < 550 no message 9 of yours; HISTORY shows the ids
            ann > HISTORY bob 1 2
            ann < 501 usage: HISTORY [name] [n] [BEFORE id]; n is a number from 1
            ann > HISTORY 5 5
            ann < 501 usage: HISTORY [name] [n] [BEFORE id]; n is a number from 1
            ann > HISTORY BEFORE
            ann < 501 usage: HISTORY [name] [n] [BEFORE id]; n is a number from 1
            ann > HISTORY bob 0
            ann < 501 usage: HISTORY [name] [n] [BEFORE id]; n is a number from 1
            eve > REGISTER Before secret-of-eve
            eve < 230 Before 0 unread
            ann > HISTORY BEFORE 9
            ann < 213 0 messages
        """)

    def test_delete(self) -> None:
        """DELETE takes messages away for both, all or none, and tells the session that had seen them."""
        self.play(ANN_AND_BOB)
        self.play(f"""
            ann > SEND bob one
            ann < 250 0rigin00-5 sent to Bob, on 1 replicas
            bob < * MSG 0rigin00-5 {ALL} ann Bob one
            ann > DELETE 0rigin00-5 x-1
            ann < 550 no message x-1 of yours; nothing was deleted; HISTORY shows the ids
            ann > DELETE 0rigin00-5 0rigin00-5
            bob < * DELETED 0rigin00-5
            ann < 250 1 deleted
            ann > DELETE 0rigin00-5
            ann < 550 no message 0rigin00-5 of yours; nothing was deleted; HISTORY shows the ids
            bob > HISTORY
            bob < 213 0 messages
            bob > SEND ann two
            bob < 250 0rigin00-8 sent to ann, on 1 replicas
            ann < * MSG 0rigin00-8 {ALL} Bob ann two
            eve > REGISTER eve secret-of-eve
            eve < 230 eve 0 unread
            eve > DELETE 0rigin00-8
            eve < 550 no message 0rigin00-8 of yours; nothing was deleted; HISTORY shows the ids
            eve > DELETE
            eve < 501 usage: DELETE id [id ...]
        """)

    def test_a_deletion_of_what_was_not_shown_is_not_told(self) -> None:
        """A message that a session never saw vanishes without a word."""
        self.play(ANN_AND_BOB)
        self.play("""
            bob > LOGOUT
            bob < 250 logged out; LOGIN or QUIT
            ann > SEND bob one
            ann < 250 0rigin00-5 queued for Bob, on 1 replicas
            bob > LOGIN bob secret-of-bob
            bob < 230 Bob 1 unread (READ shows the newest)
            ann > DELETE 0rigin00-5
            ann < 250 1 deleted
            bob > READ
            bob < 213 0 messages, 0 unread left
        """)

    def test_passwd(self) -> None:
        """PASSWD replaces the password; what it asks for can be cancelled."""
        self.play(ANN_AND_BOB)
        asked = "an empty line cancels; it shows while you type (telnet hides it)"
        self.play(f"""
            ann > PASSWD wrong-password another-secret
            ann < 535 wrong password, the old one stays; try again
            ann > PASSWD secret-of-ann short
            ann < 501 a password is 8 to 1024 bytes long; nothing was done; PASSWD again with another
            ann > PASSWD secret-of-ann
            ann < 501 usage: PASSWD [old new]: both, or none to be asked
            ann > PASSWD secret-of-ann another-secret
            ann < 250 password changed
            ann > PASSWD
            ann < 331 old password; {asked}
            ann > another-secret
            ann < 331 new password, 8 to 1024 bytes; {asked}
            ann > third secret
            ann < 331 new password again; {asked}
            ann > third secret?
            ann < 501 the two new passwords differ; the password stays as it was; PASSWD again
            ann > PASSWD
            ann < 331 old password; {asked}
            ann > another-secret
            ann < 331 new password, 8 to 1024 bytes; {asked}
            ann > third secret
            ann < 331 new password again; {asked}
            ann > third secret
            ann < 250 password changed
            eve > TAKEOVER ann another-secret
            eve < 535 wrong name or password; try again
        """)

    def test_unregister(self) -> None:
        """UNREGISTER deletes the account; its messages stay with the others, from ~name; the name is free again."""
        self.play(ANN_AND_BOB)
        self.play(f"""
            bob > SEND ann bye
            bob < 250 0rigin00-5 sent to ann, on 1 replicas
            ann < * MSG 0rigin00-5 {ALL} Bob ann bye
            bob > UNREGISTER wrong-password
            bob < 535 wrong password, the account stays; try again
            bob > UNREGISTER
            bob < 331 password, to delete this account for good; an empty line cancels; it shows while you type (telnet hides it)
            bob > secret-of-bob
            bob < 250 account deleted; REGISTER or LOGIN with another, or QUIT
            bob > UNREAD
            bob < 530 log in first: LOGIN name, or REGISTER name
            ann > HISTORY ~bob
            ann < 213-0rigin00-5 {ALL} ~Bob ann bye
            ann < 213 1 messages
            ann > SEND bob hi
            ann < 550 no account bob; LIST shows the names
            bob > REGISTER bob another-secret
            bob < 230 bob 0 unread
            bob > HISTORY
            bob < 213 0 messages
        """)

    def test_deleted_accounts_of_one_name(self) -> None:
        """Several deleted accounts of one name are shown alike, and counted together."""
        ann = self.world.connect("ann")
        ann.send(b"REGISTER ann secret-of-ann\nLOGOUT\n")
        ann.received()
        for _ in range(2):
            bob = self.world.connect("bob")
            bob.send(b"REGISTER bob secret-of-bob\nSEND ann hi\nUNREGISTER secret-of-bob\nQUIT\n")
            bob.received()
        self.play("""
            ann > LOGIN ann secret-of-ann
            ann < 230 ann 2 unread (READ shows the newest)
            ann > UNREAD
            ann < 211-~bob 2
            ann < 211 2 unread
        """)

    def test_list(self) -> None:
        """LIST finds accounts by the beginning of their names, without case, in order."""
        self.play(ANN_AND_BOB)
        self.play("""
            eve > LIST
            eve < 212-ann
            eve < 212-Bob
            eve < 212 2 accounts
            eve > LIST B
            eve < 212-Bob
            eve < 212 1 accounts
            eve > LIST *
            eve < 212-ann
            eve < 212-Bob
            eve < 212 2 accounts
            eve > LIST * after ANN
            eve < 212-Bob
            eve < 212 1 accounts
            eve > LIST x
            eve < 212 0 accounts
            eve > LIST a AFTER
            eve < 501 usage: LIST [prefix [AFTER name]]
            ann > WHO AFTER ann
            ann < 212-Bob
            ann < 212 1 online
            ann > WHO ann
            ann < 501 usage: WHO [AFTER name]
        """)

    def test_web_words(self) -> None:
        """A browser is told where it is; a message may end as a browser's first line does."""
        self.play(ANN_AND_BOB)
        self.play(f"""
            ann > SEND bob GET / HTTP/1.1
            ann < 250 0rigin00-5 sent to Bob, on 1 replicas
            bob < * MSG 0rigin00-5 {ALL} ann Bob GET / HTTP/1.1
            eve > GET / HTTP/1.1
            eve < 500 this is chat, not the web; connect with telnet or nc and type HELP
        """)

    def test_pages_of_who(self) -> None:
        """WHO comes in pages, in order, without who left."""
        for number in range(103):
            self.world.connect(f"c{number}").send(b"REGISTER n%03d secret-of-n\n" % number)
        self.world.connections["c0"].lose()
        ann = self.world.connections["c102"]
        ann.received()
        ann.send(b"WHO\nWHO AFTER N100\n")
        lines = ann.received().decode().splitlines()
        self.assertEqual(lines[:1] + lines[99:], ["212-n001", "212-n100", "212 100 online, more after n100",
                                                  "212-n101", "212-n102", "212 2 online"])  # fmt: skip

    def test_pages_of_names(self) -> None:
        """More than 100 names come in pages."""
        world = self.world
        ann = world.connect("ann")
        for number in range(101):
            ann.send(b"REGISTER n%03d secret-of-n\nLOGOUT\n" % number)
        ann.received()
        ann.send(b"LIST N\nLIST n AFTER n099\n")
        lines = ann.received().decode().splitlines()
        self.assertEqual(lines[:1] + lines[98:], ["212-n000", "212-n098", "212-n099", "212 100 accounts, more after n099",
                                                  "212-n100", "212 1 accounts"])  # fmt: skip

    def test_status_noop_and_nonsense(self) -> None:
        """What needs no login, and what is no command."""
        self.play("""
            ann > STATUS
            ann < 211-replica 5001 primary live
            ann < 211-replica 5002 - down
            ann < 211-replica 5003 - down
            ann < 211 primary 5001 view 1 live 1 of 3 mode available
            ann > NOOP
            ann < 250 ok
            ann >
            ann > FROBNICATE now
            ann < 500 not a command: FROBNICATE; HELP lists the commands
            ann > GET / HTTP/1.1
            ann < 500 this is chat, not the web; connect with telnet or nc and type HELP
            ann > NOOP now
            ann < 501 usage: NOOP
        """)

    def test_tags(self) -> None:
        """A tag comes back on each line of its command's reply, also of what it asks for, and of errors; never on events."""
        self.play(ANN_AND_BOB)
        self.play(f"""
            ann > @t1 UNREAD
            ann < @t1 211 0 unread
            ann > @t.2 SEND bob hi
            ann < @t.2 250 0rigin00-5 sent to Bob, on 1 replicas
            bob < * MSG 0rigin00-5 {ALL} ann Bob hi
            ann > @t3 FROBNICATE
            ann < @t3 500 not a command: FROBNICATE; HELP lists the commands
            ann > @t4
            ann < @t4 500 no command behind the tag; HELP lists the commands
            ann > @not/a/tag NOOP
            ann < 500 a tag is @, or @! for a retry key, and 1 to 32 of A-Z a-z 0-9 . _ - before a command
            ann > @t5 LOGOUT
            ann < @t5 250 logged out; LOGIN or QUIT
            ann > @t6 LOGIN ann
            ann < @t6 331 password; an empty line cancels; it shows while you type (telnet hides it)
            ann > @t7 is my password
            ann < @t6 535 wrong name or password; try again
        """)

    def test_help(self) -> None:
        """HELP has a line for each command; HELP of one its replies."""
        self.play("""
            ann > HELP read
            ann < 214-READ [n] (log in first)
            ann < 214-the n unread messages sent last, at most 50, and marks those read
            ann < 214 replies: 213 501
            ann > HELP frobnicate
            ann < 501 usage: HELP [verb]; there is no frobnicate, HELP lists the commands
        """)


class RetryKeyTests(SynchronousTestCase):
    """A line with a retry key may be sent again: it is done once."""

    def test_send(self) -> None:
        """The same key again gives the same id, and nobody gets the message twice, also after a restart."""
        world = World()
        world.play(ANN_AND_BOB)
        world.play(f"""
            ann > @!k SEND bob hi
            ann < @!k 250 0rigin00-5 sent to Bob, on 1 replicas
            bob < * MSG 0rigin00-5 {ALL} ann Bob hi
            ann > @!k SEND bob hi
            ann < @!k 250 0rigin00-5 sent to Bob, on 1 replicas
            bob > @!k SEND ann the key is of one account
            bob < @!k 250 0rigin00-6 sent to ann, on 1 replicas
            ann < * MSG 0rigin00-6 {ALL} Bob ann the key is of one account
        """)
        world.restart("0rigin01")
        world.play("""
            ann > LOGIN ann secret-of-ann
            ann < 230 ann 1 unread (READ shows the newest)
            ann > @!k SEND bob hi
            ann < @!k 250 0rigin00-5 sent to Bob, on 1 replicas
        """)

    def test_a_day_later(self) -> None:
        """After a day a key is new again; a restart brings back both messages, and the key names the second."""
        world = World()
        world.play("ann > REGISTER ann secret-of-ann\nann < 230 ann 0 unread")
        ann = world.connections["ann"]
        for second, text in ((0, b"one"), (25 * 3600, b"two")):
            world.clock.advance(second)
            world.pass_time(400)  # until the keys have followed a clock that leapt
            ann.send(b"@!k SEND ann " + text + b"\n")
        world.restart("0rigin01")
        again = world.connect("ann")
        again.send(b"LOGIN ann secret-of-ann\n@!k SEND ann two\nHISTORY\n")
        received = again.received().decode()
        self.assertIn("@!k 250 0rigin00-4 sent to ann", received)
        self.assertIn("213 2 messages", received)

    def test_used_for_another_command(self) -> None:
        """A key that stands for one deed is refused for a deed of another kind, which is not done."""
        world = World()
        world.play(ANN_AND_BOB)
        world.play(f"""
            ann > @!k SEND bob hi
            ann < @!k 250 0rigin00-5 sent to Bob, on 1 replicas
            bob < * MSG 0rigin00-5 {ALL} ann Bob hi
            ann > @!k UNREGISTER secret-of-ann
            ann < @!k 501 this retry key was used for SEND, so nothing was done; send it with a new key
            ann > @!k DELETE 0rigin00-5
            ann < @!k 501 this retry key was used for SEND, so nothing was done; send it with a new key
            ann > @!k PASSWD secret-of-ann another-of-ann
            ann < @!k 501 this retry key was used for SEND, so nothing was done; send it with a new key
            ann > UNREAD
            ann < 211 0 unread
        """)

    def test_asked_for_passwords_are_no_commands(self) -> None:
        """PASSWD repeated with its key asks again, so that what a script sends for it is not taken for commands."""
        world = World()
        asked = "an empty line cancels; it shows while you type (telnet hides it)"
        world.play(ANN_AND_BOB)
        for answer in "password changed", "password changed under this retry key before; it was not changed again":
            world.play(f"""
                ann > @!p PASSWD
                ann < @!p 331 old password; {asked}
                ann > secret-of-ann
                ann < @!p 331 new password, 8 to 1024 bytes; {asked}
                ann > another-secret
                ann < @!p 331 new password again; {asked}
                ann > another-secret
                ann < @!p 250 {answer}
            """)

    def test_pipelined_twice(self) -> None:
        """Sent twice before the first answer, it is still done once."""
        world = World()
        world.play(ANN_AND_BOB)
        ann = world.connections["ann"]
        ann.send(b"@!k SEND bob hi\n@!k SEND bob hi\n")
        self.assertEqual(ann.received().count(b"@!k 250 0rigin00-5 "), 2)
        self.assertEqual(world.connections["bob"].received().count(b"* MSG"), 1)

    def test_the_others(self) -> None:
        """DELETE, PASSWD and READ give their first result again."""
        world = World()
        world.play(ANN_AND_BOB)
        world.play(f"""
            ann > SEND bob hi
            ann < 250 0rigin00-5 sent to Bob, on 1 replicas
            bob < * MSG 0rigin00-5 {ALL} ann Bob hi
            ann > @!d DELETE 0rigin00-5
            bob < * DELETED 0rigin00-5
            ann < @!d 250 1 deleted
            ann > @!d DELETE 0rigin00-5
            ann < @!d 250 1 deleted
            ann > @!p PASSWD secret-of-ann another-secret
            ann < @!p 250 password changed
            ann > @!p PASSWD secret-of-ann another-secret
            ann < @!p 250 password changed under this retry key before; it was not changed again
            bob > LOGOUT
            bob < 250 logged out; LOGIN or QUIT
            ann > SEND bob one
            ann < 250 0rigin00-9 queued for Bob, on 1 replicas
            bob > LOGIN bob secret-of-bob
            bob < 230 Bob 1 unread (READ shows the newest)
            bob > @!r READ
            bob < @!r 213-0rigin00-9 {ALL} ann Bob one
            bob < @!r 213 1 messages, 0 unread left
            bob > @!r READ
            bob < @!r 213-0rigin00-9 {ALL} ann Bob one
            bob < @!r 213 1 messages, 0 unread left
        """)

    def test_a_read_that_found_nothing(self) -> None:
        """It finds nothing again, whatever has come since."""
        world = World()
        world.play(ANN_AND_BOB)
        world.play(f"""
            bob > @!r READ
            bob < @!r 213 0 messages, 0 unread left
            ann > SEND bob hi
            ann < 250 0rigin00-6 sent to Bob, on 1 replicas
            bob < * MSG 0rigin00-6 {ALL} ann Bob hi
        """)
        world.connections["bob"].lose()
        del world.connections["bob"]
        world.play("""
            bob > LOGIN bob secret-of-bob
            bob < 230 Bob 1 unread (READ shows the newest)
            bob > @!r READ
            bob < @!r 213 0 messages, 1 unread left
            bob > UNREAD
            bob < 211-ann 1
            bob < 211 1 unread
        """)

    def test_register(self) -> None:
        """REGISTER with its key again logs in who knows the password, and nobody else."""
        world = World()
        world.play("""
            ann > @!k REGISTER ann secret-of-ann
            ann < @!k 230 ann 0 unread
            eve > @!k REGISTER ann another-secret
            eve < @!k 551 the name ann is taken; choose another
            joe > @!k REGISTER ann secret-of-ann
            ann < * BYE ann logged in elsewhere; this login is over
            joe < @!k 230 ann 0 unread
        """)

    def test_register_after_unregister(self) -> None:
        """A repetition that comes late never makes a deleted account anew; with a new key the name can be registered."""
        World().play("""
            ann > @!k REGISTER ann secret-of-ann
            ann < @!k 230 ann 0 unread
            ann > UNREGISTER secret-of-ann
            ann < 250 account deleted; REGISTER or LOGIN with another, or QUIT
            ann > @!k REGISTER ann secret-of-ann
            ann < @!k 501 this retry key made an account that was deleted since; REGISTER with a new key
            ann > @!k2 REGISTER ann secret-of-ann
            ann < @!k2 230 ann 0 unread
        """)
