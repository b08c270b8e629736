"""Tests fail where a package was imported by its bare name: from the repository's root that finds a
second copy of it."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

import stadet
from stadet.engine import progress

# A busy machine takes longer for an example now and then; what fails is printed, not stored.
settings.register_profile("stad", deadline=None, database=None)
settings.load_profile("stad")

ROOT = Path(stadet.__file__).resolve().parent.parent
PACKAGES = stadet._PACKAGES

# A shell may start programs in the background deaf to Ctrl-C, nohup to SIGHUP; tests send both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def second_copies(modules: Mapping[str, ModuleType]) -> list[str]:
    """The bare names among `modules` that lead into this checkout."""
    bare = [name for name in modules if name.partition(".")[0] in PACKAGES]
    files = {name: getattr(modules[name], "__file__", None) for name in bare}
    return sorted(
        name for name, file in files.items() if file and Path(file).resolve().is_relative_to(ROOT)
    )


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Nothing is read from or written into the user's cache folder."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("STAD_CACHE", raising=False)
        patched.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user_cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_progress_lines():
    """What a verb writes to stderr does not depend on how long it takes."""
    progress._due = math.inf


@pytest.fixture(scope="module", autouse=True)
def no_second_copy():
    yield
    found = second_copies(sys.modules)
    assert not found, f"imported by bare names: {', '.join(found)}; import stadet.NAME instead"
