"""Search within a room: an inverted index in Cassandra, written by search-index and read by archive."""
