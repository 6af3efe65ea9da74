"""The fixtures of every test: see tests/support. Which tests are left out and which are traced, in `make test`."""

import contextlib
import gc
import importlib
import os
import pkgutil
import sys
import threading
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

import roomd

IS_NIGHTLY = "TEST_ROOMD_NIGHTLY" in os.environ
IS_STORE = os.environ.get("TEST_ROOMD_STORE") == "postgresql"
"""Whether all daemons of this run store in PostgreSQL."""

settings.register_profile(
    "a busy machine",
    deadline=None,
    max_examples=200 if IS_NIGHTLY else 50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("a busy machine")

pytest.register_assert_rewrite("tests.support")  # a failed assertion there shows its values, as in a test

pytest_plugins = [
    "tests.support.order",
    "tests.support.postgresql",
    "tests.support.daemon",
    "tests.support.in_process",
    "tests.support.systemd",
    "tests.support.units",
]

TRACED = {"auth", "config", "engine", "limits", "protocol", "rooms", "test_ice_credentials.py"}
"""Folders and files of tests that reach every branch of the pure modules. Tracing takes half of a test's time."""
_tracer, _tracer_of_threads = sys.gettrace(), threading.gettrace()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Trace what roomd's modules do when they are imported, and not the modules of the tests, which are many more."""
    for module in pkgutil.walk_packages(roomd.__path__, "roomd."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    gc.disable()  # the tests are many objects that stay: to look for garbage among them takes a third of the time
    with _traced(IS_NIGHTLY):
        result = yield
    gc.freeze()
    gc.enable()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop() -> Generator[None, object, object]:
    """Do not trace what pytest and its workers do to hand tests out and to report them."""
    with _traced(IS_NIGHTLY):
        return (yield)


@contextlib.contextmanager
def _traced(is_traced: bool) -> Iterator[None]:
    """Have calls traced for the coverage meanwhile, or not, also in threads that start meanwhile."""
    before, before_in_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(_tracer if is_traced else None)
    threading.settrace(_tracer_of_threads if is_traced else None)
    try:
        yield
    finally:
        sys.settrace(before)
        threading.settrace(before_in_threads)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with the marker `both_stores` on each store, unless the run chooses one."""
    test = metafunc.definition
    if not IS_STORE and test.get_closest_marker("both_stores") and not test.get_closest_marker("sqlite"):
        stores = {"sqlite": None, "postgresql": "postgresql"}
        metafunc.parametrize("store_of_daemons", stores.values(), ids=stores, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that are for the other kind of run."""
    left_out = [
        item
        for item in items
        if (item.get_closest_marker("nightly") and not IS_NIGHTLY) or (item.get_closest_marker("sqlite") and IS_STORE)
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Trace a test for the coverage of the pure modules, or in `make coverage` every test for that of all modules."""
    parts = item.path.relative_to(item.config.rootpath).parts
    with _traced(IS_NIGHTLY or not TRACED.isdisjoint(parts)):
        return (yield)
