"""Fixtures are kept by subject in tests/fixtures/."""

from hypothesis import settings

# Each after those that it imports, else pytest cannot rewrite their asserts.
pytest_plugins = [
    "tests.fixtures.contracts",
    "tests.fixtures.bigquery",
    "tests.fixtures.pubsub",
    "tests.fixtures.secret_manager",
    "tests.fixtures.endpoint",
    "tests.fixtures.endpoint_process",
    "tests.fixtures.pipeline",
    "tests.fixtures.ops",
]

# Machines that build are shared: the time of one example says nothing.
settings.register_profile("vitalflow", deadline=None)
settings.load_profile("vitalflow")
