"""The fixtures of every test: see tests/support."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("a busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("a busy machine")

pytest.register_assert_rewrite("tests.support")  # a failed assertion there shows its values, as in a test

pytest_plugins = ["tests.support.daemon", "tests.support.systemd", "tests.support.units"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of the page first: they take longest, and one browser at a time leaves room for the others."""
    items.sort(key=lambda item: "/tests/page/" not in item.path.as_posix())
