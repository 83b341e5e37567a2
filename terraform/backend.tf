# State lives in a bucket that exists before the first apply; which one, `init` is told:
#   terraform init -backend-config=environments/dev.gcs.tfbackend
# A caller of this folder as a module has a backend of its own; terraform then says that it ignores this one.
terraform {
  backend "gcs" {}
}
