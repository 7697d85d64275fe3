"""Models: loading, checking, and the passes every protection shares."""
