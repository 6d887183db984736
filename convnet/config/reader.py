"""Reads the text of a layer file into sections of keys and values, each with its line.

Two forms hold the same content: the INI dialect of cuda-convnet, and TOML (suffix `.toml`), whose
values are turned to the INI text form so that everything after this module treats both alike.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convnet.errors import ConfigError, Problems

MAX_FILE_BYTES = 1024 * 1024
"""Far above any layer file; keeps a device or a data batch named by mistake out of memory."""

MAX_EXPANSION = 100_000
"""Longest text that %(key)s may expand to; nested references can grow exponentially."""

MAX_NESTING = 50
"""Deepest chain of values that refer to one another."""

DEFAULT = "DEFAULT"

_COMMENT = re.compile(r"\s*[#;]|rem(\s|$)", re.IGNORECASE)
# A blank and a semicolon begin a comment, but inside brackets only the value's first semicolon can.
_INLINE_COMMENT = re.compile(r"^([^;]*?)\s;.*|\s;(?![^\[\]]*\]).*")
_HEADER = re.compile(r"\[([^\]]+)\]\s*([^#;].*)?")
_KEY = re.compile(r"([^:=]+)[:=](.*)", re.DOTALL)
_REFERENCE = re.compile(r"%(?:%|\(([^)]*)\)s|)")
_TOML_HEADER = re.compile(r"\s*\[([^\]]+)\]")
_TOML_KEY = re.compile(r"""\s*["']?([\w.-]+)["']?\s*=""")
_TOML_WHERE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")


@dataclass(frozen=True)
class Source:
    """The text of one layer file; a checkpoint stores these.

    Attributes:
        name: how messages call the file, normally its path.
        text: the whole content.
        toml: whether `text` is TOML and not INI.
    """

    name: str
    text: str
    toml: bool = False

    @classmethod
    def from_path(cls, path: Path) -> Source:
        """Reads a file in UTF-8 (a byte-order mark is tolerated), or else in Latin-1.

        Raises:
            ConfigError: missing or unreadable file, too large, or not text.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"{path}: cannot read the layer file: {error.strerror}") from None
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes; not a layer file")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")  # cuda-convnet took any bytes
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise ConfigError(f"{path}:{line}: holds a NUL byte; a layer file must be text")
        return cls(str(path), text, toml=path.suffix.lower() == ".toml")


@dataclass(frozen=True)
class Entry:
    """One `key = value`.

    Attributes:
        key: as written (lookups use its lower-case form).
        value: text without comments, with references expanded.
        line: counted from 1; 0 where unknown.
        auxiliary: comes from [DEFAULT] or serves a %(key)s reference, so that its section need not
            know the key.
    """

    key: str
    value: str
    line: int
    auxiliary: bool = False


@dataclass
class Section:
    """One `[name]` of a file, with its entries by lower-case key.

    `broken` has place and text of what is wrong with values that are unusable, and therefore not in
    `entries`. Who reads the section reports those that it needs.
    """

    name: str
    file: str
    line: int
    entries: dict[str, Entry] = field(default_factory=dict)
    broken: dict[str, tuple[str, str]] = field(default_factory=dict)

    def put(self, key: str, value: str, line: int) -> None:
        """Adds an entry; a repeated key's last value wins."""
        self.entries[key.lower()] = Entry(key, value, line)

    def where(self, entry: Entry | None = None) -> str:
        """`file:line` of an entry, or of the section's header."""
        line = (entry.line if entry else 0) or self.line
        return f"{self.file}:{line}" if line else self.file


def read_sections(source: Source, problems: Problems) -> dict[str, Section]:
    """The sections of a layer file by name, in file order, without [DEFAULT].

    Args:
        problems: collects every mistake of the file, except for those in `Section.broken`; what
            can be read is returned all the same.
    """
    sections = (_read_toml if source.toml else _read_ini)(source, problems)
    defaults = sections.pop(DEFAULT, Section(DEFAULT, source.name, 0))
    for section in sections.values():
        _Expansion(section, defaults).run()
    return sections


def write_sections(sections: Mapping[str, Section]) -> str:
    """The INI text of sections, without comments and references."""

    def line(entry: Entry) -> str:
        value = entry.value.replace("%", "%%").replace("\n", "\n ") or '""'
        return f"{entry.key} = {value}"

    return "\n".join(
        f"[{name}]\n" + "".join(f"{line(entry)}\n" for entry in section.entries.values())
        for name, section in sections.items()
    )


def _read_ini(source: Source, problems: Problems) -> dict[str, Section]:
    sections: dict[str, Section] = {}
    section: Section | None = None
    for number, parts in _statements(source.text):
        text = "\n".join(parts)
        where = f"{source.name}:{number}"
        if text.startswith("["):
            header = _HEADER.match(text)
            if not header:
                problems.add(where, f"expected a section header [name], found {quote(text)}")
            elif header[2]:
                problems.warn(where, f"{quote(header[2])} after the section header is ignored")
            # A damaged header still opens a section, so that its keys do not land in the one above.
            name = (header[1] if header else text[1:]).strip()
            section = sections.setdefault(name, Section(name, source.name, number))
        elif section is None:
            problems.add(where, f"expected a section header [name] first, found {quote(text)}")
            section = Section("", source.name, number)  # not kept: one report is enough
        elif text[0].isspace():
            problems.add(where, "an indented line continues a value, but none stands before it")
        elif (pair := _KEY.fullmatch(text)) and (key := pair[1].strip()):
            value = pair[2].strip()
            section.put(key, "" if value == '""' else value, number)
        else:
            problems.add(where, f"expected 'key = value', found {quote(text)}")
    return sections


def _statements(text: str) -> list[tuple[int, list[str]]]:
    """Headers and `key = value` lines by number, each with the lines that continue it."""
    statements: list[tuple[int, list[str]]] = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not line.strip() or _COMMENT.match(line):
            continue
        line = _INLINE_COMMENT.sub(r"\1", line).rstrip()
        if line[0].isspace() and statements and not statements[-1][1][0].startswith("["):
            statements[-1][1].append(line.strip())
        else:
            statements.append((number, [line]))
    return statements


def quote(text: str, limit: int = 60) -> str:
    """The text in quotes for a one-line message, control characters escaped, cut to `limit`."""
    return repr(text if len(text) <= limit else f"{text[:limit]}...")


def _read_toml(source: Source, problems: Problems) -> dict[str, Section]:
    try:
        tables = tomllib.loads(source.text)
    except (ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        found = _TOML_WHERE.search(text)
        line = int(found[1]) if found and found[1] else source.text.count("\n") + 1
        problems.add(f"{source.name}:{line}", f"not valid TOML: {_TOML_WHERE.sub('', text)}")
        return {}
    lines = _toml_lines(source.text)
    sections: dict[str, Section] = {}
    for name, table in tables.items():
        line = lines.get((name, ""), 0) or lines.get(("", name), 0)
        section = Section(name, source.name, line)
        if not isinstance(table, dict):
            problems.add(section.where(), f"expected a table [name] first, found key {name!r}")
            continue
        sections[name] = section
        for key, value in table.items():
            converted = _toml_text(value)
            section.put(key, converted or "", lines.get((name, key), 0))
            if converted is None:
                section.broken[key.lower()] = (
                    section.where(section.entries.pop(key.lower())),
                    f"value of {key!r} in [{name}] must be a string, number, boolean or a list of "
                    f"these, found {type(value).__name__}",
                )
    return sections


def _toml_lines(text: str) -> dict[tuple[str, str], int]:
    """First line of every (table, key), and of every (table, ""), as far as a scan can tell."""
    lines: dict[tuple[str, str], int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _TOML_HEADER.match(line):
            table = header[1].strip(" \t\"'")
            lines.setdefault((table, ""), number)
        elif key := _TOML_KEY.match(line):
            lines.setdefault((table, key[1]), number)
    return lines


def _toml_text(value: Any) -> str | None:
    """The INI form of a TOML value, None where there is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | str):
        return str(value)
    if isinstance(value, list) and not any(isinstance(item, list) for item in value):
        items = [_toml_text(item) for item in value]
        return None if None in items else ",".join(item or "" for item in items)
    return None


class _Expansion:
    """Gives one section the values of [DEFAULT] and replaces its %(key)s references."""

    def __init__(self, section: Section, defaults: Section) -> None:
        self.section = section
        self.raw = defaults.entries | section.entries
        self.inherited = defaults.entries.keys() - section.entries.keys()
        self.referenced: set[str] = set()
        self.done: dict[str, str] = {}

    def run(self) -> None:
        """Completes the section."""
        for key in self.raw:
            try:
                self._expand(key, ())
            except _ExpansionError as error:
                self.section.broken[key] = (error.where, str(error))
        auxiliary = self.inherited | self.referenced
        self.section.entries = {
            key: Entry(entry.key, self.done[key], entry.line, key in auxiliary)
            for key, entry in self.raw.items()
            if key in self.done
        }

    def _expand(self, key: str, chain: tuple[str, ...]) -> str:
        """The value of `key` without references; `chain` holds the keys that led here."""
        if key in self.done:
            return self.done[key]
        entry = self.raw[key]
        where = self.section.where(entry)
        chain = (*chain, key)
        if len(chain) > MAX_NESTING:
            raise _ExpansionError(where, f"references nest more than {MAX_NESTING} deep")
        length = 0

        def replace(reference: re.Match[str]) -> str:
            nonlocal length
            if reference[0] == "%%":
                return "%"
            if reference[0] == "%":
                raise _ExpansionError(
                    where, f"bare '%' in the value of {entry.key!r}; write %% or %(key)s"
                )
            name = reference[1].lower()
            if name in chain:
                cycle = " -> ".join((*chain[chain.index(name) :], name))
                raise _ExpansionError(where, f"value of {entry.key!r} refers to itself: {cycle}")
            if name not in self.raw:
                raise _ExpansionError(
                    where,
                    f"{entry.key!r} refers to {reference[0]}, but neither [{self.section.name}] "
                    f"nor [{DEFAULT}] has a key {name!r}",
                )
            self.referenced.add(name)
            text = self._expand(name, chain)
            length += len(text)
            if length > MAX_EXPANSION:
                raise _ExpansionError(
                    where, f"value of {entry.key!r} expands to over {MAX_EXPANSION} characters"
                )
            return text

        self.done[key] = _REFERENCE.sub(replace, entry.value)
        return self.done[key]


class _ExpansionError(Exception):
    """A reference that cannot be replaced, and the place of the value that holds it."""

    def __init__(self, where: str, text: str) -> None:
        super().__init__(text)
        self.where = where
