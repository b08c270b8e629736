"""Changes of a YAML text at the places of its nodes."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

INDENT = 2  # of entries below their key, where a file shows none


class TextEdits:
    """Collects changes of a text, which are made together; lines end as they do in the text."""

    def __init__(self, text: str):
        self._text = text
        self._line_end = "\r\n" if "\r\n" in text else "\n"
        self._edits: list[tuple[int, int, int, str]] = []

    def put(self, start: int, stop: int, words: str, *, late: bool = False) -> None:
        """Put words in the place of text[start:stop]; `late`: after others at the same place."""
        self._edits.append((start, stop, int(late), words))

    def replace(self, node: yaml.Node, words: str) -> None:
        """Put words in the place of a scalar, or of a collection in brackets."""
        self.put(node.start_mark.index, node.end_mark.index, words)

    def applied(self) -> str:
        """The changed text."""
        text = self._text
        order = sorted(range(len(self._edits)), key=lambda n: (*self._edits[n][:3], n))
        for number in reversed(order):
            start, stop, _, words = self._edits[number]
            text = text[:start] + words + text[stop:]
        return text

    def remove_entry(self, key: yaml.Node, value: yaml.Node) -> None:
        """Take the lines of an entry out of a mapping in block style."""
        start = self._text.rfind("\n", 0, key.start_mark.index) + 1
        end = key.end_mark.index if alias_of(key, value) else end_of(value)
        rest = self._text[end : self._line_stop(end)].strip()
        if self._text[start : key.start_mark.index].strip() or (rest and rest[0] != "#"):
            raise LookupError("the entry shares a line with another one")
        self.put(start, self._line_stop(end), "")

    def append_to(self, node: yaml.Node, line: str, *, late: bool = False) -> None:
        """Put a line behind the last entry of a mapping in block style."""
        place = self._line_stop(end_of(node))
        words = " " * node.value[0][0].start_mark.column + line
        whole = self._text[:place].endswith("\n")
        self.put(
            place,
            place,
            words + self._line_end if whole else self._line_end + words,
            late=late,
        )

    def replace_mapping(
        self,
        parent: yaml.MappingNode,
        key: yaml.Node,
        node: yaml.Node,
        entries: Mapping[str, str],
    ) -> None:
        """Write all of a mapping anew: {key: value} as YAML."""
        start, stop = key.end_mark.index, end_of(node)
        self.put(start, stop, ":" + self._mapping(parent, key.start_mark.column, entries))

    def add_entry(self, parent: yaml.MappingNode, key: str, entries: Mapping[str, str]) -> None:
        """Put `key` with a mapping behind the last entry of another one."""
        if parent.flow_style:
            place = parent.end_mark.index - 1
            more = parent.value or any(edit[0] == place for edit in self._edits)
            self.put(
                place, place, f"{', ' if more else ''}{key}:" + self._mapping(parent, 0, entries)
            )
            return
        column = parent.value[0][0].start_mark.column
        self.append_to(parent, f"{key}:" + self._mapping(parent, column, entries), late=True)

    def _mapping(self, parent: yaml.MappingNode, column: int, entries: Mapping[str, str]) -> str:
        if parent.flow_style or not entries:
            return " {" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"
        begin = self._line_end + " " * (column + INDENT)
        return "".join(f"{begin}{key}: {value}" for key, value in entries.items())

    def _line_stop(self, place: int) -> int:
        """Where the next line begins."""
        found = self._text.find("\n", place)
        return len(self._text) if found < 0 else found + 1


def find_entry(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.CollectionNode]:
    """(key, collection) of a mapping; LookupError where it has none that is written there."""
    if not isinstance(node, yaml.MappingNode):
        raise LookupError(key)
    for name, value in node.value:
        written_here = isinstance(value, yaml.CollectionNode) and not alias_of(name, value)
        if name.value == key and written_here:
            return name, value
    raise LookupError(key)


def alias_of(key: yaml.Node, value: yaml.Node) -> bool:
    """Is the value written elsewhere, and only meant here?"""
    return value.start_mark.index < key.end_mark.index


def end_of(node: yaml.Node) -> int:
    """Where a node's text ends; PyYAML lets a block end where the next token begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        if isinstance(node, yaml.MappingNode):
            key, value = last
            return key.end_mark.index if alias_of(key, value) else end_of(value)
        return end_of(last)
    return node.end_mark.index
