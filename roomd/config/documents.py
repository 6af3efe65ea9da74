"""The settings as data, and the commented file that `roomd default-config` prints."""

import inspect
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from roomd.config.sections import Config
from roomd.config.tables import Reload, Section


class Setting(msgspec.Struct, frozen=True):
    """One setting with its documentation, for the loader and the generated documents."""

    section: str
    key: str
    type: Any
    default: Any
    doc: str
    reload: Reload

    @property
    def name(self) -> str:
        """Name of the setting: the section and the key."""
        return f"{self.section}.{self.key}"

    @property
    def env(self) -> str:
        """Name of the environment variable."""
        return f"ROOMD_{self.section}_{self.key}".upper()

    @property
    def is_list(self) -> bool:
        """Whether the value is a list; the environment has it separated by commas."""
        return isinstance(self.default, tuple)

    @property
    def is_table(self) -> bool:
        """Whether the value is a table of tables; the environment has it as JSON."""
        return isinstance(self.default, dict)

    def entries(self) -> "Iterator[Setting]":
        """Iterate over what each of the tables of such a value has; nothing for other values."""
        if self.is_table:
            yield from _fields(f"{self.name}.NAME", _table_type(self.type))

    @property
    def hint(self) -> str:
        """The line of documentation and, for a choice, the allowed values."""
        choices = _choices(self.type)
        return f"{self.doc} One of: {', '.join(choices)}." if choices else self.doc


def settings() -> Iterator[Setting]:
    """Iterate over every setting, in the order of the file."""
    for section, cls in get_type_hints(Config).items():
        yield from _fields(section, cls)


def _fields(section: str, cls: type[Section]) -> Iterator[Setting]:
    """Iterate over the settings of one table."""
    hints = get_type_hints(cls, include_extras=True)
    for field in msgspec.structs.fields(cls):
        hint = hints[field.name]
        notes = [note for note in get_args(hint) if isinstance(note, Meta)]
        doc = next(note.description for note in reversed(notes) if note.description)
        reload: Reload = next((note.extra["reload"] for note in notes if note.extra), "at once")
        default = {} if field.default_factory is dict else None if field.required else field.default
        yield Setting(section, field.name, hint, default, doc, reload)


def _table_type(hint: Any) -> type[Section]:
    """Return the struct of the tables in the type hint of a table of tables."""
    kind: type[Section] = get_args(get_args(hint)[0])[1]
    return kind


def changed_settings(before: Config, after: Config) -> list[Setting]:
    """Return the settings that differ, in the order of the file."""
    return [setting for setting in settings() if _value(before, setting) != _value(after, setting)]


def _value(config: Config, setting: Setting) -> Any:
    return getattr(getattr(config, setting.section), setting.key)


def _choices(hint: Any) -> list[str]:
    """Return the values of the `Literal` inside a type hint, at any depth; an empty list without one."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [choice for part in get_args(hint) for choice in _choices(part)]


def section_doc(section: str) -> str:
    """Return the documentation of a section, a sentence or more, each paragraph on one line."""
    paragraphs = inspect.cleandoc(get_type_hints(Config)[section].__doc__).split("\n\n")
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _commented(setting: Setting, margin: str = "# ") -> list[str]:
    value = "..." if setting.default is None else msgspec.json.encode(setting.default).decode()
    return [f"{margin}{setting.doc}", f"{margin}{setting.key} = {value}"]


def default_config() -> str:
    """Build the commented TOML file that contains every default and changes nothing."""
    lines = ["# The configuration of roomd. Every key is shown with its default; uncomment a line to change it.",
             "# The environment (ROOMD_<SECTION>_<KEY>, lists separated by commas) overrides this file.",
             "# The command line overrides both."]  # fmt: skip
    section = ""
    for setting in settings():
        if setting.section != section:
            section = setting.section
            lines += ["", *(f"# {line}" for line in section_doc(section).splitlines()), f"[{section}]"]
        lines += _commented(setting)
        for entry in setting.entries():
            lines += _commented(entry, "#     ")
    return "\n".join(lines) + "\n"
