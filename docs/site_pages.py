"""Pages of the site that are made when it is built: README, verbs, configuration keys, API.

mkdocs runs this file as a hook (see mkdocs.yml). Nothing is imported but the light modules of
verbs: the API pages are read from the source.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from html import escape
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "build" / "site-source"  # `stadet` as one folder of links, for mkdocstrings
CONFIGURATIONS = {
    "stad train": "stadet.tools.training.config:TrainConfig",
    "stad train-classifier": "stadet.tools.classification.config:ClassifierConfig",
    "Data set file": "stadet.datasets.dataset:DatasetConfig",
}


def on_startup(**_) -> None:
    sys.path.insert(0, str(ROOT))
    package = SOURCE / "stadet"
    package.mkdir(parents=True, exist_ok=True)
    import stadet

    links = {name: ROOT / name for name in packages()}
    links["__init__.py"] = Path(stadet.__file__)
    for name, target in links.items():
        link = package / name
        if not link.is_symlink() or link.resolve() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)


def on_files(files: Files, config) -> Files:
    pages = {
        "index.md": _from_root("README.md"),
        "contributing.md": _from_root("CONTRIBUTING.md"),
        "changelog.md": _from_root("CHANGELOG.md"),
        "reference/verbs.md": verbs_page(),
        "reference/configuration.md": configuration_page(),
        "reference/api.md": api_page(),
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def packages() -> list[str]:
    """Names of the packages below `stadet`, which lie at the top of the repository."""
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    return sorted(found - {"stadet", "tests"})


def verbs_page() -> str:
    """The help of every verb."""
    from stadet.tools.cli import summaries

    os.environ["COLUMNS"] = "98"
    parts = [
        "# Verbs\n\nEvery verb is a function, too: see the [API](api.md). `stad VERB --help` "
        "prints the text below.\n"
    ]
    for verb, summary in summaries().items():
        module = importlib.import_module("stadet.tools." + verb.replace("-", "_"))
        parser = module.build_parser()
        parser.prog = f"stad {verb}"
        keys = "[Its configuration keys](configuration.md)." if parser.configuration else ""
        parser.configuration = ""
        text = parser.format_help().rstrip()
        title = f"## stad {verb}\n\n{summary[0].upper()}{summary[1:]}. {keys}"
        parts.append(f"{title}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def configuration_page() -> str:
    """Every key of the configuration files, with type, default and meaning."""
    from stadet.engine.config_docs import documented_keys

    parts = [
        "# Configuration keys\n\nA configuration is a YAML file; `key=value` on the command line "
        "overrides it (`stad train configs/restaurant_yolov3.yaml data.batch=8`). The folder "
        "`configs/` has examples.\n"
    ]
    for title, kind in CONFIGURATIONS.items():
        parts.append(f"## {title}\n")
        section = None
        for key in documented_keys(kind):
            head, _, _ = key.path.rpartition(".")
            if head != section:
                section = head
                parts.append(f"\n### {f'`{head}`' if head else 'Top level'}\n")
            default = f" = `{key.default}`" if key.default else ""
            parts.append(f"`{key.path}` *{escape(key.type)}*{default}\n:   {key.text}\n")
    return "\n".join(parts) + "\n"


GROUPS = {
    "tools": "Detectors, and the verbs as functions",
    "detect": "Detections, metrics, tubes and drawing",
    "datasets": "Data sets and videos",
    "classify": "Classifiers",
    "anchors": "Anchors",
    "engine": "Configuration and errors",
}


def api_page() -> str:
    """Every public name of the package, by the package that it comes from."""
    import stadet

    names: dict[str, list[str]] = {title: [] for title in GROUPS.values()}
    for name in sorted(stadet.__all__, key=str.lower):
        origin = stadet._MODULE_OF[name].split(".")[1]
        names.setdefault(GROUPS.get(origin, origin), []).append(name)
    parts = [
        "# Python API\n\n`import stadet` is quick: each name is loaded when it is first used.\n"
    ]
    for title, members in names.items():
        if members:
            parts.append(f"## {title}\n")
            options = "    options:\n      heading_level: 3\n"
            parts += [f"::: stadet.{name}\n{options}" for name in members]
    return "\n".join(parts)


def _from_root(name: str) -> str:
    """A file of the repository's root with its links as seen from docs/."""
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/", "](", text)
    return re.sub(r"\]\((CONTRIBUTING|CHANGELOG)\.md", lambda m: f"]({m[1].lower()}.md", text)
