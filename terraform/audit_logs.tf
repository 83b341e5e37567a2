resource "google_project_iam_audit_config" "service" {
  for_each = var.audit_logs

  project = var.project_id
  service = each.key

  dynamic "audit_log_config" {
    for_each = each.value
    content {
      log_type = audit_log_config.value
    }
  }
}
