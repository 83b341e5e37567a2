# Google's own accounts that act for a service. Asking for one creates it, where a plain reference to
# its address would fail in a project that has never used the service.

locals {
  agents = toset(concat(
    ["pubsub"],                                                              # writes the archive
    var.monitoring.reconciliation_hours > 0 ? ["bigquerydatatransfer"] : [], # runs the reconciliation
    contains(keys(var.kms_keys), "artifact_registry") ? ["artifactregistry"] : [],
    contains(keys(var.kms_keys), "cloud_run") ? ["run"] : [],
    contains(keys(var.kms_keys), "dataflow") ? ["dataflow"] : [],
    contains(keys(var.kms_keys), "secret_manager") ? ["secretmanager"] : [],
  ))

  # Which agents use the key, by what it encrypts.
  kms_agents = {
    artifact_registry = { artifact_registry = try(google_project_service_identity.agent["artifactregistry"].member, null) }
    bigquery          = { bigquery = try(data.google_bigquery_default_service_account.agent[0].member, null) }
    cloud_run         = { cloud_run = try(google_project_service_identity.agent["run"].member, null) }
    dataflow = {
      dataflow         = try(google_project_service_identity.agent["dataflow"].member, null)
      dataflow_workers = one([for project in data.google_project.this : "serviceAccount:service-${project.number}@compute-system.iam.gserviceaccount.com"])
    }
    pubsub         = { pubsub = google_project_service_identity.agent["pubsub"].member }
    secret_manager = { secret_manager = try(google_project_service_identity.agent["secretmanager"].member, null) }
    storage        = { storage = try(data.google_storage_project_service_account.agent[0].member, null) }
  }
  kms_grants = merge([
    for use in keys(var.kms_keys) : {
      for agent, member in local.kms_agents[use] : agent => { use = use, member = member }
    }
  ]...)
}

resource "google_project_service_identity" "agent" {
  provider = google-beta
  for_each = local.agents

  project = var.project_id
  service = "${each.value}.googleapis.com"

  depends_on = [google_project_service.api]
}

data "google_project" "this" {
  count = contains(keys(var.kms_keys), "dataflow") || var.budget != null ? 1 : 0

  project_id = var.project_id
}

data "google_bigquery_default_service_account" "agent" {
  count = contains(keys(var.kms_keys), "bigquery") ? 1 : 0

  project = var.project_id
}

data "google_storage_project_service_account" "agent" {
  count = contains(keys(var.kms_keys), "storage") ? 1 : 0

  project = var.project_id
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = local.kms_grants

  crypto_key_id = var.kms_keys[each.value.use]
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value.member
}
