"""Key neurons of the audit, with every liberty as a knob; a folder of their own, whose source their numbers hang on."""
