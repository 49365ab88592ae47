# What the scripts in this folder share; not run by itself.
#
# Environment:
#   CHAT_HOST      where the server is: 127.0.0.1
#   CHAT_PORT      its port: 5001
#   CHAT_CLIENT    telnet, or nc where there is no telnet; may have options: "nc -4"
#   CHAT_PASSWORD  asked for at the terminal if it is not set
#   CHAT_TIMEOUT   seconds to wait for a reply: 30
#
# Exit status:
#   0   done
#   1   refused, and the same would be refused again (5xx)
#   64  called wrongly
#   75  not now, try again later: refused for now (4xx), no reply in time, no connection
#
# Each command gets a tag, which comes back on every line of its reply. So a reply is never taken for an event, nor for
# the echo of what was typed, which a terminal shows among the server's lines.

set stty_init -echo
match_max -d 100000
log_user 0
set events {}
set tags 0

proc setting {name default} {
    if {[info exists ::env($name)] && $::env($name) ne ""} { return $::env($name) }
    return $default
}

proc give_up {status text} {
    send_error "[file tail $::argv0]: $text\n"
    exit $status
}

proc usage {least most text} {
    if {[llength $::argv] < $least || [llength $::argv] > $most} {
        send_error "usage: [file tail $::argv0] $text\n"
        exit 64
    }
}

# Whether a person types here; stty would complain where nobody does.
proc at_terminal {} {
    return [expr {![catch {exec test -t 0 <@stdin}]}]
}

proc password {{prompt "Password: "}} {
    if {[info exists ::env(CHAT_PASSWORD)]} { return $::env(CHAT_PASSWORD) }
    set timeout -1
    set typed ""
    if {[at_terminal]} { stty -echo; send_error $prompt }
    expect_user -re "(\[^\r\n]*)\r*\n" { set typed $expect_out(1,string) }
    if {[at_terminal]} { stty echo; send_error "\n" }
    if {$typed eq ""} { give_up 64 "no password was given; type it, or set CHAT_PASSWORD" }
    return $typed
}

proc connect {} {
    set client [setting CHAT_CLIENT [expr {[auto_execok telnet] eq "" ? "nc" : "telnet"}]]
    set ::timeout [setting CHAT_TIMEOUT 30]
    if {[catch {spawn -noecho {*}$client [setting CHAT_HOST 127.0.0.1] [setting CHAT_PORT 5001]} problem]} {
        give_up 64 "cannot run $client: $problem"
    }
    set ::spawn_id $spawn_id
    while {![regexp {^220 } [next_line]]} {}
}

# The next line that the client shows, waiting for ``timeout`` seconds (-1: for ever).
proc next_line {{timeout ""}} {
    if {$timeout eq ""} { set timeout $::timeout }
    expect {
        -re {^([^\r\n]*)\r*\n} { set line $expect_out(1,string) }
        timeout { give_up 75 "nothing came within $timeout seconds" }
        eof { give_up 75 "no connection, or it ended" }
    }
    if {[regexp {^421 (.*)} $line - why]} { give_up 75 "the server closed the connection: $why" }
    if {[string match {\* *} $line]} { lappend ::events $line }
    return $line
}

# Type a line. A terminal would obey control characters, and cut off what is longer than 4095 bytes.
proc type {line} {
    if {[regexp {[\x00-\x08\x0a-\x1f\x7f]} $line]} { give_up 64 "no line ends or other control characters, please" }
    if {[string length [encoding convertto $line]] > 4000} { give_up 64 "too long, at most 4000 bytes can be typed" }
    send -- "$line\r"
}

# The reply that has this tag: a list of its code and its lines without tag and code.
proc reply {tag} {
    set lines {}
    while 1 {
        if {![regexp {^@(\S+) ([0-9]{3})([ -])(.*)$} [next_line] - its code more text] || $its ne $tag} continue
        lappend lines $text
        if {$more eq " "} { return [list $code $lines] }
    }
}

# Do one command and give its reply's lines; whenever it asks for a password, type ``secret``. A refusal ends the script.
proc command {line {secret ""} {tag ""}} {
    if {$tag eq ""} { set tag t[incr ::tags] }
    type "@$tag $line"
    lassign [reply $tag] code lines
    while {$code == 331} {
        type $secret
        lassign [reply $tag] code lines
    }
    if {![string match 2* $code]} { give_up [expr {[string match 4* $code] ? 75 : 1}] "$code [lindex $lines end]" }
    return $lines
}

proc hang_up {} {
    command QUIT
    catch {close}
    catch {wait}
}
