"""Fixtures are kept by subject in tests/fixtures/."""

from hypothesis import settings

pytest_plugins = ["tests.fixtures.contracts"]

# Machines that build are shared: the time of one example says nothing.
settings.register_profile("vitalflow", deadline=None)
settings.load_profile("vitalflow")
