# What each contract brings with it. Providers are mocked: no test here needs a project or credentials.

mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id        = "demo-project"
  region            = "europe-west3"
  endpoint_image    = "europe-west3-docker.pkg.dev/demo-project/vitalflow/endpoint@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  status_image      = "europe-west3-docker.pkg.dev/demo-project/vitalflow/status:1.0.0"
  pipeline_image    = "europe-west3-docker.pkg.dev/demo-project/vitalflow/pipeline:1.0.0"
  pipeline_template = "gs://demo-project-vitalflow-dataflow/templates/1.0.0.json"
}

run "by_default" {
  command = plan

  assert {
    condition     = length(local.resources) == length(fileset("../schemas/resources", "*.schema.json")) && length(local.resources) > 0
    error_message = "The list of resources is not the folder of contracts."
  }
  assert {
    condition = alltrue([
      for parts in [
        google_secret_manager_secret.api_key, google_service_account.endpoint, google_cloud_run_v2_service.endpoint,
        google_pubsub_topic_iam_member.endpoint_publisher, google_pubsub_topic_iam_member.endpoint_viewer,
        google_secret_manager_secret_iam_member.endpoint_accessor, google_secret_manager_secret_iam_member.endpoint_viewer,
      ] : keys(parts) == keys(local.resources)
    ])
    error_message = "A resource lacks a part, or a part belongs to no resource."
  }
  assert {
    condition = alltrue([
      for parts in [
        google_pubsub_topic.stream, google_pubsub_subscription.pipeline, google_pubsub_subscription.archive,
        google_pubsub_subscription_iam_member.pipeline_subscriber, google_pubsub_subscription_iam_member.pipeline_viewer,
      ] : toset(keys(parts)) == setunion(keys(local.resources), keys(local.system))
    ]) && length(local.system) == length(fileset("../schemas/system", "*.schema.json"))
    error_message = "Topics are resources, and the records that the system writes itself."
  }
  assert {
    condition = alltrue([
      for name in keys(local.resources) :
      google_pubsub_topic.stream[name].name == name
      && google_pubsub_subscription.pipeline[name].name == "${name}-pipeline"
      && google_secret_manager_secret.api_key[name].secret_id == "${name}-api-key"
    ])
    error_message = "Endpoint and pipeline find topic, subscription and secret by these names."
  }
  assert {
    condition = alltrue([
      for topic in google_pubsub_topic.stream :
      topic.message_retention_duration == "604800s"
      && topic.message_storage_policy[0].allowed_persistence_regions == toset(["europe-west3"])
    ])
    error_message = "A topic keeps messages for seven days, in its region."
  }
  assert {
    condition = alltrue([
      for subscription in google_pubsub_subscription.pipeline :
      length(subscription.dead_letter_policy) == 0
      && length(subscription.retry_policy) == 0
      && !subscription.enable_exactly_once_delivery
      && !subscription.enable_message_ordering
      && subscription.expiration_policy[0].ttl == ""
      && subscription.ack_deadline_seconds == 60
      && subscription.message_retention_duration == "604800s"
    ])
    error_message = "Dataflow supports no such policy, or the subscription could expire."
  }
  assert {
    condition = alltrue([
      for subscription in google_pubsub_subscription.archive :
      subscription.cloud_storage_config[0].avro_config[0].write_metadata
      && subscription.expiration_policy[0].ttl == ""
      && tonumber(trimsuffix(subscription.cloud_storage_config[0].max_duration, "s")) <= subscription.ack_deadline_seconds
    ])
    error_message = "The archive keeps attributes, and a file is not open for longer than the deadline."
  }
  assert {
    condition = alltrue([
      for name, service in google_cloud_run_v2_service.endpoint :
      { for env in service.template[0].containers[0].env : env.name => env.value } == { PROJECT_ID = "demo-project", FUNCTION_TARGET = name, WORKERS = "1", FORWARDED_FOR_POSITION = "1" }
    ])
    error_message = "A service learns its project and its resource, and no secret."
  }
  assert {
    condition = { for env in google_cloud_run_v2_service.status[0].template[0].containers[0].env : env.name => env.value } == {
      PROJECT_ID = "demo-project", FUNCTION_TARGET = "status", DATASET = "healthcare", OPS_DATASET = "healthcare_ops", THREADS = "17", FORWARDED_FOR_POSITION = "1"
    }
    error_message = "The status service learns its project and its datasets, and no secret."
  }
  assert {
    condition = (
      google_bigquery_data_transfer_config.reconciliation[0].data_source_id == "scheduled_query"
      && google_bigquery_data_transfer_config.reconciliation[0].schedule == "every 1 hours"
      && google_bigquery_data_transfer_config.reconciliation[0].location == "europe-west3"
      && strcontains(google_bigquery_data_transfer_config.reconciliation[0].params.query, "FROM `demo-project.healthcare_ops.reconciliation_mismatches`")
    )
    error_message = "What is accepted and does not arrive is looked for every hour."
  }
  assert {
    condition = (
      google_logging_project_bucket_config.audit_heads.retention_days == 2555
      && !google_logging_project_bucket_config.audit_heads.locked
      && google_logging_project_sink.audit_heads.destination == "logging.googleapis.com/projects/demo-project/locations/europe-west3/buckets/vitalflow-audit-heads"
    )
    error_message = "The heads of the audit log are kept as long as it is, and locked only when that is asked for."
  }
  assert {
    condition = alltrue([
      for service in concat(values(google_cloud_run_v2_service.endpoint), google_cloud_run_v2_service.status) :
      service.template[0].containers[0].startup_probe[0].http_get[0].path == "/readyz"
      && service.template[0].containers[0].liveness_probe[0].http_get[0].path == "/livez"
      && service.template[0].containers[0].startup_probe[0].period_seconds * service.template[0].containers[0].startup_probe[0].failure_threshold <= 240
    ])
    error_message = "Traffic waits for /readyz, within the four minutes of Cloud Run; /livez alone restarts."
  }
  assert {
    condition     = alltrue([for service in concat(values(google_cloud_run_v2_service.endpoint), google_cloud_run_v2_service.status) : service.ingress == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"])
    error_message = "By default a service is not to be reached from the internet."
  }
  assert {
    condition     = alltrue([for id in values(local.account_ids) : can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", id))])
    error_message = "A service account's id is malformed."
  }
  assert {
    condition = (
      google_dataflow_flex_template_job.pipeline[0].ip_configuration == "WORKER_IP_PRIVATE"
      && google_dataflow_flex_template_job.pipeline[0].enable_streaming_engine
      && google_dataflow_flex_template_job.pipeline[0].on_delete == "drain"
      && google_dataflow_flex_template_job.pipeline[0].max_workers == 10
      && google_dataflow_flex_template_job.pipeline[0].parameters == tomap({ dataset = "healthcare", ops_dataset = "healthcare_ops", pipeline_version = "1.0.0" })
      && google_dataflow_flex_template_job.pipeline[0].service_account_email == "vitalflow-pipeline@demo-project.iam.gserviceaccount.com"
    )
    error_message = "The job's arguments are not what they should be by default."
  }
  assert {
    condition     = google_compute_subnetwork.pipeline[0].private_ip_google_access
    error_message = "Workers without a public address need Private Google Access."
  }
}

run "otherwise" {
  command = plan
  variables {
    endpoint          = { max_instances = 7 }
    resource_settings = { patients = { max_instances = 50, startup_probe_path = "/livez" } }
    pipeline          = { at_least_once = true, min_workers = 3 }
    status            = { concurrency = 40, env = { STATUS_LOOKBACK_DAYS = "7" } }
    monitoring        = { reconciliation_hours = 0 }
    audit_heads       = { retention_days = 3650, locked = true }
    network           = { subnetwork = "projects/net-project/regions/europe-west3/subnetworks/workers" }
  }

  assert {
    condition = (
      google_cloud_run_v2_service.endpoint["patients"].template[0].scaling[0].max_instance_count == 50
      && google_cloud_run_v2_service.endpoint["patients"].template[0].containers[0].startup_probe[0].http_get[0].path == "/livez"
      && alltrue([for name, service in google_cloud_run_v2_service.endpoint : service.template[0].scaling[0].max_instance_count == 7 if name != "patients"])
    )
    error_message = "Only the named resource differs."
  }
  assert {
    condition = (
      google_cloud_run_v2_service.status[0].template[0].max_instance_request_concurrency == 40
      && { for env in google_cloud_run_v2_service.status[0].template[0].containers[0].env : env.name => env.value if contains(["THREADS", "STATUS_LOOKBACK_DAYS"], env.name) } == { THREADS = "41", STATUS_LOOKBACK_DAYS = "7" }
    )
    error_message = "The status service is not as declared."
  }
  assert {
    condition = (
      length(google_bigquery_data_transfer_config.reconciliation) + length(google_service_account.reconciliation) + length(google_bigquery_table_iam_member.reconciliation_reader) == 0
      && !contains(keys(google_monitoring_alert_policy.log), "reconciliation")
      && !contains(local.apis, "bigquerydatatransfer.googleapis.com")
    )
    error_message = "A reconciliation was made that nobody asked for."
  }
  assert {
    condition     = google_logging_project_bucket_config.audit_heads.locked && google_logging_project_bucket_config.audit_heads.retention_days == 3650
    error_message = "The heads of the audit log are not locked away."
  }
  assert {
    condition = (
      google_dataflow_flex_template_job.pipeline[0].additional_experiments == toset(["streaming_mode_at_least_once"])
      && google_dataflow_flex_template_job.pipeline[0].additional_pipeline_options == toset(["dataflow_service_options=min_num_workers=3"])
      && endswith(google_dataflow_flex_template_job.pipeline[0].subnetwork, "/projects/net-project/regions/europe-west3/subnetworks/workers")
      && length(google_compute_network.pipeline) == 0
    )
    error_message = "Streaming mode, floor of workers or a given subnetwork did not reach the job."
  }
}

# Before there are images: everything that they are built into, and nothing that needs them.
run "first_apply" {
  command = plan
  variables {
    endpoint_image    = null
    status_image      = null
    pipeline_image    = null
    pipeline_template = null
  }

  assert {
    condition     = length(google_cloud_run_v2_service.endpoint) + length(google_cloud_run_v2_service.status) == 0 && length(google_dataflow_flex_template_job.pipeline) == 0
    error_message = "Without images there can be no service and no job."
  }
  assert {
    condition     = length(google_pubsub_topic.stream) == length(local.streams) && google_artifact_registry_repository.images.format == "DOCKER"
    error_message = "The first apply makes topics and the repository."
  }
}
