# https://DOMAIN/v1/<resource> → the service of that resource.
#
# A new resource adds a group and a backend of its own; of what is here already it changes the URL map
# alone, in place: that one object lists every path. (A URL mask would spare it, but it maps
# a path to a service of the same name, and services' names take no underscore.)
#
# Port 80 is closed, not redirected: a client that tries it would send its key in the clear first.

locals {
  load_balancers = var.load_balancer == null ? {} : { external = var.load_balancer }
  balanced       = { for name, service in google_cloud_run_v2_service.endpoint : name => service.name if var.load_balancer != null }

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

    dynamic "path_rule" {
      for_each = google_compute_backend_service.endpoint
      content {
        paths   = ["/v1/${path_rule.key}", "/v1/${path_rule.key}/*"]
        service = path_rule.value.id
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
