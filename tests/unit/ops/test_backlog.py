from google.cloud.monitoring_v3 import Point, TimeSeries, TypedValue

from ops.backlog import MESSAGES, OLDEST_SECONDS, Backlog, BacklogReader


def series(subscription, *values):
    points = [Point(value=TypedValue(int64_value=value)) for value in values]
    labels = {"subscription_id": subscription}
    return TimeSeries(resource={"labels": labels}, points=points)


class FakeMonitoring:
    def __init__(self, **answers):
        self.answers = answers
        self.requests = []

    def list_time_series(self, request, timeout):
        assert timeout > 0
        self.requests.append(request)
        [metric] = [m for m in (MESSAGES, OLDEST_SECONDS) if m in request["filter"]]
        return self.answers["messages" if metric == MESSAGES else "oldest"]


def test_newest_point_of_each_subscription():
    client = FakeMonitoring(
        messages=[
            series("patients-pipeline", 12, 99),
            series("plans-pipeline"),
            series("patients-archive", 5),
        ],
        oldest=[series("patients-pipeline", 3)],
    )

    backlogs = BacklogReader(client, "demo-project").read(["patients-pipeline", "plans-pipeline"])

    assert backlogs == {"patients-pipeline": Backlog(12, 3), "plans-pipeline": Backlog()}
    assert {request["name"] for request in client.requests} == {"projects/demo-project"}
    interval = client.requests[0]["interval"]
    assert interval["end_time"]["seconds"] - interval["start_time"]["seconds"] == 600
