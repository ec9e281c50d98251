"""Tests of data ask nobody else."""

from __future__ import annotations

import socket

import pytest


@pytest.fixture(autouse=True)
def _network(monkeypatch):
    """Nothing here asks a name server; what is prepared is local."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
