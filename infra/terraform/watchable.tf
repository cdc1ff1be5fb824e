# What the validations of variables.tf need. The commands evaluate both files alone, which takes no provider.

locals {
  archive_dir = "${path.module}/../../pipeline/archive"

  # The questions that can be watched, by name: the parameters that they take, true where one has to be given. The headers
  # of their files say so, as pipeline/archive/questions.py reads them.
  watchable = {
    for file in fileset("${local.archive_dir}/queries", "*.sql") : trimsuffix(file, ".sql") => {
      for parameter in distinct(split(", ", regex("-- parameters: ([^\n]+)", file("${local.archive_dir}/queries/${file}"))[0])) :
      split("=", parameter)[0] => !strcontains(parameter, "=") && !contains(["since", "limit"], parameter)...
    } if strcontains(file("${local.archive_dir}/queries/${file}"), "\n-- finding: ")
  }
}
