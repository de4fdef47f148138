"""What the local stack uses of maven-artifact."""

class Artifact:
    @staticmethod
    def parse(maven_coordinate: str) -> Artifact: ...
    def uri(self, base: str) -> str: ...

class Resolver:
    base: str
    @staticmethod
    def default() -> Resolver: ...
