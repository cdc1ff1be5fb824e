# Deployment

variable "name" {
  description = "First part of every resource's name."
  type        = string
  default     = "auth0-sync"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,14}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name must be 2 to 16 lower-case letters, digits and single hyphens, and start with a letter: it becomes part of the bucket's name."
  }
}

variable "environment" {
  description = "Second part of every resource's name; makes several deployments in one account possible."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,9}$", var.environment))
    error_message = "environment must be 1 to 10 lower-case letters and digits, and start with a letter."
  }
}

variable "env" {
  description = "Name of the environment's file without .tfvars, which alarms and dashboard show. The commands set it (ENV=NAME); null: `environment`."
  type        = string
  default     = null
}

variable "protect_data" {
  description = "Protect data that nothing can restore: the users table and the Aurora cluster refuse to be deleted, Aurora leaves a final snapshot, and the archive's bucket is only deleted empty. false, for deployments that come and go, deletes all data on destroy and warns on every plan."
  type        = bool
  default     = true
}

# Auth0

variable "auth0" {
  description = <<-EOT
    Where Auth0's events come from.
    log_stream_source_name: name of the partner event source of the Log Stream, as Auth0 shows it: aws.partner/auth0.com/<tenant>-<id>/auth0.logs.
    event_stream_source_name: name of the partner event source of the Event Stream: aws.partner/auth0.com/<tenant>-<id>/auth0.events. null: there is none.
    source_region: region of the partner event sources, if it is not the data's, and of the provider aws.source: events are then forwarded from there. null: the same region.
    create_buses: create the partner event buses, which accepts their sources. false uses buses of these names that exist already.
  EOT
  type = object({
    log_stream_source_name   = string
    event_stream_source_name = optional(string)
    source_region            = optional(string)
    create_buses             = optional(bool, true)
  })
  nullable = false

  validation {
    condition     = can(regex("^aws\\.partner/auth0\\.com/[^/]+/auth0\\.logs$", var.auth0.log_stream_source_name))
    error_message = "auth0.log_stream_source_name must look like aws.partner/auth0.com/<tenant>-<id>/auth0.logs. Copy it from the Log Stream's page in Auth0's dashboard."
  }

  validation {
    condition     = var.auth0.event_stream_source_name == null || can(regex("^aws\\.partner/auth0\\.com/[^/]+/auth0\\.events$", var.auth0.event_stream_source_name))
    error_message = "auth0.event_stream_source_name must look like aws.partner/auth0.com/<tenant>-<id>/auth0.events. Copy it from the Event Stream's page in Auth0's dashboard."
  }

  validation {
    condition     = var.auth0.source_region == null || can(regex("^[a-z]{2,3}(-[a-z]+)+-[0-9]$", var.auth0.source_region))
    error_message = "auth0.source_region must be a region such as us-east-1."
  }
}

# Postgres: exactly one of `aurora`, `database` and `database_url`

variable "aurora" {
  description = <<-EOT
    Create an Aurora PostgreSQL Serverless v2 cluster; {} takes the defaults.
    engine_version: a major version, 16, 17 or 18, whose minor versions AWS raises by itself in the maintenance window; or a minor one such as 17.9, which stays. null: 18 for a new cluster; one that runs keeps its major version.
    database_name: name of the database in the cluster.
    min_capacity, max_capacity: in ACUs of about 2 GiB each. A minimum of 0 pauses an idle cluster; the first change afterwards waits about 15 seconds for it.
    seconds_until_auto_pause: how long a cluster that may pause must be idle.
    readers: instances beside the writer, in other availability zones, one of which takes over when the writer fails.
    backup_retention_days: how far back the cluster can be restored to any second.
    client_security_groups: security groups of services of yours that may reach the cluster, by names of your choice: { billing = "sg-0123…" }. They must be in its VPC, or in one that is peered with it, and let port 5432 out themselves.
    performance_insights: Database Insights in its standard mode, which costs nothing.
  EOT
  type = object({
    engine_version           = optional(string)
    database_name            = optional(string, "auth0")
    min_capacity             = optional(number, 0.5)
    max_capacity             = optional(number, 4)
    seconds_until_auto_pause = optional(number, 3600)
    readers                  = optional(number, 0)
    backup_retention_days    = optional(number, 14)
    performance_insights     = optional(bool, true)
    client_security_groups   = optional(map(string), {})
  })
  default = null

  validation {
    condition     = length([for way in [var.aurora != null, var.database != null, var.database_url != null] : way if way]) == 1
    error_message = "Set exactly one of aurora ({} creates a cluster), database (your own server, IAM authentication) and database_url (your own server)."
  }

  validation {
    condition     = try(var.aurora.engine_version, null) == null || can(regex("^(16|17|18)(\\.[0-9]+)?$", var.aurora.engine_version))
    error_message = "aurora.engine_version must be 16, 17 or 18, or one of their minor versions such as 17.9."
  }

  validation {
    condition     = var.aurora == null || can(regex("^[a-z][a-z0-9_]{0,62}$", var.aurora.database_name))
    error_message = "aurora.database_name must be up to 63 lower-case letters, digits and underscores, and start with a letter."
  }

  validation {
    condition     = var.aurora == null || try(var.aurora.min_capacity >= 0 && var.aurora.max_capacity >= max(1, var.aurora.min_capacity) && var.aurora.max_capacity <= 256 && var.aurora.min_capacity * 2 == floor(var.aurora.min_capacity * 2) && var.aurora.max_capacity * 2 == floor(var.aurora.max_capacity * 2), false)
    error_message = "aurora.min_capacity must be 0 to 256, max_capacity 1 to 256 and not below it, both in steps of 0.5."
  }

  validation {
    condition     = var.aurora == null || try(var.aurora.seconds_until_auto_pause >= 300 && var.aurora.seconds_until_auto_pause <= 86400, false)
    error_message = "aurora.seconds_until_auto_pause must be 300 to 86400."
  }

  validation {
    condition     = var.aurora == null || try(var.aurora.readers >= 0 && var.aurora.readers <= 15 && var.aurora.backup_retention_days >= 1 && var.aurora.backup_retention_days <= 35, false)
    error_message = "aurora.readers must be 0 to 15, aurora.backup_retention_days 1 to 35."
  }

  validation {
    condition     = var.aurora == null || alltrue([for name, group in try(var.aurora.client_security_groups, {}) : can(regex("^[A-Za-z0-9 ._-]{1,100}$", name)) && startswith(group, "sg-")])
    error_message = "aurora.client_security_groups must be ids of security groups (sg-…) by names of up to 100 letters, digits, spaces, dots, hyphens and underscores."
  }
}

variable "network" {
  description = <<-EOT
    VPC for the Aurora cluster and the functions that use it.
    cidr: addresses of the VPC that is created, without a way to or from the internet.
    vpc_id, subnet_ids: a VPC of yours instead, and private subnets of it in at least two availability zones.
  EOT
  type = object({
    cidr       = optional(string, "10.86.0.0/24")
    vpc_id     = optional(string)
    subnet_ids = optional(list(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.network.vpc_id == null ? length(var.network.subnet_ids) == 0 : var.aurora != null && length(var.network.subnet_ids) >= 2
    error_message = "network.vpc_id and subnet_ids are for aurora, go together, and need subnets in at least two availability zones. For a server of your own, see vpc_config."
  }

  validation {
    condition     = can(cidrnetmask(var.network.cidr)) && try(tonumber(split("/", var.network.cidr)[1]) >= 16 && tonumber(split("/", var.network.cidr)[1]) <= 25, false)
    error_message = "network.cidr must be an IPv4 range of /16 to /25 such as 10.86.0.0/24."
  }
}

variable "database" {
  description = <<-EOT
    A server of your own, RDS or Aurora PostgreSQL, with IAM authentication.
    host, port, name: its address, and the database on it.
    writer_user, migrator_user: users of the sync and of migrations, which come from `auth0-sync roles`.
    resource_id: the DbiResourceId (db-…) or the cluster's (cluster-…).
  EOT
  type = object({
    host          = string
    port          = optional(number, 5432)
    name          = string
    writer_user   = optional(string, "auth0_writer")
    migrator_user = optional(string, "auth0_migrator")
    resource_id   = string
  })
  default = null

  validation {
    condition     = var.database == null || can(regex("^(db|cluster)-[A-Z0-9]+$", var.database.resource_id))
    error_message = "database.resource_id must be a resource id such as cluster-ABCDEFGHIJKL1234, not a name or an ARN (aws rds describe-db-clusters: DbClusterResourceId; describe-db-instances: DbiResourceId)."
  }

  validation {
    condition     = var.database == null || !can(regex("\\.proxy-[a-z0-9]+\\.", var.database.host))
    error_message = "database.host is an RDS Proxy, which migrations cannot use. Give the address of the server itself: the sync keeps no more connections than it has functions at work."
  }
}

variable "database_url" {
  description = "postgresql:// URL of a server of your own; used by the sync and by migrations. TLS verifies the server, unless the URL has another sslmode. It is stored in the functions' configuration and in Terraform's state."
  type        = string
  default     = null
  sensitive   = true # without validation, which would print the value: output.database checks it
}

variable "migration_database_url" {
  description = "postgresql:// URL for migrations, past the connection pooler that database_url leads to: they need the server itself. null: database_url."
  type        = string
  default     = null
  sensitive   = true
}

variable "reader_database_url" {
  description = "postgresql:// URL of a login that may only read, such as auth0_reader, for `reconcile` with database_url."
  type        = string
  default     = null
  sensitive   = true
}

variable "vpc_config" {
  description = <<-EOT
    Where the functions that use a Postgres server of your own run; null if it can be reached from outside a VPC.
    subnet_ids, security_group_ids: private subnets, and groups that the server lets in.
  EOT
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null

  validation {
    condition     = var.vpc_config == null || var.aurora == null
    error_message = "vpc_config is for a server of your own. The functions reach aurora by the network's own subnets and a security group that is made for them."
  }
}

variable "migrate_on_apply" {
  description = "Migrate the schema on every apply that brings new functions, before the sync gets its new code. false: run `make migrate` yourself."
  type        = bool
  default     = true
}

# Encryption

variable "encryption" {
  description = <<-EOT
    Everything is encrypted at rest.
    customer_managed: by a KMS key in this account, whose use its policy and CloudTrail show. false: by keys of AWS, at no cost.
    key_arn: a key of your own in the data's region, whose policy lets the services use it as docs/security.md says; null creates one.
  EOT
  type = object({
    customer_managed = optional(bool, true)
    key_arn          = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.encryption.key_arn == null || (var.encryption.customer_managed && can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.encryption.key_arn)))
    error_message = "encryption.key_arn must be the ARN of a key (arn:aws:kms:…:key/…), not of an alias, and needs customer_managed."
  }
}

# Rights

variable "access" {
  description = <<-EOT
    Rights of people, and the boundary of every role; docs/security.md explains both.
    permissions_boundary_arn: IAM policy that bounds every role of the deployment, such as the one in infra/terraform/policies/boundary.json. null: only their own policies limit the roles.
    operator_arns: IAM roles and users that may send to the queues: those that deploy, try the deployment out, or send events again. They may contain `*`, as in arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Operator_*. The principal that deployed first is always one.
    archive_eraser_arns: IAM roles and users that may delete from the archive. If there are any, only they, the operators and the principal that deployed first can change how the bucket keeps its objects.
  EOT
  type = object({
    permissions_boundary_arn = optional(string)
    operator_arns            = optional(list(string), [])
    archive_eraser_arns      = optional(list(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.access.permissions_boundary_arn == null || can(regex("^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/.+$", var.access.permissions_boundary_arn))
    error_message = "access.permissions_boundary_arn must be the ARN of an IAM policy (arn:aws:iam::…:policy/…)."
  }

  validation {
    condition     = alltrue([for arn in concat(var.access.operator_arns, var.access.archive_eraser_arns) : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(root|role/.+|user/.+)$", arn))])
    error_message = "access.operator_arns and access.archive_eraser_arns must be ARNs of IAM roles or users (arn:aws:iam::…:role/…): that of a role, not of a session (arn:aws:sts::…:assumed-role/…)."
  }

  validation {
    condition     = alltrue([for arn in concat(var.access.operator_arns, var.access.archive_eraser_arns) : can(regex("[A-Za-z0-9_+=,.@-]{3,}", element(split("/", arn), length(split("/", arn)) - 1)))])
    error_message = "access.operator_arns and access.archive_eraser_arns must name somebody: `*` alone stands for every role and user."
  }
}

# Watching

variable "alarms" {
  description = <<-EOT
    CloudWatch alarms for everything that loses or delays data; docs/runbook.md has a paragraph for each.
    enabled: create the alarms.
    topic_arn, emails: an SNS topic of yours; null creates one, with the addresses in `emails` (each must confirm).
    silence_hours: alarm after so many hours without an event from Auth0; null: never.
    lag_seconds, queue_age_seconds, archive_age_seconds: how far behind is too far.
    runbook_url: address of the runbook: alarms link to RUNBOOK_URL#KIND. The default is its place in a clone; give the page's address in a repository or wiki of yours.
  EOT
  type = object({
    enabled             = optional(bool, true)
    topic_arn           = optional(string)
    emails              = optional(list(string), [])
    silence_hours       = optional(number, 6)
    lag_seconds         = optional(number, 900)
    queue_age_seconds   = optional(number, 900)
    archive_age_seconds = optional(number, 1800)
    runbook_url         = optional(string, "docs/runbook.md")
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.alarms.topic_arn == null || can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:.+$", var.alarms.topic_arn))
    error_message = "alarms.topic_arn must be the ARN of an SNS topic."
  }

  validation {
    condition     = alltrue([for email in var.alarms.emails : can(regex("^[^@\\s]+@[^@\\s]+$", email))])
    error_message = "alarms.emails must be e-mail addresses."
  }

  validation {
    condition     = var.alarms.silence_hours == null || try(var.alarms.silence_hours >= 1 && var.alarms.silence_hours <= 24 && floor(var.alarms.silence_hours) == var.alarms.silence_hours, false)
    error_message = "alarms.silence_hours must be a whole number of 1 to 24: CloudWatch looks back a day at most."
  }

  validation {
    condition     = min(var.alarms.lag_seconds, var.alarms.queue_age_seconds, var.alarms.archive_age_seconds) >= 60
    error_message = "alarms.lag_seconds, queue_age_seconds and archive_age_seconds must be at least 60."
  }

  validation {
    condition     = can(regex("^[^\\s#]{1,500}$", var.alarms.runbook_url))
    error_message = "alarms.runbook_url must be a path or an address without spaces and without #: each alarm adds that."
  }
}

variable "dashboard" {
  description = "Create a CloudWatch dashboard of the deployment."
  type        = bool
  default     = true
}

# Functions

variable "package_dir" {
  description = "Directory of the functions' packages, as `auth0-sync package` builds them."
  type        = string
}

variable "lambda" {
  description = <<-EOT
    Runtime and architecture that the packages were built for.
    runtime: Lambda's runtime.
    architecture: of the processor, arm64 or x86_64.
  EOT
  type = object({
    runtime      = optional(string, "python3.13")
    architecture = optional(string, "arm64")
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^python3\\.[0-9]+$", var.lambda.runtime))
    error_message = "lambda.runtime must be a Python runtime such as python3.13."
  }

  validation {
    condition     = contains(["arm64", "x86_64"], var.lambda.architecture)
    error_message = "lambda.architecture must be arm64 or x86_64."
  }
}

variable "logs" {
  description = <<-EOT
    Logs of the functions, the delivery stream, the cluster and the network.
    level: log level of the functions; lines with metrics are written at every level.
    retention_days: days to keep them.
  EOT
  type = object({
    level          = optional(string, "INFO")
    retention_days = optional(number, 90)
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], var.logs.level)
    error_message = "logs.level must be DEBUG, INFO, WARNING, ERROR or CRITICAL."
  }

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.logs.retention_days)
    error_message = "logs.retention_days must be a period that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

# Sync

variable "sync" {
  description = <<-EOT
    How the functions write users to the stores.
    enabled: let the functions read their queues. false pauses the sync; events wait in the queues.
    history: keep every version of each user's metadata in Postgres, with who changed it. Costs a row per change.
    clock_tolerance_seconds: how far in the future updated_at may be. The sync orders a change further ahead by the time of its event, so that it does not outrank all that follow.
    batch_size: most messages that one invocation gets.
    batch_window_seconds: how long a batch may wait to fill. With any window AWS may keep the messages of a nearly idle queue for up to 20 seconds; 0, with a batch_size of at most 10, does not.
    timeout_seconds: longest run of one batch. A message is tried again after six times this and the batch window.
    memory_mb: memory of each function in MB; CPU grows with it.
    maximum_concurrency: batches that each sink works on at the same time; for Postgres also the most connections.
    reserved_concurrency: reserved concurrency of each function; null for none.
  EOT
  type = object({
    enabled                 = optional(bool, true)
    history                 = optional(bool, false)
    clock_tolerance_seconds = optional(number, 86400)
    batch_size              = optional(number, 100)
    batch_window_seconds    = optional(number, 1)
    timeout_seconds         = optional(number, 60)
    memory_mb               = optional(number, 1024)
    maximum_concurrency     = optional(number, 5)
    reserved_concurrency    = optional(number)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.sync.clock_tolerance_seconds >= 60 && floor(var.sync.clock_tolerance_seconds) == var.sync.clock_tolerance_seconds
    error_message = "sync.clock_tolerance_seconds must be whole seconds, and at least 60."
  }

  validation {
    condition     = var.sync.batch_size >= 1 && var.sync.batch_size <= 10000
    error_message = "sync.batch_size must be 1 to 10000."
  }

  validation {
    condition     = var.sync.batch_window_seconds >= (var.sync.batch_size > 10 ? 1 : 0) && var.sync.batch_window_seconds <= 300
    error_message = "sync.batch_window_seconds must be 0 to 300, and at least 1 if sync.batch_size is above 10."
  }

  validation {
    condition     = var.sync.timeout_seconds >= 1 && var.sync.timeout_seconds <= 900
    error_message = "sync.timeout_seconds must be 1 to 900."
  }

  validation {
    condition     = var.aurora == null || var.sync.timeout_seconds >= 60
    error_message = "With aurora, sync.timeout_seconds must be at least 60: so long may a cluster that has paused itself take to resume, and its first connection to be tried again."
  }

  validation {
    condition     = var.sync.memory_mb >= 128 && var.sync.memory_mb <= 10240
    error_message = "sync.memory_mb must be 128 to 10240."
  }

  validation {
    condition     = var.sync.maximum_concurrency >= 2 && var.sync.maximum_concurrency <= 1000
    error_message = "sync.maximum_concurrency must be 2 to 1000."
  }

  validation {
    condition     = try(var.sync.reserved_concurrency >= var.sync.maximum_concurrency, true)
    error_message = "sync.reserved_concurrency must not be below sync.maximum_concurrency: batches would be throttled, and messages end in the dead-letter queue."
  }
}

variable "queues" {
  description = <<-EOT
    The queues, and their dead-letter queues.
    max_receive_count: how often a message is tried, each time after the visibility timeout of about six minutes, before it goes to the dead-letter queue: 20 outlasts two hours in which a store is down. A message that can never be stored is counted (metric Poison) at the first try.
    visibility_timeout_seconds: how long a message that failed waits for its next try. null: six times the function's timeout and the batch window, as AWS recommends.
    retention_seconds: how long they keep a message.
    max_message_bytes: largest event, in bytes, that each takes. 262144 (256 KiB) is the most that provider 5.100 allows; SQS itself takes 1048576, as much as EventBridge, and so does any provider from 6.8 on. A larger event is archived, but does not reach the stores, and is an alarm (oversized-events).
  EOT
  type = object({
    max_receive_count          = optional(number, 20)
    visibility_timeout_seconds = optional(number)
    retention_seconds          = optional(number, 1209600)
    max_message_bytes          = optional(number, 262144)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.queues.max_receive_count >= 1 && var.queues.max_receive_count <= 1000
    error_message = "queues.max_receive_count must be 1 to 1000."
  }

  # Lambda refuses an event source mapping to a queue whose messages return while the function may still work on them.
  validation {
    condition     = var.queues.visibility_timeout_seconds == null || try(var.queues.visibility_timeout_seconds >= max(var.sync.timeout_seconds, try(var.refresh.timeout_seconds, 0)) && var.queues.visibility_timeout_seconds <= 43200, false)
    error_message = "queues.visibility_timeout_seconds must be at most 43200 (12 hours), and not below sync.timeout_seconds and refresh.timeout_seconds."
  }

  validation {
    condition     = var.queues.retention_seconds >= 60 && var.queues.retention_seconds <= 1209600
    error_message = "queues.retention_seconds must be 60 to 1209600 (14 days)."
  }

  validation {
    condition     = var.queues.max_message_bytes >= 1024 && var.queues.max_message_bytes <= 1048576
    error_message = "queues.max_message_bytes must be 1024 to 1048576, and with provider 5.100 at most 262144."
  }
}

# Refresh

variable "refresh" {
  description = <<-EOT
    Fetch the users that events name without carrying them, by Auth0's Management API. null: the sync only counts them.
    auth0_domain: the tenant's own domain (acme.eu.auth0.com), not a custom one. It must be of the tenant in the names of the event sources: another tenant would not know the users, and the refresh would report them as deleted.
    trusted_domains: domains of the sources' tenant outside public Auth0, such as those of a private cloud. The function may send the secret to them.
    secret_arn: an AWS Secrets Manager secret, {"client_id": "…", "client_secret": "…"}, of an Auth0 application that may read:users. Only the function reads it; it is not in Terraform's state.
    kms_key_arn: the secret's key, if it is one of your own.
    rate: requests per second of one execution of the function. Up to two run at a time, so Auth0 sees up to twice this; keep that below your plan's limit, which other applications share (free: 2 per second).
    on_login: also after each login, for last_login and what Actions set: one request per login.
    max_age_seconds: how long the function retries while Auth0 is down or limits the rate.
    batch_size, batch_window_seconds, timeout_seconds, memory_mb: as in `sync`.
  EOT
  type = object({
    auth0_domain         = string
    trusted_domains      = optional(list(string), [])
    secret_arn           = string
    kms_key_arn          = optional(string)
    rate                 = optional(number, 1)
    on_login             = optional(bool, false)
    max_age_seconds      = optional(number, 345600)
    batch_size           = optional(number, 1000)
    batch_window_seconds = optional(number, 1)
    timeout_seconds      = optional(number, 60)
    memory_mb            = optional(number, 512)
  })
  default = null

  validation {
    condition     = var.refresh == null || can(regex("^[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.refresh.auth0_domain))
    error_message = "refresh.auth0_domain must be a host name such as acme.eu.auth0.com, without https:// and without a path."
  }

  validation {
    condition     = var.refresh == null || try(contains(var.refresh.trusted_domains, var.refresh.auth0_domain) || endswith(var.refresh.auth0_domain, ".auth0.com"), false)
    error_message = "refresh.auth0_domain must end in .auth0.com: the function sends the application's secret there. Add the domain of a private cloud to refresh.trusted_domains."
  }

  # A source's name has the tenant's name or its domain, a hyphen, and an id, which is a UUID: names of tenants have hyphens, too.
  validation {
    condition = var.refresh == null || try(contains(var.refresh.trusted_domains, var.refresh.auth0_domain), false) || alltrue([
      for source in compact([var.auth0.log_stream_source_name, var.auth0.event_stream_source_name]) :
      try(split(".", regex("^aws\\.partner/auth0\\.com/(.+?)-(?:[0-9A-Za-z]{8}-[0-9A-Za-z]{4}-[0-9A-Za-z]{4}-[0-9A-Za-z]{4}-[0-9A-Za-z]{12}|[^-/]+)/", source)[0])[0] == split(".", var.refresh.auth0_domain)[0], false)
    ])
    error_message = "refresh.auth0_domain must be a domain of the tenant in the names of the event sources (aws.partner/auth0.com/acme-<id>/…: acme.eu.auth0.com). Another tenant knows none of the users, and the refresh would report them as deleted."
  }

  validation {
    condition     = var.refresh == null || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+-[A-Za-z0-9]{6}$", var.refresh.secret_arn))
    error_message = "refresh.secret_arn must be the whole ARN of a Secrets Manager secret, with the six characters at its end (aws secretsmanager describe-secret)."
  }

  validation {
    condition     = try(var.refresh.kms_key_arn, null) == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.refresh.kms_key_arn))
    error_message = "refresh.kms_key_arn must be the ARN of a key (arn:aws:kms:…:key/…), not of an alias: policies on aliases allow nothing."
  }

  validation {
    condition     = var.refresh == null || try(var.refresh.rate > 0 && var.refresh.max_age_seconds > 0, false)
    error_message = "refresh.rate and refresh.max_age_seconds must be above 0."
  }

  validation {
    condition     = var.refresh == null || try(var.refresh.timeout_seconds >= 15 && var.refresh.timeout_seconds <= 900, false)
    error_message = "refresh.timeout_seconds must be 15 to 900: of each run 5 seconds are kept for sending on what was fetched."
  }

  validation {
    condition     = var.refresh == null || try(var.refresh.batch_size >= 1 && var.refresh.batch_size <= 10000 && var.refresh.batch_window_seconds >= (var.refresh.batch_size > 10 ? 1 : 0) && var.refresh.batch_window_seconds <= 300, false)
    error_message = "refresh.batch_size must be 1 to 10000, and refresh.batch_window_seconds 0 to 300, at least 1 if batch_size is above 10."
  }

  validation {
    condition     = var.refresh == null || try(var.refresh.memory_mb >= 128 && var.refresh.memory_mb <= 10240, false)
    error_message = "refresh.memory_mb must be 128 to 10240."
  }
}

# Backfill

variable "backfill" {
  description = <<-EOT
    Load existing users with `auth0-sync backfill`. null: the function and its queue are not there. While they wait, their alarms and the requests to their queue cost about $0.60 a month.
    maximum_concurrency: slices of up to 2,000 users to load at a time; each runs one execution of this function and one of a sink's.
  EOT
  type = object({
    maximum_concurrency = optional(number, 2)
  })
  default = null

  validation {
    condition     = var.backfill == null || try(var.backfill.maximum_concurrency >= 2 && var.backfill.maximum_concurrency <= 1000, false)
    error_message = "backfill.maximum_concurrency must be 2 to 1000, as Lambda takes it for a queue."
  }
}

# Users table

variable "users_table" {
  description = <<-EOT
    The DynamoDB table of users.
    point_in_time_recovery: keep continuous backups, 35 days back.
  EOT
  type = object({
    point_in_time_recovery = optional(bool, true)
  })
  default  = {}
  nullable = false
}

# Archive

variable "archive" {
  description = <<-EOT
    Every event in S3, for Athena.
    prefix, error_prefix: of the archive's objects in the bucket, and of the events that Firehose could not write to the archive.
    buffering_size_mb, buffering_seconds: size in MiB, before compression, and age at which the buffer is written as an object. Longer means fewer, larger objects: cheaper queries, objects that Glacier takes, later data.
    glacier_ir_after_days: days after which objects of 128 KB and more move to Glacier Instant Retrieval; null leaves all in Standard. Smaller ones stay: see buffering_seconds.
    expire_after_days: days after which objects are deleted; null keeps them.
    first_day: first day (YYYY-MM-DD, UTC) that Athena looks for. A query without a range of dt lists every hour since.
    results_expire_after_days: days to keep the results of Athena queries.
    bytes_scanned_cutoff: bytes (compressed, as stored) that one Athena query may scan before it is stopped.
    manifest: list and sign the objects of each day, so that `auth0-sync verify` finds every change; about $1.50 a month.
    lock_days: days for which nobody may delete a listed object, except with s3:BypassGovernanceRetention (Object Lock, governance mode); null locks none. S3 cannot disable Object Lock on a bucket again.
  EOT
  type = object({
    prefix                    = optional(string, "logs/")
    error_prefix              = optional(string, "errors/")
    buffering_size_mb         = optional(number, 64)
    buffering_seconds         = optional(number, 300)
    glacier_ir_after_days     = optional(number)
    expire_after_days         = optional(number)
    first_day                 = optional(string, "2026-01-01")
    results_expire_after_days = optional(number, 30)
    bytes_scanned_cutoff      = optional(number, 107374182400)
    manifest                  = optional(bool, true)
    lock_days                 = optional(number)
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^([A-Za-z0-9_-]+/)+$", var.archive.prefix))
    error_message = "archive.prefix must be letters, digits, hyphens and underscores, and end in a slash."
  }

  validation {
    condition     = can(regex("^([A-Za-z0-9_-]+/)+$", var.archive.error_prefix)) && !startswith(var.archive.error_prefix, var.archive.prefix)
    error_message = "archive.error_prefix must be letters, digits, hyphens and underscores, end in a slash, and not be below archive.prefix."
  }

  validation {
    condition     = var.archive.buffering_size_mb >= 1 && var.archive.buffering_size_mb <= 128
    error_message = "archive.buffering_size_mb must be 1 to 128."
  }

  validation {
    condition     = var.archive.buffering_seconds >= 0 && var.archive.buffering_seconds <= 900
    error_message = "archive.buffering_seconds must be 0 to 900."
  }

  validation {
    condition     = try(var.archive.expire_after_days > var.archive.glacier_ir_after_days, true)
    error_message = "archive.expire_after_days must be greater than archive.glacier_ir_after_days."
  }

  validation {
    condition     = can(formatdate("YYYY", "${var.archive.first_day}T00:00:00Z"))
    error_message = "archive.first_day must be a date such as 2026-01-31."
  }

  validation {
    condition     = var.archive.results_expire_after_days >= 1
    error_message = "archive.results_expire_after_days must be at least 1."
  }

  validation {
    condition     = var.archive.bytes_scanned_cutoff >= 10485760
    error_message = "archive.bytes_scanned_cutoff must be at least 10485760 (10 MiB)."
  }

  validation {
    condition     = !anytrue([for prefix in [var.archive.prefix, var.archive.error_prefix] : startswith(prefix, "manifests/") || startswith(prefix, "athena-results/")])
    error_message = "archive.prefix and archive.error_prefix must not be below manifests/ or athena-results/."
  }

  validation {
    condition     = var.archive.lock_days == null || try(var.archive.manifest && var.archive.lock_days >= 1 && floor(var.archive.lock_days) == var.archive.lock_days, false)
    error_message = "archive.lock_days must be a whole number of at least 1, and needs archive.manifest, whose function locks the objects."
  }

  validation {
    condition     = try(var.archive.lock_days <= var.archive.expire_after_days, true)
    error_message = "archive.lock_days must not be greater than archive.expire_after_days."
  }
}

# Watch

variable "watch" {
  description = <<-EOT
    Ask the archive questions on a schedule, and send what they find to a topic, each finding once; docs/logs.md has the questions. null: no questions.
    questions: parameters by name of the question, such as { mfa_weakened = {}, accounts_under_attack = { minimum = 20 } }.
    schedule: rate(…) or cron(…) of EventBridge. Each run costs what its questions read.
    window_days: days of arrival that each question reads, today included. If the function fails for longer, it misses the findings of that time.
    topic_arn, topic_kms_key_arn, emails: an SNS topic of yours, with the key of your own that encrypts it, if any; null creates one, with the addresses in `emails` (each must confirm). Messages hold personal data.
  EOT
  type = object({
    questions         = map(map(string))
    schedule          = optional(string, "rate(1 hour)")
    window_days       = optional(number, 2)
    topic_arn         = optional(string)
    topic_kms_key_arn = optional(string)
    emails            = optional(list(string), [])
  })
  default = null

  validation {
    condition     = length(setsubtract(keys(try(var.watch.questions, {})), keys(local.watchable))) == 0
    error_message = "watch.questions has names that cannot be watched: ${join(", ", setsubtract(keys(try(var.watch.questions, {})), keys(local.watchable)))}. There are ${join(", ", keys(local.watchable))}."
  }

  validation {
    condition = alltrue([
      for name, given in try(var.watch.questions, {}) :
      length(setsubtract(keys(given), setsubtract(keys(try(local.watchable[name], given)), ["since"]))) == 0 &&
      alltrue([for parameter, required in try(local.watchable[name], {}) : !required || contains(keys(given), parameter)])
    ])
    error_message = "watch.questions must give each question the parameters that it needs, and none that it does not take; since follows from window_days. docs/logs.md has them."
  }

  validation {
    condition     = var.watch == null || try(length(var.watch.questions) > 0, false)
    error_message = "watch.questions must name at least one question; without any, leave watch out."
  }

  validation {
    condition     = var.watch == null || can(regex("^(rate|cron)\\(.+\\)$", var.watch.schedule))
    error_message = "watch.schedule must be rate(…) or cron(…), such as rate(1 hour)."
  }

  validation {
    condition     = var.watch == null || try(var.watch.window_days >= 2 && var.watch.window_days <= 30 && floor(var.watch.window_days) == var.watch.window_days, false)
    error_message = "watch.window_days must be a whole number of 2 to 30: what arrives before midnight is asked for after it."
  }

  validation {
    condition     = try(var.watch.topic_arn, null) == null ? try(var.watch.topic_kms_key_arn, null) == null : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:.+$", var.watch.topic_arn)) && length(var.watch.emails) == 0
    error_message = "watch.topic_arn must be the ARN of an SNS topic. emails are for the topic that is created, topic_kms_key_arn for one of yours."
  }

  validation {
    condition     = alltrue([for email in try(var.watch.emails, []) : can(regex("^[^@\\s]+@[^@\\s]+$", email))])
    error_message = "watch.emails must be e-mail addresses."
  }
}

# Reconcile

variable "reconcile" {
  description = <<-EOT
    Compare Postgres with DynamoDB on a schedule, read-only, and alarm on users who differ; docs/reconcile.md explains it. null: no comparison. In a VPC of yours (network, vpc_config) the subnets need a way to DynamoDB, such as a gateway endpoint. With database_url it needs reader_database_url.
    schedule: rate(…) or cron(…) of EventBridge. Each run scans the users table.
    lag_seconds: a difference whose last change is younger is in flight, and no drift. Three hours outlast the tries of a message by the default settings.
    contents: compare all values, too, which finds users who were changed by hand.
    memory_mb: memory of the function, with which its CPU grows, up to one at 1769. A run has 15 minutes.
  EOT
  type = object({
    schedule    = optional(string, "rate(1 day)")
    lag_seconds = optional(number, 10800)
    contents    = optional(bool, true)
    memory_mb   = optional(number, 1769)
  })
  default = null

  validation {
    condition     = var.reconcile == null || can(regex("^(rate|cron)\\(.+\\)$", var.reconcile.schedule))
    error_message = "reconcile.schedule must be rate(…) or cron(…), such as rate(1 day)."
  }

  validation {
    condition     = var.reconcile == null || try(var.reconcile.lag_seconds >= 60 && var.reconcile.lag_seconds <= 86400 && floor(var.reconcile.lag_seconds) == var.reconcile.lag_seconds, false)
    error_message = "reconcile.lag_seconds must be a whole number of 60 to 86400."
  }

  validation {
    condition     = var.reconcile == null || try(var.reconcile.memory_mb >= 512 && var.reconcile.memory_mb <= 10240, false)
    error_message = "reconcile.memory_mb must be 512 to 10240."
  }
}
