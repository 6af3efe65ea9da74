"""The modules of the page that need no browser, under Node's test runner."""

import pytest

from tests.support.needs import needs
from tests.support.node import CHECKOUT, node

pytestmark = needs("node", "nodejs")

PAGE = CHECKOUT / "tests" / "page"


@pytest.mark.parametrize("file", sorted(file.name for file in PAGE.glob("*.test.js")))
def test_modules(file: str) -> None:
    """What the page says follows from codes; names are told apart; codes and links are found as people paste them."""
    print(node("--test", "--test-reporter=spec", file, cwd=PAGE))
