"""The commands that change nothing: HELP, LIST, WHO, STATUS, NOOP, QUIT; pure."""

from typing import TYPE_CHECKING

from chattwist import errors
from chattwist.protocol import grammar

if TYPE_CHECKING:
    from chattwist.protocol.call import Call

PAGE = 100  # names


def help_(call: "Call") -> None:
    """HELP [verb]."""
    from chattwist.protocol.commands import COMMANDS

    words = call.command.words()
    if not words:
        width = max(len(row.usage) for row in COMMANDS.values())
        call.reply(
            214, *(f"{row.usage:{width}}  {row.does}" for row in COMMANDS.values()), "HELP verb says more of one"
        )
        return
    row = COMMANDS.get(grammar.keyword(words[0]))
    if row is None:
        raise errors.WrongArguments(
            f"usage: HELP [verb]; there is no {grammar.echoed(words[0])}, HELP lists the commands"
        )
    when = "" if row.before_login else " (log in first)" if row.after_login else ""
    call.reply(214, f"{row.usage}{when}", row.does, "replies: " + " ".join(map(str, sorted(row.all_codes))))


def list_(call: "Call") -> None:
    """LIST [prefix [AFTER name]]."""
    prefix, after = _prefix_and_after(call.command.words() or ["*"], "LIST [prefix [AFTER name]]")
    chat = call.backend.chat
    ids, more = chat.names.page(prefix.rstrip("*"), after, PAGE, chat.accounts.unconfirmed)
    _show_names(call, [chat.accounts[account].name for account in ids], "accounts", more)


def who(call: "Call") -> None:
    """WHO [AFTER name]."""
    _, after = _prefix_and_after(["*", *call.command.words()], "WHO [AFTER name]")
    accounts, more = call.backend.online(after, PAGE)
    _show_names(call, [account.name for account in accounts], "online", more)


def _prefix_and_after(words: list[str], usage: str) -> tuple[str, str]:
    if len(words) == 1:
        return words[0], ""
    if len(words) != 3 or grammar.keyword(words[1]) != "AFTER":
        raise errors.WrongArguments(f"usage: {usage}")
    return words[0], words[2]


def _show_names(call: "Call", names: list[str], what: str, more: bool) -> None:
    call.reply(212, *names, f"{len(names)} {what}" + (f", more after {names[-1]}" if more else ""))


def status(call: "Call") -> None:
    """STATUS."""
    seen = call.backend.status()
    lines = [f"replica {replica.port} {replica.role} {replica.state}" for replica in seen.replicas]
    live = sum(replica.state == "live" for replica in seen.replicas)
    forced = ", without all that served last" if seen.forced else ""
    call.reply(
        211,
        *lines,
        f"primary {seen.primary or 'none'} view {seen.view} live {live} of {len(lines)} mode {seen.mode}{forced}",
    )


def noop(call: "Call") -> None:
    """NOOP."""
    call.reply(250, "ok")


def quit_(call: "Call") -> None:
    """QUIT."""
    call.session.leave()
    call.session.end(lambda: call.reply(221, "goodbye"))
