"""Stores that want TLS and a login, as those of production do: Pulsar, Cassandra and Redis of the tests' own."""
