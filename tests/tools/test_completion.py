import builtins
import shutil
import subprocess

import pytest

from stadet.tools import cli
from stadet.tools.completion import completion_script

WORDS = """\
complete_words() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  _shtab_stad stad "${@: -1}"; echo "${COMPREPLY[@]}"
}
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("stad kmeans", "kmeans-anchors"),
        ("stad render --det", "--detections"),
        ("stad evaluate --side v", "val"),
        ("stad tubes --detections kit", "kitchen.jsonl"),
        ("stad predict kit", "kitchen.jsonl"),
    ],
)
def test_bash_completes_verbs_options_choices_and_files(typed, completed, tmp_path):
    pytest.importorskip("shtab")
    (tmp_path / "kitchen.jsonl").write_text("")
    script = f"{completion_script('bash')}\n{WORDS}\ncomplete_words {typed}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.split() == [completed], done.stderr


def test_without_shtab_one_line_says_what_to_install(monkeypatch, capsys):
    real = builtins.__import__

    def no_shtab(name, *rest, **more):
        if name == "shtab":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", no_shtab)
    assert cli.main(["completion", "bash"]) == 2
    assert "pip install -e '.[completion]'" in capsys.readouterr().err
