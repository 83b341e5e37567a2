# The load balancer, Cloud Armor, and what watches.

mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id     = "demo-project"
  region         = "europe-west3"
  endpoint_image = "europe-west3-docker.pkg.dev/demo-project/vitalflow/endpoint:1"
  status_image   = "europe-west3-docker.pkg.dev/demo-project/vitalflow/status:1"
  endpoint       = { allow_unauthenticated = true }
  load_balancer  = { domains = ["ingest.example.org"], blocked_ranges = ["192.0.2.0/24"] }
}

run "by_default" {
  command = plan

  assert {
    condition = toset(flatten([
      for rule in google_compute_url_map.external["external"].path_matcher[0].route_rules :
      [for match in rule.match_rules : compact([match.full_path_match, match.prefix_match])] if rule.priority >= 10
      ])) == toset(flatten([
      for name in keys(local.resources) : ["/v1/${name}", "/v1/${name}/"]
    ]))
    error_message = "Every resource has its path, and there is no other."
  }
  assert {
    condition = [
      for match in google_compute_url_map.external["external"].path_matcher[0].route_rules[0].match_rules :
      [match.path_template_match, match.header_matches[0].header_name, match.header_matches[0].exact_match]
    ] == [["/v1/*/events/*", ":method", "GET"], ["/v1/*/events/*", ":method", "HEAD"]]
    error_message = "Questions about a record go to the status service, and nothing else does: not a tombstone of a key that begins with events."
  }
  assert {
    condition = (
      length(distinct([for rule in google_compute_url_map.external["external"].path_matcher[0].route_rules : rule.priority])) == length(local.resources) + 1
      && google_compute_url_map.external["external"].path_matcher[0].route_rules[0].priority == 1
    )
    error_message = "No two rules have one priority, and the status service's comes first."
  }
  assert {
    condition = alltrue([
      for service in concat(values(google_cloud_run_v2_service.endpoint), google_cloud_run_v2_service.status) :
      one([for env in service.template[0].containers[0].env : env.value if env.name == "FORWARDED_FOR_POSITION"]) == "2"
    ])
    error_message = "A load balancer appends the client's address and its own: the client's is the second from the right."
  }
  assert {
    condition     = keys(google_compute_region_network_endpoint_group.endpoint) == keys(local.resources) && keys(google_compute_backend_service.endpoint) == keys(local.resources)
    error_message = "Every resource has a group and a backend of its own."
  }
  assert {
    condition     = google_compute_global_forwarding_rule.external["external"].port_range == "443" && google_compute_ssl_policy.external["external"].min_tls_version == "TLS_1_2"
    error_message = "HTTPS only, by TLS 1.2 or later."
  }
  assert {
    condition = alltrue([
      for service in concat(values(google_cloud_run_v2_service.endpoint), google_cloud_run_v2_service.status) :
      service.invoker_iam_disabled && service.ingress == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" && service.custom_audiences == tolist(["https://ingest.example.org"])
    ])
    error_message = "The services are open to the load balancer, and to nobody who goes around it."
  }
  assert {
    condition     = alltrue([for rule in google_compute_security_policy.endpoint["external"].rule : rule.preview if startswith(rule.description, "OWASP")])
    error_message = "The OWASP rules only log until they are told to block."
  }
  assert {
    condition = alltrue([
      for rule in google_compute_security_policy.endpoint["external"].rule :
      rule.rate_limit_options[0].enforce_on_key_configs[0].enforce_on_key_name == "x-api-key" && rule.rate_limit_options[0].rate_limit_threshold[0].count == 6000 if rule.priority == 2000
    ])
    error_message = "Requests are counted by API key."
  }
  assert {
    condition     = one([for rule in google_compute_security_policy.endpoint["external"].rule : rule.action if rule.priority == 100]) == "deny(403)"
    error_message = "Blocked addresses come first."
  }
  assert {
    condition     = google_compute_security_policy.endpoint["external"].advanced_options_config[0].log_level == "NORMAL"
    error_message = "A verbose log would hold parts of health records."
  }
}

run "cloud_armor_blocks" {
  command = plan
  variables {
    load_balancer = {
      domains             = ["ingest.example.org"]
      waf_enforce         = true
      waf_disabled_rules  = ["owasp-crs-v030301-id942251-sqli", "owasp-crs-v030301-id942490-sqli"]
      requests_per_minute = 60
    }
  }

  assert {
    condition     = alltrue([for rule in google_compute_security_policy.endpoint["external"].rule : !rule.preview if startswith(rule.description, "OWASP")])
    error_message = "A rule only logs."
  }
  assert {
    condition = one([
      for rule in google_compute_security_policy.endpoint["external"].rule : rule.match[0].expr[0].expression if rule.description == "OWASP: sqli"
    ]) == "evaluatePreconfiguredWaf('sqli-v33-stable', {'sensitivity': 1, 'opt_out_rule_ids': ['owasp-crs-v030301-id942251-sqli', 'owasp-crs-v030301-id942490-sqli']})"
    error_message = "The rule's expression is not as Cloud Armor wants it."
  }
}

run "otherwise" {
  command = plan
  variables {
    status_image  = null
    load_balancer = { ssl_certificates = ["projects/demo-project/global/sslCertificates/own"] }
    monitoring    = { notification_channels = ["projects/demo-project/notificationChannels/1"], emails = ["oncall@example.org"] }
    budget        = { billing_account = "012345-6789AB-CDEF01", amount = 100 }
    audit_logs    = { "secretmanager.googleapis.com" = ["DATA_READ"] }
  }

  assert {
    condition     = length(google_compute_managed_ssl_certificate.external) == 0 && google_compute_target_https_proxy.external["external"].ssl_certificates == tolist(["projects/demo-project/global/sslCertificates/own"])
    error_message = "The given certificate is not used."
  }
  assert {
    condition = alltrue([
      for name in ["pipeline_behind", "archive_behind", "keys_refused", "job_failed", "misconfigured", "keys_stale", "reconciliation", "dead_letters", "job_silent", "server_errors"] :
      contains(keys(output.alert_policies), name)
    ])
    error_message = "An alert is missing."
  }
  assert {
    condition = (
      length(google_compute_backend_service.status) == 0
      && length(google_compute_url_map.external["external"].path_matcher[0].route_rules) == length(local.resources)
    )
    error_message = "Without its image the status service has no route."
  }
  assert {
    condition     = google_monitoring_notification_channel.email["oncall@example.org"].type == "email"
    error_message = "An address has no channel."
  }
  assert {
    condition = alltrue([
      for name in keys(local.resources) : !anytrue([
        for policy in google_monitoring_alert_policy.threshold : strcontains(policy.conditions[0].condition_threshold[0].filter, name)
      ])
    ])
    error_message = "An alert names a resource: adding one would change it."
  }
  assert {
    condition     = google_billing_budget.project[0].amount[0].specified_amount[0].units == "100" && length(google_billing_budget.project[0].threshold_rules) == 4
    error_message = "The budget is not as declared."
  }
  assert {
    condition     = [for config in google_project_iam_audit_config.service["secretmanager.googleapis.com"].audit_log_config : config.log_type] == ["DATA_READ"]
    error_message = "The audit log is not as declared."
  }
}
