"""TFLite files to models in normal form; see docs/models.md for what a quantised graph promises."""
