# Witnesses of the audit log. Each process logs the head of its hash chain every minute; here the heads lie
# apart from BigQuery, out of reach of whoever may change its tables. Once the bucket is locked, nobody, not
# even an owner, can shorten its retention or delete an entry before its time.

locals {
  audit_heads_bucket = "projects/${var.project_id}/locations/${var.region}/buckets/${google_logging_project_bucket_config.audit_heads.bucket_id}"
}

resource "google_logging_project_bucket_config" "audit_heads" {
  project        = var.project_id
  location       = var.region
  bucket_id      = "${local.app}-audit-heads"
  description    = "Heads of the audit log's hash chains, as each process logged them."
  retention_days = var.audit_heads.retention_days
  locked         = var.audit_heads.locked

  depends_on = [google_project_service.api]
}

# Into a bucket of the same project a sink may write without any role.
resource "google_logging_project_sink" "audit_heads" {
  project                = var.project_id
  name                   = "${local.app}-audit-heads"
  description            = "Heads of the audit log's hash chains."
  destination            = "logging.googleapis.com/${local.audit_heads_bucket}"
  filter                 = "${local.service_lines} AND jsonPayload.message=\"audit chain head\""
  unique_writer_identity = true
}

# roles/logging.viewer does not reach into buckets of one's own.
resource "google_logging_log_view_iam_member" "audit_heads" {
  for_each = var.access.operators

  parent   = "projects/${var.project_id}"
  location = var.region
  bucket   = google_logging_project_bucket_config.audit_heads.bucket_id
  name     = "_AllLogs"
  role     = "roles/logging.viewAccessor"
  member   = each.value
}
