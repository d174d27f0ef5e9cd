"""HTTP as such: heads, limits, problem documents, ranges, the server itself."""
