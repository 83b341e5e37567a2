# Templates, and what the Dataflow job stages and drops while it works. No record is kept here.

resource "google_storage_bucket" "dataflow" {
  #checkov:skip=CKV_GCP_62:Usage logs are Google's older way; var.audit_logs records who read which file.
  project                     = var.project_id
  name                        = "${var.project_id}-${local.app}-dataflow"
  location                    = upper(var.region)
  labels                      = local.labels
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true # Whatever is in it can be built again.

  versioning {
    enabled = true # A template that was overwritten can be brought back.
  }

  # Soft delete would bill every temporary file for a week more.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # Files of staging/ stay: new workers read them as long as the job lives.
  lifecycle_rule {
    condition {
      age            = 14
      matches_prefix = ["temp/"]
    }
    action {
      type = "Delete"
    }
  }
  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 30
      with_state                 = "ARCHIVED"
    }
    action {
      type = "Delete"
    }
  }
  lifecycle_rule {
    condition {
      age = 1
    }
    action {
      type = "AbortIncompleteMultipartUpload"
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
