from pathlib import Path

import pytest

from stadet.engine.errors import UserError
from stadet.tools.cluster.urls import Unreachable, file_system, local_path, telling


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("a/b.mp4", "a/b.mp4"),
        ("/a/b.mp4", "/a/b.mp4"),
        ("file:///a/b.mp4", "/a/b.mp4"),
        ("odd:name.mp4", "odd:name.mp4"),
        ("s3://bucket/b.mp4", None),
        ("gs://bucket", None),
    ],
)
def test_paths_and_urls_are_told_apart(place, path):
    assert local_path(place) == (None if path is None else Path(path))


def test_unknown_schemes_and_missing_packages_are_told():
    pytest.importorskip("fsspec")
    with pytest.raises(UserError, match=r"expected a path or a URL .* found nothing"):
        file_system("nothing://a")
    from importlib.util import find_spec

    if find_spec("gcsfs") is None:
        with pytest.raises(UserError, match="pip install gcsfs"):
            file_system("gs://a")


class EndpointConnectionError(Exception):
    """Of the name that botocore gives it."""


class NoCredentialsError(Exception):
    """The same."""


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (PermissionError("403"), UserError, "cannot read s3://b/v: permission denied"),
        (FileNotFoundError("v"), UserError, "there is nothing of that name"),
        (NoCredentialsError("none"), UserError, "no credentials were found"),
        (EndpointConnectionError("gone"), Unreachable, "does not answer"),
        (ConnectionResetError("by peer"), Unreachable, "does not answer"),
        (OSError("some trouble\nmore"), Unreachable, "some trouble$"),
        (OSError(28, "No space left on device", "/x"), UserError, "the disk is full"),
        (ZeroDivisionError("a fault"), ZeroDivisionError, "a fault"),
    ],
)
def test_what_a_server_refuses_is_one_line(error, kind, words):
    with pytest.raises(kind, match=words) as found, telling("s3://b/v", "read"):
        raise error
    assert type(found.value) is kind
    assert "\n" not in str(found.value)
