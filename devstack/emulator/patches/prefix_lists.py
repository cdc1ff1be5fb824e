"""Rules of security groups that name prefix lists.

AWS (EC2 API Reference: IpPermission, SecurityGroupRule): a rule may name prefix lists, and its description has them.

MiniStack: drops them from the request and from the description, which Terraform's provider reports as its own error.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

from itertools import count
from typing import Any

from ministack.services import ec2

from devstack.emulator import patching

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the parser and the description of rules."""
    patching.require(ec2, "_p")
    _original["parse"] = patching.replace(ec2, "_parse_ip_permissions", parse_ip_permissions)
    _original["describe"] = patching.replace(ec2, "_sg_rule_xml", rule_xml)


def parse_ip_permissions(params: Any, prefix: str) -> list[dict[str, Any]]:
    """Parse rules, with their prefix lists."""
    rules: list[dict[str, Any]] = _original["parse"](params, prefix)
    for number, rule in enumerate(rules, 1):
        for place in count(1):
            name = f"{prefix}.{number}.PrefixListIds.{place}"
            if not (identifier := ec2._p(params, f"{name}.PrefixListId")):
                break
            described = {"Description": text} if (text := ec2._p(params, f"{name}.Description")) else {}
            rule["PrefixListIds"].append({"PrefixListId": identifier} | described)
    return rules


def rule_xml(sg_id: str, rule: dict[str, Any], is_egress: bool = False) -> str:
    """Describe a rule, with its prefix lists; MiniStack has one item for a rule that names nothing else."""
    xml = str(_original["describe"](sg_id, rule, is_egress=is_egress))
    if rule.get("IpRanges") or rule.get("Ipv6Ranges") or rule.get("UserIdGroupPairs"):
        return xml
    named = [f"<prefixListId>{one['PrefixListId']}</prefixListId>" for one in rule.get("PrefixListIds", ())]
    return "".join(xml.replace("<isEgress>", f"{name}<isEgress>") for name in named) or xml
