"""What should be: rooms, members and messages as simple as they can be said, and what each wish should be answered."""

from __future__ import annotations

from dataclasses import dataclass, field

from pulsar_data.errors import ErrorCode

Refusal = ErrorCode | None
RANK = {"member": 1, "moderator": 2, "owner": 3}


@dataclass
class Said:
    """A message."""

    sender: str
    text: str
    deleted: bool = False
    reactions: set[tuple[str, str]] = field(default_factory=set)
    """(emoji, user)."""


@dataclass
class Room:
    """`offset` counts events, `said[seq - 1]` is a message. Everybody who was ever in it is in `read`."""

    members: dict[str, str]
    offset: int = 1
    said: list[Said] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)
    kind: str = "group"

    @property
    def seq(self) -> int:
        """Of the newest message."""
        return len(self.said)

    def member(self, user: str) -> Refusal:
        """403 for a stranger."""
        return None if user in self.members else ErrorCode.NOT_A_MEMBER

    def outranks(self, user: str, other: str) -> bool:
        """Whether one may act on the other."""
        return RANK[self.members[user]] > RANK[self.members[other]]

    def may_edit(self, user: str, seq: int) -> Refusal:
        """Only one's own, and only what is there."""
        if user not in self.members:
            return ErrorCode.NOT_A_MEMBER
        if self.said[seq - 1].deleted:
            return ErrorCode.STALE_EDIT
        return None if self.said[seq - 1].sender == user else ErrorCode.PERMISSION_DENIED

    def may_delete(self, user: str, seq: int) -> Refusal:
        """One's own; a moderator any."""
        if user not in self.members:
            return ErrorCode.NOT_A_MEMBER
        if self.said[seq - 1].deleted:
            return ErrorCode.MESSAGE_NOT_FOUND
        mine = self.said[seq - 1].sender == user or RANK[self.members[user]] >= RANK["moderator"]
        return None if mine else ErrorCode.PERMISSION_DENIED

    def may_react(self, user: str, seq: int) -> Refusal:
        """To what is there."""
        if user not in self.members:
            return ErrorCode.NOT_A_MEMBER
        return ErrorCode.MESSAGE_NOT_FOUND if self.said[seq - 1].deleted else None

    def may_add(self, user: str, other: str) -> Refusal:
        """Moderators may; who is there already is no reason to refuse."""
        if user not in self.members:
            return ErrorCode.NOT_A_MEMBER
        return None if RANK[self.members[user]] >= RANK["moderator"] else ErrorCode.PERMISSION_DENIED

    def may_remove(self, user: str, other: str) -> Refusal:
        """Moderators may, who has a lower role."""
        if user not in self.members:
            return ErrorCode.NOT_A_MEMBER
        if RANK[self.members[user]] < RANK["moderator"]:
            return ErrorCode.PERMISSION_DENIED
        if other not in self.members:
            return ErrorCode.USER_NOT_FOUND
        return None if self.outranks(user, other) else ErrorCode.PERMISSION_DENIED

    def may_leave(self, user: str) -> Refusal:
        """The last owner only if nobody stays behind; never in a channel, as anybody may still come."""
        if user not in self.members:
            return ErrorCode.NOT_A_MEMBER
        owners = [member for member, role in self.members.items() if role == "owner"]
        deserted = self.kind == "channel" or len(self.members) > 1
        return ErrorCode.CONFLICT if owners == [user] and deserted else None

    def say(self, user: str, text: str) -> None:
        """A message; who says it has read all."""
        self.offset += 1
        self.said.append(Said(user, text))
        self.read[user] = self.seq

    def enter(self, user: str) -> None:
        """What came before is not unread."""
        self.offset += 1
        self.members[user] = "member"
        self.read[user] = self.seq

    def leave(self, user: str) -> None:
        """Gone."""
        self.offset += 1
        del self.members[user]
