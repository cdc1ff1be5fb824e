# Manifests: on by default, with a function, and a key that only the function signs with.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

mock_provider "aws" {
  alias           = "source"
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  environment  = "test"
  package_dir  = "tests/packages"
  auth0        = { log_stream_source_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs" }
  database_url = "postgresql://writer@db.example.com/app"
}

run "on" {
  command = plan

  assert {
    condition     = output.function_names.manifest == "auth0-sync-test-manifest" && output.manifest_key_arn != null && output.archive_lock_days == null
    error_message = "The function and its key are there without any setting; nothing is locked."
  }

  assert {
    condition     = contains(keys(output.alarm_names), "manifest-errors") && contains(keys(output.alarm_names), "manifest-age")
    error_message = "A function that fails, or does not run, must ring."
  }
}

run "off" {
  command = plan

  variables {
    archive = { manifest = false }
  }

  assert {
    condition     = length(module.manifest) == 0 && output.manifest_key_arn == null && !contains(keys(output.alarm_names), "manifest-age")
    error_message = "There is nothing of it if it is off."
  }
}
