"""The door of the readers: encodings, numbers, names, documents."""

import codecs

import pytest

from stadet.engine.errors import UserError
from stadet.engine.reading import (
    csv_rows,
    finite_number,
    frame_rate,
    guarded,
    matched_label,
    one_line,
    open_lines,
    parse_number,
    parse_whole,
    parse_xml,
    parse_yaml,
    path_below,
    read_json,
    read_text,
    safe_label,
    safe_name,
    whole_number,
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_in_any_marked_encoding(tmp_path, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes("größe\nzwei\n".encode(encoding))
    assert read_text(path, "text") == "größe\nzwei\n"
    with open_lines(path, "text") as stream:
        assert [line.decode() for line in stream] == ["größe\n", "zwei\n"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\ngröße".encode("latin-1"), "line 2: expected text in UTF-8, found the byte 0xf6"),
        ("ab".encode("utf-16-le"), "line 1: expected text, found a NUL"),
        (codecs.BOM_UTF16_LE + b"a", "expected text in UTF-16"),
    ],
)
def test_other_bytes_give_one_line(tmp_path, content, message):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_text(path, "text")


def test_missing_files_and_folders(tmp_path):
    (tmp_path / "list.txt").write_text("")
    with pytest.raises(UserError, match=r"found none \(did you mean list\.txt"):
        read_text(tmp_path / "lisst.txt", "a list")
    with pytest.raises(UserError, match="found a folder"):
        read_text(tmp_path, "a list")
    with pytest.raises(UserError, match="found no path"):
        read_text("a\0b", "a list")


@pytest.mark.parametrize(
    "text", ["", "x", "1_000", "²", "٣", "1.0", "nan", "0x10", "9" * 19, "1" * 5000, "1e3", "--1"]
)
def test_what_is_no_whole_number(text):
    with pytest.raises(UserError, match="expected a whole number"):
        parse_whole(text, "file")


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e400", "1_0", "²", "1,5", "0x1p3", "1e99999"])
def test_what_is_no_finite_number(text):
    with pytest.raises(UserError, match="expected a finite number"):
        parse_number(text, "file")


def test_numbers_as_they_are_written():
    assert parse_whole(" -12\n", "file") == -12
    assert parse_number("-1.5e2", "file") == -150.0 and parse_number(".5", "file") == 0.5
    assert whole_number(3.0, "file") == 3
    for value in (True, 1.5, float("nan"), float("inf"), "3", None, [], 10**400, 2**60):
        with pytest.raises(UserError, match="expected a whole number"):
            whole_number(value, "file")
    for value in (True, float("nan"), "3", None, 10**400):
        with pytest.raises(UserError, match="expected a finite number"):
            finite_number(value, "file")
    for value in (0, -5, float("nan"), "25", [25], 1e9):
        with pytest.raises(UserError, match=r"fps|frames a second"):
            frame_rate(value, "file")


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".", "..", "../x", "a/../../x", "/etc/x", "\\x", "..\\x", "C:\\x", "C:", "a//b"),
        *("a/", "a\0b", "a\nb", "\x7f", "n" * 256, "a/" * 600 + "a", "\ud800", None, 3),
    ],
)
def test_names_that_could_lead_elsewhere(name, tmp_path):
    with pytest.raises(UserError, match="expected"):
        safe_name(name, "file")
    if isinstance(name, str):
        with pytest.raises(UserError, match="expected"):
            path_below(tmp_path, name)


def test_names_that_stay_below(tmp_path):
    for name in ("a", "Class/v_x_g01", "größe", "a b", "..a", "a..", "x" * 255):
        assert safe_name(name, "file") == name
    assert path_below(tmp_path, "Class/v.xml") == tmp_path / "Class" / "v.xml"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match="below this folder"):
        path_below(tmp_path / "out", "link/v.xml")
    with pytest.raises(UserError, match="class name"):
        safe_label("a\nb", "file")


def test_labels_up_to_case_and_blanks():
    assert matched_label("Pick up ", ["pick up", "put"]) == "pick up"
    assert matched_label("pick", ["Pick", "pick"]) == "pick"  # as it is, if it is there
    assert matched_label("PICK", ["Pick", "pick"]) is None
    assert matched_label("pik", ["pick"]) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: expected JSON here, found broken JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "1" * 5000 + "}", "too many digits"),
        ('["\\ud800"]', "half a character"),
    ],
)
def test_broken_json(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_json(tmp_path / "a.json", "JSON here")
    assert "\n" not in str(error.value)


def test_pairs_of_surrogates_are_text(tmp_path):
    (tmp_path / "a.json").write_text('["\\ud83d\\ude00"]')
    assert read_json(tmp_path / "a.json", "JSON") == ["\U0001f600"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "line 1|line 2"),
        ("a: 1\nb: 2\na: 3\n", "line 3: not YAML .the key 'a' is given twice"),
        ("a: &x [*x]", "alias to itself"),
        ("a: 2001-99-99", "a value cannot be read"),
        ("a: " + "1" * 5000, "a value cannot be read"),
        ("? [1]\n: 2", "not YAML"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_broken_yaml(text, message):
    with pytest.raises(UserError, match=message) as error:
        parse_yaml(text, "file")
    assert "\n" not in str(error.value)


def test_yaml_that_unfolds_to_gigabytes():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(UserError, match="expected at most"):
        parse_yaml("\n".join(lines), "file")
    assert parse_yaml("a: &x {b: 1}\nc: *x", "file") == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<a><b></a>", "broken XML"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "not in the encoding it declares"),
        (b'<?xml version="1.0" encoding="ascii"?><a>\xff</a>', "not in the encoding it declares"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "entity definitions"),
        (b"", "broken XML"),
    ],
)
def test_broken_xml(content, message):
    with pytest.raises(UserError, match=message):
        parse_xml(content, "file", "XML")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "utf-8-sig"])
def test_xml_in_the_encoding_it_declares(encoding):
    declared = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{declared}"?><a>größe</a>'
    assert parse_xml(text.encode(encoding), "file", "XML").text == "größe"


def test_broken_csv(tmp_path):
    (tmp_path / "a.csv").write_text("a," + "x" * 200_000)
    with pytest.raises(UserError, match="line 1: expected a table, found broken csv"):
        list(csv_rows(tmp_path / "a.csv", "a table"))


def test_messages_that_quote_a_file_are_one_printable_line():
    assert one_line("größe 3 'a b'") == "größe 3 'a b'"
    assert one_line("a\nb\x1b[2J\ud800") == "a b\\x1b[2J\\ud800"
    long = one_line("begin" + "x" * 10_000 + "end")
    assert len(long) < 1010 and long.startswith("begin") and long.endswith("end")


def test_the_guard_names_the_file_and_can_be_opened(monkeypatch):
    @guarded("a table")
    def read(path):
        raise KeyError("x")

    monkeypatch.delenv("STAD_TRACEBACK", raising=False)
    with pytest.raises(UserError, match=r"a\.csv: expected a table, .*KeyError"):
        read("a.csv")
    monkeypatch.setenv("STAD_TRACEBACK", "1")
    with pytest.raises(KeyError):
        read("a.csv")
