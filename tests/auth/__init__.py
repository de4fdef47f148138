"""Tests of user-auth."""
