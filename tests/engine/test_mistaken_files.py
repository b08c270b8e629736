import zipfile

import pytest
import torch

from stadet.engine.errors import UserError
from stadet.engine.mistaken_files import expect_weights_file
from stadet.engine.state_dict import read_state_dict

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 248007048\n"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (POINTER, "git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html><title>Virus scan warning</title></html>", "a web page"),
        (b"\xef\xbb\xbf<html></html>", "a web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(9), "HDF5"),
        (b"\0\0\0\x20ftypisom" + bytes(9), "a video"),
        (b"\x1f\x8b\x08" + bytes(9), "unpack it"),
    ],
)
@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.safetensors"])
def test_what_a_download_left_is_named(tmp_path, content, found, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=found) as caught:
        read_state_dict(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_archives_that_torch_does_not_load(tmp_path):
    with zipfile.ZipFile(tmp_path / "weights.zip", "w") as archive:
        archive.writestr("best.pt", b"..")
    with pytest.raises(UserError, match=r"zip archive \(with best.pt\); unpack"):
        expect_weights_file(tmp_path / "weights.zip")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "script.pt"))
    with pytest.raises(UserError, match="TorchScript"):
        expect_weights_file(tmp_path / "script.pt")


def test_weights_pass(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt")
    torch.save({"a": torch.zeros(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "a.weights").write_bytes(bytes([0, 0, 0, 0, 2, 0, 0, 0]) + bytes(12))
    for name in ("a.pt", "old.pt", "a.weights", "absent.pt"):
        expect_weights_file(tmp_path / name)
