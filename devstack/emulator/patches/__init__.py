"""Patches for every gap of MiniStack that affects the pipeline, one module each, applied in this order."""

from devstack.emulator.patches import (
    alarm_states,
    alarms,
    athena,
    aurora,
    aurora_parameters,
    aurora_restore,
    aurora_settings,
    aurora_versions,
    bus_policies,
    data_api,
    event_delivery,
    event_metrics,
    event_patterns,
    event_source_mapping,
    filter_patterns,
    firehose_buffering,
    firehose_encryption,
    flow_logs,
    function_credentials,
    function_interfaces,
    function_logs,
    idle_functions,
    invoke_config,
    message_moves,
    object_lock,
    partner_events,
    policy_propagation,
    prefix_lists,
    principal_keys,
    query_definitions,
    recovery_period,
    request_actions,
    request_log,
    resource_policies,
    resource_tags,
    rule_tags,
    secure_transport,
    sender_ids,
    service_models,
    size_limits,
    vpc_endpoints,
)

PATCHES = (
    secure_transport,
    principal_keys,
    request_actions,
    resource_tags,
    resource_policies,
    partner_events,
    rule_tags,
    bus_policies,
    event_delivery,
    event_metrics,
    size_limits,  # of partner events too
    event_patterns,
    firehose_buffering,
    firehose_encryption,
    event_source_mapping,
    sender_ids,  # of the batches of the one before
    message_moves,
    invoke_config,
    function_credentials,
    policy_propagation,
    function_interfaces,
    function_logs,
    idle_functions,
    athena,
    aurora_parameters,
    aurora_settings,
    aurora,  # describes a new cluster, with the settings
    aurora_restore,
    aurora_versions,  # refuses before a setting is kept
    data_api,
    recovery_period,
    object_lock,
    flow_logs,
    prefix_lists,
    vpc_endpoints,
    alarms,
    alarm_states,  # describes alarms as the one before, but as they are now
    query_definitions,
    filter_patterns,
    service_models,  # refuses before a policy is asked
    request_log,  # also of what the one before refuses
)


def apply_all() -> None:
    """Apply every patch; ``PatchError`` names the first one that no longer fits the installed MiniStack."""
    for patch in PATCHES:
        patch.apply()
