"""`match --as-event`: what a postback said, as an event that can be sent again; also from a capture in a store."""

import asyncio
import json
from pathlib import Path

import pytest

from command_line import Run
from postback_conformance.demo import demo_sources
from postback_conformance.rules.examples import capture
from postback_receiver import SqliteStore
from postback_sender.event import encode_event, example_event


@pytest.fixture
def corrected(tmp_path: Path) -> Path:
    source = demo_sources()["corrected"]
    for name, text in {source.name: source.text, **source.files}.items():
        (tmp_path / name).write_text(text)
    return tmp_path / source.name


def lines(text: str) -> list[str]:
    """The lines of NDJSON, in which other line ends than the line feed are part of a text."""
    return text.removesuffix("\n").split("\n")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "captures.sqlite"
    arrived = capture(b'{"status": "PENDING", "id": "1.2.3"}\n', target="/p/1.2.3?click=a%3Ab&token=hunter2")
    kept = SqliteStore(path)
    asyncio.run(kept.append(arrived))
    kept.close()
    (tmp_path / "c.toml").write_text(
        "url = 'http://127.0.0.1/p/{ActionId}?click={RefClickId}&token=${TOKEN}'\nmethod = 'POST'\n"
        'body = \'{"status": "{Status}", "id": "{ActionId}"}\''
    )
    return path


def test_url_and_body_of_a_capture_make_one_event(run: Run, store: Path) -> None:
    event = json.loads(run("match", "c.toml", store, "--capture", "exa", "--as-event").out)
    data = run("match", "c.toml", store, "--capture", "exa", "--format", "json")

    assert event["values"] == {"ActionId": "1.2.3", "RefClickId": "a:b", "Status": "PENDING"}
    assert [json.loads(line)["part"] for line in lines(data.out)] == ["url", "body"]
    assert "hunter2" not in data.text


def test_a_capture_that_one_part_of_does_not_fit_makes_no_event(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("url = 'http://127.0.0.1/q'\nmethod = 'POST'\nbody = '{Status}'")

    outcome = run("match", "c.toml", store, "--capture", "exa", "--as-event")

    assert outcome.code == 1
    assert "url of exa, byte 1" in outcome.out
    assert "values" not in outcome.out


def test_the_bytes_of_a_capture_can_be_had_alone(run: Run, store: Path) -> None:
    assert run("show", store, "exa", "--body-only").out == '{"status": "PENDING", "id": "1.2.3"}\n'
    assert run("show", store, "exa", "--target-only").out == "/p/1.2.3?click=a%3Ab&token=[hidden]"
    assert run("show", store, "exa", "--target-only", "--reveal").out == "/p/1.2.3?click=a%3Ab&token=hunter2"
    assert run("show", store, "exa", "--target-only", "--body-only").code == 2


@pytest.mark.parametrize(("capture_id", "code"), [("zzz", 4), ("", 2)], ids=["another id", "no id"])
def test_a_capture_that_is_not_there_is_one_message(run: Run, store: Path, capture_id: str, code: int) -> None:
    assert run("match", "c.toml", store, "--capture", capture_id).code == code


def test_a_notification_without_a_body_is_about_its_url(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text("url = 'http://127.0.0.1/?a={ActionId}'")

    outcome = run("match", "n.toml", "-", "--as-event", stdin=b"/?a=1.2.3")

    assert json.loads(outcome.out)["values"] == {"ActionId": "1.2.3"}
    assert "no EventDate" in outcome.err


def test_a_body_is_sent_again_as_it_was(run: Run, corrected: Path, tmp_path: Path) -> None:
    """Taken apart, told as an event, and rendered: the same bytes."""
    generated = run("render", corrected, "--format", "json", "--count", 8, "--seed", 4).out
    sent = [json.loads(line)["body"] for line in lines(generated)]
    events: list[str] = []
    for body in sent:
        (tmp_path / "body").write_text(body)
        outcome = run("match", corrected, "body", "--as-event")
        assert (outcome.code, outcome.err) == (0, "")
        events.append(outcome.out)

    again = run("render", corrected, "--format", "json", "--events", "-", stdin="".join(events).encode())
    assert [json.loads(line)["body"] for line in lines(again.out)] == sent


def test_an_event_has_the_time_of_its_event_date(run: Run, corrected: Path) -> None:
    example = encode_event(example_event("action_lifecycle"))
    body = run("render", corrected, "--body-only", "--events", "-", stdin=example).out

    event = json.loads(run("match", corrected, "-", "--as-event", stdin=body.encode()).out)

    assert event["at"] == event["values"]["EventDate"]
    assert event["items"] == json.loads(example)["items"]
