"""Write the manual page roomd(1) from the command line. `make deb` puts it into the package."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from roomd import __version__
from roomd.cli.app import EXIT_CODES, build

FILES = {
    "/etc/roomd/roomd.toml": "The configuration of the service. `roomd default-config` prints every setting.",
    "/etc/roomd/environment": "Variables of the service, for settings that not everybody may read.",
    "/var/lib/roomd": "The database of the service, and the secret that signs tokens.",
}
"""What the Debian package and `roomd install-service` use."""


def manual(date: str) -> str:
    """Return the page, in the macros of man(7). `date` is that of its last change, like 2026-11-27."""
    group = get_command(build())
    context = typer.Context(group, info_name="roomd", **group.context_settings)
    lines = [f'.TH ROOMD 1 "{date}" "roomd {__version__}" "User commands"']
    lines += [".SH NAME", r"roomd \- serve meeting rooms over WebSocket, and use them from the command line"]
    lines += [".SH SYNOPSIS", r".B roomd", r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGS\fR]..."]
    lines += [".SH DESCRIPTION", *_text(inspect.cleandoc(group.help or ""))]
    lines += [".SH OPTIONS", *_options(context, group), ".SH COMMANDS"]
    for path, inner, command in _commands(context, group):
        usage = " ".join(command.collect_usage_pieces(inner))
        lines += [f'.SS "{_escaped(f"{path} {usage}")}"', *_text(inspect.cleandoc(command.help or ""))]
        lines += _options(inner, command)
        lines += [".PP", *_text(command.epilog or "")]
    lines += [".SH EXIT STATUS", *_text(EXIT_CODES.replace("Exit codes:\n", ""))]
    lines += [".SH FILES"]
    for file, what in FILES.items():
        lines += [".TP", f".I {_escaped(file)}", *_text(what)]
    lines += [".SH SEE ALSO", "The documents in", r".IR /usr/share/doc/roomd ;", r".BR systemctl (1)"]
    return "\n".join(lines) + "\n"


def _commands(context: typer.Context, group: Any) -> Iterator[tuple[str, typer.Context, Any]]:
    """Return the path, the context and the command of each command that is no group, in the order of `--help`."""
    for name, command in group.commands.items():
        inner = typer.Context(command, info_name=name, parent=context)
        if isinstance(command, TyperGroup):
            yield from _commands(inner, command)
        else:
            yield inner.command_path, inner, command


def _options(context: typer.Context, command: Any) -> list[str]:
    """List the options of a command with their help; --help only of `roomd` itself."""
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    lines: list[str] = []
    for names, text in filter(None, records):
        if names.startswith("-") and (context.parent is None or "--help" not in names):
            lines += [".TP", f".B {_escaped(names)}", *_text(text)]
    return lines


def _text(text: str) -> list[str]:
    """Return paragraphs. One that begins with a backspace keeps its line breaks (a rule of Click)."""
    lines: list[str] = []
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip("\n"))):
        is_verbatim = paragraph.startswith("\b")
        body = _escaped(paragraph.removeprefix("\b").strip("\n")).splitlines()
        lines += [".PP"] if number else []
        lines += [".nf", *body, ".fi"] if is_verbatim else [line.strip() for line in body]
    return lines


def _escaped(text: str) -> str:
    r"""Return a text for roff: a hyphen is one that can be copied, and no line is a request."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)
