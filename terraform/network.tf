# The job's workers have no public address: they reach Google's services, and nothing else, through
# Private Google Access. There is no NAT, and nobody is let in: with Streaming Engine the workers do not
# even talk to one another.

resource "google_compute_network" "pipeline" {
  count = var.network.subnetwork == null ? 1 : 0

  project                 = var.project_id
  name                    = local.app
  description             = "Workers of the Dataflow job."
  auto_create_subnetworks = false

  depends_on = [google_project_service.api]
}

resource "google_compute_subnetwork" "pipeline" {
  count = var.network.subnetwork == null ? 1 : 0

  project                  = var.project_id
  name                     = "${local.app}-${var.region}"
  description              = "Workers of the Dataflow job."
  region                   = var.region
  network                  = google_compute_network.pipeline[0].id
  ip_cidr_range            = var.network.cidr
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.5
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# So it is without a rule, too; this one logs who tries.
resource "google_compute_firewall" "deny_ingress" {
  count = var.network.subnetwork == null ? 1 : 0

  project       = var.project_id
  name          = "${local.app}-deny-ingress"
  description   = "Nobody reaches the workers of the Dataflow job."
  network       = google_compute_network.pipeline[0].id
  direction     = "INGRESS"
  priority      = 65000
  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

locals {
  subnetwork = var.network.subnetwork != null ? var.network.subnetwork : google_compute_subnetwork.pipeline[0].id
}
