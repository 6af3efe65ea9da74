"""The fixtures of every test: see tests/support."""

pytest_plugins = ["tests.support.daemon"]
