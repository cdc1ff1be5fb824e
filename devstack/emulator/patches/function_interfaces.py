"""The network interfaces of functions in a VPC, which outlive the functions.

AWS (Lambda Developer Guide, "Giving Lambda functions access to resources in an Amazon VPC", "Understanding Hyperplane
Elastic Network Interfaces (ENIs)"; EC2 API Reference: DescribeNetworkInterfaces, DeleteSecurityGroup, DeleteSubnet):
Lambda makes an interface for each combination of subnet and security groups that functions use, shares it among them,
and removes it in the role's name, 20 minutes and more after the last of them is gone. If the role is gone by then, or
may not remove it, the interface stays until a person deletes it. Nobody else can delete it while it is in use, attached
by "amazon-aws". A security group or subnet with an interface cannot be deleted: DependencyViolation.

MiniStack: has no interfaces of functions, deletes groups and subnets in use, and describes every interface whatever
the filter.

Here Lambda takes AUTH0_SYNC_EMULATOR_INTERFACE_SECONDS, which must outlast what Terraform does between a function and
its role. The rest of the checks, such as whether the role may create interfaces, is left out.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import logging
import os
import threading
import uuid
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from ministack.core import responses
from ministack.services import ec2, lambda_svc

from devstack.emulator import patching, permissions

log = logging.getLogger("lambda")

SECONDS = float(os.environ.get("AUTH0_SYNC_EMULATOR_INTERFACE_SECONDS", "25"))

Record = dict[str, Any]
_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the operations on functions, and those that a network interface blocks."""
    patching.require(lambda_svc, "_functions")
    patching.require(ec2, "_network_interfaces", "_create_network_interface", "_eni_fields_xml", "_parse_filters")
    patching.require(ec2, "_error", "_now_ts", "_p", "_xml")
    for name, function in (
        ("_create_function", create_function),
        ("_update_config", update_config),
        ("_delete_function", delete_function),
    ):
        _original[name] = patching.replace(lambda_svc, name, function)
    for action, new in (
        ("DescribeNetworkInterfaces", describe_network_interfaces),
        ("DeleteNetworkInterface", delete_network_interface),
        ("DeleteSecurityGroup", delete_security_group),
        ("DeleteSubnet", delete_subnet),
    ):
        _original[action] = patching.replace_action(ec2, action, new)
    _original["_eni_fields_xml"] = patching.replace(ec2, "_eni_fields_xml", fields_xml)


def create_function(data: dict[str, Any]) -> Any:
    """CreateFunction, with its interfaces."""
    answer = _original["_create_function"](data)
    if answer[0] == 201:
        _attach(data["FunctionName"])
    return answer


def update_config(name: str, data: dict[str, Any]) -> Any:
    """UpdateFunctionConfiguration, which may move the function to other subnets and groups."""
    function = lambda_svc._functions.get(name)
    before = dict(function["config"]) if function else {}
    answer = _original["_update_config"](name, data)
    if answer[0] == 200 and "VpcConfig" in data:
        _attach(name)
        _release(before)
    return answer


def delete_function(name: str, query_params: dict[str, Any], path_qualifier: str | None = None) -> Any:
    """DeleteFunction, which leaves its interfaces for a while."""
    function = lambda_svc._functions.get(name)
    answer = _original["_delete_function"](name, query_params, path_qualifier)
    if function is not None and name not in lambda_svc._functions:
        _release(function["config"])
    return answer


def _places(config: Record) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the combinations of subnet and security groups of a function."""
    vpc = config.get("VpcConfig") or {}
    for subnet in vpc.get("SubnetIds") or ():
        yield subnet, frozenset(vpc.get("SecurityGroupIds") or ())


def _place(interface: Record) -> tuple[str, frozenset[str]]:
    return interface["SubnetId"], frozenset(group["GroupId"] for group in interface["Groups"])


def _attach(name: str) -> None:
    there = {_place(interface) for interface in ec2._network_interfaces.values() if _is_lambda(interface)}
    for place in _places(lambda_svc._functions[name]["config"]):
        if place not in there:
            _make(name, *place)


def _make(function: str, subnet: str, groups: frozenset[str]) -> None:
    request = {
        "SubnetId": [subnet],
        "Description": [f"AWS Lambda VPC ENI-{function}-{uuid.uuid4()}"],
        **{f"SecurityGroupId.{number}": [group] for number, group in enumerate(sorted(groups), 1)},
    }
    before = set(ec2._network_interfaces)
    ec2._create_network_interface(request)
    [made] = set(ec2._network_interfaces) - before
    attachment = {"AttachmentId": f"ela-attach-{made.removeprefix('eni-')}", "AttachTime": ec2._now_ts()}
    ec2._network_interfaces[made] |= {"InterfaceType": "lambda", "Status": "in-use", "Attachment": attachment}


def _is_lambda(interface: Record) -> bool:
    return bool(interface["InterfaceType"] == "lambda")


def _release(config: Record) -> None:
    """Remove a function's interfaces after a while, in its role's name, unless another function uses them."""
    role, places = config["Role"], set(_places(config))
    account, region = responses.get_account_id(), responses.get_region()

    def remove() -> None:
        with responses.request_scope(account, region):
            if not permissions.role_allowed(role, region, "ec2:DeleteNetworkInterface", "*"):
                log.warning("Lambda: %s is gone or may not delete network interfaces: they stay", role)
                return
            used = {place for function in lambda_svc._functions.values() for place in _places(function["config"])}
            for identifier, interface in list(ec2._network_interfaces.items()):
                if _is_lambda(interface) and _place(interface) in places - used:
                    del ec2._network_interfaces[identifier]

    if places:
        timer = threading.Timer(SECONDS, remove)
        timer.daemon = True
        timer.start()


_FILTERS = {
    "group-id": lambda interface: [group["GroupId"] for group in interface["Groups"]],
    "subnet-id": lambda interface: [interface["SubnetId"]],
    "vpc-id": lambda interface: [interface["VpcId"]],
    "network-interface-id": lambda interface: [interface["NetworkInterfaceId"]],
    "description": lambda interface: [interface["Description"]],
    "interface-type": lambda interface: [interface["InterfaceType"]],
    "status": lambda interface: [interface["Status"]],
}


def describe_network_interfaces(p: Any) -> Any:
    """DescribeNetworkInterfaces, with its filters."""
    filters = ec2._parse_filters(p)
    if not filters:
        return _original["DescribeNetworkInterfaces"](p)
    if unknown := sorted(filters.keys() - _FILTERS.keys()):
        return ec2._error("InvalidParameterValue", f"The filter '{unknown[0]}' is invalid", 400)
    items = "".join(
        ec2._eni_fields_xml(interface)
        for interface in list(ec2._network_interfaces.values())
        if all(_matches(_FILTERS[name](interface), patterns) for name, patterns in filters.items())
    )
    return ec2._xml(200, "DescribeNetworkInterfacesResponse", f"<networkInterfaceSet>{items}</networkInterfaceSet>")


def fields_xml(eni: Record, tag: str = "item") -> str:
    """Describe an interface, with the owner of its attachment."""
    xml = str(_original["_eni_fields_xml"](eni, tag))
    return (
        xml.replace("<attachment>", "<attachment><instanceOwnerId>amazon-aws</instanceOwnerId>")
        if _is_lambda(eni)
        else xml
    )


def delete_network_interface(p: Any) -> Any:
    """DeleteNetworkInterface, unless it is Lambda's."""
    identifier = ec2._p(p, "NetworkInterfaceId")
    interface = ec2._network_interfaces.get(identifier)
    if interface is not None and _is_lambda(interface):
        message = f"Network interface '{identifier}' is currently in use."
        return ec2._error("InvalidParameterValue", message, 400)
    return _original["DeleteNetworkInterface"](p)


def _matches(values: list[str], patterns: list[str]) -> bool:
    return any(fnmatchcase(value, pattern) for value in values for pattern in patterns)


def delete_security_group(p: Any) -> Any:
    """DeleteSecurityGroup, unless an interface is in it."""
    return _unless_used(p, "DeleteSecurityGroup", "GroupId", "group-id", "resource {} has a dependent object")


def delete_subnet(p: Any) -> Any:
    """DeleteSubnet, unless an interface is in it."""
    message = "The subnet '{}' has dependencies and cannot be deleted."
    return _unless_used(p, "DeleteSubnet", "SubnetId", "subnet-id", message)


def _unless_used(p: Any, action: str, parameter: str, name: str, message: str) -> Any:
    identifier = ec2._p(p, parameter)
    if any(identifier in _FILTERS[name](interface) for interface in list(ec2._network_interfaces.values())):
        return ec2._error("DependencyViolation", message.format(identifier), 400)
    return _original[action](p)
