# A tombstone's path ends in the record's key, which may be personal data, and Google's request logs keep
# paths. These lines are dropped before they are stored; the endpoint's own lines, the metrics and the
# audit columns tell of the request all the same.
resource "google_logging_project_exclusion" "tombstone_paths" {
  project     = var.project_id
  name        = "${local.app}-tombstone-paths"
  description = "Request logs of DELETE /v1/<resource>/<key>: the path holds a record's key."
  filter      = <<-EOT
    httpRequest.requestMethod="DELETE"
    httpRequest.requestUrl=~"/v1/[a-z][a-z0-9_]*/"
    (resource.type="http_load_balancer" OR (${local.service_lines}))
  EOT

  depends_on = [google_project_service.api]
}

# How often endpoints refuse, by the code that producers get. Keys are counted by 401 answers instead:
# the endpoint logs those once a minute.
resource "google_logging_metric" "refusals" {
  project     = var.project_id
  name        = "${local.app}/refusals"
  description = "Requests that an endpoint refused or failed, by problem code."
  filter      = <<-EOT
    resource.type="cloud_run_revision"
    resource.labels.service_name=~"-endpoint$"
    jsonPayload.logger="vitalflow.app"
    jsonPayload.code:*
  EOT

  label_extractors = {
    code = "EXTRACT(jsonPayload.code)"
  }

  metric_descriptor {
    display_name = "Vitalflow refusals"
    metric_kind  = "DELTA"
    value_type   = "INT64"
    unit         = "1"

    labels {
      key         = "code"
      value_type  = "STRING"
      description = "Stable code of the problem; functions/problems.py lists them."
    }
  }

  depends_on = [google_project_service.api]
}
