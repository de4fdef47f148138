"""What we use of PyYAML."""

from typing import Any

def safe_load(stream: str) -> Any: ...
def safe_dump(
    data: object, *, sort_keys: bool = True, allow_unicode: bool | None = None, width: float | None = None
) -> str: ...

class YAMLError(Exception): ...

class Node:
    value: Any

class MappingNode(Node):
    value: list[tuple[Node, Node]]

class SafeLoader: ...

def compose(stream: str, Loader: type[SafeLoader]) -> Node | None: ...
