"""Databases, files written in one step, and what a full disk says."""
