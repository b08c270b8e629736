"""The commands for cvat-cli that help, files and pages give are those it takes."""

import argparse
import re
import shlex

import pytest

from stadet.tools import annotate_next, pre_annotate
from stadet.tools.data.annotate_next import write_jobs
from stadet.tools.data.pre_annotate import cvat_labels
from stadet.tools.inference import cvat_function

pytest.importorskip("cvat_cli")
from cvat_cli._internal.commands_all import COMMANDS
from cvat_cli._internal.common import configure_common_arguments
from cvat_sdk import attributes, models


def parsed(command, tmp_path, monkeypatch):
    """cvat-cli's own reading of a shell command, in a folder with the files that it names."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)
    assert words[0] == "cvat-cli"
    parser = argparse.ArgumentParser()
    configure_common_arguments(parser)
    COMMANDS.configure_parser(parser)
    if "--labels" in words:
        place = tmp_path / words[words.index("--labels") + 1]
        place.parent.mkdir(exist_ok=True)
        place.write_text('[{"name": "a"}]')
    return parser.parse_args(words[1:])


def commands(text):
    """Commands in a text, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line.strip() for line in joined.splitlines() if line.strip().startswith("cvat-cli")]


def test_of_pre_annotates_help(tmp_path, monkeypatch):
    (command,) = commands(pre_annotate.EXAMPLES)
    found = parsed(command, tmp_path, monkeypatch)
    assert found.labels == [{"name": "a"}] and found.annotation_format == "CVAT 1.1"
    assert found.annotation_path == "drafts/annotations/monday.xml"
    assert found.resources == ["new/monday.mp4"]


def test_of_the_functions_docstring(tmp_path, monkeypatch):
    (command,) = commands(cvat_function.__doc__)
    found = parsed(command, tmp_path, monkeypatch)
    assert found.function_module == cvat_function.__name__ and found.task_id == 12
    assert found.function_parameters == {"checkpoint": "runs/yolov3/best.pt", "threshold": 0.4}


def test_of_the_jobs_that_are_written(tmp_path, monkeypatch):
    job = {"name": "001 my video", "video": "/a b/c.mp4", "start_frame": 20, "stop_frame": 79}
    with open(tmp_path / "jobs.sh", "w") as stream:
        write_jobs(stream, [job])
    options = re.search(r"CVAT='(.*)'", annotate_next.EXAMPLES)[1]
    (command,) = commands((tmp_path / "jobs.sh").read_text())
    found = parsed(command.replace("$CVAT", options), tmp_path, monkeypatch)
    assert (found.name, found.start_frame, found.stop_frame) == ("001 my video", 20, 79)
    assert found.resources == ["/a b/c.mp4"] and found.server_host == "https://cvat.example.com"


def test_the_labels_are_what_the_sdk_takes():
    for label in cvat_labels(["wipe", "cut"]):
        (own,) = [models.AttributeRequest(**attribute) for attribute in label["attributes"]]
        request = models.PatchedLabelRequest(
            name=label["name"], type=label["type"], attributes=[own]
        )
        assert request.name in ("wipe", "cut")
        check = attributes.attribute_value_validator(own)
        assert check("true") and check("false") and not check("perhaps")
