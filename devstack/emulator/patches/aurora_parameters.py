"""Parameters of clusters whose value is the engine's own count as the engine's.

AWS (RDS API Reference: DescribeDBClusterParameters; Aurora User Guide, "Amazon Aurora PostgreSQL parameters",
"Securing Aurora PostgreSQL data with SSL/TLS"): with Source=user only parameters are described that differ from the
engine's default, whoever set them. rds.force_ssl is 1 from version 17 on and 0 before. Sessions see it by SHOW.

MiniStack: takes every parameter that was set for the user's, and does not know those of RDS.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

from typing import Any

from ministack.services import rds

from devstack.emulator import patching

FAMILY = "aurora-postgresql"

Record = dict[str, Any]
_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the families' defaults, and the description of a group's parameters."""
    patching.require(rds, "_db_cluster_param_groups")
    for name, function in (
        ("_default_parameters_for_family", default_parameters),
        ("_parameter_group_parameters_xml", parameters_xml),
    ):
        _original[name] = patching.replace(rds, name, function)


def default_parameters(family: str) -> list[Record]:
    """Return the parameters of a family, with those of Aurora PostgreSQL that the pipeline sets or relies on."""
    known: list[Record] = _original["_default_parameters_for_family"](family)
    major = family.removeprefix(FAMILY)
    if major == family:
        return known
    return [
        *known,
        {"name": "rds.force_ssl", "default": str(int(int(major) >= 17)), "data_type": "boolean"},
        {"name": "idle_in_transaction_session_timeout", "default": "86400000", "data_type": "integer"},
    ]


def parameters_xml(pg: Record, source_filter: str) -> str:
    """Describe a group's parameters: those with the engine's value have the engine as source."""
    defaults = {each["name"]: each["default"] for each in default_parameters(pg.get("DBParameterGroupFamily", ""))}
    own = {name: given for name, given in pg["Parameters"].items() if _value(given) != defaults.get(name)}
    return str(_original["_parameter_group_parameters_xml"]({**pg, "Parameters": own}, source_filter))


def value(cluster: Record, name: str) -> str:
    """Return the value of a parameter in a cluster."""
    group = rds._db_cluster_param_groups.get(cluster["DBClusterParameterGroup"], {"Parameters": {}})
    if name in group["Parameters"]:
        return _value(group["Parameters"][name])
    family = f"{FAMILY}{cluster['EngineVersion'].partition('.')[0]}"
    return next(str(each["default"]) for each in default_parameters(family) if each["name"] == name)


def _value(given: Any) -> str:
    return str(given["ParameterValue"] if isinstance(given, dict) else given)
