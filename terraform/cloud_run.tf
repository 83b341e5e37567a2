# One service a resource: each scales by itself, and holds one topic's and one secret's rights. And one for
# all that tells producers what became of a record, apart because it waits for BigQuery.
#
# Who gets in is decided twice: `ingress` says from where, Cloud Run's invoker check says who. Producers
# have an API key and no Google identity, so behind a load balancer that check has to be off; then it is
# `ingress` that keeps the service's own URL closed. `invoker_iam_disabled` rather than a role for
# allUsers: organizations that bar outsiders from IAM allow the one and not the other.

locals {
  ingress = {
    all                               = "INGRESS_TRAFFIC_ALL"
    internal                          = "INGRESS_TRAFFIC_INTERNAL_ONLY"
    internal-and-cloud-load-balancing = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  }
  audiences = distinct(concat(
    [for domain in try(var.load_balancer.domains, []) : "https://${domain}"],
    var.endpoint.custom_audiences,
  ))

  # Where the client's address stands in X-Forwarded-For, from the right: Cloud Run appends the address that
  # connects, a load balancer the client's and its own. variables_endpoint.tf keeps the two from being mixed.
  forwarded_for_position = var.load_balancer == null ? "1" : "2"

  status_service = "${local.app}-status"
}

resource "google_cloud_run_v2_service" "endpoint" {
  for_each = { for name, settings in local.endpoints : name => settings if var.endpoint_image != null }

  project              = var.project_id
  location             = var.region
  name                 = local.service_names[each.key]
  description          = "Takes records over HTTPS: ${local.resources[each.key]}."
  labels               = local.resource_labels[each.key]
  ingress              = local.ingress[each.value.ingress]
  invoker_iam_disabled = each.value.allow_unauthenticated
  custom_audiences     = local.audiences

  # Nothing is lost with a service; and one whose first start failed could otherwise not be replaced.
  deletion_protection = false

  dynamic "binary_authorization" {
    for_each = each.value.binary_authorization ? [1] : []
    content {
      use_default = true
    }
  }

  template {
    service_account                  = google_service_account.endpoint[each.key].email
    labels                           = local.resource_labels[each.key]
    encryption_key                   = lookup(var.kms_keys, "cloud_run", null)
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = "${each.value.timeout_seconds}s"
    max_instance_request_concurrency = each.value.concurrency

    scaling {
      min_instance_count = each.value.min_instances
      max_instance_count = each.value.max_instances
    }

    containers {
      image = var.endpoint_image

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = each.value.cpu, memory = each.value.memory }
        cpu_idle          = !each.value.cpu_always_allocated
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = merge(
          { WORKERS = each.value.cpu, FORWARDED_FOR_POSITION = local.forwarded_for_position },
          each.value.env,
          { PROJECT_ID = var.project_id, FUNCTION_TARGET = each.key },
        )
        content {
          name  = env.key
          value = env.value
        }
      }

      # The provider has no readiness probe yet, so readiness is asked for at the start: an instance
      # gets no traffic before it has read its keys and seen its topic. Four minutes, the most that
      # Cloud Run allows, also cover the time in which a new role takes effect.
      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 5
        failure_threshold = 48
        http_get {
          path = each.value.startup_probe_path
        }
      }

      # Not /readyz: to restart an instance does not mend an outage of Pub/Sub or Secret Manager.
      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/livez"
        }
      }
    }
  }

  depends_on = [
    google_kms_crypto_key_iam_member.agent,
    google_pubsub_topic_iam_member.endpoint_publisher,
    google_pubsub_topic_iam_member.endpoint_system,
    google_pubsub_topic_iam_member.endpoint_viewer,
    google_secret_manager_secret_iam_member.endpoint_accessor,
    google_secret_manager_secret_iam_member.endpoint_viewer,
  ]
}

resource "google_cloud_run_v2_service" "status" {
  count = var.status_image == null ? 0 : 1

  project              = var.project_id
  location             = var.region
  name                 = local.status_service
  description          = "Tells producers what became of a record."
  labels               = local.labels
  ingress              = local.ingress[var.endpoint.ingress]
  invoker_iam_disabled = var.endpoint.allow_unauthenticated
  custom_audiences     = local.audiences
  deletion_protection  = false # Nothing is lost with it.

  dynamic "binary_authorization" {
    for_each = var.endpoint.binary_authorization ? [1] : []
    content {
      use_default = true
    }
  }

  template {
    service_account                  = google_service_account.status.email
    labels                           = local.labels
    encryption_key                   = lookup(var.kms_keys, "cloud_run", null)
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = "60s" # A question has STATUS_TIMEOUT_SECONDS, 10 by default.
    max_instance_request_concurrency = var.status.concurrency

    scaling {
      min_instance_count = var.status.min_instances
      max_instance_count = var.status.max_instances
    }

    containers {
      image = var.status_image

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = var.status.cpu, memory = var.status.memory }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      # A thread waits for BigQuery for each request, and one is left for probes.
      dynamic "env" {
        for_each = merge(
          { FORWARDED_FOR_POSITION = local.forwarded_for_position, THREADS = tostring(var.status.concurrency + 1) },
          var.status.env,
          {
            PROJECT_ID      = var.project_id
            FUNCTION_TARGET = "status"
            DATASET         = var.bigquery.dataset
            OPS_DATASET     = var.bigquery.ops_dataset
          },
        )
        content {
          name  = env.key
          value = env.value
        }
      }

      # As an endpoint's: no traffic before keys and BigQuery have answered.
      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 5
        failure_threshold = 48
        http_get {
          path = var.endpoint.startup_probe_path
        }
      }

      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/livez"
        }
      }
    }
  }

  depends_on = [
    google_bigquery_table_iam_member.status_reader,
    google_kms_crypto_key_iam_member.agent,
    google_project_iam_member.status_jobs,
    google_pubsub_topic_iam_member.status_system,
    google_secret_manager_secret_iam_member.status,
  ]
}
