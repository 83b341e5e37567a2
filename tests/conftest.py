"""Fixtures are kept by subject in tests/fixtures/."""

from hypothesis import settings

pytest_plugins = [
    "tests.fixtures.bigquery",
    "tests.fixtures.contracts",
    "tests.fixtures.endpoint",
    "tests.fixtures.pubsub",
    "tests.fixtures.secret_manager",
]

# Machines that build are shared: the time of one example says nothing.
settings.register_profile("vitalflow", deadline=None)
settings.load_profile("vitalflow")
