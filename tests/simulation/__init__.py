"""Whole clusters in one process and in simulated time, with all faults that a seed draws, held against what is promised."""
