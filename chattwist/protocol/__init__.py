"""The line protocol that clients speak; PROTOCOL.txt beside this file is its contract."""
