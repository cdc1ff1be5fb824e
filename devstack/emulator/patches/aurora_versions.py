"""Versions of Aurora PostgreSQL: full ones, which only increase.

AWS (RDS API Reference: CreateDBCluster, ModifyDBCluster, DescribeDBEngineVersions; Aurora User Guide, "Amazon Aurora
versioning", "Upgrading Amazon Aurora PostgreSQL DB clusters"): a cluster runs a full version, such as 17.7. A major
version alone stands for its default minor version, which trails the newest. A cluster is never taken back ("Cannot
upgrade aurora-postgresql from 17.9 to 17.7"), and to another major version only with AllowMajorVersionUpgrade. The
parameter group of a cluster is of its version's family. Instances have the version of their cluster.

MiniStack: keeps "17" as the version, takes every other version at any time, and parameter groups of every family. It
knows no default of version 18; which one is AWS's is not documented, so here it is the oldest.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

from typing import Any

from ministack.services import rds

from devstack.emulator import patching

ENGINE = "aurora-postgresql"

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the operations that take a version."""
    patching.require(rds, "_clusters", "_instances", "_db_cluster_param_groups", "_p", "_error")
    patching.require(rds, "_default_engine_version", "AURORA_POSTGRESQL_DEFAULT_ENGINE_VERSIONS")
    rds.AURORA_POSTGRESQL_DEFAULT_ENGINE_VERSIONS.setdefault("18", "18.3")
    for action, new in (("CreateDBCluster", create_db_cluster), ("ModifyDBCluster", modify_db_cluster)):
        _original[action] = patching.replace_action(rds, action, new)


def create_db_cluster(p: Any) -> Any:
    """CreateDBCluster, with a full version."""
    if rds._p(p, "Engine") != ENGINE:
        return _original["CreateDBCluster"](p)
    version = _full(rds._p(p, "EngineVersion") or rds._default_engine_version(ENGINE))
    problem = _family_problem(rds._p(p, "DBClusterParameterGroupName"), version)
    return problem or _original["CreateDBCluster"]({**p, "EngineVersion": [version]})


def modify_db_cluster(p: Any) -> Any:
    """ModifyDBCluster: only upgrades, and within one major version unless the request allows another."""
    record = rds._clusters.get(rds._p(p, "DBClusterIdentifier"))
    if record is None or record["Engine"] != ENGINE:
        return _original["ModifyDBCluster"](p)
    now, wanted = record["EngineVersion"], _full(rds._p(p, "EngineVersion") or record["EngineVersion"])
    if _numbers(wanted) < _numbers(now):
        return _refuse(f"Cannot upgrade {ENGINE} from {now} to {wanted}")
    if _major(wanted) != _major(now) and rds._p(p, "AllowMajorVersionUpgrade") != "true":
        return _refuse("The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.")
    problem = _family_problem(rds._p(p, "DBClusterParameterGroupName") or record["DBClusterParameterGroup"], wanted)
    if problem:
        return problem
    answer = _original["ModifyDBCluster"]({**p, "EngineVersion": [wanted]})
    if answer[0] == 200:
        for member in record["DBClusterMembers"]:
            rds._instances[member["DBInstanceIdentifier"]]["EngineVersion"] = wanted
    return answer


def _full(version: str) -> str:
    return str(rds.AURORA_POSTGRESQL_DEFAULT_ENGINE_VERSIONS.get(version, version))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".") if number.isdigit())


def _major(version: str) -> str:
    return version.partition(".")[0]


def _family_problem(group: str, version: str) -> Any:
    found = rds._db_cluster_param_groups.get(group)
    needed = f"{ENGINE}{_major(version)}"
    if found is None or found["DBParameterGroupFamily"] == needed:
        return None
    return _refuse(
        f"The Parameter Group {group} with DBParameterGroupFamily {found['DBParameterGroupFamily']} cannot be used for "
        f"this instance. Please use a Parameter Group with DBParameterGroupFamily {needed}"
    )


def _refuse(message: str) -> Any:
    return rds._error("InvalidParameterCombination", message, 400)
