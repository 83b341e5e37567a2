# What stands before the endpoints.
#
# The OWASP rules look for attacks on things that an endpoint does not have (SQL, shells, templates,
# HTML), in bodies that are health records: names such as O'Brien and free text raise false alarms, and
# compressed bodies are not looked into. So they only log at first: turn waf_enforce on after a week of
# real traffic has shown which signatures to leave out. The rule against Log4Shell is always enforced.
#
# A rule that limits a rate ends the evaluation, so the OWASP rules come first. Per key means per value
# of x-api-key (its first 128 bytes; Cloud Armor keeps no more than it needs to count). A sender that
# makes up keys to escape the count is the endpoint's to throttle.

locals {
  waf_rules = {
    sqli             = 1000
    xss              = 1010
    lfi              = 1020
    rfi              = 1030
    rce              = 1040
    protocolattack   = 1050
    scannerdetection = 1060
    sessionfixation  = 1070
    nodejs           = 1080
    java             = 1090
  }
  waf_opt_out = length(try(var.load_balancer.waf_disabled_rules, [])) == 0 ? "" : format(
    ", 'opt_out_rule_ids': [%s]", join(", ", [for id in var.load_balancer.waf_disabled_rules : "'${id}'"])
  )
}

resource "google_compute_security_policy" "endpoint" {
  for_each = local.load_balancers

  project     = var.project_id
  name        = local.app
  description = "Guards the endpoints."
  type        = "CLOUD_ARMOR"

  advanced_options_config {
    json_parsing = "STANDARD"
    # Never VERBOSE: that writes the part of the body which matched, health data, into the log.
    log_level = "NORMAL"
  }

  dynamic "adaptive_protection_config" {
    for_each = each.value.adaptive_protection ? [1] : []
    content {
      layer_7_ddos_defense_config {
        enable = true
      }
    }
  }

  # A rule holds ten ranges at most.
  dynamic "rule" {
    for_each = { for index, ranges in chunklist(each.value.blocked_ranges, 10) : index => ranges }
    content {
      priority    = 100 + tonumber(rule.key)
      description = "Blocked addresses"
      action      = "deny(403)"
      match {
        versioned_expr = "SRC_IPS_V1"
        config {
          src_ip_ranges = rule.value
        }
      }
    }
  }

  rule {
    priority    = 900
    description = "Log4Shell"
    action      = "deny(403)"
    match {
      expr {
        expression = "evaluatePreconfiguredExpr('cve-canary')"
      }
    }
  }

  dynamic "rule" {
    for_each = local.waf_rules
    content {
      priority    = rule.value
      description = "OWASP: ${rule.key}"
      action      = "deny(403)"
      preview     = !each.value.waf_enforce
      match {
        expr {
          expression = "evaluatePreconfiguredWaf('${rule.key}-v33-stable', {'sensitivity': ${each.value.waf_sensitivity}${local.waf_opt_out}})"
        }
      }
    }
  }

  rule {
    priority    = 2000
    description = "So many requests a minute for each API key"
    action      = "throttle"
    match {
      expr {
        expression = "has(request.headers['x-api-key'])"
      }
    }
    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = ""
      enforce_on_key_configs {
        enforce_on_key_type = "HTTP_HEADER"
        enforce_on_key_name = "x-api-key"
      }
      rate_limit_threshold {
        count        = each.value.requests_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    priority    = 2010
    description = "So many requests a minute for each address, of those without a key"
    action      = "throttle"
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"
      rate_limit_threshold {
        count        = each.value.requests_per_minute
        interval_sec = 60
      }
    }
  }

  # A policy must end in such a rule; the one before leaves it nothing.
  rule {
    priority    = 2147483647
    description = "Whatever is left"
    action      = "deny(403)"
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_compute_security_policy" "nowhere" {
  for_each = local.load_balancers

  project     = var.project_id
  name        = "${local.app}-nowhere"
  description = "Answers 404 to everything."
  type        = "CLOUD_ARMOR"

  rule {
    priority    = 900
    description = "Log4Shell"
    action      = "deny(403)"
    match {
      expr {
        expression = "evaluatePreconfiguredExpr('cve-canary')"
      }
    }
  }

  rule {
    priority    = 2147483647
    description = "There is nothing here"
    action      = "deny(404)"
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }

  depends_on = [google_project_service.api]
}
