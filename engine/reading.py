"""The door of every reader: text, numbers and names from files that anybody may have written.

A reader takes text and documents through `read_text`, `read_json`, `read_yaml_text` and `read_xml`,
numbers through `whole_number` and `finite_number`, names through `safe_name`; `guarded` turns what
nobody thought of into one line that names the file. Nothing here allocates by what a file claims.
"""

from __future__ import annotations

import codecs
import functools
import io
import json
import math
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

import numpy as np

from stadet.engine.errors import UserError, neighbours

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

MAX_FRAMES = 10**7  # of one video whose footage is not at hand: 111 hours at 25 frames a second
MAX_FRAME = 2**40  # frame numbers, which are exact in every type that holds them
MAX_SIDE = 2**20  # pixels of an image's side
MAX_MESSAGE = 1000  # characters
MAX_NAME, MAX_PART = 1024, 255  # bytes of a name, and of each part between its slashes
MAX_YAML_DEPTH = 100  # brackets within brackets
MAX_YAML_NODES = 10**6  # aliases followed

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_REAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_BLANKS = " \t\r\n"
_MARKS = (  # UTF-32 first: its mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BRACKETS = re.compile(r"[\[\]{}]")
_XML_ENCODING = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([^\"']{1,60})[\"']")
_XML_DECLARATION = re.compile(r"\s*<\?xml[^>]{0,300}?\?>")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def guarded(what: str) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorator of a reader whose first text or path is that of the file: an error that is not a
    `UserError` becomes one, naming the file and `what` was expected in it, and every message
    becomes one line.

    `STAD_TRACEBACK=1` shows the error itself, as the project's own tests do.
    """

    def decorate(reader: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(reader)
        def read(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            given = (*args, *kwargs.values())
            path = next((value for value in given if isinstance(value, (str, os.PathLike))), "")
            try:
                return reader(*args, **kwargs)
            except UserError as error:
                line = one_line(str(error))
                if line == str(error):
                    raise
                raise UserError(line) from error
            except OSError as error:
                raise cannot_read(path, error) from error
            except MemoryError as error:
                raise UserError(
                    f"{path}: expected {what} that fits into memory; it is damaged or too large"
                ) from error
            except Exception as error:
                if os.environ.get("STAD_TRACEBACK"):
                    raise
                reason = " ".join(str(error).split())[:120]
                raise UserError(
                    f"{path}: expected {what}, found content that cannot be read "
                    f"({type(error).__name__}: {reason}); it is damaged or of another format"
                ) from error

        return read

    return decorate


def one_line(text: str) -> str:
    """A message that quotes a file, safe to print: without control characters and not longer than
    `MAX_MESSAGE`, of which the begin and the end are kept."""
    if len(text) > MAX_MESSAGE:
        half = MAX_MESSAGE // 2
        text = f"{text[:half]} .. {text[-half:]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in text)


def cannot_read(path: Any, error: OSError) -> UserError:
    """One line for a file that the system does not let us read."""
    return UserError(f"{path}: cannot be read ({error.strerror or error}); check the path")


def read_bytes(path: str | os.PathLike, what: str) -> bytes:
    """A file's content; UserError for a missing file, a folder, and what may not be read."""
    if "\0" in str(path):
        raise UserError(f"{str(path)!r}: expected {what}, found no path")
    path = Path(path)
    try:
        if path.is_dir():
            raise UserError(f"{path}: expected {what}, found a folder; name the file in it")
        if not path.is_file():
            near = neighbours(path.name, _names_in(path.parent))
            raise UserError(
                f"{path}: expected {what}, found none{near}; no such file, check the path"
            )
        return path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error


def read_text(path: str | os.PathLike, what: str) -> str:
    """A text file's content: UTF-8 with or without a byte order mark, or UTF-16/32 with one."""
    return decoded(read_bytes(path, what), path)


def decoded(content: bytes, source: object) -> str:
    """Text of the bytes of file `source`, as `read_text` decodes them."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{source}, line {line}: expected text in {encoding.upper()}, found the byte "
            f"0x{content[error.start]:02x}; save the file as UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(
            f"{source}, line {line}: expected text, found a NUL character; save the file as UTF-8"
        )
    return text


def open_lines(path: str | os.PathLike, what: str) -> IO[bytes]:
    """A binary stream of a file's lines in UTF-8 without a mark, whatever `read_text` accepts.

    UTF-8 is streamed; other encodings are held in memory.
    """
    path = Path(path)
    if not path.is_file():
        read_bytes(path, what)  # raises
    try:
        stream = open(path, "rb")  # noqa: SIM115 -- the caller closes it
    except OSError as error:
        raise cannot_read(path, error) from error
    start = stream.read(4)
    encoding = next((name for mark, name in _MARKS if start.startswith(mark)), "")
    stream.seek(len(codecs.BOM_UTF8) if encoding == "utf-8-sig" else 0)
    if encoding in ("", "utf-8-sig"):
        return stream
    stream.close()
    return io.BytesIO(read_text(path, what).encode("utf-8"))


def csv_rows(path: str | os.PathLike, what: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row of a csv file, blank rows too; UserError for broken csv."""
    import csv

    reader = csv.reader(io.StringIO(read_text(path, what), newline=""))
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise UserError(
                f"{path}, line {reader.line_num}: expected {what}, found broken csv: {error}"
            ) from None
        if row is None:
            return
        yield reader.line_num, row


def read_json(path: str | os.PathLike, what: str) -> Any:
    """A JSON document; UserError, naming the line, for anything else."""
    return parse_json(read_text(path, what), f"{path}", what)


def parse_json(text: str | bytes, where: str, what: str) -> Any:
    """The document in `text`. Strings of half a surrogate pair, which no file can hold, are
    refused, as are nesting deeper than Python's and numbers of thousands of digits."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where}, line {error.lineno}: expected {what}, found broken JSON ({error.msg} at "
            f"column {error.colno}); write the file again"
        ) from None
    except RecursionError:
        raise UserError(f"{where}: expected {what}, found JSON that is nested too deeply") from None
    except ValueError:  # int() of more digits than Python allows
        raise UserError(f"{where}: expected {what}, found a number of too many digits") from None
    raw = text if isinstance(text, str) else text.decode("utf-8", "replace")
    if _SURROGATE.search(raw) and (found := _lone_surrogate(document)):
        raise UserError(
            f"{where}: expected text, found half a character in {found!r}; correct the \\u escape"
        )
    return document


def read_yaml_document(path: str | os.PathLike, what: str = "YAML") -> Any:
    """A YAML document of plain values; UserError, naming the line, for anything else.

    A key that is given twice in one mapping is refused, as only one of the two would count, and so
    are aliases that refer to themselves or unfold to more than `MAX_YAML_NODES` values.
    """
    return parse_yaml(read_text(path, what), str(path))


def parse_yaml(text: str, where: str) -> Any:
    """The document in `text`, as `read_yaml_document` reads it."""
    import yaml

    depth = deepest = 0
    for bracket in _BRACKETS.finditer(text):  # PyYAML takes time by the square of the nesting
        depth = max(0, depth + (1 if bracket[0] in "[{" else -1))
        deepest = max(deepest, depth)
    if deepest > MAX_YAML_DEPTH:
        raise UserError(f"{where}: expected YAML, found values that are nested too deeply")
    try:
        document = yaml.load(text, Loader=_strict_loader())
        _count_nodes(document, where)
        return document
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        reason = " ".join(str(problem).split())
        raise UserError(f"{where}{line}: not YAML ({reason})") from error
    except RecursionError:
        raise UserError(
            f"{where}: expected YAML, found values that are nested too deeply"
        ) from None
    except (ValueError, OverflowError, TypeError, AttributeError, LookupError) as error:
        reason = " ".join(str(error).split())[:80]
        raise UserError(f"{where}: not YAML (a value cannot be read: {reason})") from error


def read_xml(path: str | os.PathLike, what: str) -> ElementTree.Element:
    """The root element of an XML file; UserError for broken XML, unknown encodings and entities."""
    return parse_xml(read_bytes(path, what), str(path), what)


def parse_xml(content: bytes, where: str, what: str) -> ElementTree.Element:
    """The root element of a document in any encoding that it declares and Python knows.

    Files that define entities are refused: a few lines of them can stand for gigabytes.
    """
    declared = _XML_ENCODING.match(content.lstrip()[:400])
    if declared and not any(content.startswith(mark) for mark, _ in _MARKS):
        name = declared[1].decode("ascii", "replace")
        try:
            text = content.decode(name)
        except (LookupError, ValueError, TypeError):
            raise UserError(
                f"{where}: expected {what}, found content that is not in the encoding it declares "
                f"({name}); save it as UTF-8"
            ) from None
        if not isinstance(text, str) or "\0" in text:
            raise UserError(f"{where}: expected text, found a NUL character; save it as UTF-8")
    else:
        text = decoded(content, where)
    if "<!ENTITY" in text:
        raise UserError(f"{where}: expected {what}, found entity definitions; remove them")
    try:
        return ElementTree.fromstring(_XML_DECLARATION.sub("", text, count=1))
    except ElementTree.ParseError as error:
        raise UserError(
            f"{where}: expected {what}, found broken XML: {error}; export it again"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: expected {what}, found broken XML: {error}") from None


def only_file(path: str | os.PathLike, suffixes: Iterable[str], what: str) -> Path:
    """`path`, or the only file with one of `suffixes` right in it where it is a folder."""
    path = Path(path)
    if not path.is_dir():
        return path
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in set(suffixes) and p.is_file())
    if len(found) == 1:
        return found[0]
    names = ", ".join(p.name for p in found[:5]) or "none"
    raise UserError(
        f"{path}: expected {what}, found a folder with {len(found)} such files ({names}); "
        "name the file (the key annotations of the data set file)"
    )


def whole_number(
    value: Any, where: str, *, least: float = -MAX_FRAME, most: float = MAX_FRAME
) -> int:
    """An integer of `least` to `most` from an integer or a float without fraction; UserError for
    another value, text included (`parse_whole`)."""
    if type(value) is int and least <= value <= most:
        return value  # nearly always; the rest is for the message
    number = _as_number(value)
    if number is None or not math.isfinite(number) or number != int(number):
        raise UserError(f"{where}: expected a whole number, found {shown(value)}")
    if not least <= number <= most:
        raise UserError(
            f"{where}: expected a whole number {_span(least, most)}, found {shown(value)}"
        )
    return int(number)


def finite_number(
    value: Any, where: str, *, least: float = -math.inf, most: float = math.inf
) -> float:
    """A finite float of `least` to `most` from a number; UserError for another value, text included
    (`parse_number`)."""
    number = _as_number(value)
    if number is None or not math.isfinite(number):
        raise UserError(f"{where}: expected a finite number, found {shown(value)}")
    if not least <= number <= most:
        raise UserError(f"{where}: expected a number {_span(least, most)}, found {shown(value)}")
    return float(number)


def parse_whole(
    text: str | None, where: str, *, least: float = -MAX_FRAME, most: float = MAX_FRAME
) -> int:
    """The integer that ASCII `text` spells, of `least` to `most`; UserError otherwise. Python's own
    `int` also takes underscores, superscripts and every script's digits."""
    stripped = (text or "").strip(_BLANKS)
    if not _WHOLE.fullmatch(stripped):
        raise UserError(f"{where}: expected a whole number, found {shown(text)}")
    return whole_number(int(stripped), where, least=least, most=most)


def parse_number(
    text: str | None, where: str, *, least: float = -math.inf, most: float = math.inf
) -> float:
    """The finite float that ASCII `text` spells, of `least` to `most`; UserError otherwise."""
    stripped = (text or "").strip(_BLANKS)
    if not _REAL.fullmatch(stripped):
        raise UserError(f"{where}: expected a finite number, found {shown(text)}")
    return finite_number(float(stripped), where, least=least, most=most)


def frame_rate(value: Any, where: str) -> float:
    """Frames a second: finite and above 0, up to a million."""
    number = finite_number(value, f"{where}: fps")
    if not 1e-6 <= number <= 1e6:
        raise UserError(f"{where}: expected frames a second above 0, found {shown(value)}")
    return number


def image_side(value: Any, where: str) -> int:
    """A width or height in pixels."""
    return whole_number(value, where, least=1, most=MAX_SIDE)


def safe_name(name: Any, where: str, what: str = "a video's name") -> str:
    """A name that may become a path below an output folder, parts separated by slashes.

    UserError for one that is not text, is empty, absolute, has a drive letter, a part "." or "..",
    a control character or half a character, or is longer than file systems allow.
    """
    if not isinstance(name, str):
        raise UserError(f"{where}: expected {what}, found {shown(name)}")
    parts = re.split(r"[/\\]", name)
    reason = None
    if not name.strip():
        reason = "an empty one"
    elif name[0] in "/\\" or re.match(r"[A-Za-z]:($|[/\\])", name):
        reason = "an absolute path"
    elif any(part in ("", ".", "..") for part in parts):
        reason = "a path with an empty part, '.' or '..'"
    elif any(ord(c) < 32 or ord(c) == 127 for c in name):
        reason = "a control character"
    elif any(0xD800 <= ord(c) < 0xE000 for c in name):
        reason = "half a character"
    elif len(name.encode()) > MAX_NAME or any(len(p.encode()) > MAX_PART for p in parts):
        reason = f"{len(name.encode())} bytes"
    if reason:
        raise UserError(
            f"{where}: expected {what} that can be a file's below the output folder, found "
            f"{reason} ({shown(name)}); rename it"
        )
    return name


def safe_label(name: Any, where: str) -> str:
    """A class name: text without control characters, of 1 to 200 characters."""
    bad = not isinstance(name, str) or not name.strip() or len(name) > 200
    if bad or any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in name):
        raise UserError(
            f"{where}: expected a class name of 1 to 200 printable characters, found {shown(name)}"
        )
    return name


def path_below(folder: str | os.PathLike, name: str) -> Path:
    """`folder / name`; UserError where that leads out of the folder (by a name, by a link)."""
    folder = Path(folder)
    path = folder / safe_name(name, str(folder), "the name of a file to write")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{folder}: expected a file below this folder, found the name {name!r}")
    return path


def matched_label(label: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is `label`, else the only one that differs from it by case and blanks
    alone; None where there is none, or more than one."""
    known = list(names)
    if label in known:
        return label
    found = [name for name in known if label_key(name) == label_key(label)]
    return found[0] if len(found) == 1 else None


def label_key(label: str) -> str:
    """Common form of labels that differ by case and blanks alone."""
    return "".join(label.split()).casefold()


def shown(value: Any, length: int = 60) -> str:
    """`repr`, cut where it is long, in characters that every terminal can print."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**40:
        return "a number of too many digits"
    if isinstance(value, (list, dict, tuple, set)):
        text = f"{type(value).__name__} of {len(value)}" if len(value) > 8 else ascii(value)
    else:
        text = repr(value[: 2 * length] if isinstance(value, (str, bytes)) else value)
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= length else text[: length - 3] + "..."


def _as_number(value: Any) -> float | int | None:
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, (int, np.integer)):
        return int(value) if abs(int(value)) < 2**1000 else None
    if isinstance(value, (float, np.floating)):
        return float(value)
    return None


def _span(least: float, most: float) -> str:
    low = "" if least in (-math.inf, -MAX_FRAME) else f"of at least {least:g}"
    high = "" if most in (math.inf, MAX_FRAME) else f"of at most {most:g}"
    return " and ".join(part for part in (low, high) if part) or "that is not so large"


def _names_in(folder: Path) -> list[str]:
    try:
        return [p.name for p in folder.iterdir()] if folder.is_dir() else []
    except OSError:
        return []


def _lone_surrogate(document: Any) -> str | None:
    for text in _strings(document):
        if any(0xD800 <= ord(c) < 0xE000 for c in text):
            return text.encode("ascii", "backslashreplace").decode()[:60]
    return None


def _strings(document: Any) -> Iterator[str]:
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting.extend(value.keys())
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


@functools.cache
def _strict_loader() -> type:
    import yaml

    class StrictLoader(yaml.SafeLoader):
        """SafeLoader that refuses a key given twice."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if (key.tag, key.value) in seen:
                        raise yaml.constructor.ConstructorError(
                            None, None, f"the key {key.value!r} is given twice", key.start_mark
                        )
                    seen.add((key.tag, key.value))
            return super().construct_mapping(node, deep=deep)

    return StrictLoader


def _count_nodes(document: Any, where: str) -> None:
    """UserError for a document whose aliases unfold to too many values, or contain themselves."""
    sizes: dict[int, int] = {}

    def size(value: Any) -> int:
        if not isinstance(value, (dict, list, tuple, set)):
            return 1
        if id(value) in sizes:
            if sizes[id(value)] < 0:
                raise UserError(f"{where}: expected plain values, found an alias to itself")
            return sizes[id(value)]
        sizes[id(value)] = -1
        members = value.values() if isinstance(value, dict) else value
        sizes[id(value)] = 1 + sum(map(size, members))
        return sizes[id(value)]

    if size(document) > MAX_YAML_NODES:
        raise UserError(f"{where}: expected at most {MAX_YAML_NODES:,} values, found more")
