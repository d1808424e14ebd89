"""`clipscout view`: recorded trajectories as pages: filtered, drawn on their trees, explained, compared."""
