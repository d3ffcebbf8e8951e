"""Numbers of a receiver as Prometheus reads them: its own parser is the judge."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from postback_receiver.counts import ReceiverCounts
from postback_receiver.metrics import Metric, Sample, counter, exposition, gauge, of_workers, receiver_metrics

Read = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(metrics: list[Metric]) -> Read:
    """What Prometheus makes of a page of metrics."""
    families = text_string_to_metric_families(exposition(metrics).decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_count_of_a_receiver_has_a_metric() -> None:
    names = ReceiverCounts.__struct_fields__
    numbers = {name: place for place, name in enumerate(names, start=1) if name != "faults"}
    counts = msgspec.convert({**numbers, "faults": {"reset": 70, "delay + dribble": 71}}, ReceiverCounts)

    seen = read(receiver_metrics(counts, lateness_ns=1_500_000))

    assert sorted(seen.values()) == sorted([*numbers.values(), 70, 71, 0.0015])
    assert seen["postback_captures_total", frozenset()] == counts.captures
    assert seen["postback_faults_total", frozenset({("fault", "delay + dribble")})] == 71


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 2**53), max_size=4),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(str.strip).filter(bool),
)
def test_any_label_and_help_comes_back_as_it_was(values: dict[str, int], help_text: str) -> None:
    samples = tuple(Sample(value, {"fault": label}) for label, value in values.items())
    page = exposition([Metric(name="faults_total", kind="counter", help=help_text, samples=samples)]).decode()

    [family] = text_string_to_metric_families(page)
    assert {sample.labels["fault"]: sample.value for sample in family.samples} == values
    assert family.type == "counter"


def test_workers_are_told_apart_and_each_metric_stands_once() -> None:
    pages = {
        worker: [counter("captures_total", "Requests.", count), gauge("late_seconds", "Late.", 0.5)]
        for worker, count in (("1", 3), ("2", 4))
    }

    joined = of_workers(pages)

    assert [metric.name for metric in joined] == ["captures_total", "late_seconds"]
    assert read(joined)["captures_total", frozenset({("worker", "2")})] == 4
