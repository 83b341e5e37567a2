# One dashboard for all resources: its charts group by name and list none.

locals {
  metric = {
    requests     = "metric.type=\"run.googleapis.com/request_count\" AND ${local.services}"
    answer_time  = "metric.type=\"run.googleapis.com/request_latencies\" AND ${local.services}"
    publish_time = "metric.type=\"pubsub.googleapis.com/topic/send_request_latencies\" AND resource.type=\"pubsub_topic\""
    refusals     = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.refusals.name}\" AND resource.type=\"cloud_run_revision\""
    waiting      = "metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND ${local.subscriptions}(\".*-(pipeline|archive)\")"
    oldest       = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND ${local.subscriptions}(\".*-(pipeline|archive)\")"
    watermark    = "metric.type=\"dataflow.googleapis.com/job/data_watermark_age\" AND ${local.job}"
    system_lag   = "metric.type=\"dataflow.googleapis.com/job/system_lag\" AND ${local.job}"
    processors   = "metric.type=\"dataflow.googleapis.com/job/current_num_vcpus\" AND ${local.job}"
  }

  # How the points of a series become one a minute, and then the series one for each value of `by`.
  rate    = { align = "ALIGN_RATE", reduce = "REDUCE_SUM" }
  slowest = { align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_99" }
  total   = { align = "ALIGN_MAX", reduce = "REDUCE_SUM" }
  worst   = { align = "ALIGN_MAX", reduce = "REDUCE_MAX" }

  charts = [
    { title = "Requests, by status", unit = "1/s", lines = [{ metric = "requests", how = local.rate, by = "metric.labels.response_code" }] },
    { title = "Requests, by service", unit = "1/s", lines = [{ metric = "requests", how = local.rate, by = "resource.labels.service_name" }] },
    { title = "Answer time, 99th percentile", unit = "ms", lines = [{ metric = "answer_time", how = local.slowest, by = "resource.labels.service_name" }] },
    { title = "Publish latency, 99th percentile", unit = "µs", lines = [{ metric = "publish_time", how = local.slowest, by = "resource.labels.topic_id" }] },
    { title = "Refusals, by problem code", unit = "1/s", lines = [{ metric = "refusals", how = local.rate, by = "metric.labels.code" }] },
    { title = "Messages that wait", unit = "messages", lines = [{ metric = "waiting", how = local.total, by = "resource.labels.subscription_id" }] },
    { title = "Age of the oldest message that waits", unit = "s", lines = [{ metric = "oldest", how = local.worst, by = "resource.labels.subscription_id" }] },
    {
      title = "Data watermark lag, and system lag"
      unit  = "s"
      lines = [
        { metric = "watermark", how = local.worst, by = "resource.labels.job_name" },
        { metric = "system_lag", how = local.worst, by = "resource.labels.job_name" },
      ]
    },
    { title = "Workers", unit = "vCPU", lines = [{ metric = "processors", how = local.total, by = "resource.labels.job_name" }] },
  ]

  # Of the pipeline's own counters (beam_pipeline/metrics.py). The label ptransform begins with the
  # resource. A distribution comes as counters of which _MEAN and _MAX are over the job's whole life.
  counter_charts = [
    { title = "Rows loaded, by resource", unit = "1/min", query = "sum by (ptransform) (clamp_min(delta(${local.user_counter},metric_name=\"loaded\"}[5m]), 0)) / 5" },
    { title = "Dead letters, by code", unit = "1/min", query = "sum by (metric_name) (clamp_min(delta(${local.user_counter},metric_name=~\"dead_.*\"}[5m]), 0)) / 5" },
    { title = "From the endpoint's acceptance to BigQuery's", unit = "ms", query = "max by (ptransform, metric_name) (${local.user_counter},metric_name=~\"end_to_end_latency_ms_(MEAN|MAX)\"})" },
  ]

  widgets = concat(
    [for chart in local.charts : {
      title = chart.title
      xyChart = {
        yAxis = { label = chart.unit, scale = "LINEAR" }
        dataSets = [for line in chart.lines : {
          plotType = "LINE"
          timeSeriesQuery = {
            timeSeriesFilter = {
              filter = local.metric[line.metric]
              aggregation = {
                alignmentPeriod    = "60s"
                perSeriesAligner   = line.how.align
                crossSeriesReducer = line.how.reduce
                groupByFields      = [line.by]
              }
            }
          }
        }]
      }
    }],
    [for chart in local.counter_charts : {
      title = chart.title
      xyChart = {
        yAxis    = { label = chart.unit, scale = "LINEAR" }
        dataSets = [{ plotType = "LINE", timeSeriesQuery = { prometheusQuery = chart.query } }]
      }
    }],
  )
}

resource "google_monitoring_dashboard" "overview" {
  project = var.project_id
  dashboard_json = jsonencode({
    displayName = "Vitalflow"
    mosaicLayout = {
      columns = 12
      tiles = [for index, widget in local.widgets : merge(
        { width = 6, height = 4, widget = widget },
        # The API drops a position of 0, which would then differ at each plan.
        { for name, at in { xPos = (index % 2) * 6, yPos = floor(index / 2) * 4 } : name => at if at > 0 },
      )]
    }
  })

  depends_on = [google_project_service.api]
}
