"""Whether the hub is asked: a variable says no, its server does not answer, a proxy stands in between."""

from __future__ import annotations

import os
import socket

import pytest

from harness.util import hub


@pytest.fixture
def asked(monkeypatch):
    """hub.unreachable as in a new process that is on its own: no variable, no proxy, no answer kept."""
    for name in (*hub.OFFLINE, *(f"{kind}_proxy" for kind in ("http", "https", "all", "no"))):
        for spelled in (name, name.upper()):
            monkeypatch.delenv(spelled, raising=False)
    monkeypatch.setitem(os.environ, "HF_ENDPOINT", "http://127.0.0.1:1")  # a port that nothing listens on
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return hub.unreachable.__wrapped__


def test_a_server_that_does_not_answer_switches_the_library_off(asked):
    import huggingface_hub

    assert asked() == "127.0.0.1 cannot be reached: Connection refused"
    assert os.environ["HF_HUB_OFFLINE"] == "1" and huggingface_hub.constants.is_offline_mode()
    assert asked() == "HF_HUB_OFFLINE is set"
    del os.environ["HF_HUB_OFFLINE"]


def test_a_server_that_answers_is_asked(asked, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert asked() is None and "HF_HUB_OFFLINE" not in os.environ


def test_behind_a_proxy_only_the_library_can_tell(asked, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    assert asked() is None and "HF_HUB_OFFLINE" not in os.environ
