# What people may do beyond reading a dataset, which bigquery.tf gives them.

locals {
  # Roles that cannot be given on less than a project: to run queries, and to look at jobs, metrics and logs.
  project_roles = merge([
    for group, roles in {
      analysts  = ["roles/bigquery.jobUser"]
      operators = ["roles/bigquery.jobUser", "roles/dataflow.viewer", "roles/logging.viewer", "roles/monitoring.viewer"]
      } : {
      for pair in setproduct(roles, var.access[group]) : "${pair[0]} ${pair[1]}" => { role = pair[0], member = pair[1] }
    }
  ]...)
}

resource "google_project_iam_member" "people" {
  for_each = local.project_roles

  project = var.project_id
  role    = each.value.role
  member  = each.value.member
}

# Adds, lists, enables and disables versions; cannot read one.
resource "google_secret_manager_secret_iam_member" "key_manager" {
  for_each = {
    for pair in setproduct(keys(local.resources), var.access.key_managers) :
    "${pair[0]} ${pair[1]}" => { name = pair[0], member = pair[1] }
  }

  project   = var.project_id
  secret_id = google_secret_manager_secret.api_key[each.value.name].secret_id
  role      = "roles/secretmanager.secretVersionManager"
  member    = each.value.member
}

resource "google_pubsub_topic_iam_member" "replayer" {
  for_each = {
    for pair in setproduct(keys(local.streams), var.access.replayers) :
    "${pair[0]} ${pair[1]}" => { name = pair[0], member = pair[1] }
  }

  project = var.project_id
  topic   = google_pubsub_topic.stream[each.value.name].name
  role    = "roles/pubsub.publisher"
  member  = each.value.member
}

resource "google_storage_bucket_iam_member" "replayer" {
  for_each = var.archive.enabled ? var.access.replayers : toset([])

  bucket = google_storage_bucket.archive[0].name
  role   = "roles/storage.objectViewer"
  member = each.value
}
