"""Pictures: filtered, scaled for each rendition, encoded."""
