"""Tests with real processes and the programs people use: twistd, telnet, nc, expect."""
