"""Policies on held-out questions: who is right, at what cost, and a report that shows it."""
