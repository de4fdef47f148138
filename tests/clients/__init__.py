"""Clients for tests: they speak our wire over real sockets, come back by themselves, and write down what they saw."""
