"""Numbers of a running receiver, written as Prometheus reads them: text exposition format 0.0.4."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from postback_receiver.counts import ReceiverCounts

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_IN_HELP: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_LABEL: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


_COUNTERS: Final = {
    "captures": "Requests that were stored.",
    "unmatched": "Stored requests whose path no endpoint takes.",
    "malformed": "Stored requests that are no HTTP.",
    "truncated": "Stored requests whose body is not all there.",
    "not_answered": "Stored requests to which no answer left whole.",
    "store_failures": "Requests that could not be stored and were answered 503.",
    "answers_not_kept": "Relayed answers that were sent and could not be stored.",
    "connections": "Connections that the capture port accepted.",
    "connections_refused": "Connections closed to make room for others.",
    "handshakes_failed": "TLS handshakes that came to nothing.",
}


class Sample(msgspec.Struct, frozen=True):
    """One number, and the labels that tell it from its neighbours."""

    value: float
    labels: Mapping[str, str] = {}


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """What one number means, and its samples; the name of a counter ends in `_total`."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: tuple[Sample, ...]


def counter(name: str, help_text: str, value: float) -> Metric:
    """Return a number that only grows while the receiver runs."""
    return Metric(name=name, kind="counter", help=help_text, samples=(Sample(value),))


def gauge(name: str, help_text: str, value: float) -> Metric:
    """Return a number that goes up and down."""
    return Metric(name=name, kind="gauge", help=help_text, samples=(Sample(value),))


def labelled_counter(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    """Return a counter of several kinds of thing, one sample for each value of a label."""
    samples = tuple(Sample(value, {label: kind}) for kind, value in values.items())
    return Metric(name=name, kind="counter", help=help_text, samples=samples)


def of_workers(pages: Mapping[str, Iterable[Metric]]) -> list[Metric]:
    """Return the metrics of several processes as one page, each sample with the name of its process as a label.

    They are not added up: a process that was restarted begins at 0, which Prometheus knows how to read of one process.
    """
    joined: dict[str, Metric] = {}
    for worker, metrics in pages.items():
        for metric in metrics:
            samples = tuple(Sample(sample.value, {**sample.labels, "worker": worker}) for sample in metric.samples)
            before = joined.get(metric.name)
            joined[metric.name] = replace(metric, samples=(*before.samples, *samples) if before else samples)
    return list(joined.values())


def exposition(metrics: Iterable[Metric]) -> bytes:
    """Return metrics as one page; each name at most once."""
    return "".join(f"{line}\n" for metric in metrics for line in _lines(metric)).encode()


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help.translate(_IN_HELP)}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for sample in metric.samples:
        labels = ",".join(f'{name}="{value.translate(_IN_LABEL)}"' for name, value in sample.labels.items())
        yield f"{metric.name}{{{labels}}} {sample.value!r}" if labels else f"{metric.name} {sample.value!r}"


def receiver_metrics(counts: ReceiverCounts, *, lateness_ns: int) -> list[Metric]:
    """Return the numbers of one receiver; `lateness_ns` is how late its event loop runs."""
    open_now = gauge("postback_connections_open", "Connections to the capture port.", counts.connections_open)
    seconds = lateness_ns / 1_000_000_000
    return [
        *(counter(f"postback_{name}_total", text, getattr(counts, name)) for name, text in _COUNTERS.items()),
        labelled_counter("postback_faults_total", "Faults injected into answers.", "fault", counts.faults),
        open_now,
        gauge("postback_loop_lateness_seconds", "Worst lateness of the event loop in the last second.", seconds),
    ]
