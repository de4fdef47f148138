"""The parts of a local stack: each module writes one part's configuration and says how to run it and when it is ready."""
