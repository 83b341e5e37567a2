"""A tour of Vitalflow on the embedded stack: sends records, asks questions, reconciles."""

from emulators.demo.tour import main

__all__ = ["main"]
