"""The fixtures of every test: see tests/support."""

import pytest

pytest.register_assert_rewrite("tests.support")  # a failed assertion there shows its values, as in a test

pytest_plugins = ["tests.support.daemon"]
