"""Random requests, made from the service's own description: no answer is an error of the service,
and each is as described."""

from __future__ import annotations

import json
import string

import pytest

pytest.importorskip("fastapi")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stadet.tools.service import app as app_module
from tests.tools.service.conftest import send, wait

ODD = st.sampled_from(
    ["", ".", "..", "%2e%2e%2f", "a/b", "%00", "\u202e", "é🎬", "'", '"', "{{7*7}}", "0" * 32, "-1"]
)
TEXT = st.one_of(ODD, st.text(max_size=40))
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=8,
)
HEADERS = st.dictionaries(
    st.sampled_from(["Range", "If-Range", "Content-Type", "Origin", "Cookie", "Authorization"]),
    st.one_of(
        st.text(string.printable.translate({n: None for n in range(32)}), max_size=40),
        st.sampled_from(
            ["bytes=0-", "bytes=-1,-1", "application/json", "Bearer x", "stad_token=é"]
        ),
    ),
    max_size=3,
)


@pytest.fixture
def known(client, clip, monkeypatch):
    """(client, values that its paths may hold): a done job, an upload, a model."""
    monkeypatch.setattr(app_module, "WRONG_TOKEN_SECONDS", 0.0)
    wanted = {"kind": "detect", "model": "counter/best.pt", "uploads": [send(client, clip)]}
    job = client.post("/api/jobs", json=wanted).json()
    assert wait(client, job["id"])["state"] == "done"
    client.app.state.fuzzed = {"job_id": job["id"], "upload": send(client, clip)}
    return client


def paths(description):
    return sorted(path for path in description["paths"])


def body_strategy(upload):
    field = {
        "kind": st.one_of(st.sampled_from(["detect", "classify", "steps"]), JSON),
        "model": st.one_of(st.sampled_from(["counter/best.pt", "broken.pt", "../x.pt"]), JSON),
        "uploads": st.one_of(st.lists(st.one_of(st.just(upload), TEXT), max_size=3), JSON),
        "threshold": JSON,
        "window_seconds": JSON,
        "min_seconds": JSON,
    }
    named = st.fixed_dictionaries({}, optional=field)
    return st.one_of(st.binary(max_size=60), st.one_of(named, JSON).map(as_bytes))


def as_bytes(value):
    return json.dumps(value).encode()  # NaN, Infinity and lone surrogates too


def test_random_requests(known):
    client, values = known, known.app.state.fuzzed
    description = client.get("/api/openapi.json").json()
    bodies = body_strategy(values["upload"])

    @settings(
        max_examples=400,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(data):
        path = data.draw(st.sampled_from(paths(description)))
        method = data.draw(st.sampled_from(METHODS))
        if path.endswith("/events") and method == "GET":
            method = "HEAD"
        filled = path
        for name in ("job_id", "name", "run"):
            known_value = values.get(name, "boxed.mp4")
            value = data.draw(st.one_of(st.just(known_value), TEXT))
            filled = filled.replace("{" + name + "}", value).replace("{" + name + ":path}", value)
        if method == "DELETE" and values["job_id"] in filled:
            method = "PUT"  # the next requests want it
        url = "http://127.0.0.1:8000" + quoted(filled)
        query = data.draw(st.dictionaries(st.sampled_from(["name", "x"]), TEXT, max_size=2))
        headers = {
            name: value.encode("utf-8", "replace") for name, value in data.draw(HEADERS).items()
        }
        content = data.draw(bodies) if method in ("POST", "PUT", "PATCH", "DELETE") else None
        answer = client.request(
            method,
            url,
            params=clean(query),
            headers=headers,
            content=content,
            follow_redirects=False,
        )
        assert answer.status_code < 500 or path.startswith("/api/live"), (method, url, answer.text)
        assert "Traceback" not in answer.text
        kind = answer.headers.get("content-type", "")
        if answer.status_code >= 400 and kind.startswith("application/json") and answer.content:
            assert isinstance(answer.json()["detail"], str)
        described = description["paths"][path].get(method.lower())
        if described and answer.status_code < 400:
            possible = {*described["responses"], "204", "206", "303", "304", "307"}
            assert str(answer.status_code) in possible

    run()  # requests that httpx itself refuses raise in the client: see `clean`
    assert client.get(f"/api/jobs/{values['job_id']}").json()["state"] == "done"
    for job in client.get("/api/jobs").json()["jobs"]:
        assert wait(client, job["id"])["state"] in ("done", "failed", "cancelled")


def quoted(path):
    from urllib.parse import quote

    return quote(path.encode("utf-8", "replace"), safe="/%~")


def clean(query):
    return {key: value.encode("utf-8", "replace") for key, value in query.items()}
