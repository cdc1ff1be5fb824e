"""Settings of Aurora clusters and instances that are described as they were asked for.

AWS (RDS API Reference: CreateDBCluster, ModifyDBCluster, DBCluster, CreateDBInstance, ModifyDBInstance, DBInstance):
log exports, the pause of Serverless v2, Performance Insights with its key, enhanced monitoring and the storage type are
kept and described.

MiniStack: takes and forgets them, so Terraform would set them again with every apply.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

from typing import Any
from xml.sax.saxutils import escape

from ministack.services import rds

from devstack.emulator import patching

Record = dict[str, Any]
_original: dict[str, Any] = {}

# Request parameters, and the members of the description that they set.
_CLUSTER = {
    "EnablePerformanceInsights": "PerformanceInsightsEnabled",
    "PerformanceInsightsKMSKeyId": "PerformanceInsightsKMSKeyId",
    "PerformanceInsightsRetentionPeriod": "PerformanceInsightsRetentionPeriod",
    "DatabaseInsightsMode": "DatabaseInsightsMode",
    "MonitoringInterval": "MonitoringInterval",
    "MonitoringRoleArn": "MonitoringRoleArn",
    "StorageType": "StorageType",
}
_NEW_INSTANCE = {
    "PerformanceInsightsKMSKeyId": "PerformanceInsightsKMSKeyId",
    "DatabaseInsightsMode": "DatabaseInsightsMode",
}
_INSTANCE = _NEW_INSTANCE | {
    "EnablePerformanceInsights": "PerformanceInsightsEnabled",
    "PerformanceInsightsRetentionPeriod": "PerformanceInsightsRetentionPeriod",
    "PromotionTier": "PromotionTier",
    "AutoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
}
# Members of an instance that MiniStack does not describe.
_UNDESCRIBED = ("PerformanceInsightsKMSKeyId", "DatabaseInsightsMode")


def apply() -> None:
    """Replace the operations that take settings, and the descriptions of clusters and instances."""
    patching.require(rds, "_clusters", "_instances", "_p", "_parse_member_list")
    for action, new in (
        ("CreateDBCluster", create_db_cluster),
        ("ModifyDBCluster", modify_db_cluster),
        ("CreateDBInstance", create_db_instance),
        ("ModifyDBInstance", modify_db_instance),
    ):
        _original[action] = patching.replace_action(rds, action, new)
    for name, function in (
        ("_serverlessv2_from_params", serverless_from_params),
        ("_serverlessv2_xml", serverless_xml),
        ("_cluster_xml", cluster_xml),
        ("_instance_xml", instance_xml),
    ):
        _original[name] = patching.replace(rds, name, function)


def create_db_cluster(p: Any) -> Any:
    """CreateDBCluster, keeping every setting."""
    answer = _original["CreateDBCluster"](p)
    if answer[0] == 200:
        record = rds._clusters[rds._p(p, "DBClusterIdentifier")]
        _keep(p, record, _CLUSTER)
        record["EnabledCloudwatchLogsExports"] = rds._parse_member_list(p, "EnableCloudwatchLogsExports")
    return answer


def modify_db_cluster(p: Any) -> Any:
    """ModifyDBCluster, keeping every setting."""
    record = rds._clusters.get(rds._p(p, "DBClusterIdentifier"))
    if record is not None:
        _keep(p, record, _CLUSTER)
        exports = set(record["EnabledCloudwatchLogsExports"])
        exports |= set(rds._parse_member_list(p, "CloudwatchLogsExportConfiguration.EnableLogTypes"))
        exports -= set(rds._parse_member_list(p, "CloudwatchLogsExportConfiguration.DisableLogTypes"))
        record["EnabledCloudwatchLogsExports"] = sorted(exports)
    return _original["ModifyDBCluster"](p)


def create_db_instance(p: Any) -> Any:
    """CreateDBInstance, keeping every setting."""
    answer = _original["CreateDBInstance"](p)
    if answer[0] == 200:
        _keep(p, rds._instances[rds._p(p, "DBInstanceIdentifier")], _NEW_INSTANCE)
    return answer


def modify_db_instance(p: Any) -> Any:
    """ModifyDBInstance, keeping every setting."""
    record = rds._instances.get(rds._p(p, "DBInstanceIdentifier"))
    if record is not None:
        _keep(p, record, _INSTANCE)
    return _original["ModifyDBInstance"](p)


def serverless_from_params(p: Any) -> Any:
    """Read the scaling of Serverless v2, with the seconds until an idle cluster pauses."""
    scaling = _original["_serverlessv2_from_params"](p)
    seconds = rds._p(p, "ServerlessV2ScalingConfiguration.SecondsUntilAutoPause")
    return (scaling or {}) | {"SecondsUntilAutoPause": int(seconds)} if seconds else scaling


def serverless_xml(c: Record) -> str:
    """Describe the scaling."""
    scaling = c.get("ServerlessV2ScalingConfiguration") or {}
    return _xml({"ServerlessV2ScalingConfiguration": _xml(scaling)}) if scaling else ""


def cluster_xml(c: Record) -> str:
    """Describe a cluster."""
    settings = {name: escape(_text(c[name])) for name in _CLUSTER.values() if name in c}
    exports = "".join(f"<member>{escape(name)}</member>" for name in c.get("EnabledCloudwatchLogsExports") or ())
    return str(_original["_cluster_xml"](c)) + _xml(settings | {"EnabledCloudwatchLogsExports": exports})


def instance_xml(i: Record) -> str:
    """Describe an instance."""
    return str(_original["_instance_xml"](i)) + _xml({name: escape(i[name]) for name in _UNDESCRIBED if i.get(name)})


def _keep(p: Any, record: Record, names: dict[str, str]) -> None:
    for parameter, member in names.items():
        value = rds._p(p, parameter)
        if value:
            record[member] = value == "true" if value in ("true", "false") else value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _xml(members: dict[str, Any]) -> str:
    return "".join(f"<{name}>{value}</{name}>" for name, value in members.items())
