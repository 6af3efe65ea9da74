"""README's tables are generated from the code; `python -m tests.test_readme` writes them anew."""

import re
from pathlib import Path

import msgspec

from roomd import config
from roomd.protocol import errors
from roomd.protocol.errors import ErrorKind

README = Path(__file__).parent.parent / "README.md"


def settings_table() -> str:
    """Every setting with its default and its line of documentation."""
    lines = ["| key | default | what it says |", "|---|---|---|"]
    for setting in config.settings():
        default = "" if setting.default is None else f"`{msgspec.json.encode(setting.default).decode()}`"
        lines.append(f"| `{setting.section}.{setting.key}` | {default} | {setting.doc} |")
    return "\n".join(lines)


def errors_table() -> str:
    """Every error with its status, its code and its text."""
    lines = ["| statusCode | code | message |", "|---|---|---|"]
    kinds = sorted(kind for kind in vars(errors).values() if isinstance(kind, ErrorKind))
    lines += [f"| {kind.status_code} | `{kind.code}` | {kind.message} |" for kind in kinds]
    return "\n".join(lines)


def generated(text: str) -> str:
    """Put the tables where their marks are."""
    for name, table in (("settings", settings_table()), ("errors", errors_table())):
        text = re.sub(
            f"<!-- {name} -->.*<!-- /{name} -->", f"<!-- {name} -->\n{table}\n<!-- /{name} -->", text, flags=re.DOTALL
        )
    return text


def test_tables_are_true() -> None:
    """The configuration and error tables are the code's."""
    assert README.read_text() == generated(README.read_text())


if __name__ == "__main__":
    README.write_text(generated(README.read_text()))
