from pathlib import Path

import app
import conformance
import pytest
import receiver
import sender

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize("module", [app, conformance, receiver, sender], ids=lambda module: module.__name__)
def test_the_imported_module_is_the_one_in_this_repository(module):
    assert Path(module.__file__).is_relative_to(REPOSITORY)


def test_there_is_one_class_of_received_postbacks():
    assert app.Received is receiver.Received


@pytest.mark.parametrize(("country", "answer", "stored"), [("DE", "Thank you, c1", 1), ("XX", "refused", 0)])
def test_a_postback_is_answered(country, answer, stored):
    ledger = []
    assert app.handle(ledger, "c1", country) == answer
    assert len(ledger) == stored
