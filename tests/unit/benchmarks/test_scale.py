import pytest

from benchmarks import document, scale


@pytest.mark.parametrize(
    ("rate", "cpu_us", "load", "cores"),
    [(1_000, 100, 0.5, 1), (100_000, 100, 0.5, 20), (1, 1, 1, 1)],
)
def test_cores_are_rate_times_cost_by_load(rate, cpu_us, load, cores):
    assert scale.cores(rate, cpu_us, load) == cores


def test_a_month_is_paid_by_the_second_and_by_the_byte():
    assert scale.endpoint_dollars(1) == pytest.approx((0.000018 + 0.000001) * 730 * 3600)
    assert scale.dataflow_dollars(1) == pytest.approx((4 * 0.069 + 16 * 0.003557) * 730)
    month = 1_000 * 1_500 * 730 * 3600
    assert scale.carriage_dollars(1_000) == pytest.approx(
        2 * 40 * month / 2**40 + 0.025 * month / 1e9
    )


@pytest.fixture
def results():
    return scale.load_results()


def test_the_document_says_what_the_results_give(results):
    text = document.DOCUMENT.read_text()

    assert scale.table(results) in text
    assert document.render(text, results) == text


def test_a_section_that_is_missing_is_named(results):
    with pytest.raises(ValueError, match="no section machine"):
        document.render("# Performance", results)
