from collections.abc import Callable, Sequence
from typing import Any

UNSET_VALUE: Any

class BatchType:
    LOGGED: BatchType
    UNLOGGED: BatchType

class BoundStatement:
    values: list[Any]
    fetch_size: int
    def __init__(self, prepared_statement: PreparedStatement) -> None: ...

class PreparedStatement:
    consistency_level: int | None
    def bind(self, values: Sequence[Any]) -> BoundStatement: ...

class SimpleStatement:
    def __init__(self, query_string: str, **kwargs: Any) -> None: ...

class BatchStatement:
    def __init__(self, batch_type: BatchType = ..., consistency_level: int | None = None, **kwargs: Any) -> None: ...
    def add(self, statement: Any, parameters: Sequence[Any] | None = None) -> None: ...

tuple_factory: Callable[..., Any]
named_tuple_factory: Callable[..., Any]
dict_factory: Callable[..., Any]
