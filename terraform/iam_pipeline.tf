# What the Dataflow job may do. Only the worker's own role is one of the project: it has no smaller home.

resource "google_project_iam_member" "pipeline_worker" {
  project = var.project_id
  role    = "roles/dataflow.worker"
  member  = local.pipeline_member
}

resource "google_pubsub_subscription_iam_member" "pipeline_subscriber" {
  for_each = local.streams

  project      = var.project_id
  subscription = google_pubsub_subscription.pipeline[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = local.pipeline_member
}

# Dataflow looks at the subscription before it starts.
resource "google_pubsub_subscription_iam_member" "pipeline_viewer" {
  for_each = local.streams

  project      = var.project_id
  subscription = google_pubsub_subscription.pipeline[each.key].name
  role         = "roles/pubsub.viewer"
  member       = local.pipeline_member
}

# On the tables it writes, not on their datasets: it can neither make nor drop one.
resource "google_bigquery_table_iam_member" "pipeline_editor" {
  for_each = local.tables

  project    = var.project_id
  dataset_id = google_bigquery_table.table[each.key].dataset_id
  table_id   = google_bigquery_table.table[each.key].table_id
  role       = "roles/bigquery.dataEditor"
  member     = local.pipeline_member
}

resource "google_storage_bucket_iam_member" "pipeline_staging" {
  bucket = google_storage_bucket.dataflow.name
  role   = "roles/storage.objectAdmin"
  member = local.pipeline_member
}

resource "google_artifact_registry_repository_iam_member" "pipeline_reader" {
  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.reader"
  member     = local.pipeline_member
}
