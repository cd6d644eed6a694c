import pytest

from benchmarks.figures import Bar, Row, Sample, Sense, alone, compared, compared_values, cpu_row


def sample(rate: float, cpu_us: float = 10.0) -> Sample:
    messages = int(rate * 2)
    return Sample(messages=messages, elapsed_s=2.0, cpu_s=messages * cpu_us / 1e6)


def test_a_sample_knows_its_rate_and_what_a_message_costs() -> None:
    one = Sample(messages=5_000, elapsed_s=2.5, cpu_s=0.05)

    assert one.rate == 2_000
    assert one.cpu_us == pytest.approx(10.0)


def test_a_side_through_which_nothing_came_has_no_rate_and_no_cost() -> None:
    nothing = Sample(messages=0, elapsed_s=0.0, cpu_s=0.1)

    assert nothing.rate == 0.0
    assert nothing.cpu_us == 0.0


def test_a_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() -> None:
    # The machine slowed down by half in the third round, for both.
    row = compared("send", "peer", [sample(300), sample(330), sample(150)], [sample(100), sample(100), sample(50)])

    assert row.ratio == pytest.approx(3.0)
    assert row.low == pytest.approx(3.0)
    assert row.high == pytest.approx(3.3)
    assert row.ours == 300
    assert row.theirs == 100


def test_rounds_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        compared("send", "peer", [sample(300)], [sample(100), sample(100)])


def test_a_peer_that_did_nothing_does_not_divide_by_zero() -> None:
    assert compared("send", "peer", [sample(300)], [Sample(messages=0, elapsed_s=1.0, cpu_s=0.0)]).ratio == 0.0


@pytest.mark.parametrize(
    ("bar", "ratio", "is_met"),
    [
        (Bar(limit=3.0), 3.0, True),
        (Bar(limit=3.0), 2.99, False),
        (Bar(limit=2.0, sense=Sense.AT_MOST), 2.0, True),
        (Bar(limit=2.0, sense=Sense.AT_MOST), 2.01, False),
    ],
)
def test_a_bar_is_met_when_the_ratio_reaches_it(bar: Bar, ratio: float, is_met: bool) -> None:
    row = Row(path="send", peer="peer", unit="messages/s", ours=1.0, ratio=ratio, bar=bar)

    assert row.is_met is is_met


def test_a_bar_of_our_own_figure_does_not_look_at_the_ratio() -> None:
    row = alone("start", [390.0, 410.0, 350.0], unit="ms", bar=Bar(limit=400.0, sense=Sense.AT_MOST, of_ratio=False))

    assert row.ours == 390.0
    assert row.is_met is True


def test_without_a_bar_nothing_is_met_or_missed() -> None:
    assert alone("memory", [60.0], unit="MB").is_met is None


def test_the_cost_of_two_sides_is_compared_by_the_same_rounds() -> None:
    row = cpu_row(
        "2 workers", "1 worker", [sample(200, 11.0)], [sample(100, 10.0)], bar=Bar(limit=1.2, sense=Sense.AT_MOST)
    )

    assert row.ratio == pytest.approx(1.1)
    assert row.is_met is True


def test_times_are_compared_round_by_round_too() -> None:
    row = compared_values("receipts", "few", [10.0, 30.0, 12.0], [5.0, 10.0, 6.0], unit="ms")

    assert row.ratio == pytest.approx(2.0)
    assert (row.low, row.high) == (2.0, 3.0)
