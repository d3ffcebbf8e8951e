"""What impact.com may send, tried on our endpoint: each case of Postback Kit's endpoint suite is a test."""

import pytest
from django.core.handlers.asgi import ASGIHandler

from postback_conformance.testing import PostbackCase


@pytest.fixture(scope="module")
def postback_app(project: None) -> ASGIHandler:
    """The endpoint under test; the kit puts it on a port of this machine. `config.wsgi` would do as well."""
    from config.asgi import application  # noqa: PLC0415  not before the environment is set

    return application


def test_postback(postback_case: PostbackCase) -> None:
    postback_case()
