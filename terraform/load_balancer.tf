# https://DOMAIN/v1/<resource> → the service of that resource, whatever follows; but
# GET https://DOMAIN/v1/<resource>/events/<event id> → the status service. It goes by the method too, since
# DELETE /v1/<resource>/events/… is a tombstone of a record whose key begins with "events".
#
# A new resource adds a group and a backend of its own; of what is here already it changes the URL map
# alone, in place: that one object lists every path. (A URL mask would spare it, but it maps
# a path to a service of the same name, and services' names take no underscore.)
#
# Port 80 is closed, not redirected: a client that tries it would send its key in the clear first.

locals {
  load_balancers = var.load_balancer == null ? {} : { external = var.load_balancer }
  balanced       = { for name, service in google_cloud_run_v2_service.endpoint : name => service.name if var.load_balancer != null }

  balanced_status = { for service in google_cloud_run_v2_service.status : "status" => service.name if var.load_balancer != null }

  managed_domains = try(var.load_balancer.domains, [])
  own_certificate = length(try(var.load_balancer.ssl_certificates, [])) > 0
}

resource "google_compute_region_network_endpoint_group" "endpoint" {
  for_each = local.balanced

  project               = var.project_id
  region                = var.region
  name                  = each.value
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = each.value
  }
}

resource "google_compute_backend_service" "endpoint" {
  for_each = google_compute_region_network_endpoint_group.endpoint

  project               = var.project_id
  name                  = each.value.name
  description           = "Takes ${each.key}."
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.endpoint["external"].id

  backend {
    group = each.value.id
  }

  # No header enters the log, so no key does; logging.tf keeps out paths that hold a record's key.
  log_config {
    enable        = var.load_balancer.log_sample_rate > 0
    sample_rate   = var.load_balancer.log_sample_rate
    optional_mode = "EXCLUDE_ALL_OPTIONAL"
  }
}

resource "google_compute_region_network_endpoint_group" "status" {
  for_each = local.balanced_status

  project               = var.project_id
  region                = var.region
  name                  = each.value
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = each.value
  }
}

resource "google_compute_backend_service" "status" {
  for_each = google_compute_region_network_endpoint_group.status

  project               = var.project_id
  name                  = each.value.name
  description           = "Tells what became of a record."
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.endpoint["external"].id

  backend {
    group = each.value.id
  }

  log_config {
    enable        = var.load_balancer.log_sample_rate > 0
    sample_rate   = var.load_balancer.log_sample_rate
    optional_mode = "EXCLUDE_ALL_OPTIONAL"
  }
}

# Where a path of no resource ends: there is nothing behind it, and its policy answers 404.
resource "google_compute_backend_service" "nowhere" {
  for_each = local.load_balancers

  project               = var.project_id
  name                  = "${local.app}-nowhere"
  description           = "Answers 404 to what is no resource's path."
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.nowhere["external"].id
}

resource "google_compute_url_map" "external" {
  for_each = local.load_balancers

  project         = var.project_id
  name            = local.app
  default_service = google_compute_backend_service.nowhere[each.key].id

  host_rule {
    hosts        = length(each.value.domains) > 0 ? each.value.domains : ["*"]
    path_matcher = "resources"
  }

  path_matcher {
    name            = "resources"
    default_service = google_compute_backend_service.nowhere[each.key].id

    # The first that matches, by priority.
    dynamic "route_rules" {
      for_each = google_compute_backend_service.status
      content {
        priority = 1
        service  = route_rules.value.id

        dynamic "match_rules" {
          for_each = ["GET", "HEAD"]
          content {
            path_template_match = "/v1/*/events/*"
            header_matches {
              header_name = ":method"
              exact_match = match_rules.value
            }
          }
        }
      }
    }

    dynamic "route_rules" {
      for_each = [for name, backend in google_compute_backend_service.endpoint : { name = name, id = backend.id }]
      content {
        priority = 10 + route_rules.key
        service  = route_rules.value.id

        match_rules {
          full_path_match = "/v1/${route_rules.value.name}"
        }
        match_rules {
          prefix_match = "/v1/${route_rules.value.name}/"
        }
      }
    }
  }
}

resource "google_compute_global_address" "external" {
  for_each = local.load_balancers

  project     = var.project_id
  name        = local.app
  description = "Where the domains' A records point."

  depends_on = [google_project_service.api]
}

resource "google_compute_managed_ssl_certificate" "external" {
  for_each = { for name, settings in local.load_balancers : name => settings if !local.own_certificate }

  project = var.project_id
  # It cannot be changed, only followed by another: hence a name that follows from the domains.
  name = "${local.app}-${substr(sha1(join(",", local.managed_domains)), 0, 8)}"

  managed {
    domains = local.managed_domains
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [google_project_service.api]
}

resource "google_compute_ssl_policy" "external" {
  for_each = local.load_balancers

  project         = var.project_id
  name            = local.app
  profile         = "RESTRICTED"
  min_tls_version = "TLS_1_2"

  depends_on = [google_project_service.api]
}

resource "google_compute_target_https_proxy" "external" {
  for_each = local.load_balancers

  project          = var.project_id
  name             = local.app
  url_map          = google_compute_url_map.external[each.key].id
  ssl_policy       = google_compute_ssl_policy.external[each.key].id
  ssl_certificates = local.own_certificate ? each.value.ssl_certificates : [google_compute_managed_ssl_certificate.external[each.key].id]
}

resource "google_compute_global_forwarding_rule" "external" {
  for_each = local.load_balancers

  project               = var.project_id
  name                  = local.app
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.external[each.key].id
  port_range            = "443"
  target                = google_compute_target_https_proxy.external[each.key].id
  labels                = local.labels
}
