# One key for each kind of store, so that each can be turned off by itself. Where a security team keeps
# keys in a project of its own, pass their ids to the module instead of this file.

locals {
  key_uses = toset([
    "artifact_registry", "bigquery", "cloud_run", "dataflow", "pubsub", "secret_manager", "storage",
  ])
}

resource "google_project_service" "kms" {
  project            = var.project_id
  service            = "cloudkms.googleapis.com"
  disable_on_destroy = false
}

resource "google_kms_key_ring" "vitalflow" {
  project  = var.project_id
  name     = "vitalflow"
  location = var.region

  depends_on = [google_project_service.kms]
}

# Terraform cannot delete a key for good: on destroy its versions are scheduled to go, and with them
# whatever is left that they encrypt. Add lifecycle { prevent_destroy = true } once the project is live.
resource "google_kms_crypto_key" "key" {
  #checkov:skip=CKV_GCP_82:prevent_destroy would keep this example from being removed; see the comment above.
  for_each = local.key_uses

  name                       = each.value
  key_ring                   = google_kms_key_ring.vitalflow.id
  purpose                    = "ENCRYPT_DECRYPT"
  rotation_period            = "7776000s" # 90 days
  destroy_scheduled_duration = "2592000s" # 30 days to think again
}
