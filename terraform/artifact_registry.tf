resource "google_artifact_registry_repository" "images" {
  project       = var.project_id
  location      = var.region
  repository_id = local.app
  description   = "Images of Vitalflow's endpoints and pipeline."
  format        = "DOCKER"
  labels        = local.labels
  kms_key_name  = lookup(var.kms_keys, "artifact_registry", null)

  # What runs has a tag; what a later build took the tag from may go once no rollback would want it.
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }
  cleanup_policies {
    id     = "delete-untagged"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}
