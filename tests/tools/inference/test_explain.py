from stadet.tools.cli import main


def test_an_exported_file_has_no_gradients(tmp_path, capsys):
    exported = tmp_path / "model.onnx"
    exported.write_bytes(b"")
    out = tmp_path / "out"
    assert main(["explain", "v.mp4", "--checkpoint", str(exported), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "model.onnx: expected a checkpoint, found an exported file" in said
    assert said.count("\n") == 1 and not out.exists()
