"""What the page says, under Node's test runner."""

from tests.support.needs import needs
from tests.support.node import CHECKOUT, node

pytestmark = needs("node", "nodejs")


def test_words() -> None:
    """What the page says follows from codes, and names are told apart."""
    print(node("--test", "--test-reporter=spec", "words.test.js", cwd=CHECKOUT / "tests" / "page"))
