"""Names of the Pulsar topics. They are public: dashboards, tools and other people's functions use them."""

from __future__ import annotations

from typing import Final

TENANT: Final = "chat"
NAMESPACES: Final = ("chat/core", "chat/gateways", "chat/system")

COMMANDS: Final = "persistent://chat/core/commands"
EVENTS: Final = "persistent://chat/core/events"
QUERIES: Final = "persistent://chat/core/queries"
SESSIONS: Final = "persistent://chat/core/sessions"
SIGNALS: Final = "non-persistent://chat/core/signals"
REINDEX: Final = "persistent://chat/core/reindex"
CONFIG: Final = "persistent://chat/system/config"

PARTITIONS: Final = {COMMANDS: 8, EVENTS: 8, QUERIES: 4, REINDEX: 1}
SEARCH_INDEX: Final = "search-index"
"""The one function that is optional, and has one instance."""
FUNCTIONS: Final = ("chat-router", "message-store", "archive", SEARCH_INDEX)


def dead_letters(function: str) -> str:
    """Where a function puts what can never succeed."""
    return f"persistent://chat/core/{function}-dead-letters"


def gateway(gateway_id: str) -> str:
    """The topic of one gateway's boot: deliveries from router and archive."""
    return f"persistent://chat/gateways/{gateway_id}"
