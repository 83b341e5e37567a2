# Who may do what, and who may not.

mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id     = "demo-project"
  region         = "europe-west3"
  endpoint_image = "europe-west3-docker.pkg.dev/demo-project/vitalflow/endpoint:1"
  status_image   = "europe-west3-docker.pkg.dev/demo-project/vitalflow/status:1"
}

run "by_default" {
  command = plan

  assert {
    condition = (
      alltrue([for service in concat(values(google_cloud_run_v2_service.endpoint), google_cloud_run_v2_service.status) : !service.invoker_iam_disabled])
      && length(google_cloud_run_v2_service_iam_member.invoker) + length(google_cloud_run_v2_service_iam_member.status_invoker) == 0
    )
    error_message = "By default nobody invokes an endpoint."
  }
  assert {
    condition     = length(google_project_iam_member.people) == 0
    error_message = "By default nobody has a role."
  }
  assert {
    condition = alltrue([
      for dataset in [google_bigquery_dataset.data, google_bigquery_dataset.ops] :
      [for access in dataset.access : [access.role, access.special_group] if length(access.dataset) == 0] == [["OWNER", "projectOwners"]]
    ])
    error_message = "A dataset is for its owners alone: without a list, BigQuery adds every Viewer of the project."
  }
  assert {
    condition = (
      alltrue([for access in google_bigquery_dataset.data.access : access.dataset[0].dataset[0].dataset_id == "healthcare_ops" if length(access.dataset) > 0])
      && alltrue([for access in google_bigquery_dataset.ops.access : length(access.dataset) == 0])
    )
    error_message = "No views but those of operations may read records for whoever queries them."
  }
  assert {
    condition     = google_project_iam_member.pipeline_worker.role == "roles/dataflow.worker" && google_project_iam_member.pipeline_worker.member == "serviceAccount:vitalflow-pipeline@demo-project.iam.gserviceaccount.com"
    error_message = "The worker's role is its own."
  }
  assert {
    condition = { for binding in concat([google_project_iam_member.status_jobs], google_project_iam_member.reconciliation_jobs) : binding.member => binding.role } == {
      "serviceAccount:vitalflow-status@demo-project.iam.gserviceaccount.com"         = "roles/bigquery.jobUser"
      "serviceAccount:vitalflow-reconciliation@demo-project.iam.gserviceaccount.com" = "roles/bigquery.jobUser"
    }
    error_message = "Who only asks may run queries in the project, and no more."
  }
  assert {
    condition = (
      toset(keys(google_bigquery_table_iam_member.status_reader)) == setunion(keys(local.streams), ["dead_letters"])
      && alltrue([for name, binding in google_bigquery_table_iam_member.status_reader : binding.table_id == name && binding.role == "roles/bigquery.dataViewer"])
    )
    error_message = "The status service reads the tables that it asks, one by one."
  }
  assert {
    condition = (
      [for name, binding in google_pubsub_topic_iam_member.status_system : [binding.topic, binding.role]] == [["audit_log", "roles/pubsub.publisher"]]
      && { for binding in google_secret_manager_secret_iam_member.status : binding.secret_id => binding.role... } == {
        for name in keys(local.resources) : "${name}-api-key" => ["roles/secretmanager.secretAccessor", "roles/secretmanager.viewer"]
      }
      && alltrue([
        for binding in concat(values(google_pubsub_topic_iam_member.status_system), values(google_secret_manager_secret_iam_member.status), values(google_bigquery_table_iam_member.status_reader)) :
        binding.member == "serviceAccount:vitalflow-status@demo-project.iam.gserviceaccount.com"
      ])
    )
    error_message = "The status service checks keys and publishes audit events, and no records."
  }
  assert {
    condition = (
      toset([for binding in google_bigquery_table_iam_member.reconciliation_reader : "${binding.dataset_id}.${binding.table_id} ${binding.role}"]) == toset([
        for name in ["audit_log", "dead_letters", "reconciliation_mismatches"] : "healthcare_ops.${name} roles/bigquery.dataViewer"
      ])
      && google_service_account_iam_member.reconciliation_agent[0].role == "roles/iam.serviceAccountTokenCreator"
    )
    error_message = "The reconciliation reads its view and what that reads in the same dataset."
  }
  assert {
    condition = alltrue([
      for name, binding in google_pubsub_topic_iam_member.endpoint_publisher :
      binding.topic == name && binding.role == "roles/pubsub.publisher" && binding.member == "serviceAccount:${local.account_ids[name]}@demo-project.iam.gserviceaccount.com"
    ])
    error_message = "An endpoint publishes to its own topic."
  }
  assert {
    condition = alltrue([
      for name, binding in google_secret_manager_secret_iam_member.endpoint_accessor :
      binding.secret_id == "${name}-api-key" && binding.role == "roles/secretmanager.secretAccessor" && binding.member == "serviceAccount:${local.account_ids[name]}@demo-project.iam.gserviceaccount.com"
    ])
    error_message = "An endpoint reads its own secret."
  }
  assert {
    condition     = keys(google_bigquery_table_iam_member.pipeline_editor) == keys(local.tables)
    error_message = "The pipeline writes to the tables, one by one."
  }
}

run "people_by_group" {
  command = plan
  variables {
    access = {
      analysts     = ["group:analysts@example.org"]
      phi_readers  = ["group:phi@example.org"]
      operators    = ["group:operators@example.org"]
      replayers    = ["group:replay@example.org"]
      key_managers = ["user:keys@example.org"]
      invokers     = ["serviceAccount:lab@other-project.iam.gserviceaccount.com"]
    }
  }

  assert {
    condition     = toset([for access in google_bigquery_dataset.data.access : access.group_by_email if access.role == "READER"]) == toset(["analysts@example.org"])
    error_message = "Analysts, and nobody else, read the records."
  }
  assert {
    condition     = toset([for access in google_bigquery_dataset.ops.access : access.group_by_email if access.role == "READER"]) == toset(["operators@example.org", "replay@example.org"])
    error_message = "Operators, not analysts, read dead letters."
  }
  assert {
    condition     = toset([for reader in values(local.tag_readers) : "${reader.tag} ${reader.member}"]) == toset(["identifier group:phi@example.org", "identifier_other group:phi@example.org", "sensitive group:phi@example.org", "sensitive group:replay@example.org"])
    error_message = "Neither analysts nor operators see personal data or payloads in the clear."
  }
  assert {
    condition     = alltrue([for binding in google_bigquery_datapolicy_data_policy_iam_member.analyst : binding.role == "roles/bigquerydatapolicy.maskedReader" && binding.member == "group:analysts@example.org"]) && length(google_bigquery_datapolicy_data_policy_iam_member.analyst) == 3
    error_message = "Analysts see masked values."
  }
  assert {
    condition     = toset([for binding in google_project_iam_member.people : binding.role if binding.member == "group:analysts@example.org"]) == toset(["roles/bigquery.jobUser"])
    error_message = "An analyst may run queries in the project, and no more."
  }
  assert {
    condition     = alltrue([for binding in google_secret_manager_secret_iam_member.key_manager : binding.role == "roles/secretmanager.secretVersionManager"]) && length(google_secret_manager_secret_iam_member.key_manager) == length(local.resources)
    error_message = "Who manages keys cannot read them."
  }
  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.invoker) == length(local.resources) && alltrue([for binding in google_cloud_run_v2_service_iam_member.invoker : binding.role == "roles/run.invoker"])
    error_message = "An invoker calls every endpoint."
  }
  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.status_invoker) == 1 && alltrue([for binding in google_cloud_run_v2_service_iam_member.status_invoker : binding.role == "roles/run.invoker"])
    error_message = "An invoker asks what became of a record."
  }
  assert {
    condition     = [for binding in google_logging_log_view_iam_member.audit_heads : [binding.bucket, binding.name, binding.role, binding.member]] == [["vitalflow-audit-heads", "_AllLogs", "roles/logging.viewAccessor", "group:operators@example.org"]]
    error_message = "Operators read the heads of the audit log."
  }
}

run "keys_of_ones_own" {
  command = plan
  variables {
    kms_keys = {
      for use in ["artifact_registry", "bigquery", "cloud_run", "dataflow", "pubsub", "secret_manager", "storage"] :
      use => "projects/keys-project/locations/europe-west3/keyRings/vitalflow/cryptoKeys/${use}"
    }
  }

  assert {
    condition     = length(google_kms_crypto_key_iam_member.agent) == 8
    error_message = "Each service's agent may use its key; Dataflow has two agents."
  }
  assert {
    condition = (
      alltrue([for topic in google_pubsub_topic.stream : endswith(topic.kms_key_name, "/pubsub")])
      && alltrue([for table in google_bigquery_table.table : endswith(table.encryption_configuration[0].kms_key_name, "/bigquery")])
      && alltrue([for service in google_cloud_run_v2_service.endpoint : endswith(service.template[0].encryption_key, "/cloud_run")])
      && endswith(google_cloud_run_v2_service.status[0].template[0].encryption_key, "/cloud_run")
      && alltrue([for secret in google_secret_manager_secret.api_key : endswith(secret.replication[0].user_managed[0].replicas[0].customer_managed_encryption[0].kms_key_name, "/secret_manager")])
      && endswith(google_storage_bucket.archive[0].encryption[0].default_kms_key_name, "/storage")
      && endswith(google_storage_bucket.dataflow.encryption[0].default_kms_key_name, "/storage")
      && endswith(google_artifact_registry_repository.images.kms_key_name, "/artifact_registry")
    )
    error_message = "Something is not encrypted with the key that was given."
  }
}
