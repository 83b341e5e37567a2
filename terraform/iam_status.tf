# What the status service may do: run queries, read the tables in which an event can be found, list and
# read every resource's keys, and publish audit events. It publishes no records and writes no rows.

# To run a query is a right on a project, and gives none to what the query reads.
resource "google_project_iam_member" "status_jobs" {
  project = var.project_id
  role    = "roles/bigquery.jobUser"
  member  = local.status_member
}

# Personal data stays out of its reach: columns with a policy tag need a role on the tag besides.
resource "google_bigquery_table_iam_member" "status_reader" {
  for_each = setunion(keys(local.streams), ["dead_letters"])

  project    = var.project_id
  dataset_id = google_bigquery_table.table[each.key].dataset_id
  table_id   = google_bigquery_table.table[each.key].table_id
  role       = "roles/bigquery.dataViewer"
  member     = local.status_member
}

resource "google_secret_manager_secret_iam_member" "status" {
  for_each = {
    for pair in setproduct(keys(local.resources), ["roles/secretmanager.secretAccessor", "roles/secretmanager.viewer"]) :
    join(" ", pair) => { name = pair[0], role = pair[1] }
  }

  project   = var.project_id
  secret_id = google_secret_manager_secret.api_key[each.value.name].secret_id
  role      = each.value.role
  member    = local.status_member
}

resource "google_pubsub_topic_iam_member" "status_system" {
  for_each = local.system

  project = var.project_id
  topic   = google_pubsub_topic.stream[each.key].name
  role    = "roles/pubsub.publisher"
  member  = local.status_member
}

resource "google_cloud_run_v2_service_iam_member" "status_invoker" {
  for_each = length(google_cloud_run_v2_service.status) > 0 ? var.access.invokers : toset([])

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.status[0].name
  role     = "roles/run.invoker"
  member   = each.value
}
