"""The parts of a local stack: each module configures one, and says how to run it and when it is ready."""
