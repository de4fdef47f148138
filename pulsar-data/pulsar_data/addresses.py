"""Whose address a connection counts as, behind however many proxies."""

from __future__ import annotations

import ipaddress


def client_address(peer: str, forwarded_for: str, trusted_proxies: int) -> str:
    """Who to count: the socket's peer, or what the outermost trusted proxy saw.

    `forwarded_for` is X-Forwarded-For: each proxy appends its own peer, so only the last `trusted_proxies` entries
    were written by ours. Fewer entries than that, or no address there: the peer. An IPv6 client counts as its /64,
    as one customer has all of it.
    """
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    claimed = hops[-trusted_proxies] if 0 < trusted_proxies <= len(hops) else peer
    return _network(claimed) or _network(peer) or "unknown"


def _network(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
