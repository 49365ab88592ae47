"""Measurements of real replicas: each prints what it found and judges nothing. docs/PERFORMANCE.md says how to run them."""
