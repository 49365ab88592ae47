"""Tests for trial, laid out as the package is: tests/store holds those of chattwist/store."""

from hypothesis import HealthCheck, settings

# a machine that is slow just then is no failure
settings.register_profile("chattwist", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("chattwist")
