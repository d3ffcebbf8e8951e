"""What impact.com may send, tried on our endpoint: each case of Postback Kit's endpoint suite is a test."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask

from endpoint import create_app
from ledger import NAMES, Ledger
from postback_conformance.testing import PostbackCase


@pytest.fixture(scope="module")
def postback_app(database: Path) -> Iterator[Flask]:
    """The endpoint under test; the kit puts it on a port of this machine."""
    with closing(Ledger(database)) as ledger:
        yield create_app(ledger, key=os.environ["PARTNER_KEY"], has_probe=True)


def test_by_get(postback_case: PostbackCase) -> None:
    postback_case()


# What becomes of a postback is the same, however it came.
@pytest.mark.postback("notification_form.toml", only=["accepts.*", "rejects.*"])
def test_by_post(postback_case: PostbackCase) -> None:
    postback_case()


def test_what_could_not_be_recorded_is_to_be_sent_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "postbacks.sqlite")
    app = create_app(ledger, key="k")
    ledger.close()
    answer = app.test_client().get("/postback", query_string=dict.fromkeys(NAMES, "1"), headers={"X-Api-Key": "k"})

    assert answer.status_code == 503
