"""Tests for trial, laid out as the package is: tests/store holds those of chattwist/store."""
