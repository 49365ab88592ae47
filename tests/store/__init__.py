"""Tests of what a replica keeps on disk."""
