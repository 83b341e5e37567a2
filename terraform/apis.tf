locals {
  # serviceusage and cloudresourcemanager must be on before the first plan: terraform itself calls them.
  apis = toset(concat(
    [
      "artifactregistry.googleapis.com",
      "bigquery.googleapis.com",
      "bigquerystorage.googleapis.com",
      "cloudbuild.googleapis.com",
      "compute.googleapis.com",
      "dataflow.googleapis.com",
      "iam.googleapis.com",
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "pubsub.googleapis.com",
      "run.googleapis.com",
      "secretmanager.googleapis.com",
      "storage.googleapis.com",
    ],
    var.monitoring.reconciliation_hours > 0 ? ["bigquerydatatransfer.googleapis.com"] : [],
    var.bigquery.policy_tags ? ["datacatalog.googleapis.com"] : [],
    var.bigquery.masking ? ["bigquerydatapolicy.googleapis.com"] : [],
    var.endpoint.binary_authorization ? ["binaryauthorization.googleapis.com"] : [],
    length(var.kms_keys) > 0 ? ["cloudkms.googleapis.com"] : [],
    var.budget != null ? ["billingbudgets.googleapis.com"] : [],
  ))
}

resource "google_project_service" "api" {
  for_each = var.enable_apis ? local.apis : toset([])

  project = var.project_id
  service = each.value

  # Others in the project may call them too.
  disable_on_destroy = false
}
