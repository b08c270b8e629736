import pytest

from stadet.engine.addresses import is_loopback, names_loopback


@pytest.mark.parametrize(
    ("header", "local"),
    [
        ("localhost", True),
        ("127.0.0.1:8000", True),
        ("127.9.9.9", True),
        ("[::1]:80", True),
        ("", False),
        ("127.0.0.1.example.com", False),
        ("10.0.0.1", False),
        ("0.0.0.0:80", False),
        ("a/localhost", False),
        ("[::1", False),
        ("l\xf6calhost", False),
        ("localhost@example.com", False),
    ],
)
def test_names_of_this_machine_only(header, local):
    assert names_loopback(header) is local


def test_addresses():
    assert is_loopback("::1") and not is_loopback("0.0.0.0") and not is_loopback("example.com")
