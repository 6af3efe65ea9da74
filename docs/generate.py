"""Write the parts of docs/ that follow from the code. `make docs` runs it.

A page has marks, `<!-- begin NAME -->` and `<!-- end NAME -->`. What stands between them is replaced; the rest of the
page is written by hand. Where NAME is the path of a program below examples/, it is replaced by that program.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import typer
from typer.core import TyperGroup
from typer.main import get_command

from docs.fixed_limits import FIXED
from roomd.cli.app import build
from roomd.client import Meeting, MeetingEvent
from roomd.config import Setting, section_doc, settings
from roomd.limits.allowances import HOLDERS, LIMITS, UNITS
from roomd.metrics.families import FAMILIES, limit_series
from roomd.metrics.nodes import NODE_FAMILIES
from roomd.protocol import errors
from roomd.protocol.errors import ErrorKind
from roomd.protocol.events import EVENTS
from roomd.protocol.requests import REQUESTS

DOCS = Path(__file__).parent

SHARED_OPTIONS = ("--json", "--url", "--token", "--as", "--config", "--database", "--help")
"""Options that many commands have; docs/reference/cli.md shows them once."""
INTERNAL = ("close", "code", "open")
"""Parts of a meeting that `roomd.client.join` uses itself."""
OPTIONS = "\nOptions:\n"
"""The heading of the options in a help text."""
WIDTH = 100
"""Columns of a help text."""


def settings_tables() -> str:
    """Build a table of every section's settings: key, environment variable, default, what it sets, the reload."""
    parts: list[str] = []
    section = ""
    for setting in settings():
        if setting.section != section:
            section = setting.section
            parts += ["", f"### `[{section}]`", "", section_doc(section), ""]
            parts += ["| key | variable | default | what it sets | at a reload |", "|---|---|---|---|---|"]
        parts.append(_setting_row(setting, f"`{setting.env}`"))
        parts += [_setting_row(entry, "") for entry in setting.entries()]
    return "\n".join(parts[1:])


def _setting_row(setting: Setting, env: str) -> str:
    default = "" if setting.default is None else f"`{msgspec.json.encode(setting.default).decode()}`"
    return f"| {' | '.join([f'`{setting.name}`', env, default, setting.hint, setting.reload])} |"


def limits_table() -> str:
    """Build the table of what may be used: who has the allowance, the settings with their defaults, what follows."""
    lines = [
        "| what | who may use it | a second | at once | keys | metric | what a client over it gets |",
        "|---|---|---|---|---|---|---|",
    ]
    defaults = {setting.key: setting.default for setting in settings() if setting.section == "limits"}
    for row in LIMITS:
        rate, burst = f"{row.key}_rate", f"{row.key}_burst"
        figures = " | ".join(f"{defaults[key]:,.0f}" for key in (rate, burst))
        keys = f"`limits.{rate}`, `limits.{burst}`"
        metric = limit_series(row.key, row.holder)
        lines.append(f"| {UNITS[row.use]} | {HOLDERS[row.holder]} | {figures} | {keys} | `{metric}` | {row.over} |")
    return "\n".join(lines)


def fixed_table() -> str:
    """Build the table of what has a fixed size."""
    lines = ["| what | most | key | metric | what happens beyond it |", "|---|---|---|---|---|"]
    for row in FIXED:
        key, metric = (f"`{name}`" if name else "" for name in (row.key, row.metric))
        lines.append(f"| {row.what} | {row.most} | {key} | {metric} | {row.then} |")
    return "\n".join(lines)


def metrics_table() -> str:
    """Build the table of the metrics: name, kind, labels, what it says."""
    lines = ["| metric | kind | labels | what it says |", "|---|---|---|---|"]
    for family in FAMILIES + NODE_FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        lines.append(f"| `{family.name}` | {family.kind} | {labels} | {family.help} |")
    return "\n".join(lines)


def errors_table() -> str:
    """Build the table of every error: status, code, text, and the close that follows."""
    kinds = sorted(kind for kind in vars(errors).values() if isinstance(kind, ErrorKind))
    lines = ["| statusCode | code | message | then |", "|---|---|---|---|"]
    for kind in kinds:
        then = f"close {kind.close}" if kind.close else ""
        lines.append(f"| {kind.status_code} | `{kind.code}` | {kind.message} | {then} |")
    return "\n".join(lines)


def requests_table() -> str:
    """Build the table of every request: its fields, its replies and what it does."""
    lines = ["| request | fields | reply | what it does |", "|---|---|---|---|"]
    for request in REQUESTS:
        replies = " or ".join(f"`{_tag(reply)}`" for reply in request.answers)
        mark = " ✉" if request.is_quiet else ""
        lines.append(f"| `{_tag(request)}`{mark} | {_fields(request)} | {replies} | {_summary(request)} |")
    return "\n".join(lines)


def events_table() -> str:
    """Build the table of every event: its fields and what it means."""
    lines = ["| event | fields | what it means |", "|---|---|---|"]
    lines += [f"| `{_tag(event)}` | {_fields(event)} | {_summary(event)} |" for event in EVENTS]
    return "\n".join(lines)


def meeting_table() -> str:
    """Build the table of what a meeting of the Python client has: properties, then methods."""
    public = [(name, part) for cls in reversed(Meeting.__mro__) for name, part in vars(cls).items() if name[0] != "_"]
    parts = {name: part for name, part in public if name not in INTERNAL and inspect.getdoc(part)}
    properties = [(f"`{name}`", part) for name, part in parts.items() if isinstance(part, property)]
    methods = [(f"`{name}({_parameters(part)})`", part) for name, part in parts.items() if inspect.isfunction(part)]
    lines = ["| | |", "|---|---|"]
    lines += [f"| {name} | {_summary(part)} |" for name, part in [*properties, *sorted(methods)]]
    return "\n".join(lines)


def meeting_events_table() -> str:
    """Build the table of the events of the Python client."""
    lines = ["| event | fields | what happened |", "|---|---|---|"]
    lines += [
        f"| `{event.__name__}` | {_fields(event)} | {_summary(event)} |" for event in MeetingEvent.__subclasses__()
    ]
    return "\n".join(lines)


def shared_options() -> str:
    """Build the list of the options that many commands share, as the help of one of them prints it."""
    _, _, options = _helps()["roomd room lock"].partition(OPTIONS)
    entries = "".join(entry for name, entry in _entries(options) if name in SHARED_OPTIONS)
    return f"```text\n{entries.rstrip()}\n```"


def commands() -> str:
    """Build a section of every command: its help as printed, without the options that many commands share."""
    texts = {name: _without_shared(text) for name, text in _helps().items()}
    return "\n\n".join(f"### `{name}`\n\n```text\n{text}\n```" for name, text in texts.items())


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "reference/configuration.md": {"settings": settings_tables},
    "reference/limits.md": {"limits": limits_table, "fixed": fixed_table},
    "reference/metrics.md": {"metrics": metrics_table},
    "reference/errors.md": {"errors": errors_table},
    "reference/requests.md": {"requests": requests_table, "events": events_table},
    "reference/python-client.md": {"meeting": meeting_table, "events": meeting_events_table},
    "reference/cli.md": {"shared options": shared_options, "commands": commands},
}
"""Every page with a generated part: the mark and what belongs there."""


LANGUAGES = {".py": "python", ".js": "js", ".jsx": "jsx", ".sh": "sh", ".yml": "yaml"}
"""The language of a block of code, by the suffix of its file."""


def program(path: str) -> str:
    """Build the block of code that shows a program of examples/."""
    file = DOCS.parent / path
    return f"```{LANGUAGES[file.suffix]}\n{file.read_text(encoding='utf-8').rstrip()}\n```"


def _find_programs() -> Iterator[tuple[str, dict[str, Callable[[], str]]]]:
    """Yield the pages that show programs, with the marks of these."""
    for file in sorted(DOCS.glob("how-to/*.md")):
        paths = re.findall(r"^<!-- begin (examples/\S+) -->$", file.read_text(encoding="utf-8"), re.MULTILINE)
        if paths:
            yield str(file.relative_to(DOCS)), {path: partial(program, path) for path in paths}


PAGES |= dict(_find_programs())


def generated(page: str, folder: Path = DOCS) -> str:
    """Return the text of a page in `folder`, a key of `PAGES`, with its generated parts brought up to date.

    Raises `ValueError` when a mark is missing.
    """
    text = (folder / page).read_text(encoding="utf-8")
    for name, make in PAGES[page].items():
        begin, end = f"<!-- begin {name} -->\n", f"\n<!-- end {name} -->"
        before, found_begin, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found_begin and found_end):
            raise ValueError(f"docs/{page}: the marks of {name} are missing")
        text = f"{before}{begin}{make()}{end}{after}"
    return text


def _tag(cls: type[msgspec.Struct]) -> str:
    return str(cls.__struct_config__.tag)


def _summary(part: object) -> str:
    """Return the first paragraph of a docstring, as a cell of a table."""
    paragraph = (inspect.getdoc(part) or "").partition("\n\n")[0]
    return " ".join(paragraph.split()).replace("|", "\\|")


def _fields(cls: type[msgspec.Struct]) -> str:
    """Name the fields of a message, but for the `id`; those that may be absent have a question mark."""
    fields = [field for field in msgspec.structs.fields(cls) if field.encode_name != "id"]
    return ", ".join(f"`{field.encode_name}{'' if field.required else '?'}`" for field in fields)


def _parameters(function: Callable[..., object]) -> str:
    """Name the parameters of a method; those that may be left out have a question mark."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return ", ".join(f"{one.name}{'' if one.default is one.empty else '?'}" for one in parameters)


def _helps() -> dict[str, str]:
    """Return the help text of every command by its name, in the order of `--help`."""
    group = get_command(build())
    texts: dict[str, str] = {}
    left = [(typer.Context(group, info_name="roomd", terminal_width=WIDTH, max_content_width=WIDTH), group)]
    while left:
        context, command = left.pop(0)
        texts[context.command_path] = command.get_help(context)
        inner = command.commands.items() if isinstance(command, TyperGroup) else ()
        left[:0] = [(typer.Context(one, info_name=name, parent=context), one) for name, one in inner]
    return texts


def _without_shared(text: str) -> str:
    """Leave the options out of a help text that docs/reference/cli.md shows once."""
    usage, options, rest = text.partition(OPTIONS)
    entries = "".join(entry for name, entry in _entries(rest) if name not in SHARED_OPTIONS)
    return _trimmed(f"{usage}{options if entries.startswith('  -') else ''}{entries}")


def _entries(options: str) -> Iterator[tuple[str, str]]:
    """Split the options of a help text: each one's name with its lines; what follows them has no name."""
    for entry in re.split(r"^(?=  -|$)", options, flags=re.MULTILINE):
        match = re.match(r"  (?:-h, )?(--[a-z-]+)", entry)
        yield match[1] if match else "", entry


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


if __name__ == "__main__":
    for each in PAGES:
        (DOCS / each).write_text(generated(each), encoding="utf-8")
