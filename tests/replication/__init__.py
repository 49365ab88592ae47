"""Tests of chattwist.replication."""
