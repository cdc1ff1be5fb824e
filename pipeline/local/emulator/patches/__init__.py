"""Every gap of MiniStack that the pipeline would notice, one module each, applied in this order."""

from pipeline.local.emulator.patches import (
    athena,
    event_delivery,
    event_source_mapping,
    firehose_buffering,
    partner_events,
    rule_tags,
)

PATCHES = (partner_events, rule_tags, event_delivery, firehose_buffering, event_source_mapping, athena)


def apply_all() -> None:
    """Apply every patch; ``PatchError`` names the first one that no longer fits the installed MiniStack."""
    for patch in PATCHES:
        patch.apply()
