import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stadet.engine.csv_files import CsvWriter, cell_text


def written(cells):
    stream = io.StringIO(newline="")
    CsvWriter(stream).writerow(cells)
    stream.seek(0)
    return next(csv.reader(stream))


FORMULAS = ["=1+1", "+a", "-a", "@SUM(A1)", "\tx", "-2+3", "'=1", "=HYPERLINK()"]
PLAIN = ["-1.5", "+3", "1e-5", "-.5", -2, 3.5, "a|b", "'quoted'", "", "рука"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"))


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_become_text(text):
    (cell,) = written([text])
    assert cell == f"'{text}" and cell_text(cell) == text


@pytest.mark.parametrize("cell", PLAIN)
def test_numbers_and_other_texts_stay(cell):
    assert written([cell]) == [str(cell)]


def test_no_row_is_split():
    assert written(["a\r=1", "b\r\nc"]) == ["a\n=1", "b\nc"]


@given(st.lists(TEXTS, min_size=2))
def test_cells_are_read_back(cells):
    found = written(cells)
    assert [cell_text(cell) for cell in found] == cells
    assert not any(cell[:1] in ("=", "@", "\t") for cell in found)
