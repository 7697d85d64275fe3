"""No test here may depend on how fast the machine is."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None, max_examples=30)
settings.load_profile("untimed")
