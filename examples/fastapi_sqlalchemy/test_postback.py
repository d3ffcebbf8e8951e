"""What impact.com may send, tried on our endpoint: each case of Postback Kit's endpoint suite is a test."""

import os

import pytest
from fastapi import FastAPI

from endpoint import create_app
from ledger import Ledger
from postback_conformance.testing import PostbackCase


@pytest.fixture(scope="module")
def postback_app(database_url: str) -> FastAPI:
    """The endpoint under test; the kit puts it on a port of this machine, and tells it when it starts and ends."""
    return create_app(Ledger(database_url), key=os.environ["PARTNER_KEY"], has_probe=True)


def test_postback(postback_case: PostbackCase) -> None:
    postback_case()
