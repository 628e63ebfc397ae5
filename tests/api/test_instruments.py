"""Counting apart from Prometheus' histogram gives what the histogram would have counted itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from api import instruments
from api.instruments import instruments_of

SECONDS = st.one_of(st.sampled_from(instruments._BUCKETS), st.floats(0, 4))


def counted(registry, route):
    """The lines of ``route`` without its sum, and its sum: additions in another order differ in their last digits."""
    lines = [line for line in generate_latest(registry).decode().splitlines() if f'route="{route}"' in line]
    lines = [line for line in lines if "_created" not in line]
    (total,) = [line for line in lines if "_sum" in line]
    return sorted(set(lines) - {total}), float(total.split()[-1])


@given(st.lists(st.tuples(SECONDS, st.booleans()), min_size=1, max_size=40))
def test_counts_handed_over_now_and_then_are_the_histograms_own(answers):
    route = f"/test/{test_counts_handed_over_now_and_then_are_the_histograms_own.runs}"
    test_counts_handed_over_now_and_then_are_the_histograms_own.runs += 1
    own = CollectorRegistry()
    histogram = Histogram(
        "flowforge_http_request_seconds", "-", ["route", "status"], buckets=instruments._BUCKETS, registry=own
    )
    for seconds, is_handed_over in answers:
        histogram.labels(route, "200").observe(seconds)
        instruments_of(route).observe(200, seconds)
        if is_handed_over:
            instruments.hand_over()
    instruments.hand_over()
    lines, total = counted(instruments._registry, route)
    expected_lines, expected_total = counted(own, route)
    assert lines == expected_lines
    assert abs(total - expected_total) < 1e-9 * max(1.0, expected_total)


test_counts_handed_over_now_and_then_are_the_histograms_own.runs = 0
