"""`clipscout view`: recorded walks as pages: filtered, drawn on their trees, explained, compared."""
