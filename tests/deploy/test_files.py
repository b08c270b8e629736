"""What Dockerfiles, compose file and unit start is what the command line takes."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from stadet.engine.errors import UserError
from stadet.tools import serve
from stadet.tools.service.settings import ServiceSettings
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"


def instructions(name):
    """[(instruction, its words)] of a Dockerfile."""
    text = re.sub(r"\\\n", " ", (DEPLOY / name).read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(None, 1)) for line in lines]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_a_container_starts_the_service_and_asks_for_a_token(name, tmp_path):
    steps = instructions(name)
    found = dict(steps)
    assert json.loads(found["ENTRYPOINT"]) == ["stad"]
    verb, *words = json.loads(found["CMD"])
    args = serve.build_parser().parse_args(words)
    assert verb == "serve" and str(args.port) == found["EXPOSE"] and found["USER"] == "stad"
    with pytest.raises(UserError, match="STAD_TOKEN"):
        ServiceSettings(models=tmp_path, data=tmp_path / "d", host=args.host)
    assert not [words for step, words in steps if step == "RUN" and "://" in words]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_the_extras_that_are_installed_are_declared(name):
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = re.search(r"/opt/stad\[([\w,]+)\]", (DEPLOY / name).read_text())[1].split(",")
    assert set(wanted) <= set(declared["optional-dependencies"]) and "serve" in wanted


def test_compose_builds_the_dockerfile_and_wants_a_token():
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["serve"]
    context = (DEPLOY / service["build"]["context"]).resolve()
    assert (context / service["build"]["dockerfile"]).is_file()
    assert ":?" in service["environment"]["STAD_TOKEN"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_unit_starts_the_service():
    text = (DEPLOY / "stad.service").read_text()
    command, verb, *words = shlex.split(re.search(r"^ExecStart=(.+)$", text, re.M)[1])
    args = serve.build_parser().parse_args(words)
    assert Path(command).name == "stad" and verb == "serve" and args.host == "127.0.0.1"
    assert args.data.is_relative_to("/var/lib/stad") and "StateDirectory=stad" in text
    assert "SuccessExitStatus=143" in text  # else a stop would count as a failure
