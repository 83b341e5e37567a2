# No account has a key; Cloud Run and Dataflow act as them without one.

resource "google_service_account" "endpoint" {
  for_each = local.resources

  project      = var.project_id
  account_id   = local.account_ids[each.key]
  display_name = "Vitalflow endpoint of ${each.key}"
  description  = "Publishes ${each.key} and what the system records of it, and reads secret ${each.key}-api-key; nothing else."

  depends_on = [google_project_service.api]
}

resource "google_service_account" "pipeline" {
  project      = var.project_id
  account_id   = "${local.app}-pipeline"
  display_name = "Vitalflow pipeline"
  description  = "Workers and launcher of the Dataflow job."

  depends_on = [google_project_service.api]
}

resource "google_service_account" "status" {
  project      = var.project_id
  account_id   = "${local.app}-status"
  display_name = "Vitalflow status service"
  description  = "Tells producers what became of a record: reads API keys and tables, publishes audit events; nothing else."

  depends_on = [google_project_service.api]
}

resource "google_service_account" "reconciliation" {
  count = var.monitoring.reconciliation_hours > 0 ? 1 : 0

  project      = var.project_id
  account_id   = "${local.app}-reconciliation"
  display_name = "Vitalflow reconciliation"
  description  = "Reads the view of what was accepted and has not arrived; nothing else."

  depends_on = [google_project_service.api]
}

locals {
  # Put together from the id, so that a plan shows who gets a role; `member` is known only after apply.
  endpoint_members = {
    for name, account in google_service_account.endpoint :
    name => "serviceAccount:${account.account_id}@${var.project_id}.iam.gserviceaccount.com"
  }
  pipeline_email  = "${google_service_account.pipeline.account_id}@${var.project_id}.iam.gserviceaccount.com"
  pipeline_member = "serviceAccount:${local.pipeline_email}"
  status_member   = "serviceAccount:${google_service_account.status.account_id}@${var.project_id}.iam.gserviceaccount.com"
}
