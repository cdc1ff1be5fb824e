# Postgres: the deployment's own cluster, or a server of the user's; then its roles and its schema. The order is:
# cluster -> roles -> schema -> the sync's new code (locals.tf, SCHEMA_REVISION).

module "network" {
  source = "./modules/network"
  count  = var.aurora != null && var.network.vpc_id == null ? 1 : 0

  account                  = local.account
  name                     = local.prefix
  cidr                     = var.network.cidr
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.access.permissions_boundary_arn
  log_retention_days       = var.logs.retention_days
}

module "database" {
  source = "./modules/database"
  count  = var.aurora == null ? 0 : 1

  name               = local.prefix
  vpc_id             = coalesce(var.network.vpc_id, one(module.network[*].vpc_id))
  subnet_ids         = local.subnet_ids
  aurora             = var.aurora
  kms_key_arn        = local.kms_key_arn
  protect_data       = var.protect_data
  log_retention_days = var.logs.retention_days

  client_security_groups = var.aurora.client_security_groups
}

locals {
  subnet_ids = var.network.vpc_id == null ? one(module.network[*].subnet_ids) : var.network.subnet_ids
  aurora     = one(module.database[*])

  # A server that accepts IAM tokens: each function signs in as a user of its own.
  iam_database = (
    local.aurora != null ? {
      host        = local.aurora.endpoint
      port        = local.aurora.port
      name        = local.aurora.database_name
      resource_id = local.aurora.cluster_resource_id
      users       = { writer = "auth0_writer", migrator = "auth0_migrator", reader = "auth0_reader" }
    } :
    var.database != null ? {
      host        = var.database.host
      port        = var.database.port
      name        = var.database.name
      resource_id = var.database.resource_id
      users       = { writer = var.database.writer_user, migrator = var.database.migrator_user, reader = "auth0_reader" }
    } : null
  )

  # By role, for a server of the user's own.
  database_urls = {
    writer   = var.database_url
    migrator = var.migration_database_url == null ? var.database_url : var.migration_database_url
    reader   = var.reader_database_url
  }

  database_environment = {
    for role, url in local.database_urls : role => local.iam_database == null ? tomap({
      DATABASE_URL = url
      }) : tomap({
      PGHOST     = local.iam_database.host
      PGPORT     = tostring(local.iam_database.port)
      PGDATABASE = local.iam_database.name
      PGUSER     = local.iam_database.users[role]
    })
  }

  database_statements = {
    for role in keys(local.database_urls) : role => [
      for database in local.iam_database[*] : {
        actions = ["rds-db:connect"]
        resources = [join(":", [
          "arn:${local.account.partition}:rds-db:${local.account.region}",
          "${local.account.id}:dbuser:${database.resource_id}/${database.users[role]}",
        ])]
      }
    ]
  }

  # For programs, which sign in as auth0_reader.
  reader_statements = [
    for statement in local.database_statements.reader : {
      Sid      = "SignIn"
      Effect   = "Allow"
      Action   = statement.actions
      Resource = statement.resources
    }
  ]

  # The calls of pipeline/data_api.py.
  data_api_actions = [
    "rds-data:BeginTransaction", "rds-data:CommitTransaction", "rds-data:ExecuteStatement", "rds-data:RollbackTransaction",
  ]

  # Reads of people outside the VPC, as auth0_query.
  query_statements = flatten([
    for database in local.aurora[*] : concat(
      [
        {
          Sid      = "Query"
          Effect   = "Allow"
          Action   = local.data_api_actions
          Resource = [database.cluster_arn]
        },
        {
          Sid      = "Secret"
          Effect   = "Allow"
          Action   = ["secretsmanager:GetSecretValue"]
          Resource = [database.query_secret_arn]
        },
      ],
      [for key in local.kms_key_arn[*] : {
        Sid      = "Key"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = [key]
        Condition = {
          StringEquals = {
            "kms:ViaService"                  = ["secretsmanager.${local.account.region}.amazonaws.com"]
            "kms:EncryptionContext:SecretARN" = [database.query_secret_arn]
          }
        }
      }],
    )
  ])

  database_vpc_config = local.aurora == null ? var.vpc_config : {
    subnet_ids         = local.subnet_ids
    security_group_ids = [local.aurora.function_security_group_id]
  }
}

# Roles: a function outside the VPC makes them through the RDS Data API, with the master user's managed secret: inside, it
# would need a paid endpoint to read the secret.

module "roles" {
  source = "./modules/function"
  count  = var.aurora == null ? 0 : 1

  account                  = local.account
  name                     = "${local.prefix}-roles"
  description              = "Creates the database's roles."
  package                  = "${var.package_dir}/roles.zip"
  handler                  = "pipeline.functions.roles.handler"
  runtime                  = var.lambda.runtime
  architecture             = var.lambda.architecture
  memory_mb                = 256
  timeout_seconds          = 300
  log_retention_days       = var.logs.retention_days
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.access.permissions_boundary_arn
  vpc_config               = null
  statements               = local.roles_statements
  environment = merge(local.function_environment, {
    CLUSTER_ARN       = local.aurora.cluster_arn
    MASTER_SECRET_ARN = local.aurora.master_secret_arn
    QUERY_SECRET_ARN  = local.aurora.query_secret_arn
    PGDATABASE        = local.aurora.database_name
    SERVICE_NAME      = "roles"
  })
}

locals {
  roles_statements = flatten([
    for database in local.aurora[*] : concat(
      [
        { actions = local.data_api_actions, resources = [database.cluster_arn], conditions = null },
        { actions = ["secretsmanager:GetSecretValue"], resources = [database.master_secret_arn], conditions = null },
        { actions = ["secretsmanager:PutSecretValue"], resources = [database.query_secret_arn], conditions = null },
      ],
      # Secrets Manager User Guide, "Secret encryption and decryption": to put a value takes both.
      [for each in setproduct(local.kms_key_arn[*], [
        { actions = ["kms:Decrypt"], secret = database.master_secret_arn },
        { actions = ["kms:Decrypt", "kms:GenerateDataKey"], secret = database.query_secret_arn },
        ]) : {
        actions   = each[1].actions
        resources = [each[0]]
        conditions = {
          StringEquals = {
            "kms:ViaService"                  = ["secretsmanager.${local.account.region}.amazonaws.com"]
            "kms:EncryptionContext:SecretARN" = [each[1].secret]
          }
        }
      }],
    )
  ])
}

resource "aws_lambda_invocation" "roles" {
  count = var.aurora == null ? 0 : 1

  function_name = module.roles[0].name
  input         = jsonencode({})

  triggers = {
    package = filebase64sha256("${var.package_dir}/roles.zip")
    cluster = local.aurora.cluster_resource_id
    secret  = local.aurora.query_secret_arn
  }

  depends_on = [module.database]

  lifecycle {
    precondition {
      condition     = contains(local.generated.rds_regions, local.account.region)
      error_message = "pipeline/sinks/rds-ca-bundle.pem has no certificate of RDS in ${local.account.region}, so the functions could not trust the cluster. Renew it as its first lines say."
    }
  }
}

# Schema

module "migrate" {
  source = "./modules/function"

  account                  = local.account
  name                     = "${local.prefix}-migrate"
  description              = "Brings the Postgres schema to a revision."
  package                  = "${var.package_dir}/migrate.zip"
  handler                  = "pipeline.functions.migrate.handler"
  runtime                  = var.lambda.runtime
  architecture             = var.lambda.architecture
  memory_mb                = 512
  timeout_seconds          = 900
  log_retention_days       = var.logs.retention_days
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.access.permissions_boundary_arn
  statements               = local.database_statements.migrator
  vpc_config               = local.database_vpc_config
  environment              = local.migrate_environment
}

locals {
  migrate_environment = merge(local.function_environment, local.database_environment.migrator, {
    SERVICE_NAME = "migrate"
    PROTECT_DATA = var.protect_data ? "on" : "off"
  })
}

resource "aws_lambda_invocation" "migrate" {
  count = var.migrate_on_apply ? 1 : 0

  function_name = module.migrate.name
  input         = jsonencode({ revision = "head" })

  triggers = {
    package = filebase64sha256("${var.package_dir}/migrate.zip")
    # A digest, as the address may hold a password.
    database = sha256(jsonencode(local.database_environment.migrator))
  }

  depends_on = [aws_lambda_invocation.roles, module.database]
}
