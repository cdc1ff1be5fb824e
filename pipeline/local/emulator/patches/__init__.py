"""Every gap of MiniStack that the pipeline would notice, one module each, applied in this order."""

from pipeline.local.emulator.patches import (
    alarms,
    athena,
    aurora,
    aurora_restore,
    aurora_settings,
    bus_policies,
    data_api,
    event_delivery,
    event_source_mapping,
    filter_patterns,
    firehose_buffering,
    flow_logs,
    function_credentials,
    invoke_config,
    partner_events,
    query_definitions,
    recovery_period,
    rule_tags,
)

PATCHES = (
    partner_events,
    rule_tags,
    bus_policies,
    event_delivery,
    firehose_buffering,
    event_source_mapping,
    invoke_config,
    function_credentials,
    athena,
    aurora_settings,
    aurora,  # describes a new cluster, with the settings
    aurora_restore,
    data_api,
    recovery_period,
    flow_logs,
    alarms,
    query_definitions,
    filter_patterns,
)


def apply_all() -> None:
    """Apply every patch; ``PatchError`` names the first one that no longer fits the installed MiniStack."""
    for patch in PATCHES:
        patch.apply()
