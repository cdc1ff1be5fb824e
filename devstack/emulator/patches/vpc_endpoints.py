"""The policies of VPC endpoints.

AWS (EC2 API Reference: CreateVpcEndpoint, VpcEndpoint): an endpoint keeps the policy of its request, or else gets one
that allows everything, and is described with it.

MiniStack: drops the policy of a new endpoint and describes none, which Terraform reads as drift.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import json
from typing import Any
from xml.sax.saxutils import escape

from ministack.services import ec2

from devstack.emulator import patching

EVERYTHING = json.dumps({"Statement": [{"Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"}]})
"""The policy of an endpoint without one of its own."""

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace CreateVpcEndpoint, and the description of an endpoint."""
    patching.require(ec2, "_vpc_endpoints", "_p", "_xml")
    _original["CreateVpcEndpoint"] = patching.replace_action(ec2, "CreateVpcEndpoint", create_vpc_endpoint)
    _original["_vpce_fields_xml"] = patching.replace(ec2, "_vpce_fields_xml", fields_xml)


def create_vpc_endpoint(p: Any) -> Any:
    """Create an endpoint that keeps its policy."""
    before = set(ec2._vpc_endpoints)
    _original["CreateVpcEndpoint"](p)
    [made] = set(ec2._vpc_endpoints) - before
    endpoint = ec2._vpc_endpoints[made]
    endpoint["PolicyDocument"] = ec2._p(p, "PolicyDocument") or EVERYTHING
    return ec2._xml(200, "CreateVpcEndpointResponse", fields_xml(endpoint, tag="vpcEndpoint"))


def fields_xml(ep: dict[str, Any], tag: str = "item") -> str:
    """Describe an endpoint, with its policy."""
    xml = str(_original["_vpce_fields_xml"](ep, tag=tag))
    policy = escape(ep.get("PolicyDocument", EVERYTHING))
    return xml.replace("<routeTableIdSet>", f"<policyDocument>{policy}</policyDocument><routeTableIdSet>", 1)
