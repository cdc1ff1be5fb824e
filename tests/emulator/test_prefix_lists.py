import pytest

from .support import Aws, name

pytestmark = pytest.mark.emulator


def test_a_rule_is_described_with_its_prefix_list(aws: Aws) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/24")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName=name("group"), Description="x", VpcId=vpc)["GroupId"]
    lists = [{"PrefixListId": "pl-1", "Description": "one"}]
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": lists}
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[rule])
    found = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    assert [(one["PrefixListId"], one["Description"]) for one in found if "PrefixListId" in one] == [("pl-1", "one")]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[rule])
    found = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    assert not [one for one in found if "PrefixListId" in one]
