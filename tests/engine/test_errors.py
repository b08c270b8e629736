from stadet.engine.errors import UserError, neighbours


def test_neighbours_names_close_words_only():
    assert neighbours("wave_hand", ["wave hand", "sit", "stand"]) == " (did you mean wave hand?)"
    assert neighbours("xyz", ["wave", "sit"]) == ""
    assert neighbours("a", []) == ""
    assert "1" in neighbours("1", [1, 2])


def test_user_error_prints_its_text():
    assert str(UserError("one line")) == "one line"
