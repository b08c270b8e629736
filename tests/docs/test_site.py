"""The documentation site: complete, and whole without a network."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import stadet
from stadet.tools.cli import VERBS

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in stadet._PACKAGES
    for path in [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.yaml")]
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings_handlers.python")
    folder = tmp_path_factory.mktemp("site")
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


class Page(HTMLParser):
    """Ids of a page, and what a browser fetches by itself to show it."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.fetched = set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids |= {values["id"]} if "id" in values else set()
        if "src" in values or (tag == "link" and values.get("rel") != "canonical"):
            self.fetched.append(values.get("src") or values.get("href"))


def test_every_public_name_is_on_the_api_page(site):
    ids = Page(site / "reference" / "api.html").ids
    assert not {f"stadet.{name}" for name in stadet.__all__} - ids


def test_every_verb_has_its_help(site):
    text = (site / "reference" / "verbs.html").read_text(encoding="utf-8")
    assert not [verb for verb in VERBS if f"usage: stad {verb} " not in text]


def test_pages_fetch_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        assert not [a for a in Page(page).fetched if re.match(r"(https?:)?//", a)], page


def test_every_paper_is_among_the_references():
    references = (ROOT / "docs" / "references.md").read_text(encoding="utf-8")
    cited = {
        number
        for path in [*SOURCES, *(ROOT / "docs").glob("*.md")]
        for number in re.findall(r"arXiv\s+(\d{4}\.\d{4,5})", path.read_text(encoding="utf-8"))
    }
    assert len(cited) > 20
    assert not [number for number in cited if f"arXiv {number}" not in references]


def test_reports_are_cited_by_name():
    assert not [p for p in SOURCES if re.search(r"[Rr]eports? 00[0-4]", p.read_text("utf-8"))]


def test_paths_in_the_documentation_exist():
    """Folders, files and modules that the documentation names, so that it follows the tree."""
    import importlib.util

    pages = [ROOT / "CONTRIBUTING.md", ROOT / "README.md", ROOT / "docs" / "architecture.md"]
    folders = "|".join([*stadet._PACKAGES, "docs", "benchmarks", "tests"])
    missing = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for path in re.findall(rf"`((?:{folders})/[\w/.]*)`", text):
            if "NAME" not in path and not (ROOT / path).exists():
                missing.append(path)
        for name in re.findall(r"`(stadet(?:\.\w+)+)(?=[`(])", text):
            try:
                found = importlib.util.find_spec(name)
            except ModuleNotFoundError:
                found = None  # the parent is a module: the name is of something in it
            if found is None:
                module, _, attribute = name.rpartition(".")
                if not hasattr(importlib.import_module(module), attribute):
                    missing.append(name)
    assert not missing
