"""The tests. Those that take the fixture `stack` run on the whole real system, see conftest.py."""
