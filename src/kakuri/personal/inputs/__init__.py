"""From files to samples: one file per kind of data."""
