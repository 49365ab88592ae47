"""A replicated, persistent chat server that people use with telnet and nc."""
