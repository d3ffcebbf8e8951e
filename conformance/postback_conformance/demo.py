"""The demonstration: the whole chain once, over real sockets, judged at the end.

A receiver with one endpoint for each notification, generated life cycles, real senders, a scripted failure so that
retries happen, every rule over every capture. What must come out is known, and said when it does not.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import msgspec

from postback_conformance.captured.traffic import notifications_of, pack_source
from postback_conformance.generating.generation import generate
from postback_conformance.judging.judge import Judgement, judge
from postback_conformance.judging.verdict import Verdict
from postback_conformance.reports.timeline import Timeline, Timelines
from postback_conformance.rules import RULES
from postback_conformance.strategies import lifecycles, wire_texts
from postback_receiver import CaptureServer, CaptureStore, Endpoint, Reply, ReplyScript, same_request
from postback_sender import Delivery, Event, NotificationSource, Sender, parse_notification
from postback_sender.delivery.policy import Delivered

DOCUMENTED = "documented"
# Listed first: the example of the help centre as it is published, which is not JSON.
NAMES: tuple[str, ...] = (DOCUMENTED, "corrected", "get", "xml", "query")

_LIVES = 8
_MAX_UPDATES = 3
_MAX_GAP = timedelta(milliseconds=400)
_MAX_ITEMS = 3
_LONGEST_TEXT = 60
# Each postback is refused twice at this endpoint before it is taken, so that retries can be judged.
_RELUCTANT = "corrected"
_REFUSALS = (Reply(status=503, body=b"ERR busy"), Reply(status=503, body=b"ERR still busy"))
_ACCEPTED = Reply(body=b"OK")
_EXPECTED_FAILURE = "body.json.well-formed"


class DemoResult(msgspec.Struct, frozen=True, kw_only=True):
    """What happened: the deliveries of every notification, the judgement, and what was not as it must be."""

    deliveries: dict[str, list[Delivery]]
    judgement: Judgement
    timeline: Timeline
    surprises: tuple[str, ...]


def demo_sources() -> dict[str, NotificationSource]:
    """Return the five notifications of the demonstration by name."""
    folder = files("postback_conformance") / "demo_notifications"
    texts = {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.is_file()}
    bodies = {name: text for name, text in texts.items() if not name.endswith(".toml")}
    return {
        name: NotificationSource(
            name=f"{name}.toml",
            text=texts[f"{name}.toml"],
            files={file: text for file, text in bodies.items() if file in texts[f"{name}.toml"]},
        )
        for name in NAMES
    }


def demo_events(seed: int) -> list[Event]:
    """Return the events of generated life cycles that begin now."""
    lives = generate(
        lifecycles(
            started_at=datetime.now(UTC),
            max_updates=_MAX_UPDATES,
            max_gap=_MAX_GAP,
            max_items=_MAX_ITEMS,
            clearing=False,
            texts=wire_texts(max_size=_LONGEST_TEXT),
        ),
        count=_LIVES,
        seed=seed,
    )
    return sorted((event for life in lives for event in life), key=lambda event: event.at)


async def run_demo(
    store: CaptureStore, events: Sequence[Event], *, on_delivery: Callable[[str, Delivery], None]
) -> DemoResult:
    """Send the events through all five notifications at once, and judge what arrived."""
    sources = demo_sources()
    notifications = {name: parse_notification(source, {}) for name, source in sources.items()}
    endpoints = [_endpoint(name, pack_source(source)) for name, source in sources.items()]
    async with CaptureServer(store, endpoints) as server:

        async def send(name: str) -> list[Delivery]:
            deliveries: list[Delivery] = []
            async with Sender(notifications[name], to=server.url) as sender:
                async for delivery in sender.send(events):
                    deliveries.append(delivery)
                    on_delivery(name, delivery)
            return deliveries

        sent = await asyncio.gather(*(send(name) for name in NAMES))
    # Judged by what the store kept, as `postback check` will: the same captures, the same settings, the same verdicts.
    settings = notifications_of(store.endpoints(), name="the store")
    timelines = Timelines(settings)
    judgement = judge(store.captures(), settings, RULES, observe=timelines.observe)
    deliveries = dict(zip(NAMES, sent, strict=True))
    surprises = (*_delivery_surprises(deliveries), *_verdict_surprises(judgement.verdicts))
    return DemoResult(deliveries=deliveries, judgement=judgement, timeline=timelines.timeline, surprises=surprises)


def _endpoint(name: str, settings: bytes) -> Endpoint:
    replies = (*_REFUSALS, _ACCEPTED) if name == _RELUCTANT else (_ACCEPTED,)
    return Endpoint(prefix=f"/{name}", replies=ReplyScript(replies, key=same_request), settings=settings)


def _delivery_surprises(deliveries: dict[str, list[Delivery]]) -> list[str]:
    surprises = [
        f"{name}: {delivery.outcome} after {len(delivery.attempts)} attempts"
        for name, ended in deliveries.items()
        for delivery in ended
        if not isinstance(delivery.outcome, Delivered)
    ]
    if not any(len(delivery.attempts) > 1 for delivery in deliveries[_RELUCTANT]):
        surprises.append(f"{_RELUCTANT}: nothing was retried")
    return surprises


def _verdict_surprises(verdicts: tuple[Verdict, ...]) -> list[str]:
    """Return every verdict that must not be: any failure but the documented example's, and that one if it is absent."""
    documented = f"/{DOCUMENTED}"
    wounds = [one for one in verdicts if one.endpoint == documented and one.rule == _EXPECTED_FAILURE]
    surprises = [
        f"{one.endpoint}: {one.rule}: {one.message}"
        for one in verdicts
        if one.outcome == "error" or (one.outcome == "fail" and one not in wounds)
    ]
    if not wounds or any(one.outcome != "fail" or one.where.span is None for one in wounds):
        surprises.append(f"{documented}: the documented example was not reported as invalid JSON with its byte")
    return surprises
