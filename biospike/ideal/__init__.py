"""What circuits are compared with: exact normalisations and discrete neurons."""
