# Every filter goes by the form of a name, none lists resources: a new one is watched from its first day.

locals {
  services      = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=monitoring.regex.full_match(\".*-endpoint|${local.status_service}\")"
  service_lines = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=~\"(-endpoint|^${local.status_service})$\""
  subscriptions = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=monitoring.regex.full_match"
  job           = "resource.type=\"dataflow_job\" AND resource.labels.job_name=\"${var.pipeline.name}\""
  user_counter  = "dataflow_googleapis_com:job_user_counter{monitored_resource=\"dataflow_job\",job_name=\"${var.pipeline.name}\""

  # Alerts on one figure that rises above a threshold.
  threshold_alerts = {
    pipeline_behind = {
      title     = "The pipeline falls behind"
      severity  = "CRITICAL"
      filter    = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND ${local.subscriptions}(\".*-pipeline\")"
      aligner   = "ALIGN_MAX"
      group_by  = ["resource.labels.subscription_id"]
      threshold = var.monitoring.oldest_unacked_seconds
      duration  = "300s"
      todo      = "Records wait in Pub/Sub for longer than they should; they are safe there for a week. See in Dataflow's console whether the job runs, has reached max_workers, or fails the same bundle again and again."
    }
    archive_behind = {
      title     = "The raw archive falls behind"
      severity  = "WARNING"
      filter    = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND ${local.subscriptions}(\".*-archive\")"
      aligner   = "ALIGN_MAX"
      group_by  = ["resource.labels.subscription_id"]
      threshold = var.monitoring.archive_unacked_seconds
      duration  = "300s"
      todo      = "Pub/Sub cannot write to the archive's bucket. See the subscription's state, and whether Pub/Sub's agent still has its roles on the bucket and its key."
    }
    keys_refused = {
      title     = "API keys are refused in numbers"
      severity  = "WARNING"
      filter    = "metric.type=\"run.googleapis.com/request_count\" AND ${local.services} AND metric.labels.response_code=\"401\""
      aligner   = "ALIGN_RATE"
      group_by  = ["resource.labels.service_name"]
      threshold = var.monitoring.refused_keys_per_minute / 60
      duration  = "120s"
      todo      = "Somebody guesses keys, or a producer still uses one that was disabled. The load balancer's log has the addresses; block them with load_balancer.blocked_ranges."
    }
    job_failed = {
      title     = "The Dataflow job failed"
      severity  = "CRITICAL"
      filter    = "metric.type=\"dataflow.googleapis.com/job/is_failed\" AND ${local.job}"
      aligner   = "ALIGN_MAX"
      group_by  = ["resource.labels.job_name"]
      threshold = 0
      duration  = "0s"
      todo      = "The job's log says why. Records wait in Pub/Sub for up to a week; `terraform apply` starts the job again."
    }
  }
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = local.threshold_alerts

  project               = var.project_id
  display_name          = "Vitalflow: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.title
    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = each.value.duration
      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.aligner == "ALIGN_RATE" ? "REDUCE_SUM" : "REDUCE_MAX"
        group_by_fields      = each.value.group_by
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.todo} Runbook: docs/operators.md."
  }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "server_errors" {
  project               = var.project_id
  display_name          = "Vitalflow: endpoints answer 5xx"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "Share of 5xx among a service's answers"
    condition_threshold {
      filter             = "metric.type=\"run.googleapis.com/request_count\" AND ${local.services} AND metric.labels.response_code_class=\"5xx\""
      denominator_filter = "metric.type=\"run.googleapis.com/request_count\" AND ${local.services}"
      comparison         = "COMPARISON_GT"
      threshold_value    = var.monitoring.server_error_ratio
      duration           = "300s"
      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.labels.service_name"]
      }
      denominator_aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.labels.service_name"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "503 with `publish_timeout` or `keys_unavailable`: Pub/Sub or Secret Manager is out of reach, and producers try again; with `status_unavailable`: BigQuery, and only questions about records go unanswered. 500 with `publish_refused`: topic or role is missing. The dashboard has the codes. Runbook: docs/operators.md."
  }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "job_silent" {
  project               = var.project_id
  display_name          = "Vitalflow: the Dataflow job does not run"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "No sign of life"
    condition_absent {
      filter   = "metric.type=\"dataflow.googleapis.com/job/system_lag\" AND ${local.job}"
      duration = "${var.monitoring.job_silent_minutes * 60}s"
      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_MAX"
        cross_series_reducer = "REDUCE_MAX"
        group_by_fields      = ["resource.labels.job_name"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "A running job reports its lag every minute. It was cancelled or drained, or Dataflow cannot start workers. Records wait in Pub/Sub for up to a week; `terraform apply` starts the job again. Runbook: docs/operators.md."
  }

  depends_on = [google_project_service.api]
}

# PromQL, because the counters are gauges to Cloud Monitoring, of which a threshold condition takes no
# rate. A counter begins again at 0 when the job is updated: hence the floor at 0.
resource "google_monitoring_alert_policy" "dead_letters" {
  project               = var.project_id
  display_name          = "Vitalflow: many records become dead letters"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "Share of dead letters among the records read"
    condition_prometheus_query_language {
      query = join(" ", [
        "sum(clamp_min(delta(${local.user_counter},metric_name=~\"dead_.*\"}[30m]), 0))",
        "/ (sum(clamp_min(delta(${local.user_counter},metric_name=\"read\"}[30m]), 0)) > 0)",
        "> ${var.monitoring.dead_letter_ratio}",
      ])
      duration            = "300s"
      evaluation_interval = "60s"
      # The counters do not exist before the job's first record.
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "A producer's change, or ours: healthcare_ops.dead_letters_by_code says what fails and why. Nothing is lost; replay after the mend. Runbook: docs/operators.md."
  }

  depends_on = [google_project_service.api]
}

# Alerts on a line of a log; `every` is how often at most they tell of it, in seconds.
locals {
  log_alerts = merge({
    misconfigured = {
      title    = "An endpoint is not set up rightly"
      severity = "CRITICAL"
      every    = 900
      filter   = "${local.service_lines} AND jsonPayload.code=\"publish_refused\""
      todo     = "Pub/Sub refuses for good: the topic or the service account's role on it is gone. `terraform plan` shows what is missing."
    }
    keys_stale = {
      title    = "An endpoint cannot read its keys"
      severity = "ERROR"
      every    = 900
      filter   = "${local.service_lines} AND jsonPayload.message=\"Secret Manager does not answer\""
      todo     = "It goes on with the keys that it has for KEY_MAX_STALE_SECONDS, then refuses everybody with 503. See Secret Manager's status, and the service account's roles on the secret."
    }
    }, {
    # A mismatch stays in the view for a week, and each run of that week fails: hence seldom.
    for config in google_bigquery_data_transfer_config.reconciliation : "reconciliation" => {
      title    = "Accepted records are missing"
      severity = "CRITICAL"
      every    = 21600
      filter   = "resource.type=\"bigquery_dts_config\" AND resource.labels.config_id=\"${basename(config.name)}\" AND severity>=ERROR"
      todo     = "With `reconciliation_mismatch` in the entry: what endpoints accepted is not what was loaded, dead-lettered or is in flight; `python -m ops reconcile --minutes` has the resources and minutes, the raw archive has the messages. See first whether the pipeline stands still. With another error: the check itself could not run."
    }
  })
}

resource "google_monitoring_alert_policy" "log" {
  for_each = local.log_alerts

  project               = var.project_id
  display_name          = "Vitalflow: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.title
    condition_matched_log {
      filter = each.value.filter
    }
  }

  alert_strategy {
    auto_close = "${max(each.value.every, 3600)}s"
    notification_rate_limit {
      period = "${each.value.every}s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.todo} Runbook: docs/operators.md."
  }

  depends_on = [google_project_service.api]
}
