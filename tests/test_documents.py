"""The documents agree with the code: generated parts are current, links lead somewhere, examples are accepted."""

import re
from pathlib import Path
from typing import Any

import pytest

from docs import generate
from roomd.cli import chat
from roomd.config import load, settings
from roomd.protocol import errors
from roomd.protocol.errors import Close, ErrorKind

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
ERRORS = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
LIBRARY_CLOSES = {1007, 1009}
"""Close codes that the WebSocket library sends (RFC 6455, section 7.4.1)."""


def name_of(file: Path) -> str:
    """Name a document for the list of tests."""
    return str(file.relative_to(ROOT))


def without_code(text: str) -> str:
    """Leave out blocks and spans of code, which contain no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def toml_examples() -> list[Any]:
    """Return every TOML block of the documents with the document's name."""
    return [
        pytest.param(block, id=f"{name_of(file)}-{number}")
        for file in DOCUMENTS
        for number, block in enumerate(re.findall(r"```toml\n(.*?)```", file.read_text(encoding="utf-8"), re.DOTALL))
    ]


@pytest.mark.parametrize("page", generate.PAGES)
def test_generated_parts_are_current(page: str) -> None:
    """What `make docs` would write is what is there: settings, errors, requests, commands."""
    assert (generate.DOCS / page).read_text(encoding="utf-8") == generate.generated(page)


def test_a_page_without_its_marks_is_refused(tmp_path: Path) -> None:
    """A mark that was lost stops `make docs`, which would otherwise leave the page as it is."""
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference/errors.md").write_text("# Errors\n<!-- begin errors -->\n")
    with pytest.raises(ValueError, match="the marks of errors are missing"):
        generate.generated("reference/errors.md", tmp_path)


def test_every_setting_and_error_is_in_the_tables() -> None:
    """The tables of the reference have a row for every setting and every error."""
    table = generate.settings_tables()
    for setting in settings():
        assert f"| `{setting.section}.{setting.key}` | `{setting.env}` |" in table
    table = generate.errors_table()
    for kind in (one for one in vars(errors).values() if isinstance(one, ErrorKind)):
        assert f"| {kind.status_code} | `{kind.code}` | {kind.message} |" in table


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    """A link to a file of the repository, or to a heading, has its target."""
    text = document.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", without_code(text)):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_the_readme_is_short() -> None:
    """The README has under 200 lines and a picture of the page that loads quickly."""
    assert len(README.splitlines()) < 200
    [picture] = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    content = (ROOT / picture).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < 150_000


def test_every_error_says_what_to_do() -> None:
    """The reference explains each error code and each close code, and none that does not exist."""
    _, _, advice = ERRORS.partition("## What a client does")
    advice, _, closes = advice.partition("## Close codes")
    rows = re.findall(r"^\| (`[^|]+) \|", advice, re.MULTILINE)
    explained = [code for row in rows for code in re.findall(r"`(\w+)`", row)]
    kinds = [kind.code for kind in vars(errors).values() if isinstance(kind, ErrorKind)]
    assert sorted(explained) == sorted(kinds)
    codes = {code for name, code in vars(Close).items() if name.isupper()}
    assert {int(code) for code in re.findall(r"^\| (\d{4}) \|", closes, re.MULTILINE)} == codes | LIBRARY_CLOSES


def test_every_typed_command_is_listed() -> None:
    """The reference lists what can be typed in `roomd join`."""
    page = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    _, _, typed = page.partition("## What can be typed")
    typed, _, _ = typed.partition("## Commands")
    rows = "\n".join(re.findall(r"^\| (`/.*?) \|", typed, re.MULTILINE))
    assert set(re.findall(r"`(/\w+)", rows)) == chat.COMMANDS.keys()


@pytest.mark.parametrize("text", toml_examples())
def test_examples_of_configuration_are_accepted(text: str, tmp_path: Path) -> None:
    """A TOML block of the documents is a configuration that roomd reads."""
    file = tmp_path / "roomd.toml"
    file.write_text(text, encoding="utf-8")
    load(file)


def test_every_program_is_on_a_page() -> None:
    """Each file of examples/ is shown by a page of docs/how-to; the index there, and the README, list each page."""
    folder = ROOT / "docs/how-to"
    shown = {name for page in generate.PAGES.values() for name in page if name.startswith("examples/")}
    programs = {file for file in ROOT.glob("examples/**/*") if file.is_file() and "__pycache__" not in file.parts}
    assert shown == {file.relative_to(ROOT).as_posix() for file in programs if ".mypy_cache" not in file.parts}
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = {file.name for file in folder.glob("*.md")} - {"README.md"}
    assert set(re.findall(r"\]\(([\w-]+\.md)\)", index)) == pages
    assert set(re.findall(r"\]\(docs/how-to/([\w-]+\.md)\)", README)) == pages


def test_every_decision_is_listed() -> None:
    """The index of the decisions has every record, and each record has its parts."""
    folder = ROOT / "docs/decisions"
    records = sorted(folder.glob("[0-9]*.md"))
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[\d{4}\]\((\d{4}-[^)]+)\)", index, re.MULTILINE) == [record.name for record in records]
    for record in records:
        text = record.read_text(encoding="utf-8")
        assert text.startswith(f"# {record.name[:4]}: ")
        assert re.findall(r"^## (Context|Options|Choice)", text, re.MULTILINE) == ["Context", "Options", "Choice"]


def test_the_hook_runs_the_checks_of_the_makefile() -> None:
    """Before a commit the same checks run as by `make lint`, since `make lint` is the hook."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^ +(entry|language|repo|- repo): (.*)$", hooks, re.MULTILINE) == [
        ("- repo", "local"),
        ("entry", "make lint"),
        ("language", "system"),
    ]
    assert re.search(r"^lint: .*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
