"""Measurements, to be run by hand; no tests."""
