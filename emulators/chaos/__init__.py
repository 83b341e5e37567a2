"""Faults on a running system, and the proof that nothing is lost or double."""
