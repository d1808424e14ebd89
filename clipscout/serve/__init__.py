"""`clipscout serve`: the agent as a page and as an OpenAI-compatible endpoint."""
