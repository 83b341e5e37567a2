# Asks again and again whether what was accepted has arrived. A run that finds a mismatch fails, and the
# failure is what alerts.tf waits for: there is no server, and nothing to forget to start.

locals {
  reconciliation_member = one([
    for account in google_service_account.reconciliation :
    "serviceAccount:${account.account_id}@${var.project_id}.iam.gserviceaccount.com"
  ])

  # The view, and what it reads in its own dataset; the other has let the dataset's views in.
  reconciliation_reads = {
    reconciliation_mismatches = google_bigquery_table.view["reconciliation_mismatches"]
    audit_log                 = google_bigquery_table.table["audit_log"]
    dead_letters              = google_bigquery_table.table["dead_letters"]
  }
}

resource "google_project_iam_member" "reconciliation_jobs" {
  count = length(google_service_account.reconciliation)

  project = var.project_id
  role    = "roles/bigquery.jobUser"
  member  = local.reconciliation_member
}

resource "google_bigquery_table_iam_member" "reconciliation_reader" {
  for_each = var.monitoring.reconciliation_hours > 0 ? toset(keys(local.reconciliation_reads)) : toset([])

  project    = var.project_id
  dataset_id = local.reconciliation_reads[each.key].dataset_id
  table_id   = local.reconciliation_reads[each.key].table_id
  role       = "roles/bigquery.dataViewer"
  member     = local.reconciliation_member
}

# BigQuery's agent for scheduled queries acts as the account, and as no other.
resource "google_service_account_iam_member" "reconciliation_agent" {
  count = length(google_service_account.reconciliation)

  service_account_id = google_service_account.reconciliation[0].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_project_service_identity.agent["bigquerydatatransfer"].member
}

resource "google_bigquery_data_transfer_config" "reconciliation" {
  count = length(google_service_account.reconciliation)

  project              = var.project_id
  location             = local.bigquery_location
  display_name         = "Vitalflow reconciliation"
  data_source_id       = "scheduled_query"
  schedule             = "every ${var.monitoring.reconciliation_hours} hours"
  service_account_name = google_service_account.reconciliation[0].email

  params = {
    query = templatefile("${path.module}/reconciliation.sql", {
      view = "${var.project_id}.${var.bigquery.ops_dataset}.reconciliation_mismatches"
    })
  }

  # The first run is at once: without its rights it would be a false alarm.
  depends_on = [
    google_bigquery_table_iam_member.reconciliation_reader,
    google_project_iam_member.reconciliation_jobs,
    google_service_account_iam_member.reconciliation_agent,
  ]
}
