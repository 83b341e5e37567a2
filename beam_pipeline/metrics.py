"""Names the counters and distributions that the job's console shows, one namespace a resource.

Steps count in plain integers and report at the end of a bundle: a Beam counter costs as much as
decoding a short record. No metric carries a value of a record.
"""

from apache_beam.metrics.metric import MetricResults, Metrics


class ResourceMetrics:
    """The metrics of one resource.

    Attributes:
        read: Records that arrived; a packed message counts each of its own.
        valid: Records that passed validation.
        loaded: Records that BigQuery acknowledged.
        append_retries: Requests to BigQuery beyond the first of each batch.
        end_to_end_latency_ms: From the endpoint's `created_ts` to BigQuery's acknowledgement.
        append_request_rows: Rows of a batch.
        append_latency_ms: From a request's start to its acknowledgement.
    """

    def __init__(self, resource: str) -> None:
        self._resource = resource
        self.read = Metrics.counter(resource, "read")
        self.valid = Metrics.counter(resource, "valid")
        self.loaded = Metrics.counter(resource, "loaded")
        self.append_retries = Metrics.counter(resource, "append_retries")
        self.end_to_end_latency_ms = Metrics.distribution(resource, "end_to_end_latency_ms")
        self.append_request_rows = Metrics.distribution(resource, "append_request_rows")
        self.append_latency_ms = Metrics.distribution(resource, "append_latency_ms")

    def dead(self, code: str) -> None:
        """Count one dead letter, as `dead_<code>`."""
        Metrics.counter(self._resource, f"dead_{code}").inc()


def counter_values(results: MetricResults) -> dict[tuple[str, str], int]:
    """Return all counters of a running or finished job by (resource, name)."""
    values: dict[tuple[str, str], int] = {}
    for result in results.query()["counters"]:
        key = (result.key.metric.namespace, result.key.metric.name)
        values[key] = values.get(key, 0) + (result.committed or result.attempted or 0)
    return values
