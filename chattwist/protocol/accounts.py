"""The commands about accounts; pure. Those that need a password ask for it where it was not given."""

from functools import partial
from typing import TYPE_CHECKING

from chattwist import errors
from chattwist.accounts import Account
from chattwist.protocol import messages
from chattwist.protocol.backend import Committed
from chattwist.requests import Repeat

if TYPE_CHECKING:
    from chattwist.protocol.call import Call

SHORTEST, LONGEST = 8, 1024  # bytes of a password
PASSWORD_RULE = f"a password is {SHORTEST} to {LONGEST} bytes long"


def _check_new(call: "Call", password: str) -> None:
    if not SHORTEST <= len(password.encode()) <= LONGEST:
        raise errors.WrongArguments(f"{PASSWORD_RULE}; nothing was done; {call.command.verb} again with another")


def register(call: "Call") -> None:
    """REGISTER name [password]."""
    name, *given = call.command.words()
    call.backend.may_register(name, call.command.key)
    if given:
        return _register(call, name, given[0])

    def once(password: str) -> None:
        _check_new(call, password)
        call.ask("the same password again", partial(twice, password))

    def twice(password: str, again: str) -> None:
        if again != password:
            raise errors.WrongArguments("the two passwords differ; no account was made; REGISTER again")
        _register(call, name, password)

    call.ask(f"choose a password for {name}, {SHORTEST} to {LONGEST} bytes", once)


def _register(call: "Call", name: str, password: str) -> None:
    _check_new(call, password)
    call.backend.register(call.session, name, password, call.command.key, call.then(partial(_welcome, call)))


def _welcome(call: "Call", account: Account) -> None:
    notes = ["READ shows the newest"] if account.unread else []
    notes += _renamed(call, account)
    more = f" ({'; '.join(notes)})" if notes else ""
    call.reply(230, f"{account.name} {len(account.unread)} unread{more}")


def _renamed(call: "Call", account: Account) -> list[str]:
    """What to tell both accounts that were registered under one name, on two sides of a cut."""
    if account.registered is None:
        return []
    if account.is_renamed:
        return [f"you are {account.name} now, an earlier account is {account.registered.name}"]
    accounts = call.backend.chat.accounts
    others = [other for other in accounts.names.claimants(account.name)[1:] if other not in accounts.unconfirmed]
    names = ", ".join(accounts[other].name for other in others)
    return [f"another account of that name is {names} now"] if others else []


def login(call: "Call") -> None:
    """LOGIN name [password]."""
    _login(call, takeover=False)


def takeover(call: "Call") -> None:
    """TAKEOVER name [password]."""
    _login(call, takeover=True)


def _login(call: "Call", takeover: bool) -> None:
    name, *given = call.command.words()

    def check(password: str) -> None:
        call.backend.login(call.session, name, password, takeover, call.then(partial(_welcome, call)))

    if given:
        check(given[0])
    else:
        call.ask("password", check)


def logout(call: "Call") -> None:
    """LOGOUT."""
    call.session.end(lambda: call.reply(250, "logged out; LOGIN or QUIT"))


def passwd(call: "Call") -> None:
    """PASSWD [old new]."""
    given = call.command.words()
    if len(given) == 1:
        raise errors.WrongArguments("usage: PASSWD [old new]: both, or none to be asked")
    if given:
        return _change(call, given[0], given[1])

    def old_given(old: str) -> None:
        call.ask(f"new password, {SHORTEST} to {LONGEST} bytes", partial(new_given, old))

    def new_given(old: str, new: str) -> None:
        _check_new(call, new)
        call.ask("new password again", partial(again_given, old, new))

    def again_given(old: str, new: str, again: str) -> None:
        if again != new:
            raise errors.WrongArguments("the two new passwords differ; the password stays as it was; PASSWD again")
        _change(call, old, new)

    call.ask("old password", old_given)


def _change(call: "Call", old: str, new: str) -> None:
    _check_new(call, new)
    key = call.command.key  # looked at only now, so that passwords typed for it are never taken for commands
    if key and call.backend.done_before(call.account.id, key):
        return call.backend.submit(Repeat(call.account.id, key=key), call.then(partial(_changed_before, call)))
    done = call.then(partial(messages.tell, call))
    call.backend.change_password(call.account, call.session.address, old, new, key, done)


def _changed_before(call: "Call", done: Committed) -> None:
    messages.check_key(call, done)
    call.reply(250, "password changed under this retry key before; it was not changed again")


def unregister(call: "Call") -> None:
    """UNREGISTER [password]."""

    def check(password: str) -> None:
        done = call.then(partial(_gone, call))
        call.backend.unregister(call.account, call.session.address, password, call.command.key, done)

    given = call.command.words()
    if given:
        check(given[0])
    else:
        call.ask("password, to delete this account for good", check)


def _gone(call: "Call", done: Committed) -> None:
    messages.check_key(call, done)
    call.session.end()
    messages.tell(call, done)
