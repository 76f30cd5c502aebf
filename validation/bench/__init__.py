"""What the command ``biospike`` offers besides the studies."""
