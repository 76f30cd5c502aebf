"""Validation studies, one question a script: a package of biospike."""
