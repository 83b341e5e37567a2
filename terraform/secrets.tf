# Holds the API keys of a resource. Terraform makes the secret and never a version of it: what is in
# a version would be in the state. The output add_key_commands has the command that adds the first.

locals {
  secret_locations = (
    length(var.secret_locations) > 0 ? var.secret_locations
    : contains(keys(var.kms_keys), "secret_manager") ? [var.region]
    : []
  )
}

resource "google_secret_manager_secret" "api_key" {
  for_each = local.resources

  project             = var.project_id
  secret_id           = "${each.key}-api-key"
  labels              = local.resource_labels[each.key]
  version_destroy_ttl = "604800s" # A version destroyed by mistake can be enabled again for a week.
  deletion_protection = var.deletion_protection

  replication {
    dynamic "auto" {
      for_each = length(local.secret_locations) == 0 ? [1] : []
      content {}
    }
    dynamic "user_managed" {
      for_each = length(local.secret_locations) > 0 ? [1] : []
      content {
        dynamic "replicas" {
          for_each = local.secret_locations
          content {
            location = replicas.value
            dynamic "customer_managed_encryption" {
              for_each = contains(keys(var.kms_keys), "secret_manager") ? [var.kms_keys.secret_manager] : []
              content {
                kms_key_name = customer_managed_encryption.value
              }
            }
          }
        }
      }
    }
  }

  depends_on = [google_project_service.api, google_kms_crypto_key_iam_member.agent]
}
