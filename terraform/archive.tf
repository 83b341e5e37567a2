# Every message as it was published, attributes and all: what a replay reads when a table was lost, or
# a mistake in the pipeline is found after Pub/Sub has let the messages go.

resource "google_storage_bucket" "archive" {
  #checkov:skip=CKV_GCP_62:Usage logs are Google's older way; var.audit_logs records who read which file.
  #checkov:skip=CKV_GCP_78:Retention already keeps every file from being changed or deleted; a version would only double it.
  count = var.archive.enabled ? 1 : 0

  project                     = var.project_id
  name                        = "${var.project_id}-${local.app}-archive"
  location                    = upper(coalesce(var.archive.location, var.region))
  labels                      = local.labels
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection

  # Within this time nobody, not even an owner, deletes or overwrites a file.
  retention_policy {
    retention_period = var.archive.retention_days * 86400
    is_locked        = var.archive.retention_locked
  }

  lifecycle_rule {
    condition {
      age = var.archive.nearline_after_days
    }
    action {
      type          = "SetStorageClass"
      storage_class = "NEARLINE"
    }
  }
  lifecycle_rule {
    condition {
      age = var.archive.coldline_after_days
    }
    action {
      type          = "SetStorageClass"
      storage_class = "COLDLINE"
    }
  }
  dynamic "lifecycle_rule" {
    for_each = var.archive.delete_after_days == null ? [] : [var.archive.delete_after_days]
    content {
      condition {
        age = lifecycle_rule.value
      }
      action {
        type = "Delete"
      }
    }
  }

  dynamic "encryption" {
    for_each = contains(keys(var.kms_keys), "storage") ? [var.kms_keys.storage] : []
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}

# Pub/Sub asks for both before it accepts the subscription.
# https://cloud.google.com/pubsub/docs/create-cloudstorage-subscription#assign_roles_service_accounts
resource "google_storage_bucket_iam_member" "archive_writer" {
  for_each = var.archive.enabled ? toset(["roles/storage.legacyBucketReader", "roles/storage.objectCreator"]) : toset([])

  bucket = google_storage_bucket.archive[0].name
  role   = each.value
  member = google_project_service_identity.agent["pubsub"].member
}

resource "google_pubsub_subscription" "archive" {
  for_each = var.archive.enabled ? local.streams : {}

  project                    = var.project_id
  name                       = "${each.key}-archive"
  topic                      = google_pubsub_topic.stream[each.key].id
  labels                     = local.resource_labels[each.key]
  ack_deadline_seconds       = 600 # A file may not be open for longer than this.
  message_retention_duration = "604800s"

  cloud_storage_config {
    bucket                   = google_storage_bucket.archive[0].name
    filename_prefix          = "${each.key}/"
    filename_datetime_format = "YYYY-MM-DD/hh_mm_ssZ"
    filename_suffix          = ".avro"
    max_duration             = "${var.archive.max_file_minutes * 60}s"
    max_bytes                = 1000000000

    avro_config {
      write_metadata = true
    }
  }

  expiration_policy {
    ttl = ""
  }

  depends_on = [google_storage_bucket_iam_member.archive_writer]
}
